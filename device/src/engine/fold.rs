//! Changes to a graph before the runtime reads it.
//!
//! Int8 weights become float32 here: the runtime itself would widen a large constant anew at each pass, as
//! it evaluates no constant above 4 MiB while it loads. `Constant` nodes become initializers, as the runtime
//! tells no shape of the former.

use std::collections::{HashMap, HashSet};

use lcam_models::onnx::{
    GraphProto, NodeProto, TensorError, TensorProto, ValueInfoProto, attribute_proto::AttributeType,
};

use super::guard::GuardError;
use super::limits::Limits;

/// Turns `Constant` nodes into initializers. What holds no tensor and no number is left to the runtime.
pub(super) fn name_constants(graph: &mut GraphProto) {
    let mut constants = Vec::new();
    graph.node.retain(|node| match constant(node) {
        Some(tensor) => {
            constants.push(tensor);
            false
        }
        None => true,
    });
    graph.initializer.extend(constants);
}

/// Gives the value of a `Constant` node (ONNX operator `Constant`).
fn constant(node: &NodeProto) -> Option<TensorProto> {
    let ([output], [attribute]) = (&node.output[..], &node.attribute[..]) else { return None };
    if node.op_type() != "Constant" {
        return None;
    }
    let count = |length: usize| i64::try_from(length).ok();
    match attribute.name() {
        "value" => {
            let mut tensor = attribute.t.clone()?;
            tensor.name = Some(output.clone());
            Some(tensor)
        }
        "value_float" => Some(TensorProto::from_f32(output, &[], &[attribute.f()])),
        "value_int" => Some(TensorProto::from_i64(output, &[], &[attribute.i()])),
        "value_floats" => {
            let values = &attribute.floats;
            Some(TensorProto::from_f32(output, &[count(values.len())?], values))
        }
        "value_ints" => {
            let values = &attribute.ints;
            Some(TensorProto::from_i64(output, &[count(values.len())?], values))
        }
        _ => None,
    }
}

/// Widens weights: each `DequantizeLinear` of constants becomes a float32 constant,
/// `(x - zero_point) * scale` with one scale or one along an axis (ONNX operator `DequantizeLinear`).
/// What has another form is left to the runtime.
///
/// # Errors
/// Returns [`GuardError`] when the widened constants together are beyond the limits.
pub(super) fn fold_weights(graph: &mut GraphProto, limits: &Limits) -> Result<(), GuardError> {
    let constants: HashMap<&str, &TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let mut folded = Vec::new();
    let mut replaced = HashSet::new();
    let mut elements = 0;
    for node in graph.node.iter().filter(|node| node.op_type() == "DequantizeLinear") {
        if let Some(tensor) = dequantize(node, &constants)? {
            elements += tensor.shape()?.iter().product::<usize>() as u64;
            limits.check_total(elements)?;
            replaced.insert(tensor.name().to_owned());
            folded.push(tensor);
        }
    }
    let is_replaced = |node: &NodeProto| {
        node.op_type() == "DequantizeLinear"
            && node.output.first().is_some_and(|output| replaced.contains(output))
    };
    graph.node.retain(|node| !is_replaced(node));
    graph.initializer.extend(folded);
    Ok(())
}

fn dequantize(
    node: &NodeProto,
    constants: &HashMap<&str, &TensorProto>,
) -> Result<Option<TensorProto>, TensorError> {
    let [output] = &node.output[..] else { return Ok(None) };
    let constant = |index: usize| {
        let name = node.input.get(index).map_or("", String::as_str);
        constants.get(name).copied()
    };
    let (Some(weights), Some(scales)) = (constant(0), constant(1)) else { return Ok(None) };
    let has_zero_point = node.input.get(2).is_some_and(|name| !name.is_empty());
    if has_zero_point != constant(2).is_some() {
        return Ok(None);
    }
    let shape = weights.shape()?;
    let scale = scales.to_f32()?;
    let zero_points = match constant(2) {
        Some(tensor) => tensor.to_f32()?,
        None => vec![0.0; scale.len()],
    };
    let Some(stride) = axis_stride(node, &shape, scale.len()) else { return Ok(None) };
    if zero_points.len() != scale.len() || scales.dims.len() > 1 || !is_narrow(weights) {
        return Ok(None);
    }
    let mut values = weights.to_f32()?;
    for (index, value) in values.iter_mut().enumerate() {
        let channel = index / stride % scale.len();
        *value = (*value - zero_points[channel]) * scale[channel];
    }
    Ok(Some(TensorProto::from_f32(output, &weights.dims, &values)))
}

/// Tells whether every value of a tensor's type is exact as float32: at most 16 bits.
fn is_narrow(tensor: &TensorProto) -> bool {
    tensor.element_type().is_ok_and(|element| !element.is_float() && element.bytes() <= 2)
}

/// Gives how many elements lie between neighbours along the axis that the scales belong to; with one
/// scale, all elements.
fn axis_stride(node: &NodeProto, shape: &[usize], scales: usize) -> Option<usize> {
    if scales == 1 {
        return Some(shape.iter().product::<usize>().max(1));
    }
    let named = |name: &str| node.attribute.iter().find(|attribute| attribute.name() == name);
    if named("block_size").is_some_and(|attribute| attribute.i() != 0) {
        return None;
    }
    let axis = match named("axis") {
        Some(attribute) if attribute.r#type() == AttributeType::Int => attribute.i(),
        Some(_) => return None,
        None => 1,
    };
    let rank = i64::try_from(shape.len()).ok()?;
    let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()?;
    if *shape.get(axis)? != scales {
        return None;
    }
    Some(shape[axis + 1..].iter().product::<usize>().max(1))
}

/// Makes the graph's outputs exactly these tensors and drops what they do not need. Inner shapes that the
/// file states go, too: the runtime works those out by itself.
pub(super) fn select_outputs(graph: &mut GraphProto, outputs: &[&str]) {
    graph.output = outputs
        .iter()
        .map(|&name| ValueInfoProto { name: Some(name.to_owned()), ..Default::default() })
        .collect();
    graph.keep_what_makes(outputs);
}

#[cfg(test)]
mod tests {
    use lcam_models::onnx::AttributeProto;

    use super::*;

    fn node(axis: Option<i64>, inputs: &[&str]) -> NodeProto {
        let axis = axis.map(|axis| AttributeProto {
            name: Some("axis".to_owned()),
            r#type: Some(AttributeType::Int.into()),
            i: Some(axis),
            ..Default::default()
        });
        NodeProto {
            op_type: Some("DequantizeLinear".to_owned()),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec!["y".to_owned()],
            attribute: axis.into_iter().collect(),
            ..Default::default()
        }
    }

    fn fold(node: NodeProto, constants: Vec<TensorProto>) -> Option<Vec<f32>> {
        let mut graph =
            GraphProto { node: vec![node], initializer: constants, ..Default::default() };
        fold_weights(&mut graph, &Limits::DEFAULT).unwrap();
        let folded = graph.initializer.iter().find(|tensor| tensor.name() == "y");
        assert_eq!(folded.is_some(), graph.node.is_empty(), "the node goes when its result stays");
        folded.map(|tensor| tensor.to_f32().unwrap())
    }

    #[test]
    fn widens_along_an_axis() {
        let weights = TensorProto::from_i8("w", &[2, 3], &[1, 2, 3, -4, -5, -128]);
        let two = TensorProto::from_f32("s", &[2], &[0.5, 2.0]);
        let rows = fold(node(Some(0), &["w", "s"]), vec![weights.clone(), two]);
        assert_eq!(rows.unwrap(), [0.5, 1.0, 1.5, -8.0, -10.0, -256.0]);
        let three = TensorProto::from_f32("s", &[3], &[1.0, 10.0, 100.0]);
        let columns = [1.0, 20.0, 300.0, -4.0, -50.0, -12_800.0];
        for axis in [None, Some(1), Some(-1)] {
            let constants = vec![weights.clone(), three.clone()];
            assert_eq!(fold(node(axis, &["w", "s"]), constants).unwrap(), columns, "{axis:?}");
        }
    }

    #[test]
    fn constants_become_initializers() {
        let attribute =
            |name: &str| AttributeProto { name: Some(name.to_owned()), ..Default::default() };
        let constant = |output: &str, attribute: AttributeProto| NodeProto {
            op_type: Some("Constant".to_owned()),
            output: vec![output.to_owned()],
            attribute: vec![attribute],
            ..Default::default()
        };
        let tensor = TensorProto::from_f32("inner", &[2], &[1.0, 2.0]);
        let mut graph = GraphProto {
            node: vec![
                constant("a", AttributeProto { t: Some(tensor), ..attribute("value") }),
                constant("b", AttributeProto { f: Some(3.0), ..attribute("value_float") }),
                constant("c", AttributeProto { ints: vec![4, 5], ..attribute("value_ints") }),
                constant("d", attribute("value_string")),
            ],
            ..Default::default()
        };
        name_constants(&mut graph);
        assert_eq!(graph.node.len(), 1, "text is left alone");
        let named: Vec<_> = graph.initializer.iter().map(|t| (t.name(), t.dims.clone())).collect();
        assert_eq!(named, [("a", vec![2]), ("b", vec![]), ("c", vec![2])]);
        assert_eq!(graph.initializer[2].to_i64().unwrap(), [4, 5]);
    }

    #[test]
    fn subtracts_the_zero_point_of_a_whole_tensor() {
        let weights = TensorProto::from_i8("w", &[3], &[1, 2, 3]);
        let scale = TensorProto::from_f32("s", &[], &[0.5]);
        let zero_point = TensorProto::from_i8("z", &[], &[2]);
        let folded = fold(node(None, &["w", "s", "z"]), vec![weights, scale, zero_point]);
        assert_eq!(folded.unwrap(), [-0.5, 0.0, 0.5]);
    }

    #[test]
    fn leaves_other_forms_alone() {
        let weights = TensorProto::from_i8("w", &[2, 2], &[1, 2, 3, 4]);
        let scale = |dims: &[i64], values: &[f32]| TensorProto::from_f32("s", dims, values);
        for (case, node, scale) in [
            ("computed scale", node(None, &["w", "x"]), scale(&[1], &[1.0])),
            ("computed zero point", node(None, &["w", "s", "x"]), scale(&[1], &[1.0])),
            ("wrong length", node(Some(0), &["w", "s"]), scale(&[3], &[1.0; 3])),
            ("axis out of range", node(Some(5), &["w", "s"]), scale(&[2], &[1.0; 2])),
            ("blocks", node(Some(0), &["w", "s"]), scale(&[2, 2], &[1.0; 4])),
            ("no scale", node(Some(0), &["w", "s"]), scale(&[0], &[])),
        ] {
            assert_eq!(fold(node, vec![weights.clone(), scale]), None, "{case}");
        }
    }
}
