//! RISE (Petsiuk et al. 2018).
//!
//! A mask is a grid of 7x7 cells, each open with a probability of one half, upsampled bilinearly to 8 cells'
//! worth of pixels in either direction and cut to the picture's size at a random place. With `f` the class's
//! confidence, `I` the picture and N masks,
//!
//! ```text
//! map = 1 / (p N) * sum f(I * M) M
//! ```
//!
//! The masks are the same for every picture; mask k depends on the seed and k alone.

use rand::RngExt;
use tch::{Kind, Tensor};

use super::masked::{MASKS_AT_ONCE, logits_behind};
use super::{Method, Pass};
use crate::evaluate::{EvaluateError, Explained};
use crate::random::generator;

/// Cells of the grid along one side, as in the paper for pictures of 224 x 224.
const CELLS: i64 = 7;

/// The probability that a cell is open: the paper's.
const OPEN: f64 = 0.5;

/// The stream of random choices that the masks belong to.
const MASKS: u64 = u64::MAX;

pub(super) fn rise(model: &Explained, pass: &Pass) -> Result<Tensor, EvaluateError> {
    let (_, _, height, width) = pass.pixels.size4()?;
    pass.one_by_one(Method::Rise, |index, class| {
        let pixels = pass.pixels.f_narrow(0, index, 1)?;
        let class = i64::try_from(class).unwrap_or(0);
        let mut sum = Tensor::f_zeros([1, height * width], (Kind::Float, pixels.device()))?;
        for first in (0..pass.rise_masks).step_by(MASKS_AT_ONCE) {
            let numbers = first..pass.rise_masks.min(first + MASKS_AT_ONCE);
            let masks = masks(pass.seed, numbers, height, width)?.f_to_device(pixels.device())?;
            let logits = logits_behind(model, &pixels, &masks)?;
            let confidences = logits.f_softmax(1, Kind::Float)?.f_narrow(1, class, 1)?;
            let weighted = confidences.f_transpose(0, 1)?.f_matmul(&masks.f_flatten(1, -1)?)?;
            sum = sum.f_add(&weighted)?;
        }
        #[expect(clippy::cast_precision_loss, reason = "thousands of masks")]
        let expected = OPEN * pass.rise_masks as f64;
        Ok(sum.f_div_scalar(expected)?.f_reshape([1, 1, height, width])?)
    })
}

/// Gives some of the masks, `[n, 1, H, W]`, each value 0 to 1.
fn masks(
    seed: u64,
    numbers: std::ops::Range<usize>,
    height: i64,
    width: i64,
) -> Result<Tensor, EvaluateError> {
    let cell = [height, width].map(|side| (side + CELLS - 1) / CELLS);
    let full = cell.map(|side| (CELLS + 1) * side);
    let cell_count = usize::try_from(CELLS * CELLS).unwrap_or(0);
    let mask = |number: usize| -> Result<Tensor, EvaluateError> {
        let mut random = generator(seed, MASKS, number as u64);
        let open = || if random.random_bool(OPEN) { 1.0f32 } else { 0.0 };
        let cells: Vec<f32> = std::iter::repeat_with(open).take(cell_count).collect();
        let [top, left] = cell.map(|side| random.random_range(0..side));
        let grid = Tensor::from_slice(&cells).f_reshape([1, 1, CELLS, CELLS])?;
        let large = grid.f_upsample_bilinear2d(full, false, None, None)?;
        Ok(large.f_narrow(2, top, height)?.f_narrow(3, left, width)?)
    };
    let masks = numbers.map(mask).collect::<Result<Vec<_>, _>>()?;
    Ok(Tensor::f_cat(&masks, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_half_open_and_follow_the_seed() {
        let some = masks(3, 0..400, 30, 45).unwrap();
        assert_eq!(some.size(), [400, 1, 30, 45]);
        let (low, high) = (some.min().double_value(&[]), some.max().double_value(&[]));
        assert!((0.0..0.05).contains(&low) && (0.95..=1.0).contains(&high), "{low} to {high}");
        // A mask's mean varies by about 0.5 / 7, so that of 400 by 0.004.
        let mean = some.mean(Kind::Float).double_value(&[]);
        assert!((mean - OPEN).abs() < 0.015, "{mean}");
        // At each pixel, too: 0.5 / sqrt(400) at most, five times over.
        let away = (some.mean_dim([0i64].as_slice(), false, Kind::Float) - OPEN).abs().max();
        assert!(away.double_value(&[]) < 0.125, "{away:?}");
        assert_eq!(masks(3, 7..9, 30, 45).unwrap(), some.narrow(0, 7, 2));
        assert_ne!(masks(4, 7..9, 30, 45).unwrap(), some.narrow(0, 7, 2));
    }
}
