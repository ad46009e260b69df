//! What can be wrong with a graph, and what can go wrong when it runs.

use lcam_models::onnx::{StructureError, TensorError};
use tch::TchError;

use super::OPSETS;

/// A graph that cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The graph does not hang together.
    #[error(transparent)]
    Structure(#[from] StructureError),
    /// A weight cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The operator set is too old or too new.
    #[error("the model uses operator set {found}, and {} to {} are supported; export it again with one of these", OPSETS.start(), OPSETS.end())]
    Opset {
        /// The version of the file.
        found: i64,
    },
    /// A node is not supported.
    #[error("{node}: {problem}")]
    Node {
        /// The node.
        node: String,
        /// What is wrong with it.
        problem: NodeError,
    },
    /// A constant part of the graph cannot be computed.
    #[error(transparent)]
    Constant(#[from] RunError),
}

/// A node that cannot be turned into an operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The operator is not known.
    #[error("the operator is not supported; `lcam-host operators` lists those that are")]
    Unsupported,
    /// The operator belongs to another domain than `ai.onnx`.
    #[error(
        "operators of the domain {0:?} are not supported; export the model with standard ONNX operators"
    )]
    Domain(String),
    /// An attribute is missing, of the wrong type or has a value that is not supported.
    #[error("the attribute {name:?} {problem}")]
    Attribute {
        /// The attribute.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A graph could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A node failed.
    #[error("{node}: {problem}")]
    Node {
        /// The node.
        node: String,
        /// What went wrong.
        problem: OperatorError,
    },
    /// The fed values do not determine a wanted one.
    #[error("the tensor {value:?} cannot be computed from what was fed")]
    Undetermined {
        /// The wanted value.
        value: String,
    },
}

impl RunError {
    pub(super) fn new(node: &str, problem: OperatorError) -> Self {
        Self::Node { node: node.to_owned(), problem }
    }
}

/// An operator could not be applied to its inputs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// libtorch refused.
    #[error("{}", first_line(.0))]
    Torch(#[from] TchError),
    /// An input that the operator needs is left out.
    #[error("input {0} is missing")]
    MissingInput(usize),
    /// An input has a shape or value that is not supported.
    #[error("{0}")]
    Input(String),
}

/// libtorch appends a C++ stack trace to its messages.
fn first_line(error: &TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
