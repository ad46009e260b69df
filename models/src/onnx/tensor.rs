//! The values of ONNX tensors, as numbers.

use half::{bf16, f16};

use super::proto::TensorProto;
use super::proto::tensor_proto::{DataLocation, DataType};

/// The element types that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the definitions")]
pub enum ElementType {
    F32,
    F64,
    F16,
    Bf16,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    Bool,
}

/// A tensor whose values cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The element type is none that is read (strings, complex numbers, 4-bit numbers and the like).
    #[error("tensor {tensor:?} has the unsupported element type {number}")]
    UnsupportedType {
        /// The tensor.
        tensor: String,
        /// The type's number in `TensorProto.DataType`.
        number: i32,
    },
    /// A dimension is negative or the number of elements overflows.
    #[error("tensor {tensor:?} has the impossible shape {dims:?}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its dimensions.
        dims: Vec<i64>,
    },
    /// There are more or fewer values than the shape asks for.
    #[error(
        "tensor {tensor:?} of shape {dims:?} should hold {expected} values but holds {found}; the file is damaged"
    )]
    Length {
        /// The tensor.
        tensor: String,
        /// Its dimensions.
        dims: Vec<i64>,
        /// Product of the dimensions.
        expected: usize,
        /// Values (or, of raw data, bytes divided by the element's size) that are there.
        found: usize,
    },
    /// The values lie in another file that was not read.
    #[error("tensor {tensor:?} has external data that was not read")]
    External {
        /// The tensor.
        tensor: String,
    },
}

impl ElementType {
    /// Gives the size of one element in bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// Reads the number that ONNX files use.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Some(match DataType::try_from(number).ok()? {
            DataType::Float => Self::F32,
            DataType::Double => Self::F64,
            DataType::Float16 => Self::F16,
            DataType::Bfloat16 => Self::Bf16,
            DataType::Int8 => Self::I8,
            DataType::Uint8 => Self::U8,
            DataType::Int16 => Self::I16,
            DataType::Uint16 => Self::U16,
            DataType::Int32 => Self::I32,
            DataType::Uint32 => Self::U32,
            DataType::Int64 => Self::I64,
            DataType::Uint64 => Self::U64,
            DataType::Bool => Self::Bool,
            _ => return None,
        })
    }

    /// Tells whether this is a floating-point type.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::F16 | Self::Bf16)
    }
}

impl TensorProto {
    /// Makes an `f32` tensor.
    #[must_use]
    pub fn from_f32(name: &str, dims: &[i64], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::from_le_bytes(name, dims, DataType::Float, bytes)
    }

    /// Makes a `u8` tensor.
    #[must_use]
    pub fn from_u8(name: &str, dims: &[i64], values: &[u8]) -> Self {
        Self::from_le_bytes(name, dims, DataType::Uint8, values.to_vec())
    }

    /// Makes an `i8` tensor.
    #[must_use]
    pub fn from_i8(name: &str, dims: &[i64], values: &[i8]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::from_le_bytes(name, dims, DataType::Int8, bytes)
    }

    /// Makes an `i64` tensor.
    #[must_use]
    pub fn from_i64(name: &str, dims: &[i64], values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::from_le_bytes(name, dims, DataType::Int64, bytes)
    }

    /// Makes an `i32` tensor.
    #[must_use]
    pub fn from_i32(name: &str, dims: &[i64], values: &[i32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::from_le_bytes(name, dims, DataType::Int32, bytes)
    }

    /// Makes a tensor of elements that are little-endian bytes, row by row.
    #[must_use]
    pub fn from_le_bytes(name: &str, dims: &[i64], data_type: DataType, bytes: Vec<u8>) -> Self {
        Self {
            name: Some(name.to_owned()),
            dims: dims.to_vec(),
            data_type: Some(data_type.into()),
            raw_data: Some(bytes.into()),
            ..Self::default()
        }
    }

    /// Gives the element type.
    ///
    /// # Errors
    /// Returns [`TensorError::UnsupportedType`] for one that is not read.
    pub fn element_type(&self) -> Result<ElementType, TensorError> {
        ElementType::from_number(self.data_type()).ok_or_else(|| TensorError::UnsupportedType {
            tensor: self.name().to_owned(),
            number: self.data_type(),
        })
    }

    /// Gives the dimensions.
    ///
    /// # Errors
    /// Returns [`TensorError::Shape`] when one is negative or their product overflows.
    pub fn shape(&self) -> Result<Vec<usize>, TensorError> {
        let wrong =
            || TensorError::Shape { tensor: self.name().to_owned(), dims: self.dims.clone() };
        let shape: Option<Vec<usize>> =
            self.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
        let shape = shape.ok_or_else(wrong)?;
        // Eight bytes an element is the most a type takes.
        shape
            .iter()
            .try_fold(8usize, |product, &dim| product.checked_mul(dim))
            .ok_or_else(wrong)?;
        Ok(shape)
    }

    /// Gives the elements as little-endian bytes, row by row, from whichever field holds them.
    ///
    /// # Errors
    /// Returns [`TensorError`] when type, shape and values do not fit together.
    pub fn le_bytes(&self) -> Result<std::borrow::Cow<'_, [u8]>, TensorError> {
        if self.data_location() == DataLocation::External {
            return Err(TensorError::External { tensor: self.name().to_owned() });
        }
        let element = self.element_type()?;
        let expected: usize = self.shape()?.iter().product();
        let bytes = match &self.raw_data {
            Some(raw) if !raw.is_empty() => std::borrow::Cow::Borrowed(&raw[..]),
            _ => std::borrow::Cow::Owned(self.typed_bytes(element)),
        };
        if bytes.len() != expected * element.bytes() {
            return Err(TensorError::Length {
                tensor: self.name().to_owned(),
                dims: self.dims.clone(),
                expected,
                found: bytes.len() / element.bytes(),
            });
        }
        Ok(bytes)
    }

    /// Collects the elements that lie in the typed fields.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "ONNX stores small types widened; the low bits are the value"
    )]
    fn typed_bytes(&self, element: ElementType) -> Vec<u8> {
        let ints = &self.int32_data;
        match element {
            ElementType::F32 => self.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ElementType::F64 => self.double_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ElementType::I64 => self.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ElementType::U64 => self.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ElementType::U32 => {
                self.uint64_data.iter().flat_map(|&v| (v as u32).to_le_bytes()).collect()
            }
            ElementType::I32 => ints.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ElementType::F16 | ElementType::Bf16 | ElementType::I16 | ElementType::U16 => {
                ints.iter().flat_map(|&v| (v as u16).to_le_bytes()).collect()
            }
            ElementType::I8 | ElementType::U8 | ElementType::Bool => {
                ints.iter().map(|&v| v as u8).collect()
            }
        }
    }

    /// Gives the elements as `f32`, whatever their type; wide numbers are rounded.
    ///
    /// # Errors
    /// Returns [`TensorError`] when type, shape and values do not fit together.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "rounding to f32 is what is asked for"
    )]
    pub fn to_f32(&self) -> Result<Vec<f32>, TensorError> {
        let bytes = self.le_bytes()?;
        Ok(match self.element_type()? {
            ElementType::F32 => chunks(&bytes).map(f32::from_le_bytes).collect(),
            ElementType::F64 => chunks(&bytes).map(|b| f64::from_le_bytes(b) as f32).collect(),
            ElementType::F16 => chunks(&bytes).map(|b| f16::from_le_bytes(b).to_f32()).collect(),
            ElementType::Bf16 => chunks(&bytes).map(|b| bf16::from_le_bytes(b).to_f32()).collect(),
            _ => self.to_i64()?.iter().map(|&value| value as f32).collect(),
        })
    }

    /// Gives the elements as `i64`, whatever their type; fractions are cut off.
    ///
    /// # Errors
    /// Returns [`TensorError`] when type, shape and values do not fit together.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "fractions are cut, and no tensor of sizes or indices reaches 2^63"
    )]
    pub fn to_i64(&self) -> Result<Vec<i64>, TensorError> {
        let bytes = self.le_bytes()?;
        Ok(match self.element_type()? {
            ElementType::I8 => bytes.iter().map(|&b| i64::from(b as i8)).collect(),
            ElementType::U8 | ElementType::Bool => bytes.iter().map(|&b| i64::from(b)).collect(),
            ElementType::I16 => chunks(&bytes).map(|b| i16::from_le_bytes(b).into()).collect(),
            ElementType::U16 => chunks(&bytes).map(|b| u16::from_le_bytes(b).into()).collect(),
            ElementType::I32 => chunks(&bytes).map(|b| i32::from_le_bytes(b).into()).collect(),
            ElementType::U32 => chunks(&bytes).map(|b| u32::from_le_bytes(b).into()).collect(),
            ElementType::I64 => chunks(&bytes).map(i64::from_le_bytes).collect(),
            ElementType::U64 => chunks(&bytes).map(|b| u64::from_le_bytes(b) as i64).collect(),
            ElementType::F32 | ElementType::F64 | ElementType::F16 | ElementType::Bf16 => {
                self.to_f32()?.iter().map(|&value| value as i64).collect()
            }
        })
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_raw_and_typed_values_alike() {
        let raw = TensorProto::from_f32("w", &[2], &[1.5, -2.0]);
        let typed = TensorProto {
            dims: vec![2],
            data_type: Some(DataType::Float.into()),
            float_data: vec![1.5, -2.0],
            ..TensorProto::default()
        };
        assert_eq!(raw.to_f32(), Ok(vec![1.5, -2.0]));
        assert_eq!(typed.to_f32(), raw.to_f32());
        assert_eq!(TensorProto::from_i8("q", &[1, 2], &[-128, 127]).to_i64(), Ok(vec![-128, 127]));
    }

    #[test]
    fn reads_half_precision_from_the_integer_field() {
        let half = TensorProto {
            dims: vec![1],
            data_type: Some(DataType::Float16.into()),
            int32_data: vec![0x3e00],
            ..TensorProto::default()
        };
        assert_eq!(half.to_f32(), Ok(vec![1.5]));
    }

    #[test]
    fn rejects_shapes_that_do_not_fit_the_values() {
        let short = TensorProto::from_f32("w", &[3], &[1.0]);
        assert!(matches!(short.to_f32(), Err(TensorError::Length { expected: 3, found: 1, .. })));
        let negative = TensorProto::from_f32("w", &[-1], &[1.0]);
        assert!(matches!(negative.to_f32(), Err(TensorError::Shape { .. })));
        let huge = TensorProto::from_f32("w", &[1 << 40, 1 << 40], &[1.0]);
        assert!(matches!(huge.to_f32(), Err(TensorError::Shape { .. })));
    }

    #[test]
    fn rejects_a_scalar_without_a_value() {
        let empty = TensorProto { data_type: Some(1), ..TensorProto::default() };
        assert!(matches!(empty.to_f32(), Err(TensorError::Length { expected: 1, found: 0, .. })));
    }
}
