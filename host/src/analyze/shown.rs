//! The pictures that a report shows, looked at once more: small, with their maps. Only these are kept in memory.

use std::collections::BTreeMap;

use image::RgbImage;
use lcam_models::map::ExplanationMap;

use super::observe::{BATCH, Seen};
use super::record::Record;
use super::{AnalyzeError, Pictures};
use crate::dataset::for_each_batch;
use crate::evaluate::{Explained, reduced};
use crate::pictures::View;

/// A picture with its maps.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What the network saw, reduced.
    pub picture: RgbImage,
    /// The map of the named class.
    pub named: ExplanationMap,
    /// The map of the true class, where that is another one.
    pub truth: Option<ExplanationMap>,
}

/// Looks at some records' pictures again; one that has vanished since is not shown.
///
/// # Errors
/// Returns [`AnalyzeError`] when the network or a map fails.
pub fn show(
    model: &Explained,
    pictures: &Pictures,
    records: &[Record],
    mut chosen: Vec<usize>,
) -> Result<BTreeMap<usize, Shown>, AnalyzeError> {
    chosen.sort_unstable();
    chosen.dedup();
    let number = |place: usize| records[chosen[place]].picture;
    let paths: Vec<_> =
        (0..chosen.len()).map(|place| pictures.paths[number(place)].clone()).collect();
    let preprocess = model.preprocess();
    let prepare = |place: usize, picture: RgbImage| {
        (place, pictures.view(number(place), &picture, preprocess))
    };
    let mut shown = BTreeMap::new();
    for_each_batch(&paths, BATCH, prepare, |batch| {
        let read: Vec<(usize, View)> = batch.into_iter().filter_map(Result::ok).collect();
        if read.is_empty() {
            return Ok(());
        }
        let views: Vec<&View> = read.iter().map(|(_, view)| view).collect();
        let seen = Seen::new(model, &views)?;
        for (row, (place, view)) in read.iter().enumerate() {
            let record = &records[chosen[*place]];
            let map = |class: usize| {
                seen.map(model, row, class).map_err(|problem| AnalyzeError::Map {
                    picture: paths[*place].clone(),
                    problem,
                })
            };
            let other = record.truth.filter(|&truth| truth != record.named);
            shown.insert(
                chosen[*place],
                Shown {
                    picture: reduced(view.pixels()),
                    named: map(record.named)?,
                    truth: other.map(map).transpose()?,
                },
            );
        }
        Ok::<_, AnalyzeError>(())
    })?;
    Ok(shown)
}
