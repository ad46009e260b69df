//! Who makes and who reads each tensor of a graph.

use std::collections::{HashMap, HashSet};

use lcam_models::onnx::{GraphProto, NodeProto, TensorProto};

/// A graph with its tensors' makers and readers looked up. The nodes must be in topological order.
#[derive(Debug)]
pub(in crate::engine) struct Wiring<'a> {
    pub(super) nodes: &'a [NodeProto],
    constants: HashMap<&'a str, &'a TensorProto>,
    makers: HashMap<&'a str, usize>,
    readers: HashMap<&'a str, Vec<usize>>,
    outputs: HashSet<&'a str>,
}

impl<'a> Wiring<'a> {
    pub(in crate::engine) fn new(graph: &'a GraphProto) -> Self {
        let (mut makers, mut readers) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for (index, node) in graph.node.iter().enumerate() {
            makers.extend(node.output.iter().map(|name| (name.as_str(), index)));
            for name in &node.input {
                readers.entry(name.as_str()).or_default().push(index);
            }
        }
        Self {
            nodes: &graph.node,
            constants: graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect(),
            makers,
            readers,
            outputs: graph.output.iter().map(|output| output.name()).collect(),
        }
    }

    pub(super) fn constant(&self, name: &str) -> Option<&'a TensorProto> {
        self.constants.get(name).copied()
    }

    pub(super) fn constants(&self) -> &HashMap<&'a str, &'a TensorProto> {
        &self.constants
    }

    /// Gives the node that makes a tensor.
    pub(super) fn maker(&self, name: &str) -> Option<&'a NodeProto> {
        self.makers.get(name).map(|&index| &self.nodes[index])
    }

    /// Gives the one node that reads a tensor; `None` where there are more or none, or the graph gives it out.
    pub(super) fn only_reader(&self, name: &str) -> Option<(usize, &'a NodeProto)> {
        match self.readers.get(name).map(Vec::as_slice) {
            Some(&[index]) if !self.outputs.contains(name) => Some((index, &self.nodes[index])),
            _ => None,
        }
    }
}
