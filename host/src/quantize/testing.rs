//! A network small enough for tests, with what real ones have: batch normalisation, ReLU6, a depthwise convolution, a
//! sum, channels of unlike width.

use lcam_models::onnx::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
    tensor_proto::DataType,
};
use tch::{Device, Kind, Tensor};

use crate::export::nodes::{int, ints, node};
use crate::graph::Graph;

/// Channels between the convolutions.
pub(super) const CHANNELS: usize = 6;

/// Gives the network: `[1, 3, 8, 8]` to four logits.
///
/// ```text
/// image - stem - BatchNormalization - Clip(0, 6) - depthwise - Relu - project - Add - pool - Flatten - Gemm - logits
///                                         |                                      |
///                                         +--------------------------------------+
/// ```
pub(super) fn network() -> ModelProto {
    let float = |name: &str, shape: &[i64]| ValueInfoProto::tensor(name, DataType::Float, shape);
    let c = i64::try_from(CHANNELS).unwrap_or(0);
    let weights = |name: &str, dims: &[i64], seed: f64| {
        let count = usize::try_from(dims.iter().product::<i64>()).unwrap_or(0);
        TensorProto::from_f32(name, dims, &numbers(count, seed))
    };
    // The first channel is 40 times as wide as the last.
    let gamma: Vec<f32> = [2.0, 1.0, 0.5, 0.2, 0.1, 0.05].to_vec();
    let square = |mut node: NodeProto, group: i64| {
        node.attribute = vec![ints("pads", &[1; 4]), int("group", group)];
        node
    };
    ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(13) }],
        graph: Some(GraphProto {
            name: Some("test".to_owned()),
            node: vec![
                square(node("Conv", &["image", "stem.w"], "stem"), 1),
                node("BatchNormalization", &["stem", "gamma", "beta", "mean", "variance"], "norm"),
                node("Clip", &["norm", "zero", "six"], "clipped"),
                square(node("Conv", &["clipped", "depthwise.w", "depthwise.b"], "depthwise"), c),
                node("Relu", &["depthwise"], "positive"),
                node("Conv", &["positive", "project.w"], "project"),
                node("Add", &["project", "clipped"], "sum"),
                node("GlobalAveragePool", &["sum"], "pooled"),
                node("Flatten", &["pooled"], "flat"),
                node("Gemm", &["flat", "dense.w", "dense.b"], "logits"),
            ],
            initializer: vec![
                weights("stem.w", &[c, 3, 3, 3], 0.3),
                TensorProto::from_f32("gamma", &[c], &gamma),
                TensorProto::from_f32("beta", &[c], &gamma),
                weights("mean", &[c], 0.7),
                TensorProto::from_f32("variance", &[c], &[0.5; CHANNELS]),
                TensorProto::from_f32("zero", &[], &[0.0]),
                TensorProto::from_f32("six", &[], &[6.0]),
                weights("depthwise.w", &[c, 1, 3, 3], 1.1),
                weights("depthwise.b", &[c], 1.3),
                weights("project.w", &[c, c, 1, 1], 1.7),
                weights("dense.w", &[c, 4], 1.9),
                weights("dense.b", &[4], 2.3),
            ],
            input: vec![float("image", &[1, 3, 8, 8])],
            output: vec![float("logits", &[1, 4])],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

/// Gives some pictures, `[5, 3, 8, 8]`.
pub(super) fn pictures() -> Tensor {
    Tensor::from_slice(&numbers(5 * 3 * 64, 0.9)).reshape([5, 3, 8, 8])
}

/// Runs a network on [`pictures`] for some of its tensors.
pub(super) fn run(model: &ModelProto, tensors: &[&str]) -> Vec<Tensor> {
    let graph = Graph::new(model).unwrap();
    let value = |name: &str| graph.value(name).unwrap();
    let wanted: Vec<_> = tensors.iter().map(|name| value(name)).collect();
    graph.run(&[(value("image"), &pictures())], &wanted).unwrap()
}

/// Gives the largest difference of two tensors beside the largest value.
pub(super) fn difference(one: &Tensor, other: &Tensor) -> f64 {
    let largest = |tensor: &Tensor| tensor.abs().max().to_device(Device::Cpu).double_value(&[]);
    assert_eq!(one.size(), other.size());
    assert_eq!((one.kind(), other.kind()), (Kind::Float, Kind::Float));
    largest(&(one - other)) / largest(one)
}

/// Gives the graph of a model.
pub(super) fn graph(model: &ModelProto) -> &GraphProto {
    model.graph.as_ref().unwrap()
}

/// Gives numbers in -1..=1 that look random.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]
fn numbers(count: usize, seed: f64) -> Vec<f32> {
    (0..count).map(|index| ((index as f64 + seed) * 12.9898 * (seed + 7.0)).sin() as f32).collect()
}
