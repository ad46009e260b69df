//! What is to be known of each class, and which classes are taken for which.

use std::collections::BTreeMap;

use serde::Serialize;

use super::record::Record;
use super::regions::{Cells, Region};
use super::slices::accuracy;
use super::statistics::{Share, mean};
use crate::evaluate::Interval;

/// A class over all its pictures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassSummary {
    /// The class.
    pub class: usize,
    /// Pictures that are named so.
    pub named: usize,
    /// Pictures that truly show it.
    pub labelled: usize,
    /// The share of these that are named rightly.
    pub accuracy: Option<Interval>,
    /// The mean confidence of the pictures that are named so.
    pub confidence: f64,
    /// The mean of their maps: where attention falls.
    pub attention: Cells,
    /// The attention in the four corners, each a quarter of a side wide; 25 % of an even map.
    pub corners: Option<Interval>,
    /// The attention in the outermost eighth; 44 % of an even map.
    pub border: Option<Interval>,
    /// How often the class changes once the attended region is filled in.
    pub flips: Interval,
    /// The share of the attention outside of the object, where masks tell.
    pub outside: Option<Interval>,
    /// How often the class is still named once the object is filled in.
    pub without_object: Option<Interval>,
    /// The records that are named so.
    #[serde(skip)]
    pub records: Vec<usize>,
}

/// Sums up every class that is named, or that some picture shows.
#[must_use]
pub fn classes(records: &[Record]) -> Vec<ClassSummary> {
    let mut all: Vec<usize> =
        records.iter().flat_map(|record| [Some(record.named), record.truth]).flatten().collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(|class| summary(records, class)).collect()
}

fn summary(records: &[Record], class: usize) -> ClassSummary {
    let having = |has: &dyn Fn(&Record) -> bool| -> Vec<usize> {
        (0..records.len()).filter(|&index| has(&records[index])).collect()
    };
    let named = having(&|record| record.named == class);
    let labelled = having(&|record| record.truth == Some(class));
    let own = || named.iter().map(|&index| &records[index]);
    let interval = |values: Vec<f64>| Interval::of(&values);
    let empty = own().filter_map(|record| record.without_object);
    ClassSummary {
        class,
        named: named.len(),
        labelled: labelled.len(),
        accuracy: (!labelled.is_empty()).then(|| accuracy(records, &labelled).interval()),
        confidence: mean(&own().map(|record| record.confidence).collect::<Vec<_>>()),
        attention: Cells::mean(own().map(|record| &record.attention.cells)),
        corners: interval(own().map(|record| record.attention.cells.in_corners()).collect()),
        border: interval(own().map(|record| record.attention.cells.at_border()).collect()),
        flips: Share::count(own(), |record| record.without_attended.class != class).interval(),
        outside: interval(own().filter_map(|r| Some(1.0 - r.object?.inside)).collect()),
        without_object: (empty.clone().next().is_some())
            .then(|| Share::count(empty, |answer| answer.class == class).interval()),
        records: named,
    }
}

/// A class that is taken for another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Confusion {
    /// The true class.
    pub truth: usize,
    /// The one that is named.
    pub named: usize,
    /// How many pictures.
    pub pictures: usize,
    /// Where, on average, the map of the named class is above that of the true class: what argues for the confusion.
    pub for_named: Region,
    /// And where it is below: what argues against it.
    pub for_truth: Region,
    /// The differences of the mean maps, cell by cell.
    pub difference: Vec<f32>,
    /// The records, the surest errors first.
    #[serde(skip)]
    pub records: Vec<usize>,
}

/// Lists all confusions, the commonest first.
#[must_use]
pub fn confusions(records: &[Record]) -> Vec<Confusion> {
    let mut pairs = BTreeMap::<(usize, usize), Vec<usize>>::new();
    for (index, record) in records.iter().enumerate() {
        if let Some(truth) = record.truth.filter(|&truth| truth != record.named) {
            pairs.entry((truth, record.named)).or_default().push(index);
        }
    }
    let mut found: Vec<Confusion> =
        pairs.into_iter().map(|(pair, inside)| confusion(records, pair, inside)).collect();
    found.sort_by_key(|found| std::cmp::Reverse(found.pictures));
    found
}

fn confusion(
    records: &[Record],
    (truth, named): (usize, usize),
    mut inside: Vec<usize>,
) -> Confusion {
    inside.sort_by(|&a, &b| records[b].confidence.total_cmp(&records[a].confidence));
    let errors = || inside.iter().map(|&index| &records[index]);
    let for_named = Cells::mean(errors().map(|record| &record.attention.cells));
    let for_truth =
        Cells::mean(errors().filter_map(|r| r.truth_attention.as_ref()).map(|a| &a.cells));
    let difference: Vec<f32> =
        for_named.0.iter().zip(&for_truth.0).map(|(named, truth)| named - truth).collect();
    let extreme = |sign: f32| {
        let larger =
            |a: &usize, b: &usize| (sign * difference[*a]).total_cmp(&(sign * difference[*b]));
        Region::cell((0..difference.len()).max_by(larger).unwrap_or(0))
    };
    Confusion {
        truth,
        named,
        pictures: inside.len(),
        for_named: extreme(1.0),
        for_truth: extreme(-1.0),
        difference,
        records: inside,
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Attention;
    use super::super::testing::record;
    use super::*;

    #[test]
    fn classes_are_summed_up() {
        let mut records: Vec<Record> =
            (0..10).map(|index| record(index, usize::from(index < 4), Some(1))).collect();
        records[0].without_attended.class = 0;
        let classes = classes(&records);
        assert_eq!(classes.len(), 2);
        assert_eq!((classes[1].named, classes[1].labelled, classes[0].labelled), (4, 10, 0));
        assert!((classes[1].accuracy.unwrap().mean - 0.4).abs() < 1e-9);
        assert!((classes[1].flips.mean - 0.25).abs() < 1e-9);
        assert!((classes[1].corners.unwrap().mean - 0.25).abs() < 1e-6, "an even map");
        assert!((classes[1].border.unwrap().mean - 28.0 / 64.0).abs() < 1e-6);
        assert!(classes[0].accuracy.is_none() && classes[0].outside.is_none());
    }

    #[test]
    fn confusions_tell_where() {
        let mut error = record(0, 1, Some(0));
        let mut cells = vec![0.0; 64];
        cells[9] = 1.0;
        error.attention.cells = Cells(cells.clone());
        cells.swap(9, 63);
        error.truth_attention = Some(Attention { cells: Cells(cells), spread: 0.1 });
        let found = confusions(&[error, record(1, 0, Some(0)), record(2, 2, None)]);
        let [confusion] = &found[..] else { panic!("{found:?}") };
        assert_eq!((confusion.truth, confusion.named, confusion.pictures), (0, 1, 1));
        assert_eq!((confusion.for_named, confusion.for_truth), (Region::cell(9), Region::cell(63)));
    }
}
