//! A graph reduced to what is computed, before the runtime reads it.

use lcam_models::onnx::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

/// Turns `Constant` nodes into initializers, as the runtime tells no shape of the former. What holds no tensor and no
/// number is left to the runtime.
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
}
