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
    /// Gives what is seen in the place of each of the pictures `[B, 3, H, W]`; `None` for black. A picture that is alone
    /// has no other.
    ///
    /// # Errors
    /// Returns libtorch's error when there is no room.
    pub fn instead(self, pixels: &Tensor) -> Result<Option<Tensor>, TchError> {
        let others = || pixels.f_roll([1i64], [0i64]);
        (self == Self::Other && pixels.size()[0] > 1).then(others).transpose()
    }
}

/// Gives pixels `[B, 3, H, W]` in 0..=1 times masks `[B, 1, H, W]`, with `instead` where the masks are 0, or black.
///
/// # Errors
/// Returns libtorch's error when shapes do not fit.
pub fn masked(
    pixels: &Tensor,
    masks: &Tensor,
    instead: Option<&Tensor>,
) -> Result<Tensor, TchError> {
    let kept = pixels.f_mul(masks)?;
    match instead {
        None => Ok(kept),
        Some(instead) => kept.f_add(&instead.f_mul(&masks.f_neg()?.f_add_scalar(1.0)?)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_pixels_show_another_picture_or_nothing() {
        let pixels = Tensor::from_slice(&[0.2f32, 0.8]).reshape([2, 1, 1, 1]);
        let mask = Tensor::from_slice(&[0.5f32, 0.0]).reshape([2, 1, 1, 1]);
        let filled = |fill: Fill, pixels: &Tensor| -> Vec<f32> {
            let instead = fill.instead(pixels).unwrap();
            let mask = mask.narrow(0, 0, pixels.size()[0]);
            Vec::try_from(masked(pixels, &mask, instead.as_ref()).unwrap().reshape([-1])).unwrap()
        };
        assert_eq!(filled(Fill::Black, &pixels), [0.1, 0.0]);
        assert_eq!(filled(Fill::Other, &pixels), [0.5, 0.2]);
        assert_eq!(filled(Fill::Other, &pixels.narrow(0, 0, 1)), [0.1], "alone: black");
    }
}
