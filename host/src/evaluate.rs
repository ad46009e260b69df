//! Measures how faithful a model's explanation maps are, beside other methods on the same pictures.
//!
//! For each picture: `k` is the class that the network names and `Y` its confidence in it. A method's map for
//! `k` is scaled to 0..=1 at its own grid and upsampled to the picture; only the highest `nu` of its pixels
//! keep their values, the rest becomes 0; the picture, in 0..=1, is multiplied with it and classified again:
//! `O` is the confidence in `k`. Over N pictures
//!
//! ```text
//! average drop            AD = 100 / N * sum max(0, Y - O) / Y      (lower is better)
//! increase in confidence  IC = 100 / N * #[O > Y]                   (higher is better)
//! ```
//!
//! (Chattopadhay et al. 2018; with nu as in Gkartzonika et al. 2022). Maps that are high everywhere do well at
//! nu = 100 %, so all three nu belong together. Where masks tell where the object is: the share of pictures
//! whose highest pixel lies in it (pointing game, Zhang et al. 2018, without tolerance) and the share of the
//! map's sum in it (energy, Wang et al. 2020).

mod explained;
mod maps;
mod masks;
mod methods;
mod metrics;
mod pairs;
mod sanity;
mod summary;

use std::path::PathBuf;

use indicatif::ProgressBar;
use lcam_models::atomic_file::WriteError;
use lcam_models::explained::ExplainedError;
use lcam_models::map::{ClassMap, ExplanationMap, GridSize, MapError};
use lcam_models::picture::PictureError;
use lcam_models::scores::softmax;
use serde::Serialize;
use tch::{TchError, Tensor};

use crate::classifier::ClassifierError;
use crate::dataset::{DatasetError, for_each_batch, list_pictures, spread};
use crate::graph::RunError;
use crate::pictures::{self, View};
use crate::progress;
pub use explained::Explained;
pub use maps::MapFolder;
pub use masks::{MaskError, MaskFolder};
use methods::Pass;
pub use methods::{Method, Passes, RISE_MASKS};
pub use metrics::{keep_highest, lies_in, share_in};
pub use pairs::{PairFigures, PairSummary, Pairs, evaluate_pairs};
pub use sanity::{CONSTANT_LIMIT, CORRELATION_LIMIT, Check, MethodSanity, Sanity, check_sanity};
pub use summary::{Interval, Summary, summarize};

/// The shares of pixels that keep their values.
pub const KEPT: [f64; 3] = [1.0, 0.5, 0.15];

/// Pictures that go through the network at once.
const BATCH: usize = 32;

/// What to measure.
#[derive(Debug)]
pub struct Options {
    /// The pictures.
    pub images: PathBuf,
    /// Where the objects are.
    pub masks: Option<MaskFolder>,
    /// The methods, in the order of the report.
    pub methods: Vec<Method>,
    /// The most pictures, taken evenly from the folder.
    pub limit: Option<usize>,
    /// What the random maps and the masks of RISE depend on.
    pub seed: u64,
    /// How many masks RISE draws.
    pub rise_masks: usize,
    /// Where the raw class maps are written.
    pub maps: Option<MapFolder>,
}

/// All that was measured.
#[derive(Debug)]
pub struct Evaluation {
    /// One entry a picture.
    pub outcomes: Vec<Outcome>,
    /// The pictures that could not be read.
    pub unreadable: Vec<PictureError>,
    /// The masks that could not be used.
    pub unusable_masks: Vec<MaskError>,
}

/// What was measured on one picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The picture.
    pub picture: PathBuf,
    /// The class that the network names.
    pub class: usize,
    /// The network's confidence in it, 0 to 1: `Y`.
    pub confidence: f64,
    /// One entry a method, in the order of [`Options::methods`].
    pub scores: Vec<Scores>,
}

/// What was measured of one method's map for one picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// The confidence in the same class on the masked picture, for each share of [`KEPT`]: `O`.
    pub masked: Vec<f64>,
    /// Whether the map's highest pixel lies in the object, where a mask says where that is.
    pub pointing: Option<bool>,
    /// The share of the map's sum that lies in the object, 0 to 1, where a mask says where that is.
    pub energy: Option<f64>,
}

/// A model or pictures that cannot be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The file is no explained model.
    #[error(transparent)]
    Model(#[from] ExplainedError),
    /// The file is no classifier that can be run.
    #[error(transparent)]
    Classifier(#[from] ClassifierError),
    /// A tensor that the file's metadata name is missing.
    #[error("the model has no tensor {name:?}; export it again")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// The folder holds no pictures.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// No mask could be used.
    #[error("none of the {count} pictures has a usable mask; the first: {first}")]
    NoMasks {
        /// How many pictures there are.
        count: usize,
        /// What is wrong with the first mask.
        first: String,
    },
    /// The network failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TchError),
    /// The folder for the maps holds something.
    #[error("{path} already exists and is not empty; choose another --maps or remove it")]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The folder for a map cannot be made.
    #[error("cannot write {path}: {problem}; check that the folder is writable and has room")]
    Maps {
        /// The map.
        path: PathBuf,
        /// What the operating system said.
        problem: std::io::Error,
    },
    /// A map cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A method cannot make its map.
    #[error("{method} has no map: {problem}")]
    ClassMap {
        /// The method.
        method: Method,
        /// What is wrong with it.
        problem: MapError,
    },
    /// A method's map cannot be used.
    #[error("the map of {method} for {picture} cannot be used: {problem}")]
    Map {
        /// The method.
        method: Method,
        /// The picture.
        picture: PathBuf,
        /// What is wrong with it.
        problem: MapError,
    },
}

/// Measures the maps of some methods on the pictures of a folder.
///
/// # Errors
/// Returns [`EvaluateError`] when nothing can be read, or the network or a map fails.
pub fn evaluate(model: &Explained, options: &Options) -> Result<Evaluation, EvaluateError> {
    let paths = spread(list_pictures(&options.images)?, options.limit);
    let mut evaluation =
        Evaluation { outcomes: Vec::new(), unreadable: Vec::new(), unusable_masks: Vec::new() };
    let progress = progress::bar(paths.len(), "evaluating");
    let preprocess = model.preprocess();
    let prepare = |index: usize, picture: image::RgbImage| {
        let mask =
            options.masks.as_ref().map(|masks| masks.view(&paths[index], &picture, preprocess));
        (index, View::center(preprocess, &picture), mask)
    };
    for_each_batch(&paths, BATCH, prepare, |batch| {
        let mut read = Batch::default();
        for picture in batch {
            match picture {
                Ok((index, view, mask)) => {
                    read.paths.push(paths[index].clone());
                    read.numbers.push(index);
                    read.views.push(view);
                    read.masks.push(mask.transpose().unwrap_or_else(|problem| {
                        evaluation.unusable_masks.push(problem);
                        None
                    }));
                }
                Err(error) => evaluation.unreadable.push(error),
            }
            progress.inc(1);
        }
        if !read.views.is_empty() {
            evaluation.outcomes.extend(measure(model, options, read, &progress)?);
        }
        Ok::<_, EvaluateError>(())
    })?;
    progress.finish_and_clear();
    check(&evaluation, options.masks.is_some(), paths.len())?;
    Ok(evaluation)
}

/// Refuses an evaluation that says nothing.
fn check(evaluation: &Evaluation, masks: bool, count: usize) -> Result<(), EvaluateError> {
    if evaluation.outcomes.is_empty() {
        return Err(DatasetError::nothing_readable(count, &evaluation.unreadable).into());
    }
    if masks && evaluation.unusable_masks.len() == evaluation.outcomes.len() {
        let first = evaluation.unusable_masks.first();
        let first = first.map(ToString::to_string).unwrap_or_default();
        return Err(EvaluateError::NoMasks { count, first });
    }
    Ok(())
}

/// Pictures that go through together.
#[derive(Default)]
struct Batch {
    paths: Vec<PathBuf>,
    /// Places in the list of pictures.
    numbers: Vec<usize>,
    views: Vec<View>,
    /// What the network sees of each picture's mask.
    masks: Vec<Option<Vec<bool>>>,
}

fn measure(
    model: &Explained,
    options: &Options,
    batch: Batch,
    progress: &ProgressBar,
) -> Result<Vec<Outcome>, EvaluateError> {
    let pass = Pass::new(model, &batch.views, &batch.numbers, options.seed)?
        .rise_masks(options.rise_masks)
        .progress(progress);
    let mut outcomes: Vec<Outcome> = (0..batch.views.len())
        .map(|index| Outcome {
            picture: batch.paths[index].clone(),
            class: pass.classes[index],
            confidence: pass.confidences[index],
            scores: Vec::new(),
        })
        .collect();
    for &method in &options.methods {
        let maps = class_maps(model, &pass, method, &batch.paths)?;
        if let Some(folder) = &options.maps {
            let mut pictures = batch.paths.iter().zip(&maps);
            pictures.try_for_each(|(picture, map)| folder.write(method, picture, map))?;
        }
        let maps = upsampled(model, &maps);
        for (outcome, (map, mask)) in outcomes.iter_mut().zip(maps.iter().zip(&batch.masks)) {
            outcome.scores.push(Scores {
                masked: Vec::with_capacity(KEPT.len()),
                pointing: mask.as_ref().map(|mask| lies_in(map, mask)),
                energy: mask.as_ref().map(|mask| share_in(map, mask)),
            });
        }
        for share in KEPT {
            let masked = confidences_when_masked(model, &pass, &maps, share)?;
            for (outcome, confidence) in outcomes.iter_mut().zip(masked) {
                outcome.scores.last_mut().into_iter().for_each(|s| s.masked.push(confidence));
            }
        }
    }
    Ok(outcomes)
}

/// Gives a method's raw maps for the classes of a pass.
fn class_maps(
    model: &Explained,
    pass: &Pass,
    method: Method,
    paths: &[PathBuf],
) -> Result<Vec<ClassMap>, EvaluateError> {
    let maps = method.class_maps(model, pass)?;
    let (_, _, height, width) = maps.size4()?;
    let side = |side| usize::try_from(side).unwrap_or(0);
    let grid = GridSize { height: side(height), width: side(width) };
    let map = |(index, path): (usize, &PathBuf)| {
        let index = i64::try_from(index).unwrap_or(0);
        let values = Vec::<f32>::try_from(&maps.f_narrow(0, index, 1)?.f_reshape([-1i64])?)?;
        ClassMap::new(grid, values).map_err(|problem| EvaluateError::Map {
            method,
            picture: path.clone(),
            problem,
        })
    };
    paths.iter().enumerate().map(map).collect()
}

/// Scales raw maps to 0..=1 and gives them the size of the pictures.
fn upsampled(model: &Explained, maps: &[ClassMap]) -> Vec<ExplanationMap> {
    let input = model.preprocess().input;
    let full = GridSize { height: input.height as usize, width: input.width as usize };
    maps.iter().map(|map| map.min_max().upsample(full)).collect()
}

/// Classifies the pictures times their maps, of which only the highest `share` is kept; gives the confidences
/// in the classes that the network named on the whole pictures.
fn confidences_when_masked(
    model: &Explained,
    pass: &Pass,
    maps: &[ExplanationMap],
    share: f64,
) -> Result<Vec<f64>, EvaluateError> {
    let _no_gradients = tch::no_grad_guard();
    let kept: Vec<f32> = maps.iter().flat_map(|map| keep_highest(map, share)).collect();
    let sides = pass.pixels.size();
    let masks = Tensor::from_slice(&kept)
        .f_reshape([sides[0], 1, sides[2], sides[3]])?
        .f_to_device(pass.pixels.device())?;
    let images = pictures::normalize(&pass.pixels.f_mul(&masks)?, model.preprocess());
    let logits = model.run(&images, &[model.classifier().logits()])?.remove(0);
    Ok(confidences(&logits)?
        .iter()
        .zip(&pass.classes)
        .map(|(row, &class)| f64::from(row[class]))
        .collect())
}

/// Gives the softmax of each row of logits `[B, R]`.
fn confidences(logits: &Tensor) -> Result<Vec<Vec<f32>>, TchError> {
    let (count, classes) = logits.size2()?;
    let flat = Vec::<f32>::try_from(&logits.f_reshape([count * classes])?)?;
    Ok(flat.chunks(usize::try_from(classes).unwrap_or(1).max(1)).map(softmax).collect())
}
