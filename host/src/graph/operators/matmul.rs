//! Matrix products.

use super::{Entry, entry};
use crate::graph::attributes::Attributes;
use crate::graph::operator::{Parsed, one};

pub(super) const ENTRIES: &[Entry] = &[
    entry("Einsum", |a| {
        let equation = a.text_or("equation", "").to_owned();
        one(move |inputs| Ok(tch::Tensor::f_einsum(&equation, &inputs.all()?, None::<&[i64]>)?))
    }),
    entry("Gemm", gemm),
    entry("MatMul", |_| one(|inputs| Ok(inputs.get(0)?.f_matmul(inputs.get(1)?)?))),
];

/// alpha A B + beta C
fn gemm(attributes: &Attributes<'_>) -> Parsed {
    let (alpha, beta) = (attributes.float_or("alpha", 1.0), attributes.float_or("beta", 1.0));
    let (transpose_a, transpose_b) = (attributes.flag("transA"), attributes.flag("transB"));
    one(move |inputs| {
        let turn = |index, transpose: bool| {
            let matrix = inputs.get(index)?;
            Ok::<_, crate::graph::OperatorError>(if transpose {
                matrix.f_tr()?
            } else {
                matrix.shallow_clone()
            })
        };
        let (a, b) = (turn(0, transpose_a)?, turn(1, transpose_b)?);
        if let (Some(c), 1.0, 1.0) = (inputs.opt(2), alpha, beta) {
            return Ok(c.f_addmm(&a, &b)?);
        }
        let mut product = a.f_mm(&b)?;
        if (alpha - 1.0).abs() > 0.0 {
            product = product.f_mul_scalar(alpha)?;
        }
        Ok(match inputs.opt(2) {
            Some(c) => product.f_add(&c.f_mul_scalar(beta)?)?,
            None => product,
        })
    })
}
