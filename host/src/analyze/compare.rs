//! Two models on the same pictures, before and after retraining: what changed, and where it looks now.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::Audit;
use super::finding::{Finding, Kind};
use super::intervals::correlation;
use super::record::Record;
use super::statistics::{Share, mcnemar, mean};
use crate::evaluate::Interval;

/// What the other model does differently.
#[derive(Debug)]
pub struct Comparison {
    /// The other model, on its own.
    pub other: Audit,
    /// Over all pictures.
    pub whole: Change,
    /// Class by class, of the pictures that truly show it, or without labels that this model names so.
    pub classes: Vec<(usize, Change)>,
    /// What became of each finding.
    pub findings: Vec<(Fate, Finding)>,
    /// Pictures that both models name differently, as their places in both lists of records; the least alike maps first.
    pub changed: Vec<[usize; 2]>,
}

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// The other model has it anew.
    New,
    /// Both have it.
    Stays,
    /// The other model has it no more.
    Gone,
}

impl Fate {
    /// Names it for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Stays => "stays",
            Self::Gone => "gone",
        }
    }
}

/// How two models differ on some pictures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// How many pictures both have looked at.
    pub pictures: usize,
    /// The share that both name alike.
    pub agreement: f64,
    /// The share that is named rightly by the first and by the other, with labels.
    pub accuracy: Option<[f64; 2]>,
    /// The pictures that only the other names rightly.
    pub gained: usize,
    /// The pictures that only the first does.
    pub lost: usize,
    /// The p-value of McNemar's exact test that neither is better.
    pub p: f64,
    /// The other's confidence less the first's.
    pub confidence: Option<Interval>,
    /// The mean correlation of the two maps over the grid's cells.
    pub map_correlation: f64,
    /// The other's attention in the object less the first's, where masks tell.
    pub inside: Option<Interval>,
    /// The other's attention in the corners less the first's.
    pub corners: Option<Interval>,
}

/// Compares two audits of the same pictures.
#[must_use]
pub fn compare(first: &Audit, other: Audit) -> Comparison {
    let places: HashMap<usize, usize> =
        other.records.iter().enumerate().map(|(place, record)| (record.picture, place)).collect();
    let pairs: Vec<[usize; 2]> = first
        .records
        .iter()
        .enumerate()
        .filter_map(|(place, record)| Some([place, *places.get(&record.picture)?]))
        .collect();
    let records = |&[a, b]: &[usize; 2]| [&first.records[a], &other.records[b]];
    let mut by_class = BTreeMap::<usize, Vec<[&Record; 2]>>::new();
    for pair in &pairs {
        let [a, b] = records(pair);
        by_class.entry(a.class()).or_default().push([a, b]);
    }
    let alike = |pair: &[usize; 2]| alike(records(pair));
    let mut changed: Vec<[usize; 2]> = pairs
        .iter()
        .copied()
        .filter(|pair| records(pair)[0].named != records(pair)[1].named)
        .collect();
    changed.sort_by(|a, b| alike(a).total_cmp(&alike(b)));
    Comparison {
        whole: change(&pairs.iter().map(records).collect::<Vec<_>>()),
        classes: by_class.into_iter().map(|(class, pairs)| (class, change(&pairs))).collect(),
        findings: fates(&first.findings, &other.findings),
        changed,
        other,
    }
}

fn alike([a, b]: [&Record; 2]) -> f64 {
    correlation(&a.attention.cells.0, &b.attention.cells.0)
}

fn change(pairs: &[[&Record; 2]]) -> Change {
    let labelled = || pairs.iter().filter(|[a, _]| a.truth.is_some());
    let right = |which: usize| Share::count(labelled(), |pair| !pair[which].is_error()).value();
    let only = |which: usize| {
        labelled().filter(|pair| !pair[which].is_error() && pair[1 - which].is_error()).count()
    };
    let difference = |value: &dyn Fn(&Record) -> Option<f64>| {
        let differences: Vec<f64> =
            pairs.iter().filter_map(|[a, b]| Some(value(b)? - value(a)?)).collect();
        Interval::of(&differences)
    };
    let (gained, lost) = (only(1), only(0));
    Change {
        pictures: pairs.len(),
        agreement: Share::count(pairs, |[a, b]| a.named == b.named).value(),
        accuracy: labelled().next().is_some().then(|| [right(0), right(1)]),
        gained,
        lost,
        p: mcnemar(gained, lost),
        confidence: difference(&|record| Some(record.confidence)),
        map_correlation: mean(&pairs.iter().map(|&pair| alike(pair)).collect::<Vec<_>>()),
        inside: difference(&|record| Some(record.object?.inside)),
        corners: difference(&|record| Some(record.attention.cells.in_corners())),
    }
}

/// Follows each finding: the same kind about the same classes, or the same slice, is the same one.
fn fates(first: &[Finding], other: &[Finding]) -> Vec<(Fate, Finding)> {
    let same = |a: &Finding, b: &Finding| {
        a.kind == b.kind
            && match a.kind {
                Kind::LabelNoise => true,
                Kind::Slice => a.sentence == b.sentence,
                _ => a.classes == b.classes,
            }
    };
    let new = other.iter().filter(|b| !first.iter().any(|a| same(a, b)));
    let old = first.iter().map(|a| {
        let stays = other.iter().any(|b| same(a, b));
        (if stays { Fate::Stays } else { Fate::Gone }, a.clone())
    });
    new.map(|finding| (Fate::New, finding.clone())).chain(old).collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Effect;
    use super::super::testing::record;
    use super::*;

    fn finding(kind: Kind, class: usize) -> Finding {
        let interval = Interval { mean: 0.5, low: 0.4, high: 0.6 };
        let effect = Effect { name: "", interval, p: 0.01, adjusted_p: 0.01, tests: 1, test: "" };
        Finding {
            kind,
            classes: vec![class],
            sentence: String::new(),
            remedy: "",
            effect,
            numbers: Vec::new(),
            region: None,
            records: Vec::new(),
        }
    }

    #[test]
    fn what_changed_is_counted() {
        let records = |named: &dyn Fn(usize) -> usize, skip: usize| -> Vec<Record> {
            (skip..10).map(|index| record(index, named(index), Some(0))).collect()
        };
        // The first errs on four pictures, the other on one; one picture the other could not read.
        let first = Audit {
            records: records(&|index| usize::from(index < 4), 0),
            findings: vec![finding(Kind::Shortcut, 1), finding(Kind::Background, 2)],
            ..Audit::default()
        };
        let other = Audit {
            records: records(&|index| usize::from(index == 9), 1),
            findings: vec![finding(Kind::Background, 2), finding(Kind::Context, 3)],
            ..Audit::default()
        };
        let found = compare(&first, other);
        assert_eq!((found.whole.pictures, found.whole.gained, found.whole.lost), (9, 3, 1));
        assert_eq!(found.changed.len(), 4);
        assert!(found.changed.contains(&[1, 0]), "places in both lists");
        let fates: Vec<Fate> = found.findings.iter().map(|(fate, _)| *fate).collect();
        assert_eq!(fates, [Fate::New, Fate::Gone, Fate::Stays]);
        assert!((found.whole.p - 0.625).abs() < 1e-9);
    }
}
