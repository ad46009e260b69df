//! Weights as int8, one scale an output channel; arithmetic stays in floating point.
//!
//! `scale_c = max |w_c| / 127`, `q = round(w / scale_c)`: symmetric, zero point 0, nothing is clipped. In the
//! file a weight is an int8 initializer and a `DequantizeLinear` node that widens it, which runtimes fold
//! or run as they please. Biases stay as they are, and so do kernels of few weights a channel, such as those
//! of depthwise convolutions: they are a small part of a file, and the errors of few weights do not cancel.

use std::collections::{BTreeMap, HashMap};

use lcam_models::onnx::{
    AttributeProto, GraphProto, NodeProto, TensorError, TensorProto,
    attribute_proto::AttributeType, tensor_proto::DataType,
};

/// The largest int8 that is used; -128 is not, so that the range is symmetric.
const LARGEST: f32 = 127.0;

/// The fewest weights of an output channel that are rounded. Measured on EfficientNet-Lite0 with 100 composites:
/// the logits' signal-to-noise ratio is 15.8 dB with all weights rounded, 20.3 dB with depthwise kernels kept,
/// 24.5 dB with a limit of 64, 26.4 dB with 100, 26.5 dB with 130; 7 % of the weights are below 100.
const FEWEST: usize = 100;

/// Rows of int8 with their scales.
pub(super) struct Rows {
    /// The values, in the layout of what was rounded.
    pub(super) values: Vec<i8>,
    /// One scale a channel.
    pub(super) scales: Vec<f32>,
}

impl Rows {
    /// Gives the values as they are used: `q * scale`.
    pub(super) fn widened(&self, stride: usize) -> Vec<f32> {
        let scale = |index: usize| self.scales[index / stride % self.scales.len()];
        self.values.iter().enumerate().map(|(i, &value)| f32::from(value) * scale(i)).collect()
    }
}

/// Rounds `values`, whose element `i` belongs to channel `i / stride % channels`. A channel of zeros gets the
/// scale 1. `None` where a value is not finite.
pub(super) fn round(values: &[f32], channels: usize, stride: usize) -> Option<Rows> {
    let channel = |index: usize| index / stride % channels;
    let mut largest = vec![0.0f32; channels];
    for (index, value) in values.iter().enumerate() {
        if !value.is_finite() {
            return None;
        }
        largest[channel(index)] = largest[channel(index)].max(value.abs());
    }
    // A scale that is no normal number would lose the precision it is there for.
    let scale = |&largest: &f32| match largest / LARGEST {
        scale if scale >= f32::MIN_POSITIVE => scale,
        _ => 1.0,
    };
    let scales: Vec<f32> = largest.iter().map(scale).collect();
    let narrow = |(index, value): (usize, &f32)| {
        let rounded = (value / scales[channel(index)]).round_ties_even().clamp(-LARGEST, LARGEST);
        #[expect(clippy::cast_possible_truncation, reason = "clamped to -127..=127")]
        {
            rounded as i8
        }
    };
    Some(Rows { values: values.iter().enumerate().map(narrow).collect(), scales })
}

/// Stores the weights of all convolutions and fully connected layers as int8.
///
/// # Errors
/// Returns [`TensorError`] when a weight cannot be read.
pub(super) fn store_as_int8(graph: &mut GraphProto) -> Result<(), TensorError> {
    let mut wideners = Vec::new();
    let mut scales = Vec::new();
    for_each_weight(graph, |tensor, axis, rows, _| {
        let name = tensor.name().to_owned();
        let (int8, scale) = (format!("{name}.int8"), format!("{name}.scale"));
        scales.push(TensorProto::from_f32(&scale, &[tensor.dims[axis]], &rows.scales));
        *tensor = TensorProto::from_i8(&int8, &tensor.dims.clone(), &rows.values);
        wideners.push(widener(&int8, &scale, &name, axis));
    })?;
    graph.initializer.extend(scales);
    graph.node.splice(0..0, wideners);
    Ok(())
}

/// Rounds the same weights to the values they have as int8, and leaves them in floating point.
///
/// # Errors
/// Returns [`TensorError`] when a weight cannot be read.
pub(super) fn round_in_place(graph: &mut GraphProto) -> Result<(), TensorError> {
    for_each_weight(graph, |tensor, _, rows, stride| {
        let values = rows.widened(stride);
        *tensor = TensorProto::from_f32(tensor.name(), &tensor.dims.clone(), &values);
    })
}

/// Hands on each weight with the axis of its output channels, its rounded values and the distance between
/// neighbours along that axis. Small kernels and weights that are not finite or not f32 are left out.
fn for_each_weight(
    graph: &mut GraphProto,
    mut change: impl FnMut(&mut TensorProto, usize, &Rows, usize),
) -> Result<(), TensorError> {
    let axes = weight_axes(graph);
    for tensor in &mut graph.initializer {
        let Some(&axis) = axes.get(tensor.name()) else { continue };
        let shape = tensor.shape()?;
        if tensor.data_type() != i32::from(DataType::Float) || shape.len() < 2 {
            continue;
        }
        if shape.iter().product::<usize>() < FEWEST * shape[axis] {
            continue;
        }
        let stride = shape[axis + 1..].iter().product();
        if let Some(rows) = round(&tensor.to_f32()?, shape[axis], stride) {
            change(tensor, axis, &rows, stride);
        }
    }
    Ok(())
}

/// Finds the initializers that serve as weights alone, and the axis of their output channels.
fn weight_axes(graph: &GraphProto) -> HashMap<String, usize> {
    let mut axes = BTreeMap::<&str, Option<usize>>::new();
    for node in &graph.node {
        for (place, name) in node.input.iter().enumerate() {
            let axis = if place == 1 { output_axis(node) } else { None };
            // Another use, or one that disagrees about the axis, keeps the weight as it is.
            let known = axes.entry(name.as_str()).or_insert(axis);
            if *known != axis {
                *known = None;
            }
        }
    }
    axes.into_iter().filter_map(|(name, axis)| Some((name.to_owned(), axis?))).collect()
}

/// Gives the axis of the output channels in the second input of a node that has weights there.
fn output_axis(node: &NodeProto) -> Option<usize> {
    let flag = |name: &str| node.attribute.iter().any(|a| a.name() == name && a.i() == 1);
    match node.op_type() {
        "Conv" => Some(0),
        "Gemm" => Some(if flag("transB") { 0 } else { 1 }),
        "MatMul" => Some(1),
        _ => None,
    }
}

fn widener(int8: &str, scale: &str, name: &str, axis: usize) -> NodeProto {
    NodeProto {
        name: Some(format!("{name}.widen")),
        op_type: Some("DequantizeLinear".to_owned()),
        input: vec![int8.to_owned(), scale.to_owned()],
        output: vec![name.to_owned()],
        attribute: vec![AttributeProto {
            name: Some("axis".to_owned()),
            r#type: Some(AttributeType::Int.into()),
            i: i64::try_from(axis).ok(),
            ..AttributeProto::default()
        }],
        ..NodeProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op_type: &str, inputs: [&str; 2], output: &str) -> NodeProto {
        NodeProto {
            op_type: Some(op_type.to_owned()),
            input: inputs.map(str::to_owned).to_vec(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        }
    }

    #[test]
    fn rounds_each_channel_by_its_own_scale() {
        let rows = round(&[1.27, -0.5, 0.0, 254.0, 3.0, -254.0, 0.0, 0.0, 0.0], 3, 3).unwrap();
        assert_eq!(rows.values, [127, -50, 0, 127, 2, -127, 0, 0, 0], "1.5 goes to the even 2");
        assert_eq!(rows.scales[1..], [2.0, 1.0]);
        let columns = round(&[1.0, 100.0, -1.0, 50.0], 2, 1).unwrap();
        assert_eq!(columns.values, [127, 127, -127, 64]);
        assert!(round(&[f32::NAN], 1, 1).is_none());
    }

    #[test]
    fn errs_by_half_a_step_at_most() {
        let values: Vec<f32> =
            (0..999u16).map(|i| (f32::from(i) * 0.7).sin() * f32::from(i)).collect();
        let rows = round(&values, 3, 333).unwrap();
        for (index, (value, rounded)) in values.iter().zip(&rows.values).enumerate() {
            let scale = rows.scales[index / 333];
            assert!((value - f32::from(*rounded) * scale).abs() <= 0.5001 * scale, "{index}");
        }
    }

    #[test]
    fn stores_weights_and_nothing_else() {
        let float = |name: &str, dims: &[i64]| {
            let count = dims.iter().product::<i64>();
            TensorProto::from_f32(name, dims, &vec![0.5; usize::try_from(count).unwrap()])
        };
        let mut graph = GraphProto {
            node: vec![
                node("Conv", ["image", "kernel"], "a"),
                node("Conv", ["a", "depthwise"], "a2"),
                node("MatMul", ["a", "dense"], "b"),
                node("Add", ["b", "bias"], "c"),
                node("Gemm", ["c", "tied"], "d"),
                node("Mul", ["d", "tied"], "e"),
                node("MatMul", ["e", "vector"], "f"),
            ],
            initializer: vec![
                float("kernel", &[4, 25, 2, 2]),
                float("depthwise", &[25, 1, 3, 3]),
                float("dense", &[100, 5]),
                float("bias", &[1, 5]),
                float("tied", &[100, 100]),
                float("vector", &[5]),
            ],
            ..GraphProto::default()
        };
        store_as_int8(&mut graph).unwrap();
        let names: Vec<_> = graph.initializer.iter().map(TensorProto::name).collect();
        let expected = [
            "kernel.int8",
            "depthwise",
            "dense.int8",
            "bias",
            "tied",
            "vector",
            "kernel.scale",
            "dense.scale",
        ];
        assert_eq!(names, expected);
        assert_eq!(graph.initializer[7].dims, [5], "one scale a column of a fully connected layer");
        assert_eq!(graph.node[0].output, ["kernel"]);
        assert_eq!(graph.node.len(), 9);
    }
}
