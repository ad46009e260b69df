//! ONNX tensors as libtorch tensors.

use lcam_models::onnx::{ElementType, TensorError, TensorProto};
use tch::{Kind, Tensor};

/// Copies a tensor's values. Half precision becomes `f32`, and unsigned numbers wider than 8 bits `i64`:
/// libtorch computes in those on a CPU.
///
/// # Errors
/// Returns [`TensorError`] when type, shape and values do not fit together.
pub fn from_proto(tensor: &TensorProto) -> Result<Tensor, TensorError> {
    let shape = &tensor.dims;
    let element = tensor.element_type()?;
    let bytes = tensor.le_bytes()?;
    let raw = |kind| Tensor::from_data_size(&bytes, shape, kind);
    Ok(match element {
        ElementType::F32 => raw(Kind::Float),
        ElementType::F64 => raw(Kind::Double),
        ElementType::I8 => raw(Kind::Int8),
        ElementType::U8 => raw(Kind::Uint8),
        ElementType::I16 => raw(Kind::Int16),
        ElementType::I32 => raw(Kind::Int),
        ElementType::I64 => raw(Kind::Int64),
        ElementType::Bool => raw(Kind::Bool),
        ElementType::F16 | ElementType::Bf16 => {
            Tensor::from_slice(&tensor.to_f32()?).reshape(shape)
        }
        ElementType::U16 | ElementType::U32 | ElementType::U64 => {
            Tensor::from_slice(&tensor.to_i64()?).reshape(shape)
        }
    })
}

/// Gives the libtorch type that stands for an ONNX element type, as [`from_proto`] maps them.
pub(super) fn kind(element: ElementType) -> Kind {
    match element {
        ElementType::F32 | ElementType::F16 | ElementType::Bf16 => Kind::Float,
        ElementType::F64 => Kind::Double,
        ElementType::I8 => Kind::Int8,
        ElementType::U8 => Kind::Uint8,
        ElementType::I16 => Kind::Int16,
        ElementType::I32 => Kind::Int,
        ElementType::I64 | ElementType::U16 | ElementType::U32 | ElementType::U64 => Kind::Int64,
        ElementType::Bool => Kind::Bool,
    }
}
