//! Weights whose products fit in 16 bits, two by two.
//!
//! Processors of x86-64 without VNNI multiply 8-bit numbers by `vpmaddubsw`: it multiplies uint8 by int8, and adds each two
//! neighbours' products in 16 bits, cutting off what does not fit. ONNX Runtime's kernels (MLAS) rely on it, so that a file of
//! full int8 weights answers otherwise there than elsewhere. Nothing is cut off where two neighbours' weights of one sign
//! come to no more than [`MOST`], since `255 * 128 < 2^15`. That costs less than a range of 7 bits for all weights, the usual
//! remedy (`reduce_range`).
//!
//! Neighbours are weights of an output channel at the places 2 i and 2 i + 1 of the order row, column, input channel: the order
//! of the sums in a product of matrices. A depthwise convolution adds up in 32 bits, and has none.

use lcam_models::onnx::NodeProto;
use tch::Tensor;

use super::QuantizeError;
use crate::export::values;

/// The most that two neighbours of one sign may come to.
pub(super) const MOST: f32 = 128.0;
/// The same before both are rounded, each by half a step at most.
const MOST_EXACT: f32 = MOST - 1.0;

/// Gives the place of each weight's neighbour among the weights of an output channel, both in the layout of `weights`; one without a
/// neighbour is its own. `None` for a layer that has none.
pub(super) fn partners(node: &NodeProto, weights: &Tensor) -> Option<Vec<i64>> {
    let [depth, height, width] = match weights.size()[..] {
        [_, depth, height, width] if node.op_type() == "Conv" && depth > 1 => {
            [depth, height, width]
        }
        [rows, columns] if node.op_type() != "Conv" => {
            let transposed = node.attribute.iter().any(|a| a.name() == "transB" && a.i() == 1);
            [if transposed { columns } else { rows }, 1, 1]
        }
        _ => return None,
    };
    let size = depth * height * width;
    let partner = |place: i64| {
        let (channel, position) = (place / (height * width), place % (height * width));
        let neighbour = (position * depth + channel) ^ 1;
        if neighbour >= size {
            return place;
        }
        neighbour % depth * height * width + neighbour / depth
    };
    Some((0..size).map(partner).collect())
}

/// Gives the least width of steps of each output channel with which neighbours fit; 0 for a layer without any.
///
/// # Errors
/// Returns [`QuantizeError`] when the weights cannot be read.
pub(super) fn least_steps(
    node: &NodeProto,
    weights: &Tensor,
    axis: usize,
) -> Result<Vec<f32>, QuantizeError> {
    let channels = usize::try_from(weights.size()[axis]).unwrap_or(0);
    let mut least = vec![0.0f32; channels];
    let Some(partners) = partners(node, weights) else { return Ok(least) };
    let rows = if axis == 0 { weights.shallow_clone() } else { weights.f_transpose(0, 1)? };
    let rows = values(&rows.f_contiguous()?)?;
    for (row, least) in rows.chunks_exact(partners.len().max(1)).zip(&mut least) {
        for (place, &weight) in row.iter().enumerate() {
            let other = usize::try_from(partners[place]).unwrap_or(place);
            let other = if other == place { 0.0 } else { row[other] };
            let together =
                (weight.max(0.0) + other.max(0.0)).max(-weight.min(0.0) - other.min(0.0));
            *least = least.max(together / MOST_EXACT);
        }
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::nodes::{int, node};

    #[test]
    fn neighbours_follow_each_other_channel_by_channel() {
        let layer = node("Conv", &["x", "w"], "y");
        let kind = (tch::Kind::Float, tch::Device::Cpu);
        // One position: channels 0 and 1, 2 and 3, 4 alone.
        let pointwise = partners(&layer, &Tensor::zeros([2, 5, 1, 1], kind));
        assert_eq!(pointwise, Some(vec![1, 0, 3, 2, 4]));
        // Three channels at two positions: c0 c1 | c2 c0' | c1' c2'; the layout is c0 c0' c1 c1' c2 c2'.
        let odd = partners(&layer, &Tensor::zeros([2, 3, 1, 2], kind));
        assert_eq!(odd, Some(vec![2, 4, 0, 5, 1, 3]));
        assert_eq!(partners(&layer, &Tensor::zeros([2, 1, 3, 3], kind)), None);
        let mut dense = node("Gemm", &["x", "w"], "y");
        assert_eq!(partners(&dense, &Tensor::zeros([4, 2], kind)), Some(vec![1, 0, 3, 2]));
        dense.attribute = vec![int("transB", 1)];
        assert_eq!(partners(&dense, &Tensor::zeros([4, 2], kind)), Some(vec![1, 0]));
    }

    #[test]
    fn steps_are_wide_enough_for_two_of_one_sign() {
        let layer = node("Conv", &["x", "w"], "y");
        let weights = Tensor::from_slice(&[1.27f32, 1.27, 1.27, -1.27, 0.0, -1.27, 0.5, -0.5]);
        let least = least_steps(&layer, &weights.reshape([2, 4, 1, 1]), 0).unwrap();
        assert_eq!(least, [2.0 * 1.27 / 127.0, 1.27 / 127.0]);
    }
}
