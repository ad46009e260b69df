//! What takes the place of removed pixels.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

/// What is seen where a picture is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// Nothing, as in the paper.
    Black,
    /// Another picture of the batch: what is left must be evidence by itself, and not by its outline.
    Other,
}

impl Fill {
    /// Gives pixels `[B, 3, H, W]` in 0..=1 times masks `[B, 1, H, W]`, filled up.
    ///
    /// # Errors
    /// Returns libtorch's error when shapes do not fit.
    pub fn masked(self, pixels: &Tensor, masks: &Tensor) -> Result<Tensor, TchError> {
        let kept = pixels.f_mul(masks)?;
        match self {
            Self::Black => Ok(kept),
            Self::Other => {
                let rest = masks.f_neg()?.f_add_scalar(1.0)?;
                kept.f_add(&pixels.f_roll([1i64], [0i64])?.f_mul(&rest)?)
            }
        }
    }
}
