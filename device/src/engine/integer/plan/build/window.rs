//! The windows of convolutions and pools, from attributes (ONNX operators `Conv`, `AveragePool`, `MaxPool`).

use lcam_models::onnx::NodeProto;

use super::super::super::extent::{Extent, Geometry};
use super::super::super::wiring::Wiring;
use super::super::weights::attribute;

/// Reads a window; `None` where it is none that is computed here.
pub(super) fn window(node: &NodeProto, image: Extent, kernel: [usize; 2]) -> Option<Geometry> {
    let auto = node.attribute.iter().find(|attribute| attribute.name() == "auto_pad");
    if auto.is_some_and(|auto| !matches!(auto.s(), b"NOTSET" | b"VALID" | b"")) {
        return None;
    }
    let pads = integers(node, "pads").unwrap_or(vec![0; 4]);
    let &[top, left, bottom, right] = &pads[..] else { return None };
    let two = |name: &str| match integers(node, name) {
        None => Some([1, 1]),
        Some(sides) => <[usize; 2]>::try_from(sides).ok().filter(|sides| !sides.contains(&0)),
    };
    if integers(node, "kernel_shape").is_some_and(|stated| stated != kernel) {
        return None;
    }
    let geometry = Geometry {
        kernel,
        stride: two("strides")?,
        dilation: two("dilations")?,
        before: [top, left],
        after: [bottom, right],
    };
    let places = geometry.places(image)?;
    let reach = [geometry.reach(0)?, geometry.reach(1)?];
    // With `ceil_mode` a last window may hang over the edge.
    let over = |axis: usize| {
        let side = [image.height, image.width][axis];
        let padded = side + geometry.before[axis] + geometry.after[axis];
        (places[axis] - 1) * geometry.stride[axis] + reach[axis] < padded
    };
    let hangs = attribute(node, "ceil_mode") == Some(1) && (over(0) || over(1));
    // A window must see the image.
    let seen = |axis: usize| geometry.before[axis].max(geometry.after[axis]) < reach[axis];
    (!hangs && seen(0) && seen(1)).then_some(geometry)
}

/// Reads the window of a mean, whether padding counts, and whether the result is flat.
pub(super) fn average_window(
    node: &NodeProto,
    wiring: &Wiring<'_>,
    image: Extent,
) -> Option<(Geometry, bool, bool)> {
    if image.is_flat {
        return None;
    }
    match node.op_type() {
        "GlobalAveragePool" => Some((Geometry::whole(image), false, false)),
        "ReduceMean" => {
            let given = node.input.get(1).and_then(|name| wiring.constant(name)?.to_i64().ok());
            let stated = node.attribute.iter().find(|attribute| attribute.name() == "axes");
            let mut axes = given.or_else(|| stated.map(|axes| axes.ints.clone()))?;
            axes.iter_mut().filter(|axis| **axis < 0).for_each(|axis| *axis += 4);
            axes.sort_unstable();
            let is_flat = attribute(node, "keepdims") == Some(0);
            (axes == [2, 3]).then(|| (Geometry::whole(image), false, is_flat))
        }
        _ => {
            let geometry = window(node, image, kernel(node)?)?;
            let counts_padding = attribute(node, "count_include_pad") == Some(1);
            (geometry.dilation == [1, 1]).then_some((geometry, counts_padding, false))
        }
    }
}

/// Reads the window of a maximum.
pub(super) fn maximum_window(node: &NodeProto, image: Extent) -> Option<Geometry> {
    if image.is_flat {
        return None;
    }
    match node.op_type() {
        "GlobalMaxPool" => Some(Geometry::whole(image)),
        _ => window(node, image, kernel(node)?),
    }
}

fn kernel(node: &NodeProto) -> Option<[usize; 2]> {
    integers(node, "kernel_shape")?.try_into().ok().filter(|sides: &[usize; 2]| !sides.contains(&0))
}

fn integers(node: &NodeProto, name: &str) -> Option<Vec<usize>> {
    let found = node.attribute.iter().find(|attribute| attribute.name() == name)?;
    // What is below 0 is no side of anything, and no list of no sides fits anywhere.
    let sides: Option<Vec<usize>> = found.ints.iter().map(|&v| usize::try_from(v).ok()).collect();
    Some(sides.unwrap_or_default())
}
