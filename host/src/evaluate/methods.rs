//! The methods that are compared. Each gives a raw class map for the class that the network names.

use std::fmt;

use clap::ValueEnum;
use rand::RngExt;
use serde::Serialize;
use tch::{Kind, Tensor};

use super::{EvaluateError, Explained, confidences};
use crate::pictures::{self, View};
use crate::random::generator;

/// A way to explain a classification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The model file's own explanation, from the same pass as the class.
    Lcam,
    /// Class activation maps (Zhou et al. 2016): the feature maps, weighted by the derivative of the class's
    /// logit by them, averaged over space. With global average pooling and one linear layer these are that
    /// layer's weights, as in the paper; under any other head they are Grad-CAM without its cut at 0.
    Cam,
    /// Noise: what a map is worth that knows nothing.
    Random,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lcam => "lcam",
            Self::Cam => "cam",
            Self::Random => "random",
        })
    }
}

/// A batch after its one clean pass.
pub(super) struct Pass {
    /// The pictures in 0..=1, `[B, 3, H, W]`.
    pub(super) pixels: Tensor,
    /// The classes that the network names.
    pub(super) classes: Vec<usize>,
    /// Its confidences in them.
    pub(super) confidences: Vec<f64>,
    features: Tensor,
    explanation: Tensor,
    /// The pictures' places in the folder.
    numbers: Vec<usize>,
    seed: u64,
}

impl Pass {
    pub(super) fn new(
        model: &Explained,
        views: &[View],
        numbers: &[usize],
        seed: u64,
    ) -> Result<Self, EvaluateError> {
        let _no_gradients = tch::no_grad_guard();
        let device = model.classifier().graph().device();
        let pixels = pictures::unit(views, model.preprocess(), device);
        let images = pictures::normalized(views, model.preprocess(), device);
        let wanted = [model.classifier().logits(), model.feature_maps(), model.explanation()];
        let mut outputs = model.run(&images, &wanted)?;
        let (explanation, features, logits) =
            (outputs.remove(2), outputs.remove(1), outputs.remove(0));
        let named = Vec::<i64>::try_from(&logits.f_argmax(1, false)?)?;
        let classes: Vec<usize> =
            named.into_iter().map(|class| usize::try_from(class).unwrap_or(0)).collect();
        let confidences = confidences(&logits)?
            .iter()
            .zip(&classes)
            .map(|(row, &class)| f64::from(row[class]))
            .collect();
        let numbers = numbers.to_vec();
        Ok(Self { pixels, classes, confidences, features, explanation, numbers, seed })
    }
}

impl Method {
    /// Gives the raw maps of the named classes, `[B, 1, h, w]`.
    pub(super) fn class_maps(
        self,
        model: &Explained,
        pass: &Pass,
    ) -> Result<Tensor, EvaluateError> {
        match self {
            Self::Lcam => Ok(pass.explanation.shallow_clone()),
            Self::Cam => cam(model, pass),
            Self::Random => noise(pass),
        }
    }
}

fn cam(model: &Explained, pass: &Pass) -> Result<Tensor, EvaluateError> {
    let classifier = model.classifier();
    let features = pass.features.f_detach()?.set_requires_grad(true);
    let feed = [(model.feature_maps(), &features)];
    let logits = classifier.graph().run(&feed, &[classifier.logits()])?.remove(0);
    let classes: Vec<i64> =
        pass.classes.iter().map(|&class| i64::try_from(class).unwrap_or(0)).collect();
    let classes = Tensor::from_slice(&classes).f_to_device(logits.device())?.f_unsqueeze(1)?;
    // The pictures of a batch do not touch each other: the derivative of the sum is each one's own.
    let own = logits.f_gather(1, &classes, false)?.f_sum(Kind::Float)?;
    let gradient = Tensor::f_run_backward(&[own], &[&features], false, false)?.remove(0);
    let weights = gradient.f_mean_dim([2i64, 3].as_slice(), true, Kind::Float)?;
    let weighted = weights.f_mul(&pass.features)?;
    Ok(weighted.f_sum_dim_intlist([1i64].as_slice(), true, Kind::Float)?)
}

/// Draws every cell from 0..1, for each picture by itself.
fn noise(pass: &Pass) -> Result<Tensor, EvaluateError> {
    let sides = pass.explanation.size();
    let cells = usize::try_from(sides[2] * sides[3]).unwrap_or(0);
    let values: Vec<f32> = pass
        .numbers
        .iter()
        .flat_map(|&number| {
            let mut random = generator(pass.seed, 0, number as u64);
            (0..cells).map(move |_| random.random::<f32>())
        })
        .collect();
    Ok(Tensor::from_slice(&values).f_reshape(sides)?)
}
