//! Reductions along axes.

use tch::{Kind, TchError, Tensor};

use super::{Entry, entry};
use crate::graph::attributes::Attributes;
use crate::graph::operator::{Parsed, axis, one, several};

pub(super) const ENTRIES: &[Entry] = &[
    entry("ArgMax", |a| arg(a, Tensor::f_argmax)),
    entry("ArgMin", |a| arg(a, Tensor::f_argmin)),
    entry("ReduceL1", |a| reduce(a, 18, |x, axes, keep| sum(&x.f_abs()?, axes, keep))),
    entry("ReduceL2", |a| reduce(a, 18, |x, axes, keep| sum(&x.f_square()?, axes, keep)?.f_sqrt())),
    entry("ReduceLogSumExp", |a| reduce(a, 18, |x, axes, keep| x.f_logsumexp(axes, keep))),
    entry("ReduceMax", |a| reduce(a, 18, |x, axes, keep| x.f_amax(axes, keep))),
    entry("ReduceMean", |a| reduce(a, 18, |x, axes, keep| x.f_mean_dim(axes, keep, x.kind()))),
    entry("ReduceMin", |a| reduce(a, 18, |x, axes, keep| x.f_amin(axes, keep))),
    entry("ReduceProd", |a| reduce(a, 18, product)),
    entry("ReduceSum", |a| reduce(a, 13, sum)),
    entry("ReduceSumSquare", |a| reduce(a, 18, |x, axes, keep| sum(&x.f_square()?, axes, keep))),
    entry("TopK", top_k),
];

fn sum(x: &Tensor, axes: &[i64], keep: bool) -> Result<Tensor, TchError> {
    x.f_sum_dim_intlist(axes, keep, x.kind())
}

fn product(x: &Tensor, axes: &[i64], keep: bool) -> Result<Tensor, TchError> {
    let mut axes = axes.to_vec();
    axes.sort_unstable();
    // From the last axis on, so that the others keep their numbers.
    axes.iter().rev().try_fold(x.shallow_clone(), |x, &a| x.f_prod_dim_int(a, keep, x.kind()))
}

/// From version `axes_as_input` of the operator set on, the axes are an input.
fn reduce(
    attributes: &Attributes<'_>,
    axes_as_input: i64,
    apply: fn(&Tensor, &[i64], bool) -> Result<Tensor, TchError>,
) -> Parsed {
    let keep = attributes.int_or("keepdims", 1) != 0;
    let from_input = attributes.opset >= axes_as_input;
    let fixed = attributes.ints("axes");
    let none_means_nothing = attributes.flag("noop_with_empty_axes");
    one(move |inputs| {
        let x = inputs.get(0)?;
        let axes = if from_input { inputs.ints(1)? } else { fixed.clone() }.unwrap_or_default();
        if axes.is_empty() && none_means_nothing {
            return Ok(x.shallow_clone());
        }
        let axes: Vec<i64> = if axes.is_empty() {
            (0..).take(x.dim()).collect()
        } else {
            axes.iter().map(|&a| axis(a, x.dim())).collect::<Result<_, _>>()?
        };
        Ok(apply(x, &axes, keep)?)
    })
}

type Arg = fn(&Tensor, Option<i64>, bool) -> Result<Tensor, TchError>;

fn arg(attributes: &Attributes<'_>, apply: Arg) -> Parsed {
    let along = attributes.int_or("axis", 0);
    let keep = attributes.int_or("keepdims", 1) != 0;
    let last = attributes.flag("select_last_index");
    one(move |inputs| {
        let x = inputs.get(0)?;
        let along = axis(along, x.dim())?;
        if !last {
            return Ok(apply(x, Some(along), keep)?);
        }
        let index = apply(&x.f_flip([along])?, Some(along), keep)?;
        let length = x.size().get(usize::try_from(along).unwrap_or(0)).copied().unwrap_or(1);
        Ok(index.f_neg()?.f_add_scalar(length - 1)?)
    })
}

fn top_k(attributes: &Attributes<'_>) -> Parsed {
    let along = attributes.int_or("axis", -1);
    let largest = attributes.int_or("largest", 1) != 0;
    several(move |inputs| {
        let x = inputs.get(0)?;
        let k = inputs.ints(1)?.and_then(|k| k.first().copied()).unwrap_or(1);
        let along = axis(along, x.dim())?;
        // A stable sort: of equal values the one with the lower index comes first.
        let (values, indices) = x.f_sort_stable(true, along, largest)?;
        Ok(vec![
            values.f_narrow(along, 0, k)?,
            indices.f_narrow(along, 0, k)?.f_to_kind(Kind::Int64)?,
        ])
    })
}
