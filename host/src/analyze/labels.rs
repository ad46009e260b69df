//! Labels that are probably wrong.
//!
//! A picture is suspicious when all of these hold, each from another source:
//!
//! - the network names another class than the label, and is surer than it is of the least sure 5 % of that class's
//!   rightly named pictures: as one of that class it would be no rarity (confident learning, Northcutt et al. 2021, takes
//!   the mean, which passes over half of the wrong labels by chance alone; the two rules below make up for that);
//! - most of its nearest neighbours by what the network sees, [`AGREEING`] at least, bear the label that the network names
//!   (a majority is what Wilson 1972 takes to edit a training set by): pictures of
//!   a thing that the network always takes for another have each other as neighbours, and are not suspicious;
//! - the map is gathered on something, and not on something else than the object where a mask tells where that is.
//!
//! A network that has learnt the wrong labels by heart names them: pictures that it was not trained on tell more.

use super::finding::{Effect, Finding, Kind, LEAST_PICTURES, SIGNIFICANT, with_interval};
use super::neighbours::{NEIGHBOURS, centred, nearest};
use super::norms::Norms;
use super::record::Record;
use super::statistics::Share;

/// How many of [`NEIGHBOURS`] must bear the label that the network names: most of them.
pub const AGREEING: usize = 3;
/// The share of wrong labels that is passed over: below it no data set of this size is told from a clean one.
pub const TOLERATED: f64 = 0.01;

/// Finds the records whose labels are probably wrong, the surest first.
#[must_use]
pub fn suspicious(records: &[Record], norms: &Norms) -> Vec<usize> {
    if !records.iter().any(Record::is_error) {
        return Vec::new();
    }
    let labelled: Vec<usize> = (0..records.len()).filter(|&i| records[i].truth.is_some()).collect();
    let features: Vec<&[f32]> = labelled.iter().map(|&i| &records[i].features[..]).collect();
    let features = centred(&features);
    let features: Vec<&[f32]> = features.iter().map(Vec::as_slice).collect();
    let neighbours = nearest(&features);
    let mut found: Vec<usize> = labelled
        .iter()
        .zip(&neighbours)
        .filter(|(index, near)| {
            let record = &records[**index];
            let agree = |&&other: &&usize| records[labelled[other]].truth == Some(record.named);
            near.iter().filter(agree).count() >= AGREEING && supports(record, norms)
        })
        .map(|(&index, _)| index)
        .collect();
    found.sort_by(|&a, &b| records[b].confidence.total_cmp(&records[a].confidence));
    found
}

/// Tells whether the network and its map speak for another label.
fn supports(record: &Record, norms: &Norms) -> bool {
    record.is_error()
        && norms.is_sure(record)
        && !norms.is_diffuse(record)
        && !record.object.is_some_and(|object| object.is_missed())
}

/// Makes a finding of the suspicious pictures, if they are more than [`TOLERATED`] by more than chance.
#[must_use]
pub fn finding(records: &[Record], suspicious: &[usize]) -> Option<Finding> {
    let labelled = records.iter().filter(|record| record.truth.is_some()).count();
    let errors =
        Share { hits: suspicious.len(), of: records.iter().filter(|r| r.is_error()).count() };
    let share = Share { hits: suspicious.len(), of: labelled };
    let p = share.above(TOLERATED);
    if labelled < LEAST_PICTURES || p > SIGNIFICANT || suspicious.is_empty() {
        return None;
    }
    let mut classes: Vec<usize> = suspicious
        .iter()
        .flat_map(|&i| [records[i].truth.unwrap_or_default(), records[i].named])
        .collect();
    classes.sort_unstable();
    classes.dedup();
    Some(Finding {
        kind: Kind::LabelNoise,
        classes,
        sentence: format!(
            "{} of {labelled} pictures probably bear a wrong label: the network is sure of another class, and so are the labels of what looks alike to it.",
            suspicious.len()
        ),
        remedy: "Look at the pictures listed here and correct their labels; then measure again, and train again.",
        effect: Effect {
            name: "share of the pictures named against their label that is probably the label's fault",
            interval: errors.interval(),
            p,
            adjusted_p: p,
            tests: 1,
            test: "exact binomial test that more than 1 % of the labels are wrong",
        },
        numbers: vec![
            ("probably wrong labels".to_owned(), with_interval(share.interval())),
            (
                "asked of each".to_owned(),
                format!(
                    "{AGREEING} of {NEIGHBOURS} nearest pictures bear the label that the network names"
                ),
            ),
        ],
        region: None,
        records: suspicious.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::record;
    use super::*;

    /// Two classes of 20 pictures, told apart by their features.
    fn two_classes() -> Vec<Record> {
        (0..40u8)
            .map(|index| {
                let class = usize::from(index / 20);
                let mut record = record(index.into(), class, Some(class));
                let angle = if class == 0 { 0.0 } else { 2.0 } + f32::from(index % 20) / 100.0;
                record.features = vec![angle.cos(), angle.sin()];
                record
            })
            .collect()
    }

    fn found(records: &[Record]) -> Vec<usize> {
        suspicious(records, &Norms::of(records, 2))
    }

    #[test]
    fn a_label_against_network_neighbours_and_map_is_suspicious() {
        let mut records = two_classes();
        assert!(found(&records).is_empty());
        records[3].truth = Some(1);
        records[3].truth_confidence = 0.1;
        assert_eq!(found(&records), [3]);
        let check = |change: &dyn Fn(&mut Record)| {
            let mut records = records.clone();
            change(&mut records[3]);
            found(&records)
        };
        assert!(check(&|record| record.confidence = 0.5).is_empty(), "unsure");
        assert!(check(&|record| record.attention.spread = 0.9).is_empty(), "diffuse");
        assert!(
            check(&|record| record.features = vec![-0.6, 0.8]).is_empty(),
            "looks as its label"
        );
        let elsewhere =
            super::super::record::ObjectAttention { inside: 0.1, area: 0.3, points_at_it: false };
        assert!(check(&|record| record.object = Some(elsewhere)).is_empty(), "beside the object");
    }

    #[test]
    fn what_the_network_always_takes_for_another_class_is_not() {
        // Ten pictures of class 1 that are all named 0, and look alike.
        let mut records = two_classes();
        for record in &mut records[20..30] {
            record.named = 0;
        }
        assert!(found(&records).is_empty());
    }

    #[test]
    fn a_few_are_no_finding() {
        let mut records = two_classes();
        records[3].truth = Some(1);
        assert!(finding(&records, &[]).is_none());
        assert!(finding(&records, &[3]).is_none(), "one of 40 may be chance");
        for index in [4, 5] {
            records[index].truth = Some(1);
        }
        let finding = finding(&records, &[3, 4, 5]).unwrap();
        assert_eq!((finding.kind, finding.classes), (Kind::LabelNoise, vec![0, 1]));
        assert!((finding.effect.interval.mean - 1.0).abs() < 1e-12);
    }
}
