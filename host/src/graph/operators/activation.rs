//! Activation functions.

use tch::{Kind, TchError, Tensor};

use super::elementwise::unary;
use super::{Entry, entry};
use crate::graph::attributes::Attributes;
use crate::graph::operator::{Inputs, Parsed, axis, one};
use crate::graph::{NodeError, OperatorError};

pub(super) const ENTRIES: &[Entry] = &[
    entry("Celu", celu),
    entry("Clip", clip),
    entry("Elu", |a| {
        let alpha = a.float_or("alpha", 1.0);
        one(move |inputs| {
            let x = inputs.get(0)?;
            // max(0, x) + alpha (exp(min(0, x)) - 1)
            let negative = x.f_clamp_max(0.0)?.f_expm1()?.f_mul_scalar(alpha)?;
            Ok(x.f_relu()?.f_add(&negative)?)
        })
    }),
    entry("Gelu", gelu),
    entry("HardSigmoid", |a| {
        let (alpha, beta) = (a.float_or("alpha", 0.2), a.float_or("beta", 0.5));
        one(move |inputs| Ok(hard_sigmoid(inputs.get(0)?, alpha, beta)?))
    }),
    entry("HardSwish", |_| {
        one(|inputs| {
            let x = inputs.get(0)?;
            Ok(x.f_mul(&hard_sigmoid(x, 1.0 / 6.0, 0.5)?)?)
        })
    }),
    entry("LeakyRelu", |a| {
        let alpha = a.float_or("alpha", 0.01);
        one(move |inputs| {
            let x = inputs.get(0)?;
            Ok(x.f_relu()?.f_add(&x.f_clamp_max(0.0)?.f_mul_scalar(alpha)?)?)
        })
    }),
    entry("LogSoftmax", |a| softmax(a, Tensor::f_log_softmax)),
    entry("Mish", |_| unary(Tensor::f_mish)),
    entry("PRelu", |_| one(prelu)),
    entry("Relu", |_| unary(Tensor::f_relu)),
    entry("Selu", |a| {
        let alpha = a.float_or("alpha", 1.673_263_2);
        let gamma = a.float_or("gamma", 1.050_701);
        one(move |inputs| {
            let x = inputs.get(0)?;
            let negative = x.f_clamp_max(0.0)?.f_expm1()?.f_mul_scalar(alpha)?;
            Ok(x.f_relu()?.f_add(&negative)?.f_mul_scalar(gamma)?)
        })
    }),
    entry("Sigmoid", |_| unary(Tensor::f_sigmoid)),
    entry("Softmax", |a| softmax(a, Tensor::f_softmax)),
    entry("Softplus", |_| unary(Tensor::f_softplus)),
    entry("Softsign", |_| {
        one(|inputs| {
            let x = inputs.get(0)?;
            Ok(x.f_div(&x.f_abs()?.f_add_scalar(1.0)?)?)
        })
    }),
    entry("Tanh", |_| unary(Tensor::f_tanh)),
    entry("ThresholdedRelu", |a| {
        let alpha = a.float_or("alpha", 1.0);
        one(move |inputs| {
            let x = inputs.get(0)?;
            Ok(x.f_mul(&x.f_gt(alpha)?.f_to_kind(x.kind())?)?)
        })
    }),
];

/// max(0, min(1, alpha x + beta))
fn hard_sigmoid(x: &Tensor, alpha: f64, beta: f64) -> Result<Tensor, TchError> {
    x.f_mul_scalar(alpha)?.f_add_scalar(beta)?.f_clamp(0.0, 1.0)
}

fn celu(attributes: &Attributes<'_>) -> Parsed {
    let alpha = attributes.float_or("alpha", 1.0);
    one(move |inputs| {
        let x = inputs.get(0)?;
        let negative = x.f_clamp_max(0.0)?.f_div_scalar(alpha)?.f_expm1()?.f_mul_scalar(alpha)?;
        Ok(x.f_relu()?.f_add(&negative)?)
    })
}

fn clip(_: &Attributes<'_>) -> Parsed {
    one(|inputs| {
        let x = inputs.get(0)?;
        let bound = |index| inputs.opt(index).map(|b| b.f_to_device(x.device())).transpose();
        let (low, high) = (bound(1)?, bound(2)?);
        Ok(match (&low, &high) {
            (None, None) => x.shallow_clone(),
            _ => x.f_clamp_tensor(low.as_ref(), high.as_ref())?,
        })
    })
}

fn gelu(attributes: &Attributes<'_>) -> Parsed {
    match attributes.text_or("approximate", "none") {
        "none" => one(|inputs| Ok(inputs.get(0)?.f_gelu("none")?)),
        "tanh" => one(|inputs| Ok(inputs.get(0)?.f_gelu("tanh")?)),
        other => Err(attributes.wrong("approximate", format!("is {other:?}, not none or tanh"))),
    }
}

/// The slope broadcasts from the left where it has the channels' length, as older exporters write it.
fn prelu(inputs: &Inputs<'_>) -> Result<Tensor, OperatorError> {
    let (x, slope) = (inputs.get(0)?, inputs.get(1)?);
    Ok(x.f_relu()?.f_add(&x.f_clamp_max(0.0)?.f_mul(slope)?)?)
}

/// Before version 13 the tensor is seen as a matrix that is cut before `axis`, by default 1.
fn softmax<F>(
    attributes: &Attributes<'_>,
    apply: F,
) -> Result<crate::graph::operator::Run, NodeError>
where
    F: Fn(&Tensor, i64, Option<Kind>) -> Result<Tensor, TchError> + Send + 'static,
{
    let flattens = attributes.opset < 13;
    let along = attributes.int_or("axis", if flattens { 1 } else { -1 });
    one(move |inputs| {
        let x = inputs.get(0)?;
        let along = axis(along, x.dim())?;
        let sides = x.size();
        let (front, row) = sides.split_at(usize::try_from(along).unwrap_or(0));
        // Where both meanings are the same one path computes it, so that a raised file answers to the bit.
        if !flattens || row.iter().skip(1).all(|&side| side == 1) {
            return Ok(apply(x, along, None)?);
        }
        let rows: i64 = front.iter().product();
        Ok(apply(&x.f_reshape([rows, -1])?, 1, None)?.f_reshape(x.size())?)
    })
}
