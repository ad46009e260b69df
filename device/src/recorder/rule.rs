//! When an event is recorded without being asked for.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::observation::{ClassConfidence, Observation};

/// What is worth an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Which classes.
    pub trigger: Trigger,
    /// The confidence, 0 to 1, from which a detection counts.
    pub min_confidence: f32,
    /// The least time between two events. A detection that begins within it is recorded when it is over, if it lasts.
    pub cooldown: Duration,
}

impl Default for Rule {
    /// Any detection, at most one in ten seconds.
    fn default() -> Self {
        Self { trigger: Trigger::Any, min_confidence: 0.0, cooldown: Duration::from_secs(10) }
    }
}

/// Which detections count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Every class that begins to be detected.
    Any,
    /// Those of these labels: whole ones, or one of a label's names between commas, whatever the case.
    Labels(BTreeSet<String>),
}

impl Trigger {
    fn takes(&self, label: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Labels(wanted) => wanted.iter().any(|wanted| {
                let is_wanted = |name: &str| name.trim().eq_ignore_ascii_case(wanted.trim());
                is_wanted(label) || label.split(',').any(is_wanted)
            }),
        }
    }
}

/// The pause after an event that could not be written: a full disk does not get room at once.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(10);

/// A rule and what it has seen.
#[derive(Debug)]
pub(super) struct Watch {
    rule: Rule,
    /// The class that was recorded and is still detected.
    recorded: Option<usize>,
    not_before: Option<Instant>,
}

impl Watch {
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, recorded: None, not_before: None }
    }

    pub(super) fn is_due(&mut self, observation: &Observation, now: Instant) -> bool {
        let detected = observation.detected.as_ref();
        if self.recorded != detected.map(|detected| detected.class) {
            self.recorded = None;
        }
        self.recorded.is_none()
            && detected.is_some_and(|detected| self.counts(detected))
            && self.not_before.is_none_or(|time| now >= time)
    }

    fn counts(&self, detected: &ClassConfidence) -> bool {
        detected.confidence >= self.rule.min_confidence && self.rule.trigger.takes(&detected.label)
    }

    /// Notes that an event was written, or could not be.
    pub(super) fn note(&mut self, observation: &Observation, is_written: bool, now: Instant) {
        let pause = if is_written {
            self.recorded = observation.detected.as_ref().map(|detected| detected.class);
            self.rule.cooldown
        } else {
            self.rule.cooldown.max(PAUSE_AFTER_FAILURE)
        };
        self.not_before = now.checked_add(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::testing::observation;

    /// Follows detections, one a second; gives the seconds at which an event was recorded.
    fn recorded(rule: Rule, detected: &[Option<usize>]) -> Vec<usize> {
        let (mut watch, start) = (Watch::new(rule), Instant::now());
        let mut due = Vec::new();
        for (second, &class) in detected.iter().enumerate() {
            let now = start + Duration::from_secs(u64::try_from(second).unwrap());
            let seen = observation(1, class);
            if watch.is_due(&seen, now) {
                watch.note(&seen, true, now);
                due.push(second);
            }
        }
        due
    }

    const NONE: Option<usize> = None;

    #[test]
    fn a_detection_that_lasts_is_one_event() {
        let rule = Rule { cooldown: Duration::ZERO, ..Rule::default() };
        let seen = [NONE, Some(1), Some(1), NONE, Some(1), Some(2), Some(2)];
        assert_eq!(recorded(rule, &seen), [1, 4, 5]);
    }

    #[test]
    fn what_begins_in_the_cooldown_waits_for_its_end() {
        let rule = Rule { cooldown: Duration::from_secs(3), ..Rule::default() };
        let seen = [Some(1), Some(2), Some(2), Some(2), Some(2), NONE, Some(1), Some(3), NONE];
        assert_eq!(recorded(rule, &seen), [0, 3, 6]);
    }

    #[test]
    fn only_the_named_labels_count() {
        let labels = BTreeSet::from(["TABBY CAT".to_owned(), "tripod".to_owned()]);
        let rule =
            Rule { trigger: Trigger::Labels(labels), cooldown: Duration::ZERO, ..Rule::default() };
        assert_eq!(recorded(rule, &[Some(0), Some(1), Some(2), Some(3)]), [1, 3]);
    }

    #[test]
    fn doubtful_detections_do_not_count() {
        let rule = Rule { min_confidence: 0.76, ..Rule::default() };
        assert_eq!(recorded(rule, &[Some(1), Some(2)]), [0_usize; 0]);
        let rule = Rule { min_confidence: 0.75, ..Rule::default() };
        assert_eq!(recorded(rule, &[Some(1), Some(1)]), [0]);
    }

    #[test]
    fn a_failed_event_is_due_again_after_a_pause() {
        let (mut watch, start) = (Watch::new(Rule::default()), Instant::now());
        let seen = observation(1, Some(1));
        assert!(watch.is_due(&seen, start));
        watch.note(&seen, false, start);
        assert!(!watch.is_due(&seen, start + Duration::from_secs(9)));
        assert!(watch.is_due(&seen, start + PAUSE_AFTER_FAILURE));
    }
}
