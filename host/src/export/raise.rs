//! Raising a file of operator set 11 or 12 to 13, the oldest of explained models.
//!
//! Of what the supported operators changed in between (ONNX's Operators changelog), nearly all is that they
//! admit more types and optional attributes. The rest is this, and no node gets another meaning:
//!
//! | operator | until 12 | from 13 |
//! | --- | --- | --- |
//! | `Squeeze`, `Unsqueeze`, `ReduceSum` | attribute `axes` | second input |
//! | `Split` | attribute `split` | second input |
//! | `Dropout` | attribute `ratio` (until 11) | second input; without it nothing else at inference |
//! | `Softmax`, `LogSoftmax` | all from `axis` on is one row, default 1 | along `axis`, default -1 |
//!
//! A softmax where the two meanings differ is refused rather than re-expressed.

use lcam_models::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

use super::ExportError;
use super::nodes::int;
use crate::graph::OPSETS;

/// The oldest operator set of an explained model.
const OLDEST_OPSET: i64 = 13;

/// The version of the file format that came with operator set 13. From 4 on, weights need not be inputs.
const OLDEST_IR: i64 = 7;

/// Raises a model, whose graph was taken out, to operator set 13 if it is older. `shape` gives a tensor's
/// shape for one picture.
///
/// # Errors
/// Returns [`ExportError::Flattens`] for a softmax over several dimensions at once, and
/// [`ExportError::Opset`] for a version that is not supported at all.
pub(super) fn raise(
    model: &mut ModelProto,
    graph: &mut GraphProto,
    shape: impl Fn(&str) -> Option<Vec<i64>>,
) -> Result<(), ExportError> {
    let opset = model.opset().unwrap_or(0);
    if !OPSETS.contains(&opset) {
        return Err(ExportError::Opset { found: opset });
    }
    model.ir_version = model.ir_version.max(Some(OLDEST_IR));
    if opset >= OLDEST_OPSET {
        return Ok(());
    }
    let GraphProto { node: nodes, initializer: initializers, .. } = graph;
    for node in nodes {
        match node.op_type() {
            "Squeeze" | "Unsqueeze" | "ReduceSum" => {
                initializers.extend(attribute_to_input(node, "axes"));
            }
            "Split" => initializers.extend(attribute_to_input(node, "split")),
            "Dropout" => drop(take_attribute(node, "ratio")),
            "Softmax" | "LogSoftmax" => write_axis(node, &shape)?,
            _ => {}
        }
    }
    let sets = model.opset_import.iter_mut().filter(|set| matches!(set.domain(), "" | "ai.onnx"));
    sets.for_each(|set| set.version = Some(OLDEST_OPSET));
    Ok(())
}

/// Turns an attribute of whole numbers into the node's second input; gives the tensor that it reads.
fn attribute_to_input(node: &mut NodeProto, attribute: &str) -> Option<TensorProto> {
    let values = take_attribute(node, attribute)?.ints;
    // The output's name is nobody else's, and no classifier's own tensor begins with "lcam.".
    let name = format!("lcam.{attribute}.{}", node.output.first()?);
    node.input.push(name.clone());
    let count = i64::try_from(values.len()).unwrap_or(i64::MAX);
    Some(TensorProto::from_i64(&name, &[count], &values))
}

fn take_attribute(node: &mut NodeProto, name: &str) -> Option<AttributeProto> {
    let index = node.attribute.iter().position(|attribute| attribute.name() == name)?;
    Some(node.attribute.remove(index))
}

/// Writes out the axis of a softmax, whose default changed, where the row that it stood for lies along it.
fn write_axis(
    node: &mut NodeProto,
    shape: impl Fn(&str) -> Option<Vec<i64>>,
) -> Result<(), ExportError> {
    let axis = take_attribute(node, "axis").map_or(1, |attribute| attribute.i());
    let sides = node.input.first().and_then(|input| shape(input)).unwrap_or_default();
    let from_front = if axis < 0 { axis + i64::try_from(sides.len()).unwrap_or(0) } else { axis };
    let behind = usize::try_from(from_front).ok().and_then(|axis| sides.get(axis + 1..));
    if behind.is_none_or(|sides| sides.iter().any(|&side| side != 1)) {
        return Err(ExportError::Flattens { node: node.title() });
    }
    node.attribute.push(int("axis", axis));
    Ok(())
}

#[cfg(test)]
mod tests {
    use lcam_models::onnx::attribute_proto::AttributeType;
    use lcam_models::onnx::tensor_proto::DataType;
    use lcam_models::onnx::{OperatorSetIdProto, ValueInfoProto};
    use tch::{Kind, Tensor};

    use super::super::nodes::{ints, node};
    use super::*;
    use crate::graph::Graph;

    /// A model of one node that reads `x`, of this shape.
    fn model(operator: &str, attribute: Option<AttributeProto>, shape: &[i64]) -> ModelProto {
        let mut only = node(operator, &["x"], "y");
        only.attribute = attribute.into_iter().collect();
        ModelProto {
            ir_version: Some(3),
            opset_import: vec![OperatorSetIdProto { domain: None, version: Some(11) }],
            graph: Some(GraphProto {
                node: vec![only],
                input: vec![ValueInfoProto::tensor("x", DataType::Float, shape)],
                output: vec![ValueInfoProto::tensor("y", DataType::Float, &[])],
                ..GraphProto::default()
            }),
            ..ModelProto::default()
        }
    }

    fn raised(old: &ModelProto, shape: &[i64]) -> Result<ModelProto, ExportError> {
        let mut model = old.clone();
        let mut graph = model.graph.take().unwrap();
        raise(&mut model, &mut graph, |name| (name == "x").then(|| shape.to_vec()))?;
        model.graph = Some(graph);
        Ok(model)
    }

    fn output(model: &ModelProto, x: &Tensor) -> Tensor {
        let graph = Graph::new(model).unwrap();
        graph.run(&[(graph.value("x").unwrap(), x)], graph.outputs()).unwrap().remove(0)
    }

    #[test]
    fn keeps_what_each_changed_operator_computes() {
        let ratio = AttributeProto {
            name: Some("ratio".to_owned()),
            r#type: Some(AttributeType::Float.into()),
            f: Some(0.3),
            ..AttributeProto::default()
        };
        let cases: [(&str, Option<AttributeProto>, &[i64]); 14] = [
            ("Squeeze", Some(ints("axes", &[0, -1])), &[1, 3, 1, 1]),
            ("Squeeze", None, &[1, 3, 1, 1]),
            ("Unsqueeze", Some(ints("axes", &[-1, 0])), &[2, 3]),
            ("ReduceSum", Some(ints("axes", &[2, 3])), &[2, 3, 4, 5]),
            ("ReduceSum", None, &[2, 3]),
            ("Split", Some(ints("split", &[2])), &[2, 3]),
            ("Split", None, &[2, 3]),
            ("Dropout", Some(ratio), &[2, 3]),
            ("Dropout", None, &[2, 3]),
            ("Softmax", None, &[2, 3]),
            ("Softmax", None, &[2, 3, 1, 1]),
            ("Softmax", Some(int("axis", 3)), &[1, 2, 3, 4]),
            ("LogSoftmax", Some(int("axis", -1)), &[2, 3, 4]),
            ("Relu", None, &[2, 3]),
        ];
        for (operator, attribute, shape) in cases {
            let old = model(operator, attribute.clone(), shape);
            let new = raised(&old, shape).unwrap();
            assert_eq!((new.opset(), new.ir_version), (Some(13), Some(7)), "{operator}");
            let x = Tensor::randn(shape, (Kind::Float, tch::Device::Cpu));
            let (before, after) = (output(&old, &x), output(&new, &x));
            assert_eq!(before, after, "{operator} {attribute:?} {shape:?}");
            let node = &new.graph.as_ref().unwrap().node[0];
            let old_ones = ["axes", "split", "ratio"];
            assert!(!node.attribute.iter().any(|a| old_ones.contains(&a.name())), "{operator}");
        }
    }

    #[test]
    fn refuses_a_softmax_over_several_dimensions() {
        for (axis, shape) in
            [(None, &[1i64, 2, 3][..]), (Some(2), &[1, 2, 3, 4]), (Some(-2), &[1, 2, 3])]
        {
            let old = model("Softmax", axis.map(|axis| int("axis", axis)), shape);
            let message = raised(&old, shape).unwrap_err().to_string();
            assert!(message.contains("node \"y\" (Softmax)"), "{message}");
        }
    }

    #[test]
    fn leaves_newer_models_as_they_are() {
        let mut new = model("Softmax", None, &[1, 2, 3]);
        new.opset_import[0].version = Some(17);
        new.ir_version = Some(10);
        assert_eq!(raised(&new, &[1, 2, 3]).unwrap(), new);
    }

    #[test]
    fn refuses_operator_sets_that_nothing_is_known_of() {
        let mut old = model("Relu", None, &[1]);
        old.opset_import[0].version = Some(10);
        let refused = raised(&old, &[1]);
        assert!(matches!(refused, Err(ExportError::Opset { found: 10 })), "{refused:?}");
    }
}
