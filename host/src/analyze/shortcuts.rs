//! Shortcuts: one small place in the picture that tells the class.
//!
//! `places` finds places where a class's pictures differ from others. Of each the network is asked
//! (`probe`) how much of what tells the class apart the place brings along to other pictures, and how much an
//! equally large place elsewhere does. What both bring is no shortcut: a background is everywhere, and an object that
//! stands now here, now there brings as much from one place as from another. Where masks tell of objects, these stay
//! behind; without masks the place must tell more than an object of a usual size would.

use super::appearance::color_name;
use super::finding::{Effect, Finding, Kind, SIGNIFICANT, percent, with_interval};
pub use super::places::largest_place;
use super::places::{Candidate, candidates};
use super::probe::{Brought, Probe};
use super::record::Record;
use super::regions::Region;
use super::statistics::{Share, holm, mean};
use super::{AnalyzeError, Subject};

/// The least share of what tells a class apart that makes a place a finding: a tenth.
///
/// Other pictures' objects argue against the class about as much as its own argue for it, so of two equal parts of what
/// speaks for the class, object and place, each is a third of the distance; a tenth is a good fifth of what the object says.
pub const LEAST_SHARE: f64 = 0.1;
/// Without masks the place brings at least so many times its share of the area, too: what tells a class is as dense as
/// that, if it is all in an object that fills a third of the picture.
pub const LEAST_LIFT: f64 = 3.0;

/// Finds shortcuts; asks the network about each suspicious place.
///
/// # Errors
/// Returns [`AnalyzeError`] when the network fails.
pub(super) fn shortcuts(subject: &Subject<'_>) -> Result<Vec<Finding>, AnalyzeError> {
    let candidates = candidates(subject.records);
    let mut probe = Probe::new(subject, candidates.len());
    let mut asked = Vec::new();
    for candidate in candidates {
        let brought = probe.place(candidate.class, candidate.region, LEAST_SHARE)?;
        asked.push((candidate, brought));
    }
    probe.finish();
    // A place that brings too little to be asked on counts as tested, and as no finding.
    let p: Vec<f64> =
        asked.iter().map(|(_, brought)| brought.as_ref().map_or(1.0, |b| b.p)).collect();
    let mut findings = Vec::new();
    for ((candidate, brought), adjusted_p) in asked.iter().zip(holm(&p)) {
        let Some(brought) = brought.as_ref().filter(|b| is_shortcut(candidate, b, adjusted_p))
        else {
            continue;
        };
        let lost = probe.lost(candidate.class, candidate.region)?;
        let effect = Effect {
            name: "share of what tells the class apart that the place carries over to other pictures, beyond an equally large place elsewhere",
            interval: brought.beyond,
            p: brought.p,
            adjusted_p,
            tests: p.len(),
            test: "Wilcoxon's signed-rank test, Holm",
        };
        findings.push(finding(subject, candidate, brought, lost, effect));
    }
    Ok(strongest(findings))
}

/// Keeps of places of one class that overlap the one with the largest effect.
fn strongest(mut findings: Vec<Finding>) -> Vec<Finding> {
    super::finding::rank(&mut findings);
    let mut kept: Vec<Finding> = Vec::new();
    for finding in findings {
        let same = |other: &Finding| {
            let touch = other.region.zip(finding.region).is_some_and(|(a, b)| a.touches(b));
            other.classes == finding.classes && touch
        };
        if !kept.iter().any(same) {
            kept.push(finding);
        }
    }
    kept
}

fn is_shortcut(candidate: &Candidate, brought: &Brought, adjusted_p: f64) -> bool {
    let is_dense = || brought.there >= LEAST_LIFT * candidate.region.area();
    adjusted_p <= SIGNIFICANT
        && brought.beyond.low > 0.0
        && brought.beyond.mean >= LEAST_SHARE
        && (brought.without_objects || is_dense())
}

fn finding(
    subject: &Subject<'_>,
    candidate: &Candidate,
    brought: &Brought,
    lost: Share,
    effect: Effect,
) -> Finding {
    let (records, label) = (subject.records, subject.label(candidate.class));
    let own: Vec<usize> =
        (0..records.len()).filter(|&i| records[i].named == candidate.class).collect();
    let color = color(records, &own, candidate.region);
    let place = candidate.region.place();
    let mut shown = own;
    let attention = |i: &usize| records[*i].attention.cells.share_in(candidate.region);
    shown.sort_by(|a, b| attention(b).total_cmp(&attention(a)));
    let area = percent(candidate.region.area());
    let numbers = [
        (
            "the place",
            format!(
                "{place}, {area} of the picture, mean colour {} ({})",
                hexadecimal(color),
                color_name(color)
            ),
        ),
        ("brought along by the place", percent(brought.there)),
        ("by an equally large place elsewhere", percent(brought.elsewhere)),
        ("other pictures named so with it", with_interval(brought.flipped.interval())),
        ("with the same place of other classes", with_interval(brought.control.interval())),
        ("own pictures named otherwise without it", with_interval(lost.interval())),
        (
            "attention or colour there, beside other classes",
            format!("Cliff's delta {:.2}", candidate.delta),
        ),
    ];
    Finding {
        kind: Kind::Shortcut,
        classes: vec![candidate.class],
        sentence: format!(
            "{label} is told by one small place, the {place}: put into other pictures, {area} of the picture bring along {} of what tells the class apart.",
            percent(brought.there.min(1.0))
        ),
        remedy: "Look for a mark, a logo, a date or a border there; cut it off or put it on pictures of all classes, and train again.",
        effect,
        numbers: numbers.map(|(name, value)| (name.to_owned(), value)).into(),
        region: Some(candidate.region),
        records: shown,
    }
}

/// Gives the mean colour of a region over some pictures.
fn color(records: &[Record], own: &[usize], region: Region) -> [u8; 3] {
    [0, 1, 2].map(|channel| {
        let value = |&i: &usize| {
            region.cells().map(move |c| f64::from(records[i].appearance.colors[c][channel]))
        };
        let values: Vec<f64> = own.iter().flat_map(value).collect();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of bytes"
        )]
        {
            mean(&values).round() as u8
        }
    })
}

fn hexadecimal([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Interval;

    #[test]
    fn a_shortcut_carries_much_in_little() {
        let candidate = Candidate {
            class: 1,
            region: Region { left: 0, top: 0, right: 2, bottom: 2 },
            delta: 0.9,
        };
        let of = |there: f64, elsewhere: f64| {
            let mean = there - elsewhere;
            Brought {
                there,
                elsewhere,
                beyond: Interval { mean, low: mean - 0.05, high: mean + 0.05 },
                p: 0.001,
                flipped: Share { hits: 9, of: 10 },
                control: Share { hits: 0, of: 10 },
                without_objects: true,
            }
        };
        assert!(is_shortcut(&candidate, &of(0.15, 0.01), 0.01));
        assert!(!is_shortcut(&candidate, &of(0.15, 0.01), 0.06), "may be chance");
        assert!(!is_shortcut(&candidate, &of(0.09, 0.0), 0.01), "little");
        assert!(!is_shortcut(&candidate, &of(0.3, 0.25), 0.01), "so does any other place");
        let unmasked = |brought: Brought| Brought { without_objects: false, ..brought };
        assert!(
            !is_shortcut(&candidate, &unmasked(of(0.15, 0.01)), 0.01),
            "an object may be there"
        );
        assert!(is_shortcut(&candidate, &unmasked(of(0.25, 0.01)), 0.01));
    }
}
