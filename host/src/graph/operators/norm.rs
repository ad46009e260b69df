//! Normalisation layers.

use tch::{Kind, Tensor};

use super::{Entry, entry};
use crate::graph::OperatorError;
use crate::graph::attributes::Attributes;
use crate::graph::operator::{Inputs, Parsed, axis, one, several};

pub(super) const ENTRIES: &[Entry] = &[
    entry("BatchNormalization", batch_normalization).limits("inference only"),
    entry("GroupNormalization", group_normalization)
        .limits("from version 21, with one scale a channel"),
    entry("InstanceNormalization", |a| {
        let epsilon = a.float_or("epsilon", 1e-5);
        one(move |inputs| {
            let x = inputs.get(0)?;
            let groups = x.size()[1];
            Ok(x.f_group_norm(groups, inputs.opt(1), inputs.opt(2), epsilon, true)?)
        })
    }),
    entry("LayerNormalization", layer_normalization),
    entry("LRN", local_response).limits("two spatial dimensions"),
    entry("LpNormalization", |a| {
        let (along, p) = (a.int_or("axis", -1), a.int_or("p", 2));
        one(move |inputs| {
            let x = inputs.get(0)?;
            let norm = x.f_norm_scalaropt_dim(p, [axis(along, x.dim())?], true)?;
            // A vector of zeros stays one.
            Ok(x.f_div(&norm.f_add(&norm.f_eq(0.0)?)?)?)
        })
    }),
];

fn batch_normalization(attributes: &Attributes<'_>) -> Parsed {
    if attributes.flag("training_mode") {
        return Err(attributes.wrong("training_mode", "is on; export the model in inference mode"));
    }
    let epsilon = attributes.float_or("epsilon", 1e-5);
    one(move |inputs| {
        let given = |index| inputs.get(index).map(Some);
        Ok(inputs.get(0)?.f_batch_norm(
            given(1)?,
            given(2)?,
            given(3)?,
            given(4)?,
            false,
            0.0,
            epsilon,
            true,
        )?)
    })
}

fn group_normalization(attributes: &Attributes<'_>) -> Parsed {
    if attributes.opset < 21 {
        return Err(attributes.wrong("num_groups", "belongs to a version of the operator that was withdrawn; export with operator set 21 or newer"));
    }
    let epsilon = attributes.float_or("epsilon", 1e-5);
    let groups = attributes.require("num_groups", attributes.int("num_groups"))?;
    one(move |inputs| {
        Ok(inputs.get(0)?.f_group_norm(groups, inputs.opt(1), inputs.opt(2), epsilon, true)?)
    })
}

fn layer_normalization(attributes: &Attributes<'_>) -> Parsed {
    let epsilon = attributes.float_or("epsilon", 1e-5);
    let along = attributes.int_or("axis", -1);
    several(move |inputs| {
        let x = inputs.get(0)?;
        let first = usize::try_from(axis(along, x.dim())?).unwrap_or(0);
        let shape = x.size()[first..].to_vec();
        let part = |index: usize| {
            inputs.opt(index).map(|tensor: &Tensor| tensor.f_expand(&shape, false)).transpose()
        };
        let (y, mean, deviation) = x.f_native_layer_norm(&shape, part(1)?, part(2)?, epsilon)?;
        Ok(vec![y, mean, deviation])
    })
}

/// `x / (bias + alpha / size * sum of squares over `size` neighbouring channels)^beta`
fn local_response(attributes: &Attributes<'_>) -> Parsed {
    let (alpha, beta) = (attributes.float_or("alpha", 1e-4), attributes.float_or("beta", 0.75));
    let bias = attributes.float_or("bias", 1.0);
    let size = attributes.require("size", attributes.int("size"))?;
    one(move |inputs: &Inputs<'_>| -> Result<Tensor, OperatorError> {
        let x = inputs.get(0)?.f_to_kind(Kind::Float)?;
        let before = (size - 1) / 2;
        let squares = x.f_square()?.f_unsqueeze(1)?.f_constant_pad_nd([
            0,
            0,
            0,
            0,
            before,
            size - 1 - before,
        ])?;
        let mean = squares.f_avg_pool3d([size, 1, 1], [1, 1, 1], [0, 0, 0], false, true, None)?;
        let scale = mean.f_squeeze_dim(1)?.f_mul_scalar(alpha)?.f_add_scalar(bias)?;
        Ok(x.f_div(&scale.f_pow_tensor_scalar(beta)?)?)
    })
}
