//! Arithmetic, comparison and logic, element by element with broadcasting.

use tch::{Kind, TchError, Tensor};

use super::{Entry, entry};
use crate::graph::operator::{Inputs, Parsed, one, several};
use crate::graph::{OperatorError, attributes::Attributes};

pub(super) const ENTRIES: &[Entry] = &[
    entry("Abs", |_| unary(Tensor::f_abs)),
    entry("Add", |_| binary(Tensor::f_add)),
    entry("And", |_| binary(Tensor::f_logical_and)),
    entry("Ceil", |_| unary(Tensor::f_ceil)),
    entry("Cos", |_| unary(Tensor::f_cos)),
    entry("Div", |_| binary(divide)),
    entry("Equal", |_| binary(Tensor::f_eq_tensor)).limits("no strings"),
    entry("Erf", |_| unary(Tensor::f_erf)),
    entry("Exp", |_| unary(Tensor::f_exp)),
    entry("Floor", |_| unary(Tensor::f_floor)),
    entry("Greater", |_| binary(Tensor::f_gt_tensor)),
    entry("GreaterOrEqual", |_| binary(Tensor::f_ge_tensor)),
    entry("Identity", |_| one(|inputs| Ok(inputs.get(0)?.shallow_clone())))
        .limits("no sequences, no optionals"),
    entry("IsNaN", |_| unary(Tensor::f_isnan)),
    entry("Less", |_| binary(Tensor::f_lt_tensor)),
    entry("LessOrEqual", |_| binary(Tensor::f_le_tensor)),
    entry("Log", |_| unary(Tensor::f_log)),
    entry("Max", |_| fold(Tensor::f_maximum)),
    entry("Mean", |_| mean()),
    entry("Min", |_| fold(Tensor::f_minimum)),
    entry("Mod", modulo),
    entry("Mul", |_| binary(Tensor::f_mul)),
    entry("Neg", |_| unary(Tensor::f_neg)),
    entry("Not", |_| unary(Tensor::f_logical_not)),
    entry("Or", |_| binary(Tensor::f_logical_or)),
    entry("Pow", |_| binary(power)),
    entry("Reciprocal", |_| unary(Tensor::f_reciprocal)),
    entry("Round", |_| unary(Tensor::f_round)),
    entry("Sign", |_| unary(Tensor::f_sign)),
    entry("Sin", |_| unary(Tensor::f_sin)),
    entry("Sqrt", |_| unary(Tensor::f_sqrt)),
    entry("Sub", |_| binary(Tensor::f_sub)),
    entry("Sum", |_| fold(Tensor::f_add)),
    entry("Tan", |_| unary(Tensor::f_tan)),
    entry("Where", |_| one(select)),
    entry("Xor", |_| binary(Tensor::f_logical_xor)),
    entry("Dropout", |attributes| dropout(attributes)).limits("inference only"),
];

pub(super) fn unary(apply: fn(&Tensor) -> Result<Tensor, TchError>) -> Parsed {
    one(move |inputs| Ok(apply(inputs.get(0)?)?))
}

fn binary(apply: fn(&Tensor, &Tensor) -> Result<Tensor, TchError>) -> Parsed {
    one(move |inputs| {
        let (a, b) = together(inputs.get(0)?, inputs.get(1)?)?;
        Ok(apply(&a, &b)?)
    })
}

/// Brings two tensors to one device: sizes are computed on the CPU, pictures may be elsewhere.
fn together(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor), TchError> {
    let device = if a.device().is_cuda() { a.device() } else { b.device() };
    Ok((a.f_to_device(device)?, b.f_to_device(device)?))
}

fn fold(apply: fn(&Tensor, &Tensor) -> Result<Tensor, TchError>) -> Parsed {
    one(move |inputs| {
        let all = inputs.all()?;
        let first = inputs.get(0)?.shallow_clone();
        Ok(all[1..].iter().try_fold(first, |sum, tensor| apply(&sum, tensor))?)
    })
}

fn mean() -> Parsed {
    one(|inputs| {
        let all = inputs.all()?;
        let first = inputs.get(0)?.shallow_clone();
        let sum = all[1..].iter().try_fold(first, |sum, tensor| sum.f_add(tensor))?;
        #[expect(clippy::cast_precision_loss, reason = "a handful of inputs")]
        Ok(sum.f_div_scalar(all.len() as f64)?)
    })
}

/// Whole numbers are divided towards zero, as in C.
fn divide(a: &Tensor, b: &Tensor) -> Result<Tensor, TchError> {
    if is_float(a) { a.f_div(b) } else { a.f_div_tensor_mode(b, "trunc") }
}

/// The result has the type of the base, whatever that of the exponent.
fn power(base: &Tensor, exponent: &Tensor) -> Result<Tensor, TchError> {
    base.f_pow(exponent)?.f_to_kind(base.kind())
}

fn modulo(attributes: &Attributes<'_>) -> Parsed {
    // fmod = 1 takes the sign of the dividend, 0 that of the divisor.
    if attributes.flag("fmod") {
        binary(Tensor::f_fmod_tensor)
    } else {
        binary(Tensor::f_remainder_tensor)
    }
}

fn select(inputs: &Inputs<'_>) -> Result<Tensor, OperatorError> {
    let (yes, no) = together(inputs.get(1)?, inputs.get(2)?)?;
    let condition = inputs.get(0)?.f_to_kind(Kind::Bool)?.f_to_device(yes.device())?;
    Ok(yes.f_where_self(&condition, &no)?)
}

fn dropout(attributes: &Attributes<'_>) -> Parsed {
    let with_mask = attributes.outputs() > 1;
    several(move |inputs| {
        let input = inputs.get(0)?;
        let mut outputs = vec![input.shallow_clone()];
        if with_mask {
            outputs.push(input.f_ones_like()?.f_to_kind(Kind::Bool)?);
        }
        Ok(outputs)
    })
}

pub(super) fn is_float(tensor: &Tensor) -> bool {
    matches!(tensor.kind(), Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16)
}
