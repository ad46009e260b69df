//! Why a model cannot be quantised.

use lcam_models::explained::ContractError;
use lcam_models::map::MapError;
use lcam_models::onnx::TensorError;
use tch::TchError;

use crate::dataset::DatasetError;
use crate::evaluate::EvaluateError;
use crate::graph::{GraphError, RunError};

/// A model that cannot be quantised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// Its tensors are int8 already.
    #[error("it is quantised already; give the float model that it was made from")]
    AlreadyQuantized,
    /// A name of a node that should stay in floating point.
    #[error("no node is named {name:?}; the report of `quantize --report` lists the layers' names")]
    UnknownNode {
        /// The name.
        name: String,
    },
    /// There are not enough pictures.
    #[error(
        "{expected} pictures are needed, better some hundred, and there are {found}; give a folder with more"
    )]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many are needed.
        expected: usize,
    },
    /// A value is infinite or not a number.
    #[error(
        "the tensor {tensor:?} holds values that are not finite; the model is damaged, export it again"
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
    },
    /// A tensor is missing.
    #[error("the model has no tensor {tensor:?}; export it again")]
    Missing {
        /// The tensor.
        tensor: String,
    },
    /// The input is missing.
    #[error("the model has no input `image`; export it again")]
    NoImage,
    /// Too many pictures change their class.
    #[error(
        "the int8 model names another class for {found:.1} % of the pictures that the float model is sure of, and --max-drop allows {limit} %; calibrate with more pictures, or allow more"
    )]
    Drop {
        /// How many do, in percent.
        found: f64,
        /// How many may.
        limit: f64,
    },
    /// The graph cannot be read.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The graph fails on a picture.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A weight cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The pictures cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// One of the models fails.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A map cannot be compared.
    #[error("a map cannot be compared: {0}")]
    Map(#[from] MapError),
    /// The result breaks the contract.
    #[error("the result is no valid explained model")]
    Contract(#[from] ContractError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TchError),
}
