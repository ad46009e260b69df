//! What came back from the field: events of a device beside what the model says of them now.

use serde::Serialize;

use super::Pictures;
use super::intervals::correlation;
use super::record::Record;
use super::regions::Cells;
use super::statistics::{Share, mean};
use crate::evaluate::Interval;

/// A device's events, summed up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Field {
    /// How many.
    pub events: usize,
    /// When the first and the last were recorded, by the device's clock.
    pub between: [String; 2],
    /// The models that the device ran.
    pub models: Vec<String>,
    /// How many are named now as the device explained them.
    pub same_class: Interval,
    /// The mean correlation of the device's map and the one made now, over the grid's cells, where the class is the same.
    pub map_correlation: Option<f64>,
    /// The device's mean confidence, and the one now.
    pub confidence: [f64; 2],
    /// The records that are named otherwise than on the device.
    #[serde(skip)]
    pub changed: Vec<usize>,
}

/// Sums up the events; nothing for plain pictures.
#[must_use]
pub fn field<'a>(
    pictures: &Pictures,
    records: &[Record],
    label: impl Fn(usize) -> &'a str,
) -> Option<Field> {
    let (first, last) = (pictures.events.first()?, pictures.events.last()?);
    let mut models: Vec<String> = pictures.events.iter().map(|event| event.model.clone()).collect();
    models.sort();
    models.dedup();
    let is_same = |record: &Record| label(record.named) == pictures.events[record.picture].label;
    let same: Vec<&Record> = records.iter().filter(|record| is_same(record)).collect();
    let maps: Vec<f64> = same
        .iter()
        .map(|record| {
            let device = Cells::of(&pictures.events[record.picture].map);
            correlation(&device.0, &record.attention.cells.0)
        })
        .collect();
    let then: Vec<f64> =
        records.iter().map(|record| pictures.events[record.picture].confidence).collect();
    let now: Vec<f64> = records.iter().map(|record| record.confidence).collect();
    Some(Field {
        events: records.len(),
        between: [first.time_utc.clone(), last.time_utc.clone()],
        models,
        same_class: Share { hits: same.len(), of: records.len() }.interval(),
        map_correlation: (!maps.is_empty()).then(|| mean(&maps)),
        confidence: [mean(&then), mean(&now)],
        changed: (0..records.len()).filter(|&index| !is_same(&records[index])).collect(),
    })
}
