//! What is checked of a graph before the runtime sees it.
//!
//! The runtime reads attributes without question, keeps to no limit while it loads, and would even read
//! files that a constant names. So only operators that classifiers are made of pass, with attributes of
//! sensible size and constants that are whole. Operators with graphs inside, which loop or branch, do not.

use lcam_models::onnx::{
    AttributeProto, DequantizeError, GraphProto, ModelProto, NodeProto, TensorError, TensorProto,
};

use super::limits::{LimitError, Limits};

/// The operators of `ai.onnx` that are run, in alphabetical order.
pub const OPERATORS: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "CastLike",
    "Ceil",
    "Celu",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "Cos",
    "DepthToSpace",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "Einsum",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "GatherElements",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "GreaterOrEqual",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "IsNaN",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "MatMul",
    "Max",
    "MaxPool",
    "Mean",
    "Min",
    "Mish",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pad",
    "Pow",
    "QuantizeLinear",
    "Reciprocal",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Resize",
    "Round",
    "Selu",
    "Shape",
    "Sigmoid",
    "Sign",
    "Sin",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "SpaceToDepth",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Where",
    "Xor",
];

/// The largest integer in an attribute, up or down: above every kernel, stride, padding and group.
const MAX_ATTRIBUTE: u64 = 65_536;
/// The most values in an attribute.
const MAX_VALUES: usize = 65_536;

/// A graph that is not given to the runtime.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// The operator is none of [`OPERATORS`].
    #[error(
        "{node}: this operator is not supported on the device; simplify or export the model anew"
    )]
    Operator {
        /// The node.
        node: String,
    },
    /// The operator is of another set than `ai.onnx`.
    #[error(
        "{node}: operators of {domain:?} are not supported; export the model with `ai.onnx` alone"
    )]
    Domain {
        /// The node.
        node: String,
        /// The operator set.
        domain: String,
    },
    /// An attribute holds what it should not.
    #[error("{node}: attribute {attribute:?} {reason}")]
    Attribute {
        /// The node.
        node: String,
        /// The attribute.
        attribute: String,
        /// What is wrong.
        reason: String,
    },
    /// A constant cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A quantised constant does not hang together.
    #[error(transparent)]
    Dequantize(#[from] DequantizeError),
    /// The graph uses a feature that is not supported.
    #[error("the graph holds {what}, which are not supported; export the model without them")]
    Feature {
        /// What it holds.
        what: &'static str,
    },
    /// The graph is too large.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// Checks a model's graph.
pub(super) fn check(model: &ModelProto, limits: &Limits) -> Result<(), GuardError> {
    let Some(graph) = &model.graph else { return Ok(()) };
    limits.check_nodes(graph.node.len() + graph.initializer.len())?;
    check_features(model, graph)?;
    let mut elements = 0;
    for tensor in &graph.initializer {
        elements += check_tensor(tensor, limits)?;
    }
    limits.check_total(elements)?;
    graph.node.iter().try_for_each(|node| check_node(node, limits))
}

fn check_features(model: &ModelProto, graph: &GraphProto) -> Result<(), GuardError> {
    for (is_there, what) in [
        (!graph.sparse_initializer.is_empty(), "sparse initializers"),
        (!model.functions.is_empty(), "functions of its own"),
    ] {
        if is_there {
            return Err(GuardError::Feature { what });
        }
    }
    Ok(())
}

fn check_node(node: &NodeProto, limits: &Limits) -> Result<(), GuardError> {
    if !matches!(node.domain(), "" | "ai.onnx") {
        let domain = node.domain().to_owned();
        return Err(GuardError::Domain { node: node.title(), domain });
    }
    if OPERATORS.binary_search(&node.op_type()).is_err() {
        return Err(GuardError::Operator { node: node.title() });
    }
    for attribute in &node.attribute {
        check_attribute(node, attribute, limits)?;
    }
    Ok(())
}

fn check_attribute(
    node: &NodeProto,
    attribute: &AttributeProto,
    limits: &Limits,
) -> Result<(), GuardError> {
    let wrong = |reason: &str| GuardError::Attribute {
        node: node.title(),
        attribute: attribute.name().to_owned(),
        reason: reason.to_owned(),
    };
    let holds_others = attribute.g.is_some()
        || !attribute.graphs.is_empty()
        || attribute.sparse_tensor.is_some()
        || !attribute.sparse_tensors.is_empty();
    if holds_others {
        return Err(wrong("holds a graph or a sparse tensor, which are not supported"));
    }
    let too_large = |value: &i64| value.unsigned_abs() > MAX_ATTRIBUTE;
    // A constant may well be "to the end", the largest integer there is.
    if node.op_type() != "Constant" && attribute.ints.iter().chain(&attribute.i).any(too_large) {
        return Err(wrong(&format!("is beyond {MAX_ATTRIBUTE}")));
    }
    if attribute.ints.len().max(attribute.floats.len()) > MAX_VALUES {
        return Err(wrong(&format!("has more than {MAX_VALUES} values")));
    }
    for tensor in attribute.t.iter().chain(&attribute.tensors) {
        check_tensor(tensor, limits)?;
    }
    Ok(())
}

/// Checks one constant and gives its number of elements.
fn check_tensor(tensor: &TensorProto, limits: &Limits) -> Result<u64, GuardError> {
    let shape: Vec<u64> = tensor.shape()?.iter().map(|&side| side as u64).collect();
    let elements = limits.check_shape(&format!("tensor {:?}", tensor.name()), &shape)?;
    // Type and number of the values fit; nothing lies in other files.
    tensor.le_bytes()?;
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use lcam_models::onnx::attribute_proto::AttributeType;

    use super::*;

    #[test]
    fn the_operators_are_sorted() {
        assert!(OPERATORS.is_sorted());
    }

    fn with(change: impl Fn(&mut NodeProto)) -> Result<(), GuardError> {
        let mut node = NodeProto { op_type: Some("Conv".to_owned()), ..Default::default() };
        change(&mut node);
        check_node(&node, &Limits::DEFAULT)
    }

    fn ints(name: &str, values: &[i64]) -> AttributeProto {
        AttributeProto {
            name: Some(name.to_owned()),
            r#type: Some(AttributeType::Ints.into()),
            ints: values.to_vec(),
            ..Default::default()
        }
    }

    #[test]
    fn refuses_what_the_runtime_should_not_see() {
        assert_eq!(with(|node| node.attribute.push(ints("pads", &[1, 1, -1, 1]))), Ok(()));
        for operator in ["Loop", "If", "Scan", "NonZero", "RandomNormal", "conv", ""] {
            let refused = with(|node| node.op_type = Some(operator.to_owned()));
            assert!(matches!(refused, Err(GuardError::Operator { .. })), "{operator}");
        }
        let domain = with(|node| node.domain = Some("com.microsoft".to_owned()));
        assert!(matches!(domain, Err(GuardError::Domain { .. })));
        let huge = with(|node| node.attribute.push(ints("pads", &[1 << 40])));
        assert!(matches!(huge, Err(GuardError::Attribute { .. })));
        let graph = with(|node| {
            let g = Some(GraphProto::default());
            node.attribute.push(AttributeProto { g, ..Default::default() });
        });
        assert!(matches!(graph, Err(GuardError::Attribute { .. })));
        let outside = with(|node| {
            let mut tensor = TensorProto::from_f32("w", &[1], &[1.0]);
            tensor.data_location = Some(1);
            node.attribute.push(AttributeProto { t: Some(tensor), ..Default::default() });
        });
        assert!(matches!(outside, Err(GuardError::Tensor(TensorError::External { .. }))));
    }
}
