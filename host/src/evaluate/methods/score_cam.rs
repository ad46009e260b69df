//! Score-CAM (Wang et al. 2020).
//!
//! Each feature map is upsampled bilinearly and scaled to 0..=1 (a constant one to 0), and the picture times it
//! is classified. The softmax over the channels of the class's logits weights the feature maps; what the paper
//! takes off each logit, that of a black picture, a softmax does not feel. The weighted sum is cut at 0.

use tch::{Kind, Tensor};

use super::masked::{MASKS_AT_ONCE, logits_behind};
use super::{Method, Pass};
use crate::evaluate::{EvaluateError, Explained};

pub(super) fn score_cam(model: &Explained, pass: &Pass) -> Result<Tensor, EvaluateError> {
    pass.one_by_one(Method::ScoreCam, |index, class| {
        let features = pass.features.f_narrow(0, index, 1)?;
        let pixels = pass.pixels.f_narrow(0, index, 1)?;
        let weights = weights(&scores(model, &pixels, &features, class)?)?;
        let weighted = features.f_mul(&weights.f_reshape([1, -1, 1, 1])?)?;
        Ok(weighted.f_sum_dim_intlist([1i64].as_slice(), true, Kind::Float)?.f_relu()?)
    })
}

/// Gives the class's logit behind each feature map, `[C]`.
fn scores(
    model: &Explained,
    pixels: &Tensor,
    features: &Tensor,
    class: usize,
) -> Result<Tensor, EvaluateError> {
    let (_, _, height, width) = pixels.size4()?;
    let planes = features.f_transpose(0, 1)?;
    let class = i64::try_from(class).unwrap_or(0);
    let at_once = i64::try_from(MASKS_AT_ONCE).unwrap_or(1);
    let chunk = |planes: &Tensor| -> Result<Tensor, EvaluateError> {
        let large = planes.f_upsample_bilinear2d([height, width], false, None, None)?;
        Ok(logits_behind(model, pixels, &unit(&large)?)?.f_select(1, class)?)
    };
    let scores = planes.f_split(at_once, 0)?.iter().map(chunk).collect::<Result<Vec<_>, _>>()?;
    Ok(Tensor::f_cat(&scores, 0)?)
}

/// Scales each plane to 0..=1.
fn unit(planes: &Tensor) -> Result<Tensor, EvaluateError> {
    let space = [2i64, 3];
    let low = planes.f_amin(space, true)?;
    let range = planes.f_amax(space, true)?.f_sub(&low)?;
    Ok(planes.f_sub(&low)?.f_div(&range.f_clamp_min(f64::from(f32::MIN_POSITIVE))?)?)
}

fn weights(scores: &Tensor) -> Result<Tensor, EvaluateError> {
    Ok(scores.f_softmax(0, Kind::Float)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_shares_that_favour_high_scores() {
        let weights = weights(&Tensor::from_slice(&[1.0f32, 3.0, 1.0, -40.0])).unwrap();
        assert!((weights.sum(Kind::Float).double_value(&[]) - 1.0).abs() < 1e-6);
        // e^3 / (e^3 + 2 e)
        assert!((weights.double_value(&[1]) - 0.786_986).abs() < 1e-5);
    }

    #[test]
    fn planes_reach_from_0_to_1_and_constant_ones_vanish() {
        let planes = Tensor::from_slice(&[-1.0f32, 3.0, 0.0, 1.0, 5.0, 5.0, 5.0, 5.0]);
        let unit = unit(&planes.reshape([2, 1, 2, 2])).unwrap().reshape([8]);
        let values = Vec::<f32>::try_from(&unit).unwrap();
        assert_eq!(values, [0.0, 1.0, 0.25, 0.5, 0.0, 0.0, 0.0, 0.0]);
    }
}
