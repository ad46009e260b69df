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
//! nu = 100 %, so all three nu belong together, and other figures beside them: [`Family`] lists what there is,
//! [`Figure`] every single one.

mod cost;
mod digest;
mod error;
mod explained;
mod figures;
mod gallery;
mod maps;
mod masks;
mod methods;
mod metrics;
mod pairs;
mod sanity;
mod summary;

use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::ProgressBar;
use lcam_models::map::{ClassMap, GridSize};
use lcam_models::picture::PictureError;
use lcam_models::scores::softmax;
use serde::{Serialize, Serializer};
use tch::{TchError, Tensor};

use crate::dataset::{DatasetError, for_each_batch, list_pictures, spread};
use crate::pictures::View;
use crate::progress;
use cost::Clock;
pub use cost::Time;
pub use digest::Digests;
pub use error::EvaluateError;
pub use explained::Explained;
pub use figures::{Better, Figure};
use gallery::Gallery;
pub(crate) use gallery::reduced;
pub use gallery::{Choice, Example};
pub use maps::MapFolder;
pub use masks::{MaskError, MaskFolder};
use methods::Pass;
pub use methods::{Method, Passes, RISE_MASKS};
pub(crate) use metrics::fill_smoothly;
pub use metrics::{
    Family, Fill, KEPT, Protocol, REMOVED, Scores, area, combined, gini, impute, lies_in, pixels,
    ranks, share_in,
};
use metrics::{Maps, Subject, measure};
pub use pairs::{PairFigures, PairSummary, Pairs, evaluate_pairs};
pub use sanity::{CONSTANT_LIMIT, CORRELATION_LIMIT, Check, MethodSanity, Sanity, check_sanity};
pub use summary::{Difference, Estimate, Interval, Summary, summarize};

/// Pictures that go through the network at once.
const BATCH: usize = 32;

/// What to measure.
#[derive(Debug)]
pub struct Options {
    /// The pictures.
    pub images: PathBuf,
    /// Where the objects are.
    pub masks: Option<MaskFolder>,
    /// The methods, in the order of the report. The others are compared with the first.
    pub methods: Vec<Method>,
    /// What is measured of each.
    pub families: Vec<Family>,
    /// How it is measured.
    pub protocol: Protocol,
    /// The most pictures, taken evenly from the folder.
    pub limit: Option<usize>,
    /// What random maps, the masks of RISE and noise depend on.
    pub seed: u64,
    /// How many masks RISE draws.
    pub rise_masks: usize,
    /// Where the raw class maps are written.
    pub maps: Option<MapFolder>,
    /// How many pictures of each kind are kept to be shown: spread evenly, best and worst cases.
    pub examples: usize,
}

impl Options {
    /// Asks for everything that can be measured of some methods without masks, on all pictures of a folder.
    #[must_use]
    pub fn new(images: PathBuf, methods: Vec<Method>) -> Self {
        Self {
            images,
            masks: None,
            methods,
            families: Family::ALL.to_vec(),
            protocol: Protocol::default(),
            limit: None,
            seed: 1,
            rise_masks: RISE_MASKS,
            maps: None,
            examples: 0,
        }
    }
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
    /// What was kept to be shown.
    pub examples: Vec<Example>,
    /// What each method costs.
    pub times: Vec<Time>,
    /// What the pictures and the model were.
    pub digests: Digests,
}

/// What was measured on one picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The picture.
    #[serde(serialize_with = "displayed")]
    pub picture: PathBuf,
    /// The class that the network names.
    pub class: usize,
    /// The network's confidence in it, 0 to 1: `Y`.
    pub confidence: f64,
    /// One entry a method, in the order of [`Options::methods`].
    pub scores: Vec<Scores>,
}

/// A name need not be Unicode, but JSON is.
fn displayed<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// Measures the maps of some methods on the pictures of a folder.
///
/// # Errors
/// Returns [`EvaluateError`] when nothing can be read, or the network or a map fails.
pub fn evaluate(model: &Explained, options: &Options) -> Result<Evaluation, EvaluateError> {
    let paths = spread(list_pictures(&options.images)?, options.limit);
    evaluate_pictures(model, options, &paths)
}

/// The same on these pictures of the folder.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_pictures(
    model: &Explained,
    options: &Options,
    paths: &[PathBuf],
) -> Result<Evaluation, EvaluateError> {
    let preprocess = model.preprocess();
    if let Some(masks) = &options.masks {
        let none = |first: MaskError| EvaluateError::NoMasks {
            count: paths.len(),
            first: first.to_string(),
        };
        masks.check(paths, preprocess).map_err(none)?;
    }
    let mut run = Run::new(model, options, paths);
    let prepare = |index: usize, picture: image::RgbImage| {
        let mask =
            options.masks.as_ref().map(|masks| masks.view(&paths[index], &picture, preprocess));
        (index, View::center(preprocess, &picture), mask)
    };
    for_each_batch(paths, BATCH, prepare, |batch| {
        let mut read = Batch::default();
        for picture in batch {
            match picture {
                Ok((index, view, mask)) => {
                    read.paths.push(paths[index].clone());
                    read.numbers.push(index);
                    read.views.push(view);
                    read.masks.push(mask.transpose().unwrap_or_else(|problem| {
                        run.unusable_masks.push(problem);
                        None
                    }));
                }
                Err(error) => {
                    run.unreadable.push(error);
                    run.progress.inc(options.methods.len() as u64);
                }
            }
        }
        if read.views.is_empty() { Ok(()) } else { run.measure(read) }
    })?;
    let evaluation = run.finish(Digests::of_pictures(&options.images, paths));
    if evaluation.outcomes.is_empty() {
        return Err(DatasetError::nothing_readable(paths.len(), &evaluation.unreadable).into());
    }
    Ok(evaluation)
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

/// An evaluation under way.
struct Run<'a> {
    model: &'a Explained,
    options: &'a Options,
    progress: ProgressBar,
    outcomes: Vec<Outcome>,
    unreadable: Vec<PictureError>,
    unusable_masks: Vec<MaskError>,
    gallery: Gallery,
    clock: Clock,
}

impl<'a> Run<'a> {
    fn new(model: &'a Explained, options: &'a Options, paths: &[PathBuf]) -> Self {
        Self {
            model,
            options,
            // A step is one method on one picture.
            progress: progress::bar(paths.len() * options.methods.len(), "evaluating"),
            outcomes: Vec::new(),
            unreadable: Vec::new(),
            unusable_masks: Vec::new(),
            gallery: Gallery::new(options.examples, paths.len()),
            clock: Clock::new(&options.methods),
        }
    }

    fn measure(&mut self, batch: Batch) -> Result<(), EvaluateError> {
        let Self { model, options, .. } = *self;
        let start = Instant::now();
        let pass = Pass::new(model, &batch.views, &batch.numbers, options.seed)?
            .rise_masks(options.rise_masks)
            .progress(&self.progress);
        self.clock.note_clean(start.elapsed(), batch.views.len());
        let subject = Subject::new(model, &pass, &batch.masks, options.seed, &batch.numbers)?;
        let outcome = |index: usize| Outcome {
            picture: batch.paths[index].clone(),
            class: pass.classes[index],
            confidence: pass.confidences[index],
            scores: Vec::with_capacity(options.methods.len()),
        };
        let mut outcomes: Vec<Outcome> = (0..batch.views.len()).map(outcome).collect();
        let mut shown = Vec::new();
        for (place, &method) in options.methods.iter().enumerate() {
            self.progress.set_message(method.to_string());
            let start = Instant::now();
            let raw = class_maps(model, &pass, method, &batch.paths)?;
            self.clock.note(place, start.elapsed(), batch.views.len());
            if let Some(folder) = &options.maps {
                let mut pictures = batch.paths.iter().zip(&raw);
                pictures.try_for_each(|(picture, map)| folder.write(method, picture, map))?;
            }
            let native = raw.iter().map(ClassMap::min_max).collect();
            let maps = Maps::new(native, self.input(), pass.pixels.device())?;
            let scores = self.measure_method(method, &subject, &maps)?;
            outcomes.iter_mut().zip(scores).for_each(|(outcome, s)| outcome.scores.push(s));
            shown.push(maps.native);
            self.progress.inc(batch.views.len() as u64);
        }
        self.gallery.offer(self.outcomes.len(), &outcomes, &batch.numbers, &batch.views, &shown);
        self.outcomes.append(&mut outcomes);
        Ok(())
    }

    fn measure_method(
        &self,
        method: Method,
        subject: &Subject,
        maps: &Maps,
    ) -> Result<Vec<Scores>, EvaluateError> {
        let mut scores = vec![Scores::default(); maps.native.len()];
        for family in Family::ALL {
            if self.options.families.contains(&family) {
                self.progress.set_message(format!("{method}: {}", family.title()));
                measure(family, subject, maps, &self.options.protocol, &mut scores)?;
            }
        }
        Ok(scores)
    }

    fn input(&self) -> GridSize {
        let input = self.model.preprocess().input;
        GridSize { height: input.height as usize, width: input.width as usize }
    }

    fn finish(self, digests: Digests) -> Evaluation {
        self.progress.finish_and_clear();
        Evaluation {
            outcomes: self.outcomes,
            unreadable: self.unreadable,
            unusable_masks: self.unusable_masks,
            examples: self.gallery.into_examples(),
            times: self.clock.times(self.model, self.options),
            digests,
        }
    }
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

/// Gives the softmax of each row of logits `[B, R]`.
fn confidences(logits: &Tensor) -> Result<Vec<Vec<f32>>, TchError> {
    let (count, classes) = logits.size2()?;
    let flat = Vec::<f32>::try_from(&logits.f_reshape([count * classes])?)?;
    Ok(flat.chunks(usize::try_from(classes).unwrap_or(1).max(1)).map(softmax).collect())
}
