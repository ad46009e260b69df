//! The types of a graph's tensors: floating point is 32 bits wide, and casts say what to.

use std::collections::HashMap;

use lcam_models::explained::IMAGE;
use lcam_models::onnx::{GraphProto, TensorError, TensorProto, tensor_proto::DataType};

use crate::export::nodes::int;

/// The types of half the width.
const HALVES: [DataType; 2] = [DataType::Float16, DataType::Bfloat16];

/// Lets a graph compute in float32 where it computes in 16 bits: what is quantised is rounded once, to 8 bits.
///
/// # Errors
/// Returns [`TensorError`] when a tensor cannot be read.
pub(super) fn widen_halves(graph: &mut GraphProto) -> Result<(), TensorError> {
    let nodes = &mut graph.node;
    let attributes = nodes.iter_mut().flat_map(|node| &mut node.attribute);
    let constants = attributes.filter_map(|attribute| attribute.t.as_mut());
    for tensor in graph.initializer.iter_mut().chain(constants) {
        if is_half(tensor.data_type().into()) {
            *tensor = TensorProto::from_f32(tensor.name(), &tensor.dims, &tensor.to_f32()?);
        }
    }
    let casts = graph.node.iter_mut().filter(|node| node.op_type() == "Cast");
    let targets = casts.flat_map(|node| &mut node.attribute).filter(|a| a.name() == "to");
    for target in targets.filter(|target| is_half(target.i())) {
        *target = int("to", DataType::Float as i64);
    }
    // They are hints, and may name the old types.
    graph.value_info.clear();
    Ok(())
}

fn is_half(data_type: i64) -> bool {
    HALVES.iter().any(|&half| half as i64 == data_type)
}

/// Operators whose first output has the type of their first input; the others of these have it, too, where they are floats.
const OF_THE_SAME: &[&str] = &[
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Clip",
    "Conv",
    "Div",
    "Gemm",
    "GlobalAveragePool",
    "HardSigmoid",
    "HardSwish",
    "MaxPool",
    "Mul",
    "Relu",
    "Sigmoid",
    "Sub",
];

/// Names the type that a tensor is brought to where that of its example is known: the result depends on constants alone
/// then.
pub(super) fn name_types(graph: &mut GraphProto) {
    let mut types: HashMap<String, i64> = HashMap::new();
    types.insert(IMAGE.to_owned(), DataType::Float as i64);
    let constants = graph.initializer.iter();
    types.extend(constants.map(|tensor| (tensor.name().to_owned(), tensor.data_type().into())));
    for node in &mut graph.node {
        if node.op_type() == "CastLike"
            && let Some(&wanted) = node.input.get(1).and_then(|like| types.get(like))
        {
            node.op_type = Some("Cast".to_owned());
            node.input.truncate(1);
            node.attribute = vec![int("to", wanted)];
        }
        let found = match node.op_type() {
            "Cast" => node.attribute.iter().find(|a| a.name() == "to").map(|a| a.i()),
            name if OF_THE_SAME.contains(&name) => {
                node.input.iter().find_map(|input| types.get(input)).copied()
            }
            _ => None,
        };
        types.extend(node.output.first().cloned().zip(found));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{network, run};
    use super::*;
    use crate::export::nodes::node;
    use tch::Kind;

    /// The network in 16 bits between two casts, with `factor`, brought to the type of what it multiplies.
    fn in_halves() -> lcam_models::onnx::ModelProto {
        let mut model = network();
        let graph = model.graph.as_mut().unwrap();
        for tensor in &mut graph.initializer {
            let half = |value: &f32| half::f16::from_f32(*value).to_le_bytes();
            let bytes = tensor.to_f32().unwrap().iter().flat_map(half).collect();
            *tensor = TensorProto::from_le_bytes(
                tensor.name(),
                &tensor.dims.clone(),
                DataType::Float16,
                bytes,
            );
        }
        let cast = |input: &str, output: &str, to: DataType| {
            let mut cast = node("Cast", &[input], output);
            cast.attribute = vec![int("to", to as i64)];
            cast
        };
        graph.initializer.push(TensorProto::from_f32("factor", &[], &[1.5]));
        graph.node[0].input[0] = "half".to_owned();
        graph.node.insert(0, cast(IMAGE, "half", DataType::Float16));
        graph.node.last_mut().unwrap().output[0] = "sums".to_owned();
        graph.node.extend([
            node("CastLike", &["factor", "sums"], "scale"),
            node("Mul", &["sums", "scale"], "scaled"),
            cast("scaled", "logits", DataType::Float),
        ]);
        model
    }

    fn casts(graph: &GraphProto) -> Vec<(&str, i64)> {
        let casts = graph.node.iter().filter(|node| node.op_type() == "Cast");
        casts.map(|node| (node.output[0].as_str(), node.attribute[0].i())).collect()
    }

    #[test]
    fn a_layer_has_the_type_of_its_weights() {
        let mut model = in_halves();
        let graph = model.graph.as_mut().unwrap();
        name_types(graph);
        assert!(casts(graph).contains(&("scale", DataType::Float16 as i64)));
    }

    #[test]
    fn an_unknown_type_is_not_guessed() {
        let mut graph = GraphProto {
            node: vec![
                node("Relu", &["unknown"], "maps"),
                node("CastLike", &["one", "maps"], "cast"),
            ],
            ..GraphProto::default()
        };
        name_types(&mut graph);
        assert_eq!(graph.node[1].op_type(), "CastLike");
    }

    #[test]
    fn what_was_16_bits_wide_is_32_and_gives_the_same() {
        let before = in_halves();
        let mut after = before.clone();
        let graph = after.graph.as_mut().unwrap();
        widen_halves(graph).unwrap();
        name_types(graph);
        assert!(casts(graph).iter().all(|(_, to)| *to == DataType::Float as i64));
        let float = |tensor: &TensorProto| tensor.data_type() == DataType::Float as i32;
        assert!(graph.initializer.iter().all(float));
        let (before, after) = (run(&before, &["logits"]), run(&after, &["logits"]));
        assert_eq!(after[0].kind(), Kind::Float);
        assert_eq!(before[0], after[0]);
    }
}
