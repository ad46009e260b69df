//! What is usual for a model on these pictures: its rightly named pictures tell.

use super::finding::LEAST_PICTURES;
use super::record::Record;
use super::statistics::quantile;

/// The share of rightly named pictures that are passed by what counts as unusual.
pub const UNUSUAL: f64 = 0.05;

/// What is usual.
#[derive(Clone, Debug)]
pub struct Norms {
    /// For each class the spread that all but [`UNUSUAL`] of the maps of its rightly named pictures keep below; that of
    /// all classes where there are fewer than [`LEAST_PICTURES`]: how wide a map is depends on its class.
    spreads: Vec<f64>,
    /// For each class the confidence that all but [`UNUSUAL`] of its rightly named pictures have; nothing where there
    /// is none.
    confidences: Vec<Option<f64>>,
}

impl Norms {
    /// Finds what is usual.
    #[must_use]
    pub fn of(records: &[Record], classes: usize) -> Self {
        let spread = |records: &[&Record]| {
            let spreads: Vec<f64> = records.iter().map(|record| record.attention.spread).collect();
            quantile(&spreads, 1.0 - UNUSUAL)
        };
        let confidence = |records: &[&Record]| {
            let confidences: Vec<f64> = records.iter().map(|record| record.confidence).collect();
            (!confidences.is_empty()).then(|| quantile(&confidences, UNUSUAL))
        };
        let mut right = vec![Vec::new(); classes];
        for record in records.iter().filter(|record| record.truth == Some(record.named)) {
            if let Some(of_class) = right.get_mut(record.named) {
                of_class.push(record);
            }
        }
        let all: Vec<&Record> = records.iter().filter(|record| !record.is_error()).collect();
        let of_all = spread(&all);
        let of_class = |records: &Vec<&Record>| {
            if records.len() < LEAST_PICTURES { of_all } else { spread(records) }
        };
        Self {
            spreads: right.iter().map(of_class).collect(),
            confidences: right.iter().map(|records| confidence(records)).collect(),
        }
    }

    /// Tells whether a picture's map is spread wider than is usual for the class that is named.
    #[must_use]
    pub fn is_diffuse(&self, record: &Record) -> bool {
        self.spreads.get(record.named).is_some_and(|&usual| record.attention.spread > usual)
    }

    /// Tells whether the network is as sure as it usually is of the class that it names, where that is known.
    #[must_use]
    pub fn is_sure(&self, record: &Record) -> bool {
        let usual = self.confidences.get(record.named).copied().flatten();
        usual.is_some_and(|usual| record.confidence >= usual)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::record;
    use super::*;

    /// A picture of a class, whose map is spread so wide and of which the network is so sure.
    fn picture(class: usize, spread: f64, confidence: f64) -> Record {
        let mut record = record(0, class, Some(class));
        record.attention.spread = spread;
        record.confidence = confidence;
        record
    }

    #[test]
    fn what_is_usual_depends_on_the_class() {
        let mut records = vec![picture(0, 0.3, 0.9); LEAST_PICTURES];
        records.extend(vec![picture(1, 0.8, 0.4); LEAST_PICTURES]);
        let norms = Norms::of(&records, 3);
        assert!(
            norms.is_diffuse(&picture(0, 0.5, 0.5)) && !norms.is_diffuse(&picture(1, 0.5, 0.5))
        );
        assert!(!norms.is_sure(&picture(0, 0.5, 0.5)) && norms.is_sure(&picture(1, 0.5, 0.5)));
        // Nothing is known of class 2 but what holds of all.
        assert!(
            norms.is_diffuse(&picture(2, 0.9, 0.9)) && !norms.is_diffuse(&picture(2, 0.5, 0.9))
        );
        assert!(!norms.is_sure(&picture(2, 0.5, 1.0)));
    }

    #[test]
    fn errors_are_not_what_is_usual() {
        let mut records = vec![picture(0, 0.3, 0.9); LEAST_PICTURES];
        let mut wrong = picture(0, 0.9, 0.1);
        wrong.truth = Some(1);
        records.extend(vec![wrong.clone(); LEAST_PICTURES]);
        let norms = Norms::of(&records, 2);
        assert!(norms.is_diffuse(&wrong) && !norms.is_sure(&wrong));
    }
}
