//! Turns a float explained model into one of 8 bits: int8 weights, uint8 tensors (static post-training quantisation).
//!
//! 1. The graph is simplified (`simplify`): batch normalisation goes into the convolutions.
//!    A second form of it has channels of like width (`equalize`).
//! 2. A plan says what computes in int8 and which tensors share a grid (`plan`).
//! 3. Calibration pictures tell which values each tensor takes (`observe`); a range is chosen for each grid (`range`).
//! 4. Layer by layer the weights are rounded and the biases corrected (`fit`); of the forms and the ways to choose
//!    ranges, what errs least on other pictures is taken (`compare`).
//! 5. With it the weights are rounded once more, so that the layers' outputs err least (`compensate`).
//! 6. The result is written with pairs of `QuantizeLinear` and `DequantizeLinear` (`write`).
//! 7. On pictures that had no part in it the file is held against the float model; while too many change their class, the
//!    layers with the most noise are left in floating point.

mod compare;
mod compensate;
mod equalize;
mod error;
mod fit;
mod form;
mod grid;
mod observe;
mod pairs;
mod plan;
mod range;
mod shapes;
mod simplify;
mod split;
#[cfg(test)]
mod testing;
mod types;
mod wiring;
mod write;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use lcam_models::explained::ExplainedModel;
use lcam_models::metadata::Quantization;
use lcam_models::picture::PictureError;
use serde::Serialize;
use tch::{Device, Tensor};

pub use compare::{Comparison, MapFigures, SURE};
pub use error::QuantizeError;
pub use fit::LayerNoise;
pub use range::RangeMethod;

use crate::evaluate::Explained;
use crate::pictures::normalized;
use crate::progress;
use compare::Reference;
use fit::Rounding;
use form::{Attempt, Form, Simplified, Way};
use observe::Observer;
use split::Split;

/// Pictures that ways to quantise are tried with.
const TRIED_WITH: usize = 32;
/// Pictures that the weights are rounded for: two networks are held in memory layer by layer.
const FITTED_WITH: usize = 160;

/// How a model is quantised.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most pictures that the tensors' ranges are taken from.
    pub calibration: usize,
    /// How ranges are chosen; `None` tries all methods.
    pub method: Option<RangeMethod>,
    /// Nodes that stay in floating point, by their names or those of their outputs.
    pub keep_float: BTreeSet<String>,
    /// How many of the pictures that the float model is sure of may change their class, in percent.
    pub max_drop: f64,
    /// Puts 0 in the middle of each grid, as TensorRT wants it.
    pub symmetric: bool,
    /// Where to compute.
    pub device: Device,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            calibration: 300,
            method: None,
            keep_float: BTreeSet::new(),
            max_drop: 3.0,
            symmetric: false,
            device: Device::Cpu,
        }
    }
}

/// A quantised model with all that was found out on the way.
#[derive(Debug)]
pub struct Quantized {
    /// The model.
    pub model: ExplainedModel,
    /// How ranges were chosen.
    pub method: RangeMethod,
    /// Whether channels were equalised.
    pub equalized: bool,
    /// What each way that was tried left of the signal on pictures that were not calibrated with.
    pub tried: Vec<Trial>,
    /// How noisy each layer with weights is.
    pub noise: Vec<LayerNoise>,
    /// The layers that were left in floating point because of their noise.
    pub fallback: Vec<String>,
    /// The quantised model beside the float one.
    pub comparison: Comparison,
    /// How many pictures the ranges were taken from.
    pub calibrated_with: usize,
    /// The pictures that could not be read.
    pub unreadable: Vec<PictureError>,
}

/// What a way to quantise came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// How ranges were chosen.
    pub method: RangeMethod,
    /// Whether channels were equalised.
    pub equalized: bool,
    /// The signal-to-noise ratio of the logits in decibels.
    pub logits_db: f64,
    /// The mean correlation of the maps.
    pub map_correlation: f64,
}

/// Quantises a float model with the pictures of a folder.
///
/// # Errors
/// Returns [`QuantizeError`] when the model is quantised already or cannot be run, too few pictures can be read, or more
/// pictures change their class than [`Options::max_drop`] allows.
pub fn quantize(
    model: &ExplainedModel,
    folder: &Path,
    pictures: Vec<PathBuf>,
    options: &Options,
) -> Result<Quantized, QuantizeError> {
    let mut nodes = model.proto().graph.iter().flat_map(|graph| &graph.node);
    if model.metadata().quantization == Quantization::Int8
        || nodes.any(|node| node.op_type() == "QuantizeLinear")
    {
        return Err(QuantizeError::AlreadyQuantized);
    }
    let split = Split::new(pictures, options.calibration)?;
    let job = Job::new(model, &split, options)?;
    let choice = Reference::new(model, &split.choice, options.device)?;
    let (form, method, tried) = job.choose(&choice)?;
    let check = Reference::new(model, &split.check, options.device)?;
    let (mut result, mut comparison) = job.finish(form, method, &options.keep_float, &check)?;
    let noise = result.noise.clone();
    let mut fallback = Vec::new();
    while comparison.drop() > options.max_drop && fallback.len() < noise.len() {
        fallback = worst(&noise, (2 * fallback.len()).max(1));
        let keep: BTreeSet<String> = options.keep_float.iter().chain(&fallback).cloned().collect();
        (result, comparison) = job.finish(form, method, &keep, &check)?;
    }
    if comparison.drop() > options.max_drop {
        return Err(QuantizeError::Drop { found: comparison.drop(), limit: options.max_drop });
    }
    comparison.measure_maps(model, &result.model, folder, &split.check, options.device)?;
    let equalized = form.equalized;
    let mut unreadable = job.unreadable();
    unreadable.extend(choice.unreadable.into_iter().chain(check.unreadable));
    Ok(Quantized {
        model: result.model,
        method,
        equalized,
        tried,
        noise,
        fallback,
        comparison,
        calibrated_with: split.calibration.len(),
        unreadable,
    })
}

/// Names the layers with the most noise.
fn worst(noise: &[LayerNoise], count: usize) -> Vec<String> {
    let mut layers: Vec<&LayerNoise> = noise.iter().collect();
    layers.sort_by(|one, other| one.alone_db.total_cmp(&other.alone_db));
    layers.into_iter().take(count).map(|layer| layer.node.clone()).collect()
}

/// What does not change from attempt to attempt.
struct Job<'a> {
    model: &'a ExplainedModel,
    options: &'a Options,
    forms: Vec<Form>,
    /// What layers are fitted with, `[B, 3, H, W]`; few are enough to tell which way is the best.
    images: Tensor,
    few: Tensor,
}

impl<'a> Job<'a> {
    fn new(
        model: &'a ExplainedModel,
        split: &Split,
        options: &'a Options,
    ) -> Result<Self, QuantizeError> {
        let (preprocess, device) = (&model.metadata().preprocess, options.device);
        let simplified = Simplified::new(model)?;
        simplified.check_names(&options.keep_float)?;
        let progress = progress::bar(0, "calibrating");
        let observer = Observer { preprocess, pictures: &split.calibration, progress: &progress };
        let equalized = simplified.equalized(&model.metadata().attention, &observer, device)?;
        let mut forms = vec![simplified.observe(false, &observer, device)?];
        if let Some(equalized) = equalized {
            forms.push(equalized.observe(true, &observer, device)?);
        }
        progress.finish_and_clear();
        let images = |count: usize| {
            let views = split::views(&split.calibration, count, preprocess);
            normalized(&views, preprocess, device)
        };
        let (images, few) = (images(FITTED_WITH), images(TRIED_WITH));
        Ok(Self { model, options, forms, images, few })
    }

    /// Finds the form of the network and the method of choosing ranges that err least.
    fn choose(
        &self,
        reference: &Reference,
    ) -> Result<(&Form, RangeMethod, Vec<Trial>), QuantizeError> {
        let methods = self.options.method.map_or(RangeMethod::ALL.to_vec(), |method| vec![method]);
        let progress = progress::bar(self.forms.len() * methods.len(), "trying");
        let mut best = (f64::INFINITY, &self.forms[0], methods[0]);
        let mut tried = Vec::new();
        for form in &self.forms {
            for &method in &methods {
                let way = self.way(method, &self.options.keep_float, Rounding::Nearest);
                let (_, comparison) = self.attempt(form, way, &self.few, reference)?;
                let error = comparison.error();
                if error < best.0 {
                    best = (error, form, method);
                }
                let Comparison { logits_db, map_correlation, .. } = comparison;
                let equalized = form.equalized;
                tried.push(Trial { method, equalized, logits_db, map_correlation });
                progress.inc(1);
            }
        }
        progress.finish_and_clear();
        Ok((best.1, best.2, tried))
    }

    fn way<'b>(
        &self,
        method: RangeMethod,
        keep_float: &'b BTreeSet<String>,
        rounding: Rounding,
    ) -> Way<'b> {
        let symmetric = self.options.symmetric;
        Way { method, symmetric, keep_float, rounding, progress: ProgressBar::hidden() }
    }

    /// Quantises the network with all pictures, as it is written.
    fn finish(
        &self,
        form: &Form,
        method: RangeMethod,
        keep_float: &BTreeSet<String>,
        reference: &Reference,
    ) -> Result<(Attempt, Comparison), QuantizeError> {
        let progress = progress::bar(0, "rounding weights");
        let way = Way {
            progress: progress.clone(),
            ..self.way(method, keep_float, Rounding::Compensated)
        };
        let result = self.attempt(form, way, &self.images, reference)?;
        progress.finish_and_clear();
        Ok(result)
    }

    fn attempt(
        &self,
        form: &Form,
        way: Way,
        images: &Tensor,
        reference: &Reference,
    ) -> Result<(Attempt, Comparison), QuantizeError> {
        let attempt = form.attempt(self.model.metadata(), way, images)?;
        let model = Explained::new(attempt.model.clone(), self.options.device)?;
        let comparison = reference.compare(&model)?;
        Ok((attempt, comparison))
    }

    /// Gives the pictures that could not be calibrated with.
    fn unreadable(self) -> Vec<PictureError> {
        self.forms.into_iter().next().map_or(Vec::new(), Form::into_unreadable)
    }
}
