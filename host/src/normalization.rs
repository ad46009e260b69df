//! Which normalisation a network was trained with, found out with photographs and without labels.
//!
//! Two kinds of evidence are used. Where the file still holds a `BatchNormalization` node, its stored
//! statistics say what values it was trained on; they tell the scale of the pixels well and the order of the
//! planes hardly ([`statistics`]). The network's answers tell both: with the right normalisation the answers
//! to parts of one photograph are alike and those to different photographs are not ([`answers`]). So the
//! statistics rule out what they clearly can, and the answers decide about the rest.
//!
//! What is not known: whether the network knows anything about what the photographs show. If it does not,
//! the evidence is weak, and [`Findings::is_clear`] says so.

pub mod answers;
pub mod score;
pub mod statistics;

use std::path::{Path, PathBuf};

use image::RgbImage;
use lcam_models::picture::PictureError;
use lcam_models::preprocess::{ImageSize, Normalization, Preprocess};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::classifier::Classifier;
use crate::dataset::{DatasetError, for_each_batch, list_pictures, spread};
use crate::graph::RunError;
use crate::pictures::View;
use answers::Answers;
use score::Score;

/// How many parts of a photograph are looked at.
pub const VIEWS: usize = 4;

/// The lead from which on a difference counts, in standard errors. Measured with EfficientNet-Lite0 that expects
/// three different normalisations, on 396 draws of 4 to 32 composed photographs: one lead above 2 was wrong.
pub const CLEAR_LEAD: f64 = 2.0;

/// The fewest photographs that can make clear which normalisation fits. In the same measurement the best was
/// the right one for 47 to 67 % of the draws of 4 photographs, 77 to 93 % of 16 and 100 % of 32.
pub const FEWEST_PICTURES: usize = 16;

/// The score from which on answers depend on the photographs. Right normalisations of EfficientNet-Lite0 score
/// 0.41 on photographs that it does not know and 0.57 on those it does; untrained networks reach 0.13, on 0 to
/// 255, and that means nothing.
pub const LEAST_ANSWERS: f64 = 0.2;

/// The overlap from which on stored statistics are those of photographs. Right normalisations reach 0.96, wrong
/// scales at most 0.86, and the 0 and 1 that an untrained network stores 0.80.
pub const LEAST_OVERLAP: f64 = 0.9;

/// The lead, in standard errors, from which on a candidate is not tried on more photographs.
const HOPELESS_LEAD: f64 = 4.0;

/// After how many photographs candidates can drop out.
const ROUND: usize = FEWEST_PICTURES;

/// Inputs that differ by less than this part of their range are the same to a network.
const SAME: f32 = 0.01;

/// The evidence for one normalisation.
#[derive(Clone, Debug, Default)]
pub struct Fit {
    /// An earlier normalisation, by its place, that gives the same input to within 1 %; then nothing is measured.
    pub same_as: Option<usize>,
    /// How well the values fit the stored statistics, where there are any.
    pub statistics: Option<Score>,
    /// How well the answers fit the photographs, unless the statistics ruled it out.
    pub answers: Option<Score>,
}

/// What the photographs say.
#[derive(Debug)]
pub struct Findings {
    /// The evidence for each normalisation, in the order they were given.
    pub fits: Vec<Fit>,
    /// The place of the one that fits best.
    pub best: usize,
    /// The place of the one that comes next of those that were not ruled out, if any is left.
    pub next: Option<usize>,
    /// By how many standard errors the best is ahead of the next; infinite if there is none.
    pub lead: f64,
    /// The node whose stored statistics were used.
    pub statistics_of: Option<String>,
    /// How many photographs were used.
    pub pictures: usize,
    /// Those that could not be read.
    pub unreadable: Vec<PictureError>,
}

impl Findings {
    /// Tells whether the best is better beyond chance.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.pictures >= FEWEST_PICTURES && self.lead >= CLEAR_LEAD && self.knows_something()
    }

    /// Tells whether the stored statistics ruled scales out.
    #[must_use]
    pub fn statistics_rule_out(&self) -> bool {
        self.fits.iter().any(|fit| fit.statistics.is_some() && fit.answers.is_none())
    }

    /// Tells whether the best one's answers depend on the photographs at all.
    #[must_use]
    pub fn knows_something(&self) -> bool {
        let answers = self.fits.get(self.best).and_then(|fit| fit.answers.as_ref());
        answers.is_some_and(|score| score.value >= LEAST_ANSWERS)
    }
}

/// A search that could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// The folder holds no pictures.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The classifier failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Finds out which normalisation fits, with at most `limit` photographs taken evenly from a folder.
///
/// # Errors
/// Returns [`FitError`] when no photograph can be read or the network fails on one.
pub fn fit(
    classifier: &Classifier,
    candidates: &[Normalization],
    images: &Path,
    limit: usize,
) -> Result<Findings, FitError> {
    let mut paths = spread(list_pictures(images)?, Some(limit));
    // So that every round sees all of the folder; always in the same way.
    paths.shuffle(&mut StdRng::seed_from_u64(0));
    let (views, unreadable) = read(&paths, classifier.input_size());
    if views.is_empty() {
        return Err(DatasetError::nothing_readable(paths.len(), &unreadable).into());
    }
    let mut fits: Vec<Fit> = (0..candidates.len())
        .map(|place| Fit { same_as: same_as(candidates, place), ..Fit::default() })
        .collect();
    let distinct = (0..fits.len()).filter(|&place| fits[place].same_as.is_none());
    let mut open: Vec<usize> = distinct.collect();
    let stored = statistics::first_stored(classifier);
    if let Some(stored) = &stored {
        for &place in &open {
            let preprocess = Preprocess::usual(classifier.input_size(), candidates[place]);
            let score = statistics::score(classifier, stored, &preprocess, &views)?;
            fits[place].statistics = Some(score);
        }
        open = not_ruled_out(candidates, &fits, &open);
    }
    ask(classifier, candidates, &views, &mut fits, &mut open)?;
    let answers = |place: usize| fits[place].answers.as_ref();
    let value = |place: usize| answers(place).map_or(f64::NEG_INFINITY, |score| score.value);
    open.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
    let (best, next) = (open.first().copied().unwrap_or(0), open.get(1).copied());
    let lead = match (answers(best), next.and_then(answers)) {
        (Some(best), Some(next)) => best.lead(next),
        _ => f64::INFINITY,
    };
    let statistics_of = stored.map(|stored| stored.node);
    let pictures = views.len() / VIEWS;
    Ok(Findings { fits, best, next, lead, statistics_of, pictures, unreadable })
}

/// Asks the network about all photographs with each candidate that is still open. Every [`ROUND`] photographs
/// those that are far behind drop out, to save time; the numbers they had then stay.
fn ask(
    classifier: &Classifier,
    candidates: &[Normalization],
    views: &[View],
    fits: &mut [Fit],
    open: &mut Vec<usize>,
) -> Result<(), RunError> {
    let rule = |place: usize| Preprocess::usual(classifier.input_size(), candidates[place]);
    let mut answers: Vec<Answers> =
        (0..candidates.len()).map(|place| Answers::new(rule(place))).collect();
    let mut rounds = views.chunks(ROUND * VIEWS).peekable();
    while let Some(round) = rounds.next() {
        let mut scores = Vec::new();
        for &place in open.iter() {
            answers[place].extend(classifier, round)?;
            let score = answers[place].score();
            fits[place].answers = Some(score.clone());
            scores.push(score);
        }
        if rounds.peek().is_none() {
            break;
        }
        let Some(best) = scores.iter().max_by(|a, b| a.value.total_cmp(&b.value)) else { break };
        let mut each = scores.iter();
        open.retain(|_| each.next().is_some_and(|score| best.lead(score) < HOPELESS_LEAD));
    }
    Ok(())
}

/// Finds an earlier candidate that gives the same input to within [`SAME`].
fn same_as(candidates: &[Normalization], place: usize) -> Option<usize> {
    let ends = |rule: &Normalization| {
        let end = |pixel: f32| move |plane: usize| (pixel - rule.mean[plane]) / rule.std_dev[plane];
        [0, 1, 2].map(|plane| (end(0.0)(plane), end(1.0)(plane)))
    };
    let this = &candidates[place];
    candidates[..place].iter().position(|earlier| {
        let pairs = ends(this).into_iter().zip(ends(earlier));
        let near = |((low, high), (other_low, other_high)): ((f32, f32), (f32, f32))| {
            let room = SAME * (high - low);
            (low - other_low).abs() < room && (high - other_high).abs() < room
        };
        earlier.channels == this.channels && pairs.into_iter().all(near)
    })
}

/// Keeps the candidates of the scale that fits the stored statistics best, and of every scale that is not
/// clearly worse. Both orders of the planes share a scale. Where none fits, none is ruled out.
fn not_ruled_out(candidates: &[Normalization], fits: &[Fit], open: &[usize]) -> Vec<usize> {
    let score = |place: usize| fits[place].statistics.as_ref();
    let value = |place: usize| score(place).map_or(f64::NEG_INFINITY, |score| score.value);
    let shares =
        |a: usize, b: usize| candidates[a].in_order(candidates[b].channels) == candidates[b];
    let of_scale = |place: usize| {
        let family = open.iter().copied().filter(|&other| shares(place, other));
        family.max_by(|&a, &b| value(a).total_cmp(&value(b))).unwrap_or(place)
    };
    let Some(best) = open.iter().copied().max_by(|&a, &b| value(a).total_cmp(&value(b))) else {
        return Vec::new();
    };
    if value(best) < LEAST_OVERLAP {
        return open.to_vec();
    }
    let close = |&place: &usize| {
        shares(place, best)
            || score(best)
                .zip(score(of_scale(place)))
                .is_none_or(|(best, other)| best.lead(other) < CLEAR_LEAD)
    };
    open.iter().copied().filter(close).collect()
}

/// Reads photographs into [`VIEWS`] views each, one photograph's after the other's.
fn read(paths: &[PathBuf], input: ImageSize) -> (Vec<View>, Vec<PictureError>) {
    let mut views = Vec::new();
    let mut unreadable = Vec::new();
    let prepare = |_, picture: RgbImage| parts(&picture, input);
    let done = for_each_batch(paths, READ_AT_ONCE, prepare, |batch| {
        for picture in batch {
            match picture {
                Ok(parts) => views.extend(parts),
                Err(error) => unreadable.push(error),
            }
        }
        Ok::<(), std::convert::Infallible>(())
    });
    let Ok(()) = done;
    (views, unreadable)
}

/// Pictures that are decoded at once.
const READ_AT_ONCE: usize = 16;

/// Takes the centre, the centre mirrored, and two smaller parts beside it: what shows the same to people.
fn parts(picture: &RgbImage, input: ImageSize) -> [View; VIEWS] {
    let usual = Preprocess::usual(input, Normalization::UNIT);
    let size = ImageSize::of(picture);
    let part = |enlarged: u32, across: f64, down: f64, mirror: bool| {
        // Relative to the usual 256/224.
        let rule = Preprocess { resize: usual.resize * enlarged / 100, ..usual };
        let resized = rule.resized(size);
        let left = f64::from(resized.width - input.width) * across;
        let top = f64::from(resized.height - input.height) * down;
        View::sample(&rule, picture, rule.box_at(size, left, top), mirror)
    };
    let center = || usual.crop_box(size);
    [
        View::sample(&usual, picture, center(), false),
        View::sample(&usual, picture, center(), true),
        part(125, 0.25, 0.65, true),
        part(117, 0.75, 0.35, false),
    ]
}

#[cfg(test)]
mod tests {
    use lcam_models::preprocess::Channels;

    use super::*;

    #[test]
    fn knows_what_is_nearly_the_same() {
        let bgr = Normalization::SIGNED.in_order(Channels::Bgr);
        let candidates = [Normalization::UNIT, Normalization::TF, Normalization::SIGNED, bgr];
        let found: Vec<_> = (0..4).map(|place| same_as(&candidates, place)).collect();
        assert_eq!(found, [None, None, Some(1), None]);
    }
}
