//! What was found, ranked by how much it matters.

use serde::Serialize;

use super::regions::Region;
use crate::evaluate::Interval;

/// Findings have an adjusted p-value of at most this.
pub const SIGNIFICANT: f64 = 0.05;
/// The fewest pictures of a class, or of what else is compared, that anything is said about.
pub const LEAST_PICTURES: usize = 8;

/// What kind of fault a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One small place tells the class.
    Shortcut,
    /// A class comes with one kind of surroundings.
    Background,
    /// A class is named without its object.
    Context,
    /// Labels are probably wrong.
    LabelNoise,
    /// Some pictures fare worse than the others.
    Slice,
}

impl Kind {
    /// Names it for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Shortcut => "shortcut",
            Self::Background => "background",
            Self::Context => "context",
            Self::LabelNoise => "labels",
            Self::Slice => "slice",
        }
    }
}

/// How large an effect is, and how sure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effect {
    /// What it measures, in words.
    pub name: &'static str,
    /// Its value, 0 to 1, and where it lies with 95 % confidence.
    #[serde(flatten)]
    pub interval: Interval,
    /// The p-value of a test that there is no effect.
    pub p: f64,
    /// The same, adjusted for `tests` tests of the kind.
    pub adjusted_p: f64,
    /// How many there were.
    pub tests: usize,
    /// The test and the adjustment.
    pub test: &'static str,
}

/// Something that is wrong, with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What kind of fault it is.
    pub kind: Kind,
    /// The classes that it is about.
    pub classes: Vec<usize>,
    /// The finding in a sentence.
    pub sentence: String,
    /// What to do about it.
    pub remedy: &'static str,
    /// How large and how sure it is.
    pub effect: Effect,
    /// Further numbers, each with its name.
    pub numbers: Vec<(String, String)>,
    /// Where in the picture it is.
    pub region: Option<Region>,
    /// The records that it is about, the clearest first.
    pub records: Vec<usize>,
}

/// Puts the largest effects first; of equal ones the kind decides, then the class. Slices come last: they tell on which
/// pictures the network fares worse, the others what is wrong.
pub fn rank(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        let size = |finding: &Finding| finding.effect.interval.mean;
        let is_symptom = |finding: &Finding| finding.kind == Kind::Slice;
        is_symptom(a)
            .cmp(&is_symptom(b))
            .then(size(b).total_cmp(&size(a)))
            .then(a.kind.cmp(&b.kind))
            .then_with(|| a.classes.cmp(&b.classes))
    });
}

/// Writes a share as whole percent.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Writes a share with its interval.
#[must_use]
pub fn with_interval(interval: Interval) -> String {
    let Interval { mean, low, high } = interval;
    format!("{:.0} % ({:.0} to {:.0} %)", 100.0 * mean, 100.0 * low, 100.0 * high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: Kind, mean: f64) -> Finding {
        Finding {
            kind,
            classes: vec![0],
            sentence: String::new(),
            remedy: "",
            effect: Effect {
                name: "",
                interval: Interval { mean, low: mean, high: mean },
                p: 0.0,
                adjusted_p: 0.0,
                tests: 1,
                test: "",
            },
            numbers: Vec::new(),
            region: None,
            records: Vec::new(),
        }
    }

    #[test]
    fn the_largest_come_first_and_symptoms_last() {
        let mut findings = [(Kind::Slice, 0.9), (Kind::Shortcut, 0.2), (Kind::LabelNoise, 0.5)]
            .map(|(kind, mean)| finding(kind, mean));
        rank(&mut findings);
        let kinds = findings.map(|finding| finding.kind);
        assert_eq!(kinds, [Kind::LabelNoise, Kind::Shortcut, Kind::Slice]);
    }
}
