//! What lies between `QuantizeLinear` and `DequantizeLinear`: integers of a type, with a scale and a zero point.

use std::collections::HashMap;

use lcam_models::onnx::{ElementType, NodeProto, TensorProto};

use super::range::Range;

/// A type of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Integers {
    /// What it is called in the field.
    pub(super) name: &'static str,
    least: i32,
    greatest: i32,
}

impl Integers {
    /// Tells of the types that activations and weights are quantised to.
    pub(super) fn of(element: ElementType) -> Option<Self> {
        let (name, least, greatest) = match element {
            ElementType::I8 => ("int8", i8::MIN.into(), i8::MAX.into()),
            ElementType::U8 => ("uint8", u8::MIN.into(), u8::MAX.into()),
            ElementType::I16 => ("int16", i16::MIN.into(), i16::MAX.into()),
            ElementType::U16 => ("uint16", u16::MIN.into(), u16::MAX.into()),
            _ => return None,
        };
        Some(Self { name, least, greatest })
    }
}

/// A `QuantizeLinear` with the `DequantizeLinear` that reads it, one scale and one zero point for the whole tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    /// The tensor that is quantised.
    pub(super) input: String,
    pub(super) integers: Integers,
    /// The width of a step; finite and above 0.
    pub(super) scale: f32,
    zero_point: i64,
}

impl Pair {
    /// Joins the two nodes; `None` where their constants differ, are computed, or belong to an axis.
    pub(super) fn find(
        quantizer: &NodeProto,
        dequantizer: &NodeProto,
        constants: &HashMap<&str, &TensorProto>,
    ) -> Option<Self> {
        let ours = Parameters::read(quantizer, constants)?;
        if Parameters::read(dequantizer, constants)? != ours {
            return None;
        }
        let Parameters { scale, zero_point, element } = ours;
        let input = quantizer.input.first()?.clone();
        Some(Self { input, integers: Integers::of(element)?, scale, zero_point })
    }

    /// Gives the range that the integers can stand for.
    pub(super) fn range(&self) -> Range {
        #[expect(clippy::cast_precision_loss, reason = "integers of at most 16 bits")]
        let value = |integer: i32| (i64::from(integer) - self.zero_point) as f32 * self.scale;
        Range { low: value(self.integers.least), high: value(self.integers.greatest) }
    }
}

#[derive(PartialEq)]
struct Parameters {
    scale: f32,
    zero_point: i64,
    element: ElementType,
}

impl Parameters {
    /// Reads the scale and the zero point of a node; without the latter integers are uint8 from 0 (ONNX operator
    /// `QuantizeLinear`).
    fn read(node: &NodeProto, constants: &HashMap<&str, &TensorProto>) -> Option<Self> {
        let named = |name: &str| node.attribute.iter().any(|attribute| attribute.name() == name);
        if named("output_dtype") || named("block_size") {
            return None;
        }
        let constant = |index: usize| constants.get(node.input.get(index)?.as_str()).copied();
        let scale = constant(1)?;
        let [scale] =
            scale.to_f32().ok().filter(|_| scale.element_type() == Ok(ElementType::F32))?[..]
        else {
            return None;
        };
        if !(scale.is_finite() && scale > 0.0) {
            return None;
        }
        if node.input.get(2).is_none_or(String::is_empty) {
            return Some(Self { scale, zero_point: 0, element: ElementType::U8 });
        }
        let zero = constant(2)?;
        let [zero_point] = zero.to_i64().ok()?[..] else { return None };
        Some(Self { scale, zero_point, element: zero.element_type().ok()? })
    }
}
