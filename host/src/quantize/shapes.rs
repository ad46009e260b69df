//! Shapes as constants: an explained model takes one picture of one size.
//!
//! Exporters that leave the batch open compute shapes from the picture's (`Shape`, `Gather`, `Concat` before `Reshape`).
//! Shapes are no values of a picture: they lie on no grid, and those of several pictures cannot be joined.

use std::collections::HashSet;

use lcam_models::explained::IMAGE;
use lcam_models::onnx::{ModelProto, NodeProto};
use tch::{Device, Kind, Tensor};

use super::QuantizeError;
use super::simplify::to_proto;
use crate::graph::{Graph, ValueId};

/// Replaces the nodes that ask for a shape by what they give for the picture that the graph declares. Where it leaves a
/// side open, nothing is replaced.
///
/// # Errors
/// Returns [`QuantizeError`] when the graph cannot be read or computed.
pub(super) fn fix_shapes(model: &mut ModelProto) -> Result<(), QuantizeError> {
    let Some(graph) = model.graph.as_ref().filter(|graph| graph.node.iter().any(asks_for_shape))
    else {
        return Ok(());
    };
    let run = Graph::new(model)?;
    let names: Vec<&String> = graph
        .node
        .iter()
        .filter(|node| asks_for_shape(node))
        .flat_map(|node| &node.output)
        .collect();
    let wanted: Option<Vec<ValueId>> = names.iter().map(|name| run.value(name)).collect();
    let (Some(wanted), Some((image, picture))) = (wanted, blank(&run)) else { return Ok(()) };
    let shapes = run.run(&[(image, &picture)], &wanted)?;
    let found = names.iter().zip(&shapes).map(|(name, shape)| to_proto(name, shape));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let known: HashSet<String> = names.into_iter().cloned().collect();
    let graph = model.graph.get_or_insert_default();
    graph.node.retain(|node| !node.output.iter().any(|output| known.contains(output)));
    graph.initializer.extend(found);
    Ok(())
}

fn asks_for_shape(node: &NodeProto) -> bool {
    matches!(node.op_type(), "Shape" | "Size")
}

/// Gives a picture of the declared shape; none where a side of it is open, or all are.
fn blank(run: &Graph) -> Option<(ValueId, Tensor)> {
    let image = run.inputs().iter().find(|input| input.name == IMAGE && !input.shape.is_empty())?;
    let side = |side: &Option<usize>| side.and_then(|side| i64::try_from(side).ok());
    let shape: Vec<i64> = image.shape.iter().map(side).collect::<Option<_>>()?;
    Some((image.value, Tensor::zeros(shape, (Kind::Float, Device::Cpu))))
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::super::simplify::simplify;
    use super::super::testing::{difference, graph, network, run};
    use super::*;
    use std::collections::BTreeSet;

    use crate::export::nodes::{int, node};
    use crate::graph::Batching;
    use lcam_models::onnx::{TensorProto, tensor_proto::DataType};

    /// The network with `Reshape` to `[batch, channels]`, the batch taken from the picture, in the place of `Flatten`.
    fn with_computed_shape() -> ModelProto {
        let mut model = network();
        let graph = model.graph.as_mut().unwrap();
        let whole = |name: &str, value: i64| {
            TensorProto::from_le_bytes(name, &[1], DataType::Int64, value.to_le_bytes().to_vec())
        };
        graph.initializer.extend([whole("first", 0), whole("channels", 6)]);
        let mut join = node("Concat", &["batch", "channels"], "target");
        join.attribute = vec![int("axis", 0)];
        let flatten = graph.node.iter().position(|node| node.op_type() == "Flatten").unwrap();
        let chain = [
            node("Shape", &[IMAGE], "shape"),
            node("Gather", &["shape", "first"], "batch"),
            join,
            node("Reshape", &["pooled", "target"], "flat"),
        ];
        graph.node.splice(flatten..=flatten, chain);
        model
    }

    #[test]
    fn what_is_computed_of_shapes_is_constant() {
        let mut model = with_computed_shape();
        fix_shapes(&mut model).unwrap();
        let fixed = Graph::new(&model).unwrap();
        let target = fixed.constant(fixed.value("target").unwrap()).unwrap();
        assert_eq!(Vec::<i64>::try_from(target.slice(0, 1, 2, 1)).unwrap(), [6]);
        assert!(!graph(&model).node.iter().any(asks_for_shape));
    }

    #[test]
    fn a_reshape_to_a_computed_shape_moves_steps() {
        let simple = simplify(&with_computed_shape(), &HashSet::new()).unwrap();
        let plan = Plan::new(graph(&simple), &BTreeSet::new()).unwrap();
        assert!(plan.roles.iter().all(Option::is_some));
        assert_eq!(plan.grids["flat"], plan.grids["pooled"]);
    }

    #[test]
    fn several_pictures_still_go_through_at_once() {
        let mut model = with_computed_shape();
        fix_shapes(&mut model).unwrap();
        assert_eq!(Graph::new(&model).unwrap().batching(), Batching::Native);
        let (before, after) = (run(&network(), &["logits"]), run(&model, &["logits"]));
        assert!(difference(&before[0], &after[0]) < 1e-6);
    }

    #[test]
    fn an_open_side_leaves_the_graph_as_it_is() {
        let mut model = with_computed_shape();
        let image = &mut model.graph.as_mut().unwrap().input[0];
        *image =
            lcam_models::onnx::ValueInfoProto { name: image.name.clone(), ..Default::default() };
        fix_shapes(&mut model).unwrap();
        assert!(graph(&model).node.iter().any(asks_for_shape));
    }
}
