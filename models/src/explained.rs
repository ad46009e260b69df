//! An explained model: a file that keeps the contract, checked as a whole.
//!
//! Input `image` `[1, 3, H, W]` f32, normalised; outputs `logits` `[1, R]` and `explanation`
//! `[1, 1, h, w]`, the raw class map of the class with the largest logit. What is checked here is all that
//! a device relies on beside the meaning of the operators themselves.

mod attention;

use std::path::{Path, PathBuf};

pub use attention::Attention;

use crate::map::GridSize;
use crate::metadata::{Metadata, MetadataError};
use crate::onnx::{
    DequantizeError, GraphProto, ModelProto, ReadError, StructureError, TensorError,
    ValueInfoProto, check_structure, read_model, tensor_proto::DataType,
};

/// The name of the graph's input.
pub const IMAGE: &str = "image";
/// The name of the output with one logit a class.
pub const LOGITS: &str = "logits";
/// The name of the output with the raw class map of the predicted class.
pub const EXPLANATION: &str = "explanation";

/// A file that is no usable explained model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainedError {
    /// The file cannot be read as ONNX.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file is ONNX but breaks the contract.
    #[error("{path}: {problem}")]
    Contract {
        /// The file.
        path: PathBuf,
        /// What it breaks.
        problem: ContractError,
    },
}

/// How a model breaks the contract.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// The metadata are missing, too new or damaged.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The graph does not hang together.
    #[error(transparent)]
    Structure(#[from] StructureError),
    /// A tensor of the attention mechanism cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A quantised tensor of the attention mechanism does not hang together.
    #[error(transparent)]
    Dequantize(#[from] DequantizeError),
    /// An input or output is not as it should be.
    #[error("its {what} should be {expected} but is {found}; export the model again")]
    Interface {
        /// Which input or output.
        what: &'static str,
        /// What the contract says.
        expected: String,
        /// What the file says.
        found: String,
    },
    /// The attention mechanism's tensors are not as the metadata say.
    #[error("its attention mechanism is unusable: {reason}; export the model again")]
    Attention {
        /// What is wrong.
        reason: String,
    },
}

/// An explained model whose contract was checked.
#[derive(Clone, Debug)]
pub struct ExplainedModel {
    proto: ModelProto,
    metadata: Metadata,
    attention: Attention,
}

impl ExplainedModel {
    /// Reads and checks a model file.
    ///
    /// # Errors
    /// Returns [`ExplainedError`] when the file cannot be read or breaks the contract.
    pub fn read(path: &Path) -> Result<Self, ExplainedError> {
        let proto = read_model(path)?;
        Self::new(proto)
            .map_err(|problem| ExplainedError::Contract { path: path.to_owned(), problem })
    }

    /// Checks a model.
    ///
    /// # Errors
    /// Returns [`ContractError`] for the first thing that breaks the contract.
    pub fn new(proto: ModelProto) -> Result<Self, ContractError> {
        let metadata = Metadata::read(&proto)?;
        check_structure(&proto)?;
        let graph = proto.graph.as_ref().ok_or(StructureError::NoGraph)?;
        let attention = Attention::read(graph, &metadata)?;
        check_interface(graph, &metadata, attention.grid())?;
        Ok(Self { proto, metadata, attention })
    }

    /// Gives the ONNX model.
    #[must_use]
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// Gives what the model says about itself.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Gives the attention mechanism.
    #[must_use]
    pub fn attention(&self) -> &Attention {
        &self.attention
    }

    /// Takes the model apart, so that its weights can be dropped once a runtime holds them.
    #[must_use]
    pub fn into_parts(self) -> (ModelProto, Metadata, Attention) {
        (self.proto, self.metadata, self.attention)
    }
}

fn check_interface(
    graph: &GraphProto,
    metadata: &Metadata,
    grid: GridSize,
) -> Result<(), ContractError> {
    let input = metadata.preprocess.input;
    let image = [1, 3, input.height as usize, input.width as usize];
    let makes = |name: &str| graph.initializer.iter().any(|tensor| tensor.name() == name);
    let inputs: Vec<_> = graph.input.iter().filter(|input| !makes(input.name())).collect();
    check_value("input", &inputs, IMAGE, &image)?;
    let outputs = |name| graph.output.iter().filter(|o| o.name() == name).collect::<Vec<_>>();
    check_value("output", &outputs(LOGITS), LOGITS, &[1, metadata.labels.len()])?;
    check_value("output", &outputs(EXPLANATION), EXPLANATION, &[1, 1, grid.height, grid.width])
}

/// Checks that there is one value, of this name and fixed f32 shape.
fn check_value(
    what: &'static str,
    values: &[&ValueInfoProto],
    name: &str,
    shape: &[usize],
) -> Result<(), ContractError> {
    let fixed: Vec<_> = shape.iter().map(|&side| Some(side)).collect();
    let fits = |value: &&ValueInfoProto| {
        value.name() == name
            && value.tensor_shape().as_ref() == Some(&fixed)
            && value.element_type() == Some(DataType::Float.into())
    };
    if values.len() == 1 && values.iter().all(fits) {
        return Ok(());
    }
    let describe = |value: &&ValueInfoProto| {
        let shape = value.tensor_shape().unwrap_or_default();
        let sides: Vec<_> =
            shape.iter().map(|side| side.map_or("?".to_owned(), |s| s.to_string())).collect();
        format!(
            "`{}` [{}] of type {}",
            value.name(),
            sides.join(","),
            value.element_type().unwrap_or(0)
        )
    };
    let found: Vec<_> = values.iter().map(describe).collect();
    Err(ContractError::Interface {
        what,
        expected: format!("`{name}` {shape:?} of type 1 (float32)"),
        found: if found.is_empty() { "missing".to_owned() } else { found.join(" and ") },
    })
}
