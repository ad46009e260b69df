//! The blurred picture: a picture without the detail that classes are told by.

use tch::{Kind, TchError, Tensor};

/// RISE's kernel and standard deviation, in pixels of an input of 224 (Petsiuk et al. 2018).
const KERNEL: f64 = 11.0;
const SIGMA: f64 = 5.0;
const INPUT: f64 = 224.0;

/// Blurs pictures `[B, 3, H, W]` with a Gaussian that grows with the short side: 11 x 11, standard deviation 5
/// at 224 pixels. Beyond the border the border's pixels go on.
pub(super) fn blurred(pictures: &Tensor) -> Result<Tensor, TchError> {
    let (_, channels, height, width) = pictures.size4()?;
    let weights = weights(height.min(width));
    let radius = i64::try_from(weights.len() / 2).unwrap_or(0);
    let row = Tensor::from_slice(&weights).to_kind(Kind::Float).to_device(pictures.device());
    let row = row.f_reshape([1, 1, 1, -1])?.f_repeat([channels, 1, 1, 1])?;
    let column = row.f_transpose(2, 3)?;
    let padded = pictures.f_pad([radius; 4], "replicate", None)?;
    let none = None::<Tensor>;
    padded.f_conv2d(&row, none.as_ref(), [1, 1], [0, 0], [1, 1], channels)?.f_conv2d(
        &column,
        none.as_ref(),
        [1, 1],
        [0, 0],
        [1, 1],
        channels,
    )
}

/// Gives an odd number of weights that sum to 1, along one axis.
fn weights(side: i64) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a side of a picture")]
    let scale = side as f64 / INPUT;
    #[expect(clippy::cast_possible_truncation, reason = "a fraction of a side")]
    let radius = ((KERNEL * scale - 1.0) / 2.0).round().max(1.0) as i32;
    let weight = |offset: i32| (-0.5 * (f64::from(offset) / (SIGMA * scale)).powi(2)).exp();
    let weights: Vec<f64> = (-radius..=radius).map(weight).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_grows_with_the_picture() {
        assert_eq!([32, 224, 299, 448].map(|side| weights(side).len()), [3, 11, 15, 23]);
        assert!((weights(224).iter().sum::<f64>() - 1.0).abs() < 1e-12);
        // The kernel ends one standard deviation from its middle.
        let at_224 = weights(224);
        assert!((at_224[0] / at_224[5] - (-0.5f64).exp()).abs() < 1e-12);
    }

    #[test]
    fn one_colour_stays_as_it_is() {
        let flat = Tensor::full([1, 3, 20, 30], 0.25, (Kind::Float, tch::Device::Cpu));
        let difference = (blurred(&flat).unwrap() - &flat).abs().max().double_value(&[]);
        assert!(difference < 1e-6, "{difference}");
    }
}
