//! Dropping what a graph's outputs do not need.

use std::collections::HashSet;

use super::proto::GraphProto;

impl GraphProto {
    /// Drops all nodes and initializers that these tensors do not need, and what the file says of inner
    /// shapes. Inputs and outputs stay as they are declared; the nodes must be in topological order.
    pub fn keep_what_makes(&mut self, wanted: &[&str]) {
        self.value_info.clear();
        self.quantization_annotation.clear();
        let mut needed: HashSet<String> = wanted.iter().map(|&name| name.to_owned()).collect();
        let mut kept = Vec::new();
        // Users before makers, from the end.
        for node in std::mem::take(&mut self.node).into_iter().rev() {
            if node.output.iter().any(|output| needed.contains(output)) {
                needed.extend(node.input.iter().cloned());
                kept.push(node);
            }
        }
        kept.reverse();
        self.node = kept;
        self.initializer.retain(|tensor| needed.contains(tensor.name()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::proto::{NodeProto, TensorProto};
    use super::*;

    #[test]
    fn keeps_the_makers_of_what_is_wanted_alone() {
        let node = |inputs: [&str; 2], output: &str| NodeProto {
            input: inputs.map(str::to_owned).to_vec(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        };
        let mut graph = GraphProto {
            node: vec![node(["x", "w"], "a"), node(["a", "v"], "b"), node(["a", "u"], "c")],
            initializer: ["w", "v", "u"]
                .map(|name| TensorProto::from_f32(name, &[1], &[0.0]))
                .to_vec(),
            ..GraphProto::default()
        };
        graph.keep_what_makes(&["c"]);
        let made: Vec<_> = graph.node.iter().map(|node| node.output[0].as_str()).collect();
        let kept: Vec<_> = graph.initializer.iter().map(TensorProto::name).collect();
        assert_eq!((made, kept), (vec!["a", "c"], vec!["w", "u"]));
    }
}
