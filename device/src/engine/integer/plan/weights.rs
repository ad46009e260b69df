//! The weights and biases of a layer, as a file holds them.

use lcam_models::onnx::{ElementType, NodeProto, TensorProto};

use super::super::grid::Grid;
use super::super::kernels::MOST_DEPTH;
use super::super::steps::{Rescale, Steps};
use super::super::wiring::Wiring;

/// Weights in int8, symmetric around 0, with a scale for each output.
#[derive(Debug)]
pub(super) struct Weights {
    /// [output][...], as the file has them.
    pub(super) values: Vec<i8>,
    /// The shape, the outputs first.
    pub(super) shape: Vec<usize>,
    scales: Vec<f32>,
    /// In steps of the sum, one an output.
    bias: Vec<i32>,
}

/// Tells whether a layer's weights are 8-bit constants.
pub(super) fn has_weights(node: &NodeProto, wiring: &Wiring<'_>) -> bool {
    let Some(widener) = node.input.get(1).and_then(|name| wiring.maker(name)) else { return false };
    let integers = widener.input.first().and_then(|name| wiring.constant(name));
    widener.op_type() == "DequantizeLinear"
        && integers.is_some_and(|tensor| {
            matches!(tensor.element_type(), Ok(ElementType::I8 | ElementType::U8))
        })
}

impl Weights {
    /// Reads a layer's weights and bias; `None` where they are not symmetric int8, or do not fit together.
    pub(super) fn read(node: &NodeProto, wiring: &Wiring<'_>, input: &Grid) -> Option<Self> {
        let widener = wiring.maker(node.input.get(1)?)?;
        let tensor = wiring.constant(widener.input.first()?)?;
        let mut shape = tensor.shape().ok()?;
        let outputs_last = match node.op_type() {
            "MatMul" => true,
            "Gemm" => attribute(node, "transB").unwrap_or(0) == 0,
            _ => false,
        };
        if shape.len() < 2 || (outputs_last && shape.len() != 2) {
            return None;
        }
        let axis = usize::from(outputs_last);
        let outputs = shape[axis];
        let scales = scales(widener, wiring, (axis, shape.len(), outputs))?;
        let zeros = zeros(widener, wiring, outputs)?;
        let mut values = tensor.to_i64().ok()?;
        if outputs_last {
            values = transposed(&values, shape[0], outputs);
            shape.swap(0, 1);
        }
        let depth: usize = shape[1..].iter().product();
        if depth == 0 || depth > MOST_DEPTH || outputs == 0 {
            return None;
        }
        let rows = values.chunks_exact(depth).zip(&zeros);
        let values = rows.flat_map(|(row, zero)| row.iter().map(move |value| value - zero));
        let values = values.map(|value| i8::try_from(value).ok()).collect::<Option<Vec<i8>>>()?;
        let bias = bias(node, wiring, &Sums { scales: &scales, input: input.scale })?;
        Some(Self { values, shape, scales, bias })
    }

    /// Gives how sums of products with steps of the input become steps of the output.
    pub(super) fn rescale(&self, input: &Grid, output: &Grid) -> Option<Rescale> {
        self.scaled(input, output.scale.into(), output.steps)
    }

    /// Gives how sums become values in floating point.
    pub(super) fn widening(&self, input: &Grid) -> Option<Rescale> {
        self.scaled(input, 1.0, Steps { zero: 0, low: i8::MIN, high: i8::MAX })
    }

    fn scaled(&self, input: &Grid, output: f64, steps: Steps) -> Option<Rescale> {
        let depth = self.values.len() / self.scales.len();
        let rows = self.values.chunks_exact(depth);
        let sums = rows.map(|row| row.iter().fold(0_i32, |sum, &w| sum.wrapping_add(w.into())));
        let zero = i32::from(input.steps.zero);
        let bias =
            sums.zip(&self.bias).map(|(sum, &bias)| bias.wrapping_sub(zero.wrapping_mul(sum)));
        #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is asked for")]
        let scale = |scale: &f32| (f64::from(input.scale) * f64::from(*scale) / output) as f32;
        let scale: Vec<f32> = self.scales.iter().map(scale).collect();
        let usable = scale.iter().all(|scale| scale.is_finite());
        usable.then(|| Rescale { bias: bias.collect(), scale, steps })
    }
}

/// Gives an integer attribute.
pub(super) fn attribute(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|attribute| attribute.name() == name).map(|attribute| attribute.i())
}

/// Reads the scales, one an output.
fn scales(
    widener: &NodeProto,
    wiring: &Wiring<'_>,
    (axis, rank, outputs): (usize, usize, usize),
) -> Option<Vec<f32>> {
    if widener.attribute.iter().any(|attribute| attribute.name() == "block_size") {
        return None;
    }
    let tensor = wiring.constant(widener.input.get(1)?)?;
    let scales = tensor.to_f32().ok().filter(|_| tensor.element_type() == Ok(ElementType::F32))?;
    if !scales.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
        return None;
    }
    if let [scale] = scales[..] {
        return Some(vec![scale; outputs]);
    }
    let rank = i64::try_from(rank).ok()?;
    let along = attribute(widener, "axis").unwrap_or(1);
    let along = if along < 0 { along + rank } else { along };
    (scales.len() == outputs && along == i64::try_from(axis).ok()?).then_some(scales)
}

fn zeros(widener: &NodeProto, wiring: &Wiring<'_>, outputs: usize) -> Option<Vec<i64>> {
    let name = widener.input.get(2).map_or("", String::as_str);
    if name.is_empty() {
        return Some(vec![0; outputs]);
    }
    let zeros = wiring.constant(name)?.to_i64().ok()?;
    match zeros[..] {
        [zero] => Some(vec![zero; outputs]),
        _ => (zeros.len() == outputs).then_some(zeros),
    }
}

fn transposed(values: &[i64], rows: usize, columns: usize) -> Vec<i64> {
    let column = |column: usize| (0..rows).map(move |row| values[row * columns + column]);
    (0..columns).flat_map(column).collect()
}

/// What sums of products are counted in.
struct Sums<'a> {
    scales: &'a [f32],
    input: f32,
}

/// The largest difference, relative, of a bias's scale from that of the sum it is added to: the one is a product rounded
/// to f32, the other may be one of rounded numbers.
const SCALE_TOLERANCE: f64 = 1e-5;

/// Reads the bias in steps of the sums. A bias in floating point is rounded to them.
fn bias(node: &NodeProto, wiring: &Wiring<'_>, sums: &Sums<'_>) -> Option<Vec<i32>> {
    let outputs = sums.scales.len();
    let Some(name) = node.input.get(2).filter(|name| !name.is_empty()) else {
        return Some(vec![0; outputs]);
    };
    let step = |index: usize| f64::from(sums.scales[index]) * f64::from(sums.input);
    if let Some(tensor) = wiring.constant(name) {
        let rounded = |(index, &value): (usize, &f32)| {
            let steps = (f64::from(value) / step(index)).round_ties_even();
            #[expect(clippy::cast_possible_truncation, reason = "checked")]
            (steps.abs() < f64::from(i32::MAX)).then_some(steps as i32)
        };
        let values = floats(tensor)?;
        return (values.len() == outputs)
            .then(|| values.iter().enumerate().map(rounded).collect::<Option<_>>())?;
    }
    let widener = wiring.maker(name).filter(|node| node.op_type() == "DequantizeLinear")?;
    let tensor = wiring.constant(widener.input.first()?)?;
    if tensor.element_type() != Ok(ElementType::I32) {
        return None;
    }
    let scales = scales(widener, wiring, (0, 1, outputs));
    // One axis: where none is named, the default of 1 is meant for tensors of more.
    let scales = scales.or_else(|| floats(wiring.constant(widener.input.get(1)?)?))?;
    let fits = |(index, &scale): (usize, &f32)| {
        (f64::from(scale) / step(index) - 1.0).abs() <= SCALE_TOLERANCE
    };
    let fits = scales.len() == outputs && scales.iter().enumerate().all(fits);
    let unmoved = zeros(widener, wiring, outputs)?.iter().all(|&zero| zero == 0);
    let values = tensor.to_i64().ok()?;
    let values: Option<Vec<i32>> = values.iter().map(|&value| i32::try_from(value).ok()).collect();
    values.filter(|values| fits && unmoved && values.len() == outputs)
}

fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    tensor.to_f32().ok().filter(|_| tensor.element_type() == Ok(ElementType::F32))
}
