//! Where the rows start.

use rand::RngExt;
use rand::rngs::StdRng;
use tch::{Kind, Tensor};

use super::AttentionError;
use crate::classifier::Classifier;
use crate::graph::ValueId;
use crate::layers::{FeatureMaps, Layers};

/// How many classes are differentiated at once; bounds memory.
const CLASSES_AT_ONCE: i64 = 50;

/// How many channels the adapters of finer layers have, from the coarsest on: few where cells are many.
const ADAPTED: [usize; 2] = [128, 64];

/// Tells how many channels each layer's adapter makes, from the finest layer on; the last stage has none.
#[must_use]
pub fn adapted_channels(layers: &Layers) -> Vec<Option<usize>> {
    let finer = (0..layers.finer.len()).rev();
    finer.map(|place| Some(ADAPTED[place.min(ADAPTED.len() - 1)])).chain([None]).collect()
}

/// Draws small weights, uniform within `1 / sqrt(channels)` as PyTorch's convolutions do.
pub fn uniform(shape: &[usize], channels: usize, random: &mut StdRng) -> Tensor {
    #[expect(clippy::cast_precision_loss, reason = "channels are few")]
    let bound = 1.0 / (channels as f32).sqrt();
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| random.random_range(-bound..bound)).collect();
    let shape: Vec<i64> = shape.iter().map(|&side| to_i64(side)).collect();
    Tensor::from_slice(&values).reshape(shape)
}

/// Reads rows `[classes, channels]` off the classifier itself: `W[r, c]` is the derivative of logit r by feature
/// map c, summed over space and averaged over `features` `[B, C, h, w]`.
///
/// Where the head is global average pooling and one linear layer this is that layer's weights, and the
/// maps are those of CAM (Zhou et al. 2016). Elsewhere it is Grad-CAM's weighting, averaged.
///
/// # Errors
/// Returns [`AttentionError`] when the classifier's head fails.
pub fn classifier_rows(
    classifier: &Classifier,
    maps: &FeatureMaps,
    features: &Tensor,
) -> Result<Tensor, AttentionError> {
    let classes = to_i64(classifier.classes());
    let count = features.size()[0];
    let mut sum = Tensor::zeros([classes, to_i64(maps.channels)], (Kind::Float, features.device()));
    for index in 0..count {
        let single = features.narrow(0, index, 1);
        let parts: Vec<Tensor> = (0..classes)
            .step_by(usize::try_from(CLASSES_AT_ONCE).unwrap_or(1))
            .map(|first| gradients(classifier, maps.value, &single, first))
            .collect::<Result<_, _>>()?;
        sum += Tensor::cat(&parts, 0);
    }
    #[expect(clippy::cast_precision_loss, reason = "a handful of pictures")]
    Ok(sum / count as f64)
}

/// Gives the derivatives of some classes' logits by the feature maps, summed over space: `[K, C]`.
fn gradients(
    classifier: &Classifier,
    maps: ValueId,
    features: &Tensor,
    first: i64,
) -> Result<Tensor, AttentionError> {
    let count = CLASSES_AT_ONCE.min(to_i64(classifier.classes()) - first);
    // One copy of the picture a class, so that one backward pass serves them all.
    let copies = features.f_repeat([count, 1, 1, 1])?.detach().set_requires_grad(true);
    let logits = classifier.graph().run(&[(maps, &copies)], &[classifier.logits()])?.remove(0);
    let wanted = logits.f_narrow(1, first, count)?.f_diagonal(0, 0, 1)?.f_sum(Kind::Float)?;
    let gradient = Tensor::f_run_backward(&[wanted], &[&copies], false, false)?.remove(0);
    Ok(gradient.f_sum_dim_intlist([2i64, 3].as_slice(), false, Kind::Float)?)
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
