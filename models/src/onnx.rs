//! ONNX files: the message types, reading, writing, tensors and a structural check.
//!
//! The types are generated from the ONNX project's own `onnx-ml.proto` (version 1.23, IR version 14), so
//! that no field of a current file is lost when it is rewritten. Nothing here knows what an operator means.

mod dequantize;
mod external;
mod prune;
mod structure;
mod tensor;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use prost::Message;
use prost::bytes::Bytes;

pub use dequantize::{Constants, DequantizeError};
pub use external::ExternalDataError;
pub use proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto, tensor_proto,
    tensor_shape_proto, type_proto,
};
pub use structure::{StructureError, check_structure};
pub use tensor::{ElementType, TensorError};

use crate::atomic_file::{self, WriteError};

/// The types generated from `onnx-ml.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    rustdoc::all,
    reason = "generated code with the schema's own comments"
)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

/// The largest file that is read: protobuf itself ends at 2 GiB.
const MAX_FILE_BYTES: u64 = 2 << 30;

/// An ONNX file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read {path}: {problem}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        problem: std::io::Error,
    },
    /// The file is larger than a protobuf message may be.
    #[error(
        "{path} is larger than 2 GiB, the limit of ONNX's format; keep its weights as external data"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is no ONNX model.
    #[error("{path} is not an ONNX model, or it is damaged ({reason}); copy or export it again")]
    NotOnnx {
        /// The file.
        path: PathBuf,
        /// What the decoder stumbled over.
        reason: String,
    },
    /// Weights that are kept in other files cannot be read.
    #[error("{path}: {problem}")]
    ExternalData {
        /// The model file.
        path: PathBuf,
        /// What is wrong with the external file.
        problem: ExternalDataError,
    },
}

/// Reads an ONNX file, and the weights it keeps in other files of its folder.
///
/// # Errors
/// Returns [`ReadError`] when a file cannot be read, is no ONNX model, or names external data outside of
/// the model's folder.
pub fn read_model(path: &Path) -> Result<ModelProto, ReadError> {
    let mut model = decode_model(read_bytes(path)?)
        .map_err(|reason| ReadError::NotOnnx { path: path.to_owned(), reason })?;
    external::inline(&mut model, path.parent().unwrap_or(Path::new("")))
        .map_err(|problem| ReadError::ExternalData { path: path.to_owned(), problem })?;
    Ok(model)
}

/// Decodes an ONNX model from memory; weights share the memory of `bytes`.
///
/// # Errors
/// Returns what the decoder stumbled over.
pub fn decode_model(bytes: Vec<u8>) -> Result<ModelProto, String> {
    let model = ModelProto::decode(Bytes::from(bytes)).map_err(|error| error.to_string())?;
    match model.graph {
        Some(ref graph) if !graph.node.is_empty() => Ok(model),
        _ => Err("it holds no graph".to_owned()),
    }
}

/// Encodes a model to the bytes of an ONNX file.
#[must_use]
pub fn encode_model(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// Writes an ONNX file, whole or not at all.
///
/// # Errors
/// Returns [`WriteError`] when the file cannot be written.
pub fn write_model(path: &Path, model: &ModelProto) -> Result<(), WriteError> {
    atomic_file::write(path, &encode_model(model))
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, ReadError> {
    let io = |problem| ReadError::Io { path: path.to_owned(), problem };
    // Asked before it is opened: opening a pipe waits for somebody who writes, and a large file fills the memory.
    let found = std::fs::metadata(path).map_err(io)?;
    if !found.is_file() {
        return Err(io(std::io::Error::other("it is not a file; give an .onnx file")));
    }
    if found.len() > MAX_FILE_BYTES {
        return Err(ReadError::TooLarge { path: path.to_owned() });
    }
    let mut file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.by_ref().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ReadError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

impl ModelProto {
    /// Gives the version of the default operator set (`ai.onnx`), or `None` if the model imports none.
    #[must_use]
    pub fn opset(&self) -> Option<i64> {
        self.opset_import
            .iter()
            .find(|set| matches!(set.domain(), "" | "ai.onnx"))
            .map(OperatorSetIdProto::version)
    }

    /// Gives the value of a metadata key.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata_props.iter().find(|entry| entry.key() == key).map(|entry| entry.value())
    }

    /// Sets the value of a metadata key, in place of an older one.
    pub fn set_metadata(&mut self, key: &str, value: &str) {
        self.metadata_props.retain(|entry| entry.key() != key);
        self.metadata_props.push(StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value.to_owned()),
        });
    }
}

impl ValueInfoProto {
    /// Describes a tensor of fixed shape.
    #[must_use]
    pub fn tensor(name: &str, element: tensor_proto::DataType, shape: &[i64]) -> Self {
        let dim = |&size: &i64| tensor_shape_proto::Dimension {
            value: Some(tensor_shape_proto::dimension::Value::DimValue(size)),
            ..Default::default()
        };
        let tensor = type_proto::Tensor {
            elem_type: Some(element.into()),
            shape: Some(TensorShapeProto { dim: shape.iter().map(dim).collect() }),
        };
        Self {
            name: Some(name.to_owned()),
            r#type: Some(TypeProto {
                value: Some(type_proto::Value::TensorType(tensor)),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// Gives the declared shape, `None` in place of a dimension that is not fixed; `None` as a whole when
    /// this is no tensor or has no shape.
    #[must_use]
    pub fn tensor_shape(&self) -> Option<Vec<Option<usize>>> {
        let dims = &self.tensor_type()?.shape.as_ref()?.dim;
        Some(
            dims.iter()
                .map(|dim| match dim.value {
                    Some(tensor_shape_proto::dimension::Value::DimValue(size)) => {
                        usize::try_from(size).ok()
                    }
                    _ => None,
                })
                .collect(),
        )
    }

    /// Gives the declared element type's number, if this is a tensor.
    #[must_use]
    pub fn element_type(&self) -> Option<i32> {
        self.tensor_type()?.elem_type
    }

    fn tensor_type(&self) -> Option<&type_proto::Tensor> {
        match self.r#type.as_ref()?.value.as_ref()? {
            type_proto::Value::TensorType(tensor) => Some(tensor),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_model() {
        for bytes in
            [&b""[..], b"hello, world, this is text", &[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]]
        {
            assert!(decode_model(bytes.to_vec()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn replaces_metadata() {
        let mut model = ModelProto::default();
        model.set_metadata("a", "1");
        model.set_metadata("a", "2");
        assert_eq!(model.metadata("a"), Some("2"));
        assert_eq!(model.metadata_props.len(), 1);
    }

    #[test]
    fn describes_a_tensor() {
        let info = ValueInfoProto::tensor("x", tensor_proto::DataType::Float, &[1, 3]);
        assert_eq!(info.tensor_shape(), Some(vec![Some(1), Some(3)]));
        assert_eq!(info.element_type(), Some(1));
    }
}
