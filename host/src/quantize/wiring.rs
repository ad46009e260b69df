//! Who makes and who reads each tensor of a graph.

use std::collections::HashMap;

use lcam_models::onnx::{GraphProto, NodeProto};

/// The nodes around each tensor, by their places in the graph.
#[derive(Debug)]
pub(super) struct Wiring {
    makers: HashMap<String, usize>,
    readers: HashMap<String, Vec<usize>>,
}

impl Wiring {
    pub(super) fn new(nodes: &[NodeProto]) -> Self {
        let mut wiring = Self { makers: HashMap::new(), readers: HashMap::new() };
        for (index, node) in nodes.iter().enumerate() {
            for output in given(&node.output) {
                wiring.makers.insert(output.clone(), index);
            }
            for input in given(&node.input) {
                let readers = wiring.readers.entry(input.clone()).or_default();
                if readers.last() != Some(&index) {
                    readers.push(index);
                }
            }
        }
        wiring
    }

    /// Finds the node that makes a tensor; none makes an input or an initializer.
    pub(super) fn maker(&self, tensor: &str) -> Option<usize> {
        self.makers.get(tensor).copied()
    }

    /// Lists the nodes that read a tensor.
    pub(super) fn readers(&self, tensor: &str) -> &[usize] {
        self.readers.get(tensor).map_or(&[], Vec::as_slice)
    }
}

/// Leaves out the names of optional tensors that are not there.
pub(super) fn given(names: &[String]) -> impl Iterator<Item = &String> {
    names.iter().filter(|name| !name.is_empty())
}

/// Tells whether an initializer has this name.
pub(super) fn is_constant(graph: &GraphProto, name: &str) -> bool {
    graph.initializer.iter().any(|tensor| tensor.name() == name)
}
