//! Slices: how pictures fare by confidence, brightness, sharpness and size, a quarter of them at a time.

use serde::Serialize;

use super::finding::{Effect, Finding, Kind, LEAST_PICTURES, SIGNIFICANT, percent, with_interval};
use super::record::Record;
use super::statistics::{Share, holm, mean, quantile, separation};
use crate::evaluate::Interval;

/// The least difference in accuracy that makes a slice a finding.
pub const LEAST_DIFFERENCE: f64 = 0.15;
/// Without labels, the least Cliff's delta of confidence: a large effect (Romano et al. 2006).
pub const LEAST_DELTA: f64 = 0.474;
/// Slices of an axis.
const SLICES: usize = 4;

/// What pictures are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// The network's confidence.
    Confidence,
    /// The mean brightness.
    Brightness,
    /// How sharp it is.
    Sharpness,
    /// The short side of the file in pixels.
    Size,
    /// The object's share of the picture.
    Object,
}

impl Axis {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Confidence, Self::Brightness, Self::Sharpness, Self::Size, Self::Object];

    /// Names it for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Confidence => "confidence",
            Self::Brightness => "brightness",
            Self::Sharpness => "sharpness",
            Self::Size => "short side in pixels",
            Self::Object => "object's share of the picture",
        }
    }

    fn value(self, record: &Record) -> Option<f64> {
        let appearance = &record.appearance;
        match self {
            Self::Confidence => Some(record.confidence),
            Self::Brightness => Some(appearance.brightness),
            Self::Sharpness => Some(appearance.sharpness),
            Self::Size => Some(f64::from(appearance.short_side)),
            Self::Object => appearance.object,
        }
    }

    /// Writes a value of it.
    #[must_use]
    pub fn format(self, value: f64) -> String {
        match self {
            Self::Confidence | Self::Brightness | Self::Object => percent(value),
            Self::Sharpness => format!("{value:.1}"),
            Self::Size => format!("{value:.0}"),
        }
    }
}

/// A quarter of the pictures, by one axis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slice {
    /// The axis.
    pub axis: Axis,
    /// The least value in it.
    pub from: f64,
    /// The largest.
    pub to: f64,
    /// How many pictures are in it.
    pub pictures: usize,
    /// The share that is named rightly, with labels.
    pub accuracy: Option<Interval>,
    /// The mean confidence.
    pub confidence: f64,
    /// How much of the picture maps are spread over, on average.
    pub spread: f64,
    /// The records.
    #[serde(skip)]
    pub records: Vec<usize>,
}

/// Cuts the pictures into slices along every axis that they differ in.
#[must_use]
pub fn slices(records: &[Record]) -> Vec<Slice> {
    Axis::ALL.into_iter().flat_map(|axis| along(records, axis)).collect()
}

fn along(records: &[Record], axis: Axis) -> Vec<Slice> {
    let measured: Vec<(usize, f64)> =
        records.iter().enumerate().filter_map(|(i, r)| Some((i, axis.value(r)?))).collect();
    let values: Vec<f64> = measured.iter().map(|(_, value)| *value).collect();
    let mut limits: Vec<f64> = [0.25, 0.5, 0.75].map(|share| quantile(&values, share)).to_vec();
    limits.dedup_by(|a, b| a.total_cmp(b).is_eq());
    let mut parts: Vec<Vec<(usize, f64)>> = vec![Vec::new(); SLICES];
    for &(index, value) in &measured {
        parts[limits.iter().filter(|&&limit| value > limit).count()].push((index, value));
    }
    parts.retain(|part| part.len() >= LEAST_PICTURES);
    if parts.len() < 2 {
        return Vec::new();
    }
    parts.into_iter().map(|part| slice(records, axis, &part)).collect()
}

fn slice(records: &[Record], axis: Axis, part: &[(usize, f64)]) -> Slice {
    let of = |value: fn(&Record) -> f64| {
        mean(&part.iter().map(|(i, _)| value(&records[*i])).collect::<Vec<_>>())
    };
    let inside: Vec<usize> = part.iter().map(|(index, _)| *index).collect();
    let right = accuracy(records, &inside);
    Slice {
        axis,
        from: part.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min),
        to: part.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max),
        pictures: part.len(),
        accuracy: (right.of > 0).then(|| right.interval()),
        confidence: of(|record| record.confidence),
        spread: of(|record| record.attention.spread),
        records: inside,
    }
}

/// Gives how many of some pictures are named rightly, of those that have a label.
#[must_use]
pub fn accuracy(records: &[Record], of: &[usize]) -> Share {
    let labelled = of.iter().map(|&index| &records[index]).filter(|record| record.truth.is_some());
    Share::count(labelled, |record| !record.is_error())
}

/// Finds slices in which fewer pictures are named rightly than in the rest; without labels, slices in which the network
/// is less sure. That unsure answers are wrong more often is no finding.
#[must_use]
pub fn findings(records: &[Record], slices: &[Slice]) -> Vec<Finding> {
    let asked = slices.iter().filter(|slice| slice.axis != Axis::Confidence);
    let compared: Vec<(&Slice, Difference)> =
        asked.filter_map(|slice| Some((slice, difference(records, slice)?))).collect();
    let p: Vec<f64> = compared.iter().map(|(_, difference)| difference.p).collect();
    let adjusted = holm(&p);
    let findings = compared.iter().zip(adjusted).filter_map(|((slice, found), adjusted_p)| {
        let counts = adjusted_p <= SIGNIFICANT && found.interval.mean >= found.least;
        counts.then(|| finding(records, slice, found, adjusted_p, p.len()))
    });
    findings.collect()
}

/// How a slice differs from the rest.
struct Difference {
    interval: Interval,
    p: f64,
    least: f64,
    name: &'static str,
    test: &'static str,
    numbers: Vec<(String, String)>,
}

fn difference(records: &[Record], slice: &Slice) -> Option<Difference> {
    let mut is_inside = vec![false; records.len()];
    slice.records.iter().for_each(|&index| is_inside[index] = true);
    let rest: Vec<usize> = (0..records.len()).filter(|&index| !is_inside[index]).collect();
    let (inside, outside) = (accuracy(records, &slice.records), accuracy(records, &rest));
    if inside.of >= LEAST_PICTURES && outside.of >= LEAST_PICTURES {
        return Some(Difference {
            interval: outside.less(inside),
            p: outside.larger_than(inside),
            least: LEAST_DIFFERENCE,
            name: "how much lower the accuracy is than that of the other pictures",
            test: "Fisher's exact test, Holm",
            numbers: vec![
                ("named rightly".to_owned(), with_interval(inside.interval())),
                ("named rightly, other pictures".to_owned(), with_interval(outside.interval())),
            ],
        });
    }
    let confidences =
        |of: &[usize]| -> Vec<f64> { of.iter().map(|&i| records[i].confidence).collect() };
    let (inside, outside) = (confidences(&slice.records), confidences(&rest));
    if inside.len() < LEAST_PICTURES || outside.len() < LEAST_PICTURES {
        return None;
    }
    let found = separation(&outside, &inside)?;
    Some(Difference {
        interval: super::intervals::of_delta(&outside, &inside, found.delta),
        p: found.p,
        least: LEAST_DELTA,
        name: "Cliff's delta of the confidence: in how many more pairs the other picture is surer",
        test: "Mann and Whitney's test, Holm",
        numbers: vec![
            ("mean confidence".to_owned(), percent(mean(&inside))),
            ("mean confidence, other pictures".to_owned(), percent(mean(&outside))),
        ],
    })
}

fn finding(
    records: &[Record],
    slice: &Slice,
    found: &Difference,
    adjusted_p: f64,
    tests: usize,
) -> Finding {
    let [from, to] = [slice.from, slice.to].map(|value| slice.axis.format(value));
    let mut shown = slice.records.clone();
    // Errors first, the surest of them before the others.
    let rank = |&i: &usize| (records[i].is_error(), records[i].confidence);
    shown.sort_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        b.0.cmp(&a.0).then(b.1.total_cmp(&a.1))
    });
    Finding {
        kind: Kind::Slice,
        classes: Vec::new(),
        sentence: format!(
            "Pictures with {} from {from} to {to} fare worse than the others.",
            slice.axis.title()
        ),
        remedy: "Add pictures of this kind to the training, and see that the camera makes fewer of them.",
        effect: Effect {
            name: found.name,
            interval: found.interval,
            p: found.p,
            adjusted_p,
            tests,
            test: found.test,
        },
        numbers: found.numbers.clone(),
        region: None,
        records: shown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::record;
    use super::*;

    /// Eighty pictures, darker ones first; `named` tells what the network names, which should be 0.
    fn pictures(named: impl Fn(usize) -> usize, truth: Option<usize>) -> Vec<Record> {
        let of = |index: usize| {
            let mut record = record(index, named(index), truth);
            record.appearance.brightness = super::super::statistics::number(index) / 80.0;
            record
        };
        (0..80).map(of).collect()
    }

    #[test]
    fn dark_pictures_that_fail_are_found() {
        let records = pictures(|index| usize::from(index < 20 && index % 2 == 0), Some(0));
        let slices = slices(&records);
        // Of all axes they differ in brightness alone.
        assert_eq!(slices.iter().map(|slice| slice.pictures).sum::<usize>(), 80);
        let found = findings(&records, &slices);
        let [finding] = &found[..] else { panic!("{found:?}") };
        assert!(
            finding.sentence.starts_with("Pictures with brightness from 0 % to 2"),
            "{}",
            finding.sentence
        );
        assert!((finding.effect.interval.mean - 0.5).abs() < 0.03, "{:?}", finding.effect);
        let clean = pictures(|index| usize::from(index % 10 == 0), Some(0));
        assert!(findings(&clean, &super::slices(&clean)).is_empty());
    }

    #[test]
    fn without_labels_confidence_tells() {
        let mut records = pictures(|_| 0, None);
        assert!(findings(&records, &slices(&records)).is_empty());
        for (index, record) in records.iter_mut().enumerate() {
            record.confidence = if index < 20 { 0.3 } else { 0.9 };
        }
        let found = findings(&records, &slices(&records));
        let [finding] = &found[..] else { panic!("{found:?}") };
        assert!(finding.effect.interval.mean > 0.9);
    }
}
