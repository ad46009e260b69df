//! Insertion and deletion (Petsiuk et al. 2018): the confidence while pixels come or go, the highest first.
//!
//! Deletion turns pixels black; insertion uncovers them on the blurred picture. Both in equal steps, with both
//! ends; the area under the curve is taken by the trapezoid rule, over 0..=1.

use tch::{Kind, TchError, Tensor};

use super::ranking::pixels;
use super::{Maps, Subject};
use crate::evaluate::EvaluateError;

/// In how many equal steps all pixels come or go, as a rule: enough for a mean over pictures, of which a curve
/// of 224 steps would take 14 times as long.
pub(super) const STEPS: usize = 16;

/// The curves of each picture, `steps + 1` confidences each.
#[derive(Debug)]
pub(super) struct Curves {
    pub(super) deletion: Vec<Vec<f64>>,
    pub(super) insertion: Vec<Vec<f64>>,
}

/// Measures both curves.
pub(super) fn measure(
    subject: &Subject,
    maps: &Maps,
    steps: usize,
) -> Result<Curves, EvaluateError> {
    // What no method can change is measured once a picture.
    let first = |values: &[f64]| values.iter().map(|&value| vec![value]).collect::<Vec<_>>();
    let mut deletion = first(subject.clean());
    let mut insertion = first(subject.confidences_of_blurred()?);
    for step in 1..steps {
        #[expect(clippy::cast_precision_loss, reason = "a handful of steps")]
        let count = pixels(maps.pixels(), step as f64 / steps as f64);
        let highest = highest(maps, count)?;
        let deleted = subject.pixels().f_mul(&highest.f_neg()?.f_add_scalar(1.0)?)?;
        push(&mut deletion, &subject.confidences(&deleted)?);
        let inserted = subject.blurred().f_lerp_tensor(subject.pixels(), &highest)?;
        push(&mut insertion, &subject.confidences(&inserted)?);
    }
    push(&mut deletion, subject.confidences_of_black()?);
    push(&mut insertion, subject.clean());
    Ok(Curves { deletion, insertion })
}

/// Marks the highest pixels with 1, `[B, 1, H, W]`.
fn highest(maps: &Maps, count: usize) -> Result<Tensor, TchError> {
    maps.ranks.f_lt(i64::try_from(count).unwrap_or(i64::MAX))?.f_to_kind(Kind::Float)
}

fn push(curves: &mut [Vec<f64>], values: &[f64]) {
    for (curve, &value) in curves.iter_mut().zip(values) {
        curve.push(value);
    }
}

/// Gives the area under a curve of equal steps from 0 to 1, by the trapezoid rule; nothing for less than two
/// points.
#[must_use]
pub fn area(curve: &[f64]) -> Option<f64> {
    let steps = curve.len().checked_sub(1).filter(|&steps| steps > 0)?;
    #[expect(clippy::cast_precision_loss, reason = "a handful of steps")]
    let width = 1.0 / steps as f64;
    Some(curve.windows(2).map(|pair| width * f64::midpoint(pair[0], pair[1])).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_that_of_trapezoids() {
        assert!((area(&[1.0, 0.5, 0.0]).unwrap() - 0.5).abs() < 1e-12);
        assert!((area(&[0.0, 0.0, 1.0, 1.0]).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(area(&[1.0]), None);
    }
}
