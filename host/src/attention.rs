//! The attention mechanism: from feature maps to class maps.
//!
//! Of one layer, as in the paper (Gkartzonika, Gkalelis, Mezaris, "Learning Visual Explanations for DCNN-Based
//! Image Classifiers Using an Attention Mechanism"), a 1x1 convolution: `c[r] = W[r] F + b[r]`, with `F` the
//! `C x h x w` feature maps and one row of `W` a class. Of several layers, their sum at the finest grid:
//!
//! ```text
//! c[r] = sum over layers l of upsample(W_l[r] A_l) + b[r],    A_l = F_l  or  ReLU(K_l F_l + k_l)
//! ```
//!
//! and, where the mechanism has an activation, the sigmoid of that. A row commutes with the bilinear upsampling, so each layer is weighted at its own grid.

mod start;

use lcam_models::metadata::Activation;
use tch::{TchError, Tensor};

use crate::graph::RunError;
use crate::layers::Layers;
use crate::random::generator;

pub use start::{adapted_channels, classifier_rows, uniform};

/// Weights and bias of the attention mechanism.
#[derive(Debug)]
pub struct Attention {
    /// The layers, from the finest grid to the last stage's.
    pub layers: Vec<Layer>,
    /// `[classes]`.
    pub bias: Tensor,
    /// What makes the maps of the sums.
    pub activation: Activation,
}

/// What is read off one layer's feature maps.
#[derive(Debug)]
pub struct Layer {
    /// What comes before the rows; `None` where they weight the feature maps themselves.
    pub adapter: Option<Adapter>,
    /// `[classes, channels]`; channels of the adapter, where there is one.
    pub rows: Tensor,
}

/// A 1x1 convolution and a ReLU, the same for all classes.
#[derive(Debug)]
pub struct Adapter {
    /// `[channels out, channels in]`.
    pub weights: Tensor,
    /// `[channels out]`.
    pub bias: Tensor,
}

/// The weights could not be read off a classifier.
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

impl Attention {
    /// Takes the rows `[classes, channels]` and the bias `[classes]` of a single layer.
    #[must_use]
    pub fn single(rows: Tensor, bias: Tensor) -> Self {
        Self { layers: vec![Layer { adapter: None, rows }], bias, activation: Activation::None }
    }

    /// Draws all weights as [`uniform`] does, on the CPU.
    #[must_use]
    pub fn random(classes: usize, layers: &Layers, seed: u64) -> Self {
        let mut random = generator(seed, 0, 0);
        let mut drawn = Vec::new();
        for (maps, width) in layers.iter().zip(adapted_channels(layers)) {
            let inputs = maps.channels;
            let adapter = width.map(|outputs| Adapter {
                weights: uniform(&[outputs, inputs], inputs, &mut random),
                bias: uniform(&[outputs], inputs, &mut random),
            });
            let channels = width.unwrap_or(inputs);
            drawn.push(Layer {
                adapter,
                rows: uniform(&[classes, channels], channels, &mut random),
            });
        }
        let bias = uniform(&[classes], layers.deepest.channels, &mut random);
        // What the default recipe trains.
        let activation =
            if layers.finer.is_empty() { Activation::None } else { Activation::Sigmoid };
        Self { layers: drawn, bias, activation }
    }

    /// Computes the maps of `classes` `[K]` for each picture, `[B, K, h, w]` at the finest grid, from the
    /// feature maps `[B, C, h, w]` of each layer.
    ///
    /// # Errors
    /// Returns libtorch's error when shapes do not fit.
    pub fn class_maps(&self, features: &[Tensor], classes: &Tensor) -> Result<Tensor, TchError> {
        let bias = self.bias.f_index_select(0, classes)?.f_reshape([1, -1, 1, 1])?;
        self.sum(features, &bias, |layer, features| {
            let rows = layer.rows.f_index_select(0, classes)?;
            let kernel = rows.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
            features.f_conv2d(&kernel, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1)
        })
    }

    /// Computes for each picture the map of its own class, `[B, 1, h, w]` at the finest grid, from the
    /// feature maps `[B, C, h, w]` of each layer and classes `[B]`.
    ///
    /// # Errors
    /// Returns libtorch's error when shapes do not fit.
    pub fn own_maps(&self, features: &[Tensor], classes: &Tensor) -> Result<Tensor, TchError> {
        let bias = self.bias.f_index_select(0, classes)?.f_reshape([-1, 1, 1, 1])?;
        self.sum(features, &bias, |layer, features| {
            let [batch, channels, height, width] = sides(features);
            let flat = features.f_reshape([batch, channels, height * width])?;
            let rows = layer.rows.f_index_select(0, classes)?.f_unsqueeze(1)?;
            rows.f_matmul(&flat)?.f_reshape([batch, 1, height, width])
        })
    }

    /// Copies the weights without their history of gradients.
    #[must_use]
    pub fn detached(&self) -> Self {
        let copy = |tensor: &Tensor| tensor.detach().copy();
        let layer = |layer: &Layer| Layer {
            adapter: layer.adapter.as_ref().map(|adapter| Adapter {
                weights: copy(&adapter.weights),
                bias: copy(&adapter.bias),
            }),
            rows: copy(&layer.rows),
        };
        Self {
            layers: self.layers.iter().map(layer).collect(),
            bias: copy(&self.bias),
            activation: self.activation,
        }
    }

    /// Adds up what `weigh` makes of each layer's adapted feature maps.
    fn sum(
        &self,
        features: &[Tensor],
        bias: &Tensor,
        weigh: impl Fn(&Layer, &Tensor) -> Result<Tensor, TchError>,
    ) -> Result<Tensor, TchError> {
        let finest = features.iter().map(|maps| [sides(maps)[2], sides(maps)[3]]).max();
        let mut total = bias.shallow_clone();
        for (layer, features) in self.layers.iter().zip(features) {
            let map = weigh(layer, &layer.adapt(features)?)?;
            total = total.f_add(&upsample(&map, finest.unwrap_or_default())?)?;
        }
        match self.activation {
            Activation::None => Ok(total),
            Activation::Sigmoid => total.f_sigmoid(),
        }
    }
}

impl Layer {
    /// Gives the feature maps `[B, C, h, w]` as the rows weight them.
    ///
    /// # Errors
    /// Returns libtorch's error when shapes do not fit.
    pub fn adapt(&self, features: &Tensor) -> Result<Tensor, TchError> {
        let Some(Adapter { weights, bias }) = &self.adapter else {
            return Ok(features.shallow_clone());
        };
        let kernel = weights.f_unsqueeze(-1)?.f_unsqueeze(-1)?;
        features.f_conv2d(&kernel, Some(bias), [1, 1], [0, 0], [1, 1], 1)?.f_relu()
    }
}

/// Upsamples maps `[B, K, h, w]` bilinearly with half-pixel centres, as
/// [`lcam_models::map::ExplanationMap::upsample`] does.
///
/// # Errors
/// Returns libtorch's error when there is no room.
pub fn upsample(maps: &Tensor, size: [i64; 2]) -> Result<Tensor, TchError> {
    if maps.size()[2..] == size {
        return Ok(maps.shallow_clone());
    }
    maps.f_upsample_bilinear2d(size, false, None, None)
}

fn sides(features: &Tensor) -> [i64; 4] {
    <[i64; 4]>::try_from(features.size()).unwrap_or([0; 4])
}
