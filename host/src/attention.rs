//! The attention mechanism: one 1x1 convolution from feature maps to class maps.
//!
//! `c = W F + b` with `F` the `C x h x w` feature maps and one row of `W` a class. Source: Gkartzonika,
//! Gkalelis, Mezaris, "Learning Visual Explanations for DCNN-Based Image Classifiers Using an Attention
//! Mechanism".

use tch::{Device, Kind, TchError, Tensor};

use crate::classifier::Classifier;
use crate::graph::{RunError, ValueId};
use crate::layers::FeatureMaps;

/// Weights and bias of the attention mechanism.
#[derive(Debug)]
pub struct Attention {
    /// `[classes, channels]`.
    pub weights: Tensor,
    /// `[classes]`.
    pub bias: Tensor,
}

/// The class maps of a batch could not be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttentionError {
    /// The classifier failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TchError),
}

/// How many classes are differentiated at once; bounds memory.
const CLASSES_AT_ONCE: i64 = 50;

impl Attention {
    /// Starts from small random weights, uniform within `1 / sqrt(channels)` as PyTorch's convolutions do.
    /// Seed libtorch before.
    #[must_use]
    pub fn random(classes: usize, channels: usize, device: Device) -> Self {
        let (classes, channels) = (to_i64(classes), to_i64(channels));
        #[expect(clippy::cast_precision_loss, reason = "channels are few")]
        let bound = 1.0 / (channels as f64).sqrt();
        let uniform = |shape: &[i64]| {
            // On the CPU, so that a seed gives the same weights on every device.
            (Tensor::rand(shape, (Kind::Float, Device::Cpu)) * (2.0 * bound) - bound)
                .to_device(device)
        };
        Self { weights: uniform(&[classes, channels]), bias: uniform(&[classes]) }
    }

    /// Starts from the classifier itself: `W[r, c]` is the derivative of logit r by feature map c, summed
    /// over space and averaged over `features`; the bias is 0.
    ///
    /// Where the head is global average pooling and one linear layer this is that layer's weights, and the
    /// maps are those of CAM (Zhou et al. 2016). Elsewhere it is Grad-CAM's weighting, averaged.
    ///
    /// # Errors
    /// Returns [`AttentionError`] when the classifier's head fails.
    pub fn from_classifier(
        classifier: &Classifier,
        maps: &FeatureMaps,
        features: &Tensor,
    ) -> Result<Self, AttentionError> {
        let classes = to_i64(classifier.classes());
        let count = features.size()[0];
        let mut sum =
            Tensor::zeros([classes, to_i64(maps.channels)], (Kind::Float, features.device()));
        for index in 0..count {
            let single = features.narrow(0, index, 1);
            let parts: Vec<Tensor> = (0..classes)
                .step_by(usize::try_from(CLASSES_AT_ONCE).unwrap_or(1))
                .map(|first| gradients(classifier, maps.value, &single, first))
                .collect::<Result<_, _>>()?;
            sum += Tensor::cat(&parts, 0);
        }
        #[expect(clippy::cast_precision_loss, reason = "a handful of pictures")]
        let weights = sum / count as f64;
        let bias = Tensor::zeros([classes], (Kind::Float, weights.device()));
        Ok(Self { weights, bias })
    }

    /// Computes the raw maps of `classes` `[K]` for each picture: `[B, K, h, w]` from features `[B, C, h, w]`.
    ///
    /// # Errors
    /// Returns libtorch's error when shapes do not fit.
    pub fn class_maps(&self, features: &Tensor, classes: &Tensor) -> Result<Tensor, TchError> {
        let rows = self.weights.f_index_select(0, classes)?;
        let bias = self.bias.f_index_select(0, classes)?;
        let kernel = rows.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
        features.f_conv2d(&kernel, Some(&bias), [1, 1], [0, 0], [1, 1], 1)
    }

    /// Computes for each picture the raw map of its own class: `[B, 1, h, w]` from features `[B, C, h, w]`
    /// and classes `[B]`.
    ///
    /// # Errors
    /// Returns libtorch's error when shapes do not fit.
    pub fn own_maps(&self, features: &Tensor, classes: &Tensor) -> Result<Tensor, TchError> {
        let rows = self.weights.f_index_select(0, classes)?.f_unsqueeze(1)?;
        let bias = self.bias.f_index_select(0, classes)?.f_reshape([-1, 1, 1])?;
        let [batch, channels, height, width] = sides(features);
        let flat = features.f_reshape([batch, channels, height * width])?;
        rows.f_matmul(&flat)?.f_add(&bias)?.f_reshape([batch, 1, height, width])
    }

    /// Copies the weights without their history of gradients.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { weights: self.weights.detach().copy(), bias: self.bias.detach().copy() }
    }
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

fn sides(features: &Tensor) -> [i64; 4] {
    <[i64; 4]>::try_from(features.size()).unwrap_or([0; 4])
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
