//! A picture for a graph that is cut behind it.
//!
//! Exporters that leave the batch size open read it from the input wherever a shape is made, so the rest of a
//! network behind its feature maps may ask how many pictures there are. No pixel is needed for that.

use tch::{Device, Kind, Tensor};

use super::{Graph, Input, ValueId};

/// Gives each input that is not fed, and of which these nodes read nothing but the shape, as zeros for as many
/// pictures as are fed. Inputs with a side that is not known are left out.
pub(super) fn stand_ins(
    graph: &Graph,
    needed: &[usize],
    feeds: &[(ValueId, &Tensor)],
) -> Vec<(ValueId, Tensor)> {
    let Some(batch) = feeds.first().and_then(|(_, tensor)| tensor.size().first().copied()) else {
        return Vec::new();
    };
    let fed = |input: &&Input| feeds.iter().any(|(id, _)| *id == input.value);
    let shape_alone = |input: &&Input| {
        let nodes = needed.iter().map(|&index| &graph.nodes[index]);
        let mut readers = nodes.filter(|node| node.inputs.contains(&Some(input.value))).peekable();
        readers.peek().is_some() && readers.all(|node| node.op_type == "Shape")
    };
    let inputs = graph.inputs.iter().filter(|input| !fed(input)).filter(shape_alone);
    inputs.filter_map(|input| Some((input.value, zeros(&input.shape, batch)?))).collect()
}

/// One zero, seen as a batch of this shape.
fn zeros(shape: &[Option<usize>], batch: i64) -> Option<Tensor> {
    let side = |side: &Option<usize>| side.and_then(|side| i64::try_from(side).ok());
    let sides = shape.iter().skip(1).map(side).collect::<Option<Vec<i64>>>()?;
    let zero = Tensor::f_zeros([1i64], (Kind::Float, Device::Cpu)).ok()?;
    zero.f_expand([vec![batch], sides].concat(), false).ok()
}

#[cfg(test)]
mod tests {
    use lcam_models::onnx::tensor_proto::DataType;
    use lcam_models::onnx::{
        GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto,
    };

    use super::*;

    fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: Some(operator.to_owned()),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        }
    }

    /// `maps = Relu(x)` of `[batch, 3]`, and `y = Reshape(maps, [batch, 3])` with the batch taken from `source`.
    fn graph(source: &str) -> Graph {
        let model = ModelProto {
            opset_import: vec![OperatorSetIdProto { domain: None, version: Some(13) }],
            graph: Some(GraphProto {
                node: vec![
                    node("Relu", &["x"], "maps"),
                    node("Exp", &["x"], "inner"),
                    node("Shape", &[source], "shape"),
                    node("Reshape", &["maps", "shape"], "y"),
                ],
                input: vec![ValueInfoProto::tensor("x", DataType::Float, &[1, 3])],
                output: vec![ValueInfoProto::tensor("y", DataType::Float, &[1, 3])],
                ..GraphProto::default()
            }),
            ..ModelProto::default()
        };
        Graph::new(&model).unwrap()
    }

    #[test]
    fn the_batch_is_that_of_what_is_fed() {
        let graph = graph("x");
        let maps = Tensor::arange(12, (Kind::Float, Device::Cpu)).reshape([4, 3]);
        let y = graph.run(&[(graph.value("maps").unwrap(), &maps)], graph.outputs()).unwrap();
        assert_eq!(y[0], maps);
    }

    #[test]
    fn no_pixel_is_made_up() {
        let graph = graph("inner");
        let maps = Tensor::ones([4, 3], (Kind::Float, Device::Cpu));
        let run = graph.run(&[(graph.value("maps").unwrap(), &maps)], graph.outputs());
        assert!(run.unwrap_err().to_string().contains("\"x\""));
    }
}
