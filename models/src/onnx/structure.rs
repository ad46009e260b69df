//! A check that a graph hangs together, made before any runtime sees it.
//!
//! Runtimes trust these properties and some panic without them. What operators mean is not checked here.

use std::collections::HashSet;

use super::proto::{GraphProto, ModelProto};
use super::tensor::TensorError;

/// A graph that does not hang together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StructureError {
    /// There is no graph.
    #[error("the file holds no graph")]
    NoGraph,
    /// The model imports no version of the default operator set.
    #[error("the model does not say which version of the operator set it uses")]
    NoOpset,
    /// A node or the graph uses a tensor that nothing before it makes: a cycle, a wrong order or a gap.
    #[error(
        "{user} uses tensor {tensor:?}, which no earlier node makes; the graph is cyclic, unsorted or incomplete"
    )]
    Undefined {
        /// The node, or "the graph's output".
        user: String,
        /// The tensor.
        tensor: String,
    },
    /// Two nodes or initializers make the same tensor.
    #[error("tensor {tensor:?} is made twice")]
    MadeTwice {
        /// The tensor.
        tensor: String,
    },
    /// An initializer's values cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// Checks that every tensor is made before it is used and made once, that every graph output exists, and
/// that the values of every initializer fit its type and shape.
///
/// # Errors
/// Returns the first [`StructureError`] found.
pub fn check_structure(model: &ModelProto) -> Result<(), StructureError> {
    let graph = model.graph.as_ref().ok_or(StructureError::NoGraph)?;
    model.opset().ok_or(StructureError::NoOpset)?;
    check_graph(graph, &HashSet::new())
}

fn check_graph(graph: &GraphProto, outer: &HashSet<&str>) -> Result<(), StructureError> {
    let mut known = outer.clone();
    // Old files list initializers among the inputs too, so these two may share a name.
    known.extend(graph.input.iter().map(|input| input.name()));
    let mut made = HashSet::new();
    for tensor in &graph.initializer {
        tensor.le_bytes()?;
        make(tensor.name(), &mut made)?;
        known.insert(tensor.name());
    }
    known.extend(
        graph.sparse_initializer.iter().filter_map(|s| s.values.as_ref()).map(|t| t.name()),
    );
    made.extend(graph.input.iter().map(|input| input.name()));
    for node in &graph.node {
        for tensor in node.input.iter().filter(|name| !name.is_empty()) {
            if !known.contains(tensor.as_str()) {
                return Err(StructureError::Undefined {
                    user: node.title(),
                    tensor: tensor.clone(),
                });
            }
        }
        for subgraph in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
            check_graph(subgraph, &known)?;
        }
        for tensor in node.output.iter().filter(|name| !name.is_empty()) {
            make(tensor, &mut made)?;
            known.insert(tensor);
        }
    }
    for output in &graph.output {
        if !known.contains(output.name()) {
            return Err(StructureError::Undefined {
                user: "the graph's output".to_owned(),
                tensor: output.name().to_owned(),
            });
        }
    }
    Ok(())
}

fn make<'a>(tensor: &'a str, made: &mut HashSet<&'a str>) -> Result<(), StructureError> {
    if made.insert(tensor) {
        Ok(())
    } else {
        Err(StructureError::MadeTwice { tensor: tensor.to_owned() })
    }
}

impl super::NodeProto {
    /// Gives what a message should call this node: `node "name" (Operator)`, with its first output in
    /// place of a missing name.
    #[must_use]
    pub fn title(&self) -> String {
        let name = match self.name() {
            "" => self.output.first().map_or("", String::as_str),
            name => name,
        };
        format!("node {name:?} ({})", self.op_type())
    }
}

#[cfg(test)]
mod tests {
    use super::super::proto::{NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto};
    use super::*;

    fn node(inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: Some("Add".to_owned()),
            input: inputs.iter().map(|&s| s.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        }
    }

    fn model(nodes: Vec<NodeProto>, output: &str) -> ModelProto {
        let info =
            |name: &str| ValueInfoProto { name: Some(name.to_owned()), ..Default::default() };
        let graph = GraphProto {
            node: nodes,
            input: vec![info("x")],
            output: vec![info(output)],
            ..GraphProto::default()
        };
        let opset = OperatorSetIdProto { version: Some(13), ..Default::default() };
        ModelProto { graph: Some(graph), opset_import: vec![opset], ..ModelProto::default() }
    }

    #[test]
    fn accepts_a_sorted_graph() {
        let graph = model(vec![node(&["x", ""], "a"), node(&["a", "x"], "y")], "y");
        assert_eq!(check_structure(&graph), Ok(()));
    }

    #[test]
    fn refuses_graphs_that_do_not_hang_together() {
        let cyclic = model(vec![node(&["b"], "a"), node(&["a"], "b")], "b");
        let missing_output = model(vec![node(&["x"], "a")], "y");
        let twice = model(vec![node(&["x"], "a"), node(&["x"], "a")], "a");
        let overwrites_input = model(vec![node(&["x"], "x")], "x");
        for (name, graph) in [
            ("cyclic", cyclic),
            ("missing output", missing_output),
            ("twice", twice),
            ("overwrites input", overwrites_input),
        ] {
            assert!(check_structure(&graph).is_err(), "{name}");
        }
    }

    #[test]
    fn refuses_a_damaged_initializer() {
        let mut graph = model(vec![node(&["x"], "a")], "a");
        let short = TensorProto::from_f32("w", &[4], &[1.0]);
        graph.graph.as_mut().unwrap().initializer.push(short);
        assert!(matches!(check_structure(&graph), Err(StructureError::Tensor(_))));
    }
}
