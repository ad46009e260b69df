//! Operators that pick elements by position.

use tch::{Kind, Tensor};

use super::{Entry, entry};
use crate::graph::OperatorError;
use crate::graph::attributes::Attributes;
use crate::graph::operator::{Inputs, Parsed, axis, one, several};

pub(super) const ENTRIES: &[Entry] = &[
    entry("Gather", gather),
    entry("GatherElements", gather_elements),
    entry("Slice", |_| one(slice)),
    entry("Split", split),
];

/// Counts negative indices from the end, on the device of the data.
fn from_front(indices: &Tensor, length: i64, data: &Tensor) -> Result<Tensor, OperatorError> {
    let indices = indices.f_to_kind(Kind::Int64)?.f_to_device(data.device())?;
    let shifted = indices.f_add_scalar(length)?;
    Ok(shifted.f_where_self(&indices.f_lt(0)?, &indices)?)
}

fn side(tensor: &Tensor, along: i64) -> i64 {
    usize::try_from(along).ok().and_then(|along| tensor.size().get(along).copied()).unwrap_or(1)
}

fn gather(attributes: &Attributes<'_>) -> Parsed {
    let along = attributes.int_or("axis", 0);
    one(move |inputs| {
        let (data, indices) = (inputs.get(0)?, inputs.get(1)?);
        let along = axis(along, data.dim())?;
        let indices = from_front(indices, side(data, along), data)?;
        let picked = data.f_index_select(along, &indices.f_reshape([-1i64])?)?;
        let at = usize::try_from(along).unwrap_or(0);
        let mut shape = data.size();
        shape.splice(at..=at, indices.size());
        Ok(picked.f_reshape(&shape)?)
    })
}

fn gather_elements(attributes: &Attributes<'_>) -> Parsed {
    let along = attributes.int_or("axis", 0);
    one(move |inputs| {
        let data = inputs.get(0)?;
        let along = axis(along, data.dim())?;
        let indices = from_front(inputs.get(1)?, side(data, along), data)?;
        Ok(data.f_gather(along, &indices, false)?)
    })
}

fn slice(inputs: &Inputs<'_>) -> Result<Tensor, OperatorError> {
    let data = inputs.get(0)?;
    let missing = |index| OperatorError::MissingInput(index);
    let starts = inputs.ints(1)?.ok_or_else(|| missing(1))?;
    let ends = inputs.ints(2)?.ok_or_else(|| missing(2))?;
    let axes = match inputs.ints(3)? {
        Some(axes) => axes,
        None => (0..).take(starts.len()).collect(),
    };
    let steps = inputs.ints(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || steps.contains(&0) {
        return Err(OperatorError::Input("starts, ends, axes and steps do not fit".to_owned()));
    }
    let mut result = data.shallow_clone();
    for (i, &along) in axes.iter().enumerate() {
        let along = axis(along, data.dim())?;
        result = slice_axis(&result, along, (starts[i], ends[i]), steps[i])?;
    }
    Ok(result)
}

/// Slices one axis; a negative step walks backwards.
fn slice_axis(
    x: &Tensor,
    along: i64,
    (start, end): (i64, i64),
    step: i64,
) -> Result<Tensor, OperatorError> {
    let length = side(x, along);
    let count =
        |position: i64| if position < 0 { position.saturating_add(length) } else { position };
    if step > 0 {
        let (start, end) = (count(start).clamp(0, length), count(end).clamp(0, length));
        return Ok(x.f_slice(along, start, end.max(start), step)?);
    }
    let (start, end) = (count(start).clamp(0, length - 1), count(end).clamp(-1, length - 1));
    let cells = if start > end { (start - end - step - 1) / -step } else { 0 };
    let indices: Vec<i64> = (0..cells).map(|i| start + i * step).collect();
    Ok(x.f_index_select(along, &Tensor::from_slice(&indices).f_to_device(x.device())?)?)
}

/// The parts are given as an attribute before version 13, as an input from then on, or made equal.
fn split(attributes: &Attributes<'_>) -> Parsed {
    let along = attributes.int_or("axis", 0);
    let fixed = attributes.ints("split");
    let parts = i64::try_from(attributes.outputs()).unwrap_or(1);
    several(move |inputs| {
        let x = inputs.get(0)?;
        let along = axis(along, x.dim())?;
        let sizes = match inputs.ints(1)?.or_else(|| fixed.clone()) {
            Some(sizes) => sizes,
            None => {
                let length = side(x, along);
                let part = (length + parts - 1) / parts;
                (0..parts).map(|i| (length - i * part).clamp(0, part)).collect()
            }
        };
        Ok(x.f_split_with_sizes(&sizes, along)?)
    })
}
