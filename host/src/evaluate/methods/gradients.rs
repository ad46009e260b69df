//! Methods that weight the feature maps `A` by the derivative `g` of the class's logit by them.
//!
//! Derivatives go back from the logit to the feature maps and no further, so the network's own pass is the
//! clean one, without gradients.

use tch::{Kind, Tensor};

use super::Pass;
use crate::evaluate::{EvaluateError, Explained};

/// Keeps the denominator of Grad-CAM++ from 0; as the package `grad-cam` has it.
const EPSILON: f64 = 1e-6;

const SPACE: [i64; 2] = [2, 3];

/// Gives `sum over channels of mean(g) * A` (Zhou et al. 2016; Selvaraju et al. 2017, before the cut at 0).
pub(super) fn cam(model: &Explained, pass: &Pass) -> Result<Tensor, EvaluateError> {
    let weights = gradient(model, pass)?.f_mean_dim(SPACE.as_slice(), true, Kind::Float)?;
    over_channels(&weights.f_mul(&pass.features)?)
}

/// Gives `relu(sum over channels of w * A)` with `w = sum(alpha * relu(g))` and
///
/// ```text
/// alpha = g^2 / (2 g^2 + sum(A) g^3 + epsilon), 0 where g is 0
/// ```
///
/// (Chattopadhay et al. 2018, equation 19 with the derivatives of the raw logit in the place of those of its
/// exponential, as the package `grad-cam` takes them; sums run over space.)
pub(super) fn grad_cam_plus_plus(model: &Explained, pass: &Pass) -> Result<Tensor, EvaluateError> {
    let gradient = gradient(model, pass)?;
    let squared = gradient.f_square()?;
    let sum = pass.features.f_sum_dim_intlist(SPACE.as_slice(), true, Kind::Float)?;
    let cubed = squared.f_mul(&gradient)?.f_mul(&sum)?;
    let denominator = (squared.f_mul_scalar(2.0)?).f_add(&cubed)?.f_add_scalar(EPSILON)?;
    // Where g is 0 this is 0 already: epsilon is left below.
    let alpha = squared.f_div(&denominator)?;
    let weights = alpha.f_mul(&gradient.f_relu()?)?;
    let weights = weights.f_sum_dim_intlist(SPACE.as_slice(), true, Kind::Float)?;
    Ok(over_channels(&weights.f_mul(&pass.features)?)?.f_relu()?)
}

/// Gives `relu(sum over channels of relu(g) * A)` (Jiang et al. 2021).
pub(super) fn layer_cam(model: &Explained, pass: &Pass) -> Result<Tensor, EvaluateError> {
    let weights = gradient(model, pass)?.f_relu()?;
    Ok(over_channels(&weights.f_mul(&pass.features)?)?.f_relu()?)
}

/// Gives the derivatives of the classes' logits by the feature maps, `[B, C, h, w]`.
fn gradient(model: &Explained, pass: &Pass) -> Result<Tensor, EvaluateError> {
    let classifier = model.classifier();
    let features = pass.features.f_detach()?.set_requires_grad(true);
    let feed = [(model.feature_maps(), &features)];
    let logits = classifier.graph().run(&feed, &[classifier.logits()])?.remove(0);
    let classes: Vec<i64> =
        pass.classes.iter().map(|&class| i64::try_from(class).unwrap_or(0)).collect();
    let classes = Tensor::from_slice(&classes).f_to_device(logits.device())?.f_unsqueeze(1)?;
    // The pictures of a batch do not touch each other: the derivative of the sum is each one's own.
    let own = logits.f_gather(1, &classes, false)?.f_sum(Kind::Float)?;
    Ok(Tensor::f_run_backward(&[own], &[&features], false, false)?.remove(0))
}

fn over_channels(weighted: &Tensor) -> Result<Tensor, EvaluateError> {
    Ok(weighted.f_sum_dim_intlist([1i64].as_slice(), true, Kind::Float)?)
}
