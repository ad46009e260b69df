//! The grid that a tensor's steps lie on, as a file says it.

use lcam_models::onnx::{ElementType, NodeProto};

use super::steps::Steps;
use super::wiring::Wiring;

/// A scale and a zero point for the whole tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::engine) struct Grid {
    /// The width of a step; finite and above 0.
    pub(in crate::engine) scale: f32,
    /// The steps, as int8.
    pub(in crate::engine) steps: Steps,
}

/// What uint8 is moved by to be int8.
const UINT8_TO_INT8: i64 = 128;

impl Grid {
    /// Reads the constants of a `QuantizeLinear` or `DequantizeLinear` of 8 bits; without a zero point steps are uint8
    /// from 0 (ONNX operator `QuantizeLinear`). `None` where they are computed, belong to an axis, or are no 8 bits.
    pub(super) fn read(node: &NodeProto, wiring: &Wiring<'_>) -> Option<Self> {
        let named = |name: &str| node.attribute.iter().any(|attribute| attribute.name() == name);
        if named("output_dtype") || named("block_size") || named("precision") {
            return None;
        }
        let scale = wiring.constant(node.input.get(1)?)?;
        if scale.element_type() != Ok(ElementType::F32) {
            return None;
        }
        let [scale] = scale.to_f32().ok()?[..] else { return None };
        if !(scale.is_finite() && scale > 0.0) {
            return None;
        }
        let zero = match node.input.get(2).map(String::as_str) {
            None | Some("") => -UINT8_TO_INT8,
            Some(name) => {
                let zero = wiring.constant(name)?;
                let moved = match zero.element_type().ok()? {
                    ElementType::U8 => UINT8_TO_INT8,
                    ElementType::I8 => 0,
                    _ => return None,
                };
                let [zero] = zero.to_i64().ok()?[..] else { return None };
                zero - moved
            }
        };
        let zero = i8::try_from(zero).ok()?;
        Some(Self { scale, steps: Steps { zero, low: i8::MIN, high: i8::MAX } })
    }

    /// Gives the nearest step to a value.
    pub(super) fn step(&self, value: f32) -> i8 {
        self.steps.round(value / self.scale)
    }

    /// Gives the value of a step.
    pub(super) fn value(&self, step: i8) -> f32 {
        f32::from(i16::from(step) - i16::from(self.steps.zero)) * self.scale
    }

    /// Narrows the steps to those that values between two bounds have; either may be infinite.
    pub(super) fn cut(&self, low: f32, high: f32) -> Steps {
        Steps { low: self.step(low), high: self.step(high), ..self.steps }
    }
}
