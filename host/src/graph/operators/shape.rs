//! Operators that rearrange, join, extend or make tensors.

use lcam_models::onnx::ElementType;
use tch::{Device, Kind, Tensor};

use super::{Entry, entry};
use crate::graph::attributes::Attributes;
use crate::graph::operator::{Inputs, Parsed, axis, one};
use crate::graph::{NodeError, OperatorError, tensors};

pub(super) const ENTRIES: &[Entry] = &[
    entry("Cast", cast).limits("8-bit to 64-bit integers, f16 (as f32), f32, f64, bool"),
    entry("CastLike", |_| one(|inputs| Ok(inputs.get(0)?.f_to_kind(inputs.get(1)?.kind())?))),
    entry("Concat", concat),
    entry("Constant", constant).limits("no strings, no sparse tensors"),
    entry("ConstantOfShape", constant_of_shape),
    entry("DepthToSpace", depth_to_space),
    entry("Expand", |_| one(expand)),
    entry("Flatten", flatten),
    entry("Pad", pad),
    entry("Range", |_| one(range)),
    entry("Reshape", reshape),
    entry("Shape", shape),
    entry("Size", |_| {
        one(|inputs| Ok(Tensor::from(i64::try_from(inputs.get(0)?.numel()).unwrap_or(i64::MAX))))
    }),
    entry("SpaceToDepth", space_to_depth),
    entry("Squeeze", squeeze),
    entry("Tile", |_| one(|inputs| Ok(inputs.get(0)?.f_repeat(required(inputs, 1)?)?))),
    entry("Transpose", transpose),
    entry("Unsqueeze", unsqueeze),
];

fn required(inputs: &Inputs<'_>, index: usize) -> Result<Vec<i64>, OperatorError> {
    inputs.ints(index)?.ok_or(OperatorError::MissingInput(index))
}

fn cast(attributes: &Attributes<'_>) -> Parsed {
    let to = attributes.require("to", attributes.int("to"))?;
    let element = i32::try_from(to).ok().and_then(ElementType::from_number);
    let kind = element
        .map(tensors::kind)
        .ok_or_else(|| attributes.wrong("to", format!("is the unsupported type {to}")))?;
    one(move |inputs| Ok(inputs.get(0)?.f_to_kind(kind)?))
}

fn concat(attributes: &Attributes<'_>) -> Parsed {
    let along = attributes.require("axis", attributes.int("axis"))?;
    one(move |inputs| {
        let all = inputs.all()?;
        Ok(Tensor::f_cat(&all, axis(along, inputs.get(0)?.dim())?)?)
    })
}

fn constant(attributes: &Attributes<'_>) -> Parsed {
    #[expect(clippy::cast_possible_truncation, reason = "the attribute was an f32")]
    let value = if let Some(tensor) = attributes.tensor("value") {
        tensors::from_proto(tensor).map_err(|error| attributes.wrong("value", error.to_string()))?
    } else if let Some(value) = attributes.int("value_int") {
        Tensor::from(value)
    } else if let Some(values) = attributes.ints("value_ints") {
        Tensor::from_slice(&values)
    } else if let Some(values) = attributes.floats("value_floats") {
        Tensor::from_slice(values)
    } else if attributes.has("value_float") {
        Tensor::from(attributes.float_or("value_float", 0.0) as f32)
    } else {
        return Err(attributes.wrong("value", "is missing or of an unsupported kind"));
    };
    one(move |_| Ok(value.shallow_clone()))
}

fn constant_of_shape(attributes: &Attributes<'_>) -> Parsed {
    let value = match attributes.tensor("value") {
        Some(tensor) => tensors::from_proto(tensor)
            .map_err(|error| attributes.wrong("value", error.to_string()))?,
        None => Tensor::from(0f32),
    };
    one(move |inputs| {
        let shape = required(inputs, 0)?;
        Ok(value.f_reshape([1i64])?.f_expand([shape.iter().product()], false)?.f_reshape(&shape)?)
    })
}

fn block_size(attributes: &Attributes<'_>) -> Result<i64, NodeError> {
    attributes.require("blocksize", attributes.int("blocksize").filter(|&size| size > 0))
}

fn four_sides(x: &Tensor) -> Result<[i64; 4], OperatorError> {
    <[i64; 4]>::try_from(x.size())
        .map_err(|sides| OperatorError::Input(format!("shape {sides:?} is not four-dimensional")))
}

fn depth_to_space(attributes: &Attributes<'_>) -> Parsed {
    let block = block_size(attributes)?;
    let column_first = attributes.text_or("mode", "DCR") == "CRD";
    one(move |inputs| {
        let x = inputs.get(0)?;
        let [n, c, h, w] = four_sides(x)?;
        let depth = c / (block * block);
        let moved = if column_first {
            x.f_reshape([n, depth, block, block, h, w])?.f_permute([0, 1, 4, 2, 5, 3])?
        } else {
            x.f_reshape([n, block, block, depth, h, w])?.f_permute([0, 3, 4, 1, 5, 2])?
        };
        Ok(moved.f_reshape([n, depth, h * block, w * block])?)
    })
}

fn space_to_depth(attributes: &Attributes<'_>) -> Parsed {
    let block = block_size(attributes)?;
    let order = match attributes.text_or("mode", "DCR") {
        "CRD" => [0, 1, 3, 5, 2, 4],
        _ => [0, 3, 5, 1, 2, 4],
    };
    one(move |inputs| {
        let x = inputs.get(0)?;
        let [n, c, h, w] = four_sides(x)?;
        let moved = x.f_reshape([n, c, h / block, block, w / block, block])?.f_permute(order)?;
        Ok(moved.f_reshape([n, c * block * block, h / block, w / block])?)
    })
}

/// The shapes are broadcast together: a 1 in either takes the other's size.
fn expand(inputs: &Inputs<'_>) -> Result<Tensor, OperatorError> {
    let x = inputs.get(0)?;
    let wanted = required(inputs, 1)?;
    let sides = x.size();
    let rank = sides.len().max(wanted.len());
    let at = |list: &[i64], i: usize| (i + list.len()).checked_sub(rank).map_or(1, |i| list[i]);
    let shape: Vec<i64> = (0..rank)
        .map(|i| if at(&wanted, i) == 1 { at(&sides, i) } else { at(&wanted, i) })
        .collect();
    Ok(x.f_expand(&shape, false)?)
}

fn flatten(attributes: &Attributes<'_>) -> Parsed {
    let along = attributes.int_or("axis", 1);
    one(move |inputs| {
        let x = inputs.get(0)?;
        // Unlike other axes this one may lie behind the last dimension.
        let rank = i64::try_from(x.dim()).unwrap_or(0);
        let cut = usize::try_from(if along < 0 { along + rank } else { along }).unwrap_or(0);
        let rows: i64 = x.size().iter().take(cut).product();
        let columns: i64 = x.size().iter().skip(cut).product();
        Ok(x.f_reshape([rows, columns])?)
    })
}

fn pad(attributes: &Attributes<'_>) -> Parsed {
    let mode = match attributes.text_or("mode", "constant") {
        "constant" => "constant",
        "reflect" => "reflect",
        "edge" => "replicate",
        "wrap" => "circular",
        other => return Err(attributes.wrong("mode", format!("has the unknown value {other:?}"))),
    };
    one(move |inputs| {
        let x = inputs.get(0)?;
        let given = required(inputs, 1)?;
        let axes = match inputs.ints(3)? {
            Some(axes) => axes.iter().map(|&a| axis(a, x.dim())).collect::<Result<Vec<_>, _>>()?,
            None => (0..).take(x.dim()).collect(),
        };
        if given.len() != 2 * axes.len() {
            return Err(OperatorError::Input(format!("pads {given:?} do not fit axes {axes:?}")));
        }
        let mut pads = vec![0; 2 * x.dim()];
        for (i, &along) in axes.iter().enumerate() {
            let from_end = x.dim() - 1 - usize::try_from(along).unwrap_or(0);
            (pads[2 * from_end], pads[2 * from_end + 1]) = (given[i], given[i + axes.len()]);
        }
        if mode == "constant" {
            let value = inputs.floats(2)?.and_then(|v| v.first().copied()).unwrap_or(0.0);
            return Ok(x.f_pad(&pads, mode, value)?);
        }
        // libtorch pads the last dimensions only: leave out those in front that are not padded.
        while pads.len() > 2 && pads.ends_with(&[0, 0]) {
            pads.truncate(pads.len() - 2);
        }
        pad_by_copies(x, &pads, mode)
    })
}

/// Non-constant padding needs, in libtorch, exactly two dimensions in front of the padded ones.
fn pad_by_copies(x: &Tensor, pads: &[i64], mode: &str) -> Result<Tensor, OperatorError> {
    let padded = pads.len() / 2;
    if padded > x.dim() || padded > 3 {
        return Err(OperatorError::Input(format!(
            "{mode} padding of {padded} dimensions is not supported"
        )));
    }
    let sides = x.size();
    let (front, back) = sides.split_at(x.dim() - padded);
    let mut shape = vec![1, front.iter().product()];
    shape.extend(back);
    let result = x.f_reshape(&shape)?.f_pad(pads, mode, None)?;
    let mut final_shape = front.to_vec();
    final_shape.extend(&result.size()[2..]);
    Ok(result.f_reshape(&final_shape)?)
}

fn range(inputs: &Inputs<'_>) -> Result<Tensor, OperatorError> {
    let kind = inputs.get(0)?.kind();
    let number = |index: usize| -> Result<f64, OperatorError> {
        inputs
            .floats(index)?
            .and_then(|v| v.first().copied())
            .ok_or(OperatorError::MissingInput(index))
    };
    let (start, limit, delta) = (number(0)?, number(1)?, number(2)?);
    let wide = Tensor::f_arange_start_step(start, limit, delta, (Kind::Double, Device::Cpu))?;
    Ok(wide.f_to_kind(kind)?)
}

fn reshape(attributes: &Attributes<'_>) -> Parsed {
    let keep_zeros = attributes.flag("allowzero");
    one(move |inputs| {
        let x = inputs.get(0)?;
        let mut shape = required(inputs, 1)?;
        if !keep_zeros {
            for (index, side) in shape.iter_mut().enumerate().filter(|(_, side)| **side == 0) {
                *side = x.size().get(index).copied().unwrap_or(0);
            }
        }
        Ok(x.f_reshape(&shape)?)
    })
}

fn shape(attributes: &Attributes<'_>) -> Parsed {
    let (start, end) = (attributes.int_or("start", 0), attributes.int("end"));
    one(move |inputs| {
        let sides = inputs.get(0)?.size();
        let rank = i64::try_from(sides.len()).unwrap_or(0);
        let clamp = |position: i64| {
            let position = if position < 0 { position + rank } else { position };
            usize::try_from(position.clamp(0, rank)).unwrap_or(0)
        };
        let (start, end) = (clamp(start), clamp(end.unwrap_or(rank)));
        Ok(Tensor::from_slice(&sides[start..end.max(start)]))
    })
}

/// Gives the axes of `Squeeze` and `Unsqueeze`: an attribute before version 13, an input from then on.
fn axes(fixed: Option<&Vec<i64>>, inputs: &Inputs<'_>) -> Result<Option<Vec<i64>>, OperatorError> {
    Ok(inputs.ints(1)?.or_else(|| fixed.cloned()))
}

fn squeeze(attributes: &Attributes<'_>) -> Parsed {
    let fixed = attributes.ints("axes");
    one(move |inputs| {
        let x = inputs.get(0)?;
        let Some(axes) = axes(fixed.as_ref(), inputs)? else { return Ok(x.f_squeeze()?) };
        let mut shape = x.size();
        let mut axes = axes.iter().map(|&a| axis(a, x.dim())).collect::<Result<Vec<_>, _>>()?;
        axes.sort_unstable();
        for &along in axes.iter().rev() {
            let at = usize::try_from(along).unwrap_or(0);
            if shape.get(at) != Some(&1) {
                return Err(OperatorError::Input(format!(
                    "axis {along} of {:?} is not 1",
                    x.size()
                )));
            }
            shape.remove(at);
        }
        Ok(x.f_reshape(&shape)?)
    })
}

fn unsqueeze(attributes: &Attributes<'_>) -> Parsed {
    let fixed = attributes.ints("axes");
    one(move |inputs| {
        let x = inputs.get(0)?;
        let axes = axes(fixed.as_ref(), inputs)?.ok_or(OperatorError::MissingInput(1))?;
        let rank = x.dim() + axes.len();
        let mut axes = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
        axes.sort_unstable();
        Ok(axes.iter().try_fold(x.shallow_clone(), |x, &along| x.f_unsqueeze(along))?)
    })
}

fn transpose(attributes: &Attributes<'_>) -> Parsed {
    let order = attributes.ints("perm");
    one(move |inputs| {
        let x = inputs.get(0)?;
        let reversed = || (0..).take(x.dim()).collect::<Vec<i64>>().into_iter().rev().collect();
        Ok(x.f_permute(order.clone().unwrap_or_else(reversed))?)
    })
}
