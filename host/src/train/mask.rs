//! What is done to a raw map before it masks: the sigmoid of the paper, or what an evaluation does.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

/// How raw maps become masks in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MaskKind {
    /// The sigmoid of the raw map, as in the paper.
    Sigmoid,
    /// The map between its least and its largest value, of which a share of the pixels is kept: what a user of
    /// the map sees, and what average drop and increase in confidence measure.
    MinMax,
}

/// Scales each map `[B, 1, h, w]` to 0..=1 by its least and largest value. A constant map becomes 0.
///
/// # Errors
/// Returns libtorch's error when there is no room.
pub fn min_max(maps: &Tensor) -> Result<Tensor, TchError> {
    /// Keeps the slope of a nearly constant map finite.
    const LEAST_RANGE: f64 = 1e-6;
    let axes = [2i64, 3];
    let low = maps.f_amin(axes.as_slice(), true)?;
    let range = maps.f_amax(axes.as_slice(), true)?.f_sub(&low)?;
    maps.f_sub(&low)?.f_div(&range.f_add_scalar(LEAST_RANGE)?)
}

/// Keeps the values of the highest pixels of each mask `[B, 1, H, W]`, as large a share of them as `shares` has for it (above
/// 0, at most 1), and of those that are equal to the least of them, and sets the rest to 0.
///
/// # Errors
/// Returns libtorch's error when there is no room or a mask has no share.
pub fn keep_highest(masks: &Tensor, shares: &[f64]) -> Result<Tensor, TchError> {
    let flat = masks.f_detach()?.f_flatten(1, 3)?;
    let pixels = flat.size()[1];
    let least = |(&share, mask): (&f64, i64)| {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a share of a number of pixels"
        )]
        let count = ((pixels as f64 * share).round() as i64).clamp(1, pixels);
        Ok(flat.f_select(0, mask)?.f_kthvalue(pixels - count + 1, 0, false)?.0)
    };
    let least = shares.iter().zip(0..).map(least).collect::<Result<Vec<_>, TchError>>()?;
    let kept = masks.f_ge_tensor(&Tensor::f_stack(&least, 0)?.f_reshape([-1, 1, 1, 1])?)?;
    masks.f_mul(&kept.f_to_kind(masks.kind())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_each_map_by_itself() {
        let maps = Tensor::from_slice(&[1.0f32, 3.0, -2.0, 0.0, 5.0, 5.0]).reshape([3, 1, 1, 2]);
        let scaled: Vec<f32> = Vec::try_from(min_max(&maps).unwrap().reshape([-1])).unwrap();
        let expected = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0];
        let near = scaled.iter().zip(expected).all(|(found, wanted)| (found - wanted).abs() < 1e-5);
        assert!(near, "{scaled:?}");
    }

    #[test]
    fn keeps_the_highest_pixels() {
        let mask = Tensor::from_slice(&[0.1f32, 0.9, 0.5, 0.7]).reshape([1, 1, 2, 2]);
        let masks = mask.repeat([3, 1, 1, 1]);
        let kept = keep_highest(&masks, &[0.5, 0.1, 1.0]).unwrap().reshape([3, -1]);
        let kept: Vec<Vec<f32>> = Vec::try_from(kept).unwrap();
        assert_eq!(kept[0], [0.0, 0.9, 0.0, 0.7]);
        assert_eq!(kept[1], [0.0, 0.9, 0.0, 0.0]);
        assert_eq!(kept[2], [0.1, 0.9, 0.5, 0.7]);
    }
}
