//! Quantisation and its inverse, per tensor and per axis.

use tch::{Kind, Tensor};

use super::{Entry, entry};
use crate::graph::OperatorError;
use crate::graph::attributes::Attributes;
use crate::graph::operator::{Parsed, Run, axis, one};

pub(super) const ENTRIES: &[Entry] = &[
    entry("DequantizeLinear", dequantize).limits("8-bit, 16-bit and 32-bit integers, no blocks"),
    entry("QuantizeLinear", quantize).limits("8-bit results, no blocks"),
];

/// The pair of both: what is left of `x` when it is quantised, `clamp(round half to even(x / scale) + zero point)`
/// times the scale again. Inputs: `x`, scale and 8-bit zero point of one value each.
///
/// Rounding has no slope, so gradients pass as through a clamp to the range that can be represented (the
/// straight-through estimator; Bengio, Léonard, Courville 2013).
pub(in crate::graph) fn round_trip() -> Run {
    Box::new(|inputs| {
        let (x, scale, zero) = (inputs.get(0)?, inputs.get(1)?, inputs.get(2)?);
        let (low, high) = range(zero.kind())?;
        let (scale, zero) = (scale.double_value(&[]), zero.double_value(&[]));
        let rounded = tch::no_grad(|| {
            let mut steps = x.f_div_scalar(scale)?;
            let _ = steps.f_round_()?.f_clamp_(low - zero, high - zero)?;
            steps.f_mul_scalar_(scale)
        })?;
        if !x.requires_grad() {
            return Ok(vec![rounded]);
        }
        let clamped = x.f_clamp((low - zero) * scale, (high - zero) * scale)?;
        let step = rounded.f_sub(&clamped.f_detach()?)?;
        Ok(vec![clamped.f_add(&step)?])
    })
}

/// Gives the least and the largest value of an 8-bit type.
fn range(kind: Kind) -> Result<(f64, f64), OperatorError> {
    match kind {
        Kind::Int8 => Ok((-128.0, 127.0)),
        Kind::Uint8 => Ok((0.0, 255.0)),
        other => Err(OperatorError::Input(format!("a result of {other:?} is not supported"))),
    }
}

/// Gives a scale or zero point the shape that broadcasts along `along`.
fn along_axis(parameter: &Tensor, x: &Tensor, along: i64) -> Result<Tensor, OperatorError> {
    let parameter = parameter.f_to_device(x.device())?;
    if parameter.numel() == 1 {
        return Ok(parameter.f_reshape([1i64; 0])?);
    }
    if parameter.dim() != 1 {
        return Err(OperatorError::Input("blocked quantisation is not supported".to_owned()));
    }
    let mut shape = vec![1; x.dim()];
    shape[usize::try_from(axis(along, x.dim())?).unwrap_or(0)] = -1;
    Ok(parameter.f_reshape(&shape)?)
}

/// (x - zero point) scale
fn dequantize(attributes: &Attributes<'_>) -> Parsed {
    let along = attributes.int_or("axis", 1);
    one(move |inputs| {
        let x = inputs.get(0)?;
        let scale = along_axis(inputs.get(1)?, x, along)?;
        let mut values = x.f_to_kind(Kind::Float)?;
        if let Some(zero) = inputs.opt(2) {
            values = values.f_sub(&along_axis(zero, x, along)?.f_to_kind(Kind::Float)?)?;
        }
        Ok(values.f_mul(&scale)?)
    })
}

/// saturate(round half to even(x / scale) + zero point)
fn quantize(attributes: &Attributes<'_>) -> Parsed {
    let along = attributes.int_or("axis", 1);
    let output_type = attributes.int_or("output_dtype", 0);
    if !matches!(output_type, 0 | 2 | 3) {
        return Err(attributes.wrong("output_dtype", "is not an 8-bit integer"));
    }
    one(move |inputs| {
        let x = inputs.get(0)?;
        let scale = along_axis(inputs.get(1)?, x, along)?;
        let kind = match inputs.opt(2) {
            Some(zero) => zero.kind(),
            None if output_type == 3 => Kind::Int8,
            None => Kind::Uint8,
        };
        let (low, high) = range(kind)?;
        let mut values = x.f_div(&scale)?.f_round()?;
        if let Some(zero) = inputs.opt(2) {
            values = values.f_add(&along_axis(zero, x, along)?.f_to_kind(Kind::Float)?)?;
        }
        Ok(values.f_clamp(low, high)?.f_to_kind(kind)?)
    })
}
