//! Recipro-CAM (Byun and Lee 2023).
//!
//! For each cell of the grid, all feature maps are multiplied with a Gaussian of 3x3 cells about it, 0 elsewhere,
//! and the rest of the network is applied: the confidence in the class is the cell's value.

use tch::{Kind, Tensor};

use super::masked::MASKS_AT_ONCE;
use super::{Method, Pass};
use crate::evaluate::{EvaluateError, Explained};

/// The Gaussian along one axis, at distances of 0 and 1 cells: the paper's 3x3 kernel of 1/4, 1/8 and 1/16 is
/// its product with itself.
const GAUSSIAN: [f32; 2] = [0.5, 0.25];

pub(super) fn recipro_cam(model: &Explained, pass: &Pass) -> Result<Tensor, EvaluateError> {
    let (_, _, height, width) = pass.features.size4()?;
    let masks = masks(height, width)?.f_to_device(pass.features.device())?;
    let classifier = model.classifier();
    let at_once = i64::try_from(MASKS_AT_ONCE).unwrap_or(1);
    pass.one_by_one(Method::ReciproCam, |index, class| {
        let features = pass.features.f_narrow(0, index, 1)?;
        let class = i64::try_from(class).unwrap_or(0);
        let chunk = |masks: &Tensor| -> Result<Tensor, EvaluateError> {
            let feed = [(model.feature_maps(), &features.f_mul(masks)?)];
            let logits = classifier.graph().run(&feed, &[classifier.logits()])?.remove(0);
            Ok(logits.f_softmax(1, Kind::Float)?.f_select(1, class)?)
        };
        let cells = masks.f_split(at_once, 0)?.iter().map(chunk).collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::f_cat(&cells, 0)?.f_reshape([1, 1, height, width])?)
    })
}

/// Gives one mask a cell, row by row: `[h*w, 1, h, w]`.
fn masks(height: i64, width: i64) -> Result<Tensor, EvaluateError> {
    let along = |a: i64, b: i64| {
        let distance = usize::try_from(a.abs_diff(b)).unwrap_or(usize::MAX);
        GAUSSIAN.get(distance).copied().unwrap_or(0.0)
    };
    let cells = || (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
    let values: Vec<f32> = cells()
        .flat_map(|(row, column)| cells().map(move |(y, x)| along(y, row) * along(x, column)))
        .collect();
    Ok(Tensor::from_slice(&values).f_reshape([height * width, 1, height, width])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_gaussians_cut_at_the_border() {
        let masks = masks(3, 4).unwrap();
        let one = |index: i64| Vec::<f32>::try_from(&masks.get(index).reshape([12])).unwrap();
        let (quarter, eighth, sixteenth) = (0.25, 0.125, 0.0625);
        #[rustfmt::skip]
        assert_eq!(one(5), [
            sixteenth, eighth, sixteenth, 0.0,
            eighth, quarter, eighth, 0.0,
            sixteenth, eighth, sixteenth, 0.0,
        ]);
        assert_eq!(one(0)[..6], [quarter, eighth, 0.0, 0.0, eighth, sixteenth]);
    }
}
