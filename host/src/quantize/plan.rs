//! What computes in 8 bits (int8, for short), and which tensors lie on a grid of 8-bit steps.
//!
//! A node that computes in int8 reads and makes tensors on grids. Two tensors in between stay off: what a convolution,
//! a fully connected layer or a sum hands to an activation that nobody else listens to, as both become one operator with
//! one rounding; and the sum of a fully connected layer that only floating-point operators read, such as the logits.
//! Operators that move values and do not change them keep the grid of their input.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use lcam_models::explained::{IMAGE, LOGITS};
use lcam_models::onnx::{GraphProto, NodeProto};

use super::QuantizeError;
use super::wiring::{Wiring, given, is_constant};

/// What an operator does to grids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Multiplies with weights: its output's grid is independent of its input's.
    Weighted,
    /// Combines tensors, or maps each value.
    Computing,
    /// Means over places.
    Pooling,
    /// Hands values on.
    Moving,
}

/// Which nodes compute in int8, and on which grid each tensor lies.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The role of each node that computes in int8; `None` for one that computes in floating point.
    pub(super) roles: Vec<Option<Role>>,
    /// Tensor -> number of its grid; tensors of one number share it.
    pub(super) grids: BTreeMap<String, usize>,
}

impl Plan {
    /// Plans a simplified graph; the nodes of these names (or of outputs of these names) stay in floating point.
    ///
    /// # Errors
    /// Returns [`QuantizeError::UnknownNode`] for a name that no node has.
    pub(super) fn new(
        graph: &GraphProto,
        keep_float: &BTreeSet<String>,
    ) -> Result<Self, QuantizeError> {
        check_names(graph, keep_float)?;
        let wiring = Wiring::new(&graph.node);
        let after = after_logits(graph);
        let wanted = |node: &NodeProto| {
            !after.contains(node.output[0].as_str()) && !is_named(node, keep_float)
        };
        let mut roles: Vec<Option<Role>> = Vec::with_capacity(graph.node.len());
        for node in &graph.node {
            let role = if wanted(node) { role(graph, node) } else { None };
            // What reads floating point stays in it, unless it has weights: a grid more would be an error more.
            let starts = |name: &String| match wiring.maker(name) {
                Some(maker) => roles[maker].is_some(),
                None => name == IMAGE,
            };
            let continues = data(graph, node).all(starts);
            roles.push(role.filter(|&role| role == Role::Weighted || continues));
        }
        drop_ends(graph, &wiring, &mut roles);
        let grids = assign(graph, &wiring, &roles);
        Ok(Self { roles, grids })
    }
}

/// Lists what a node reads beside constants.
pub(super) fn data<'a>(
    graph: &'a GraphProto,
    node: &'a NodeProto,
) -> impl Iterator<Item = &'a String> {
    given(&node.input).filter(|name| !is_constant(graph, name))
}

fn is_named(node: &NodeProto, names: &BTreeSet<String>) -> bool {
    names.contains(node.name()) || node.output.iter().any(|output| names.contains(output))
}

fn check_names(graph: &GraphProto, names: &BTreeSet<String>) -> Result<(), QuantizeError> {
    let known = |name: &&String| {
        !graph.node.iter().any(|node| node.name() == *name || node.output.contains(name))
    };
    match names.iter().find(known) {
        Some(name) => Err(QuantizeError::UnknownNode { name: name.clone() }),
        None => Ok(()),
    }
}

/// Collects the tensors that depend on the logits: what picks the class's map.
fn after_logits(graph: &GraphProto) -> HashSet<&str> {
    let mut after = HashSet::from([LOGITS]);
    for node in &graph.node {
        if node.input.iter().any(|input| after.contains(input.as_str())) {
            after.extend(node.output.iter().map(String::as_str));
        }
    }
    after.remove(LOGITS);
    after
}

fn role(graph: &GraphProto, node: &NodeProto) -> Option<Role> {
    let constant =
        |index: usize| node.input.get(index).is_some_and(|name| is_constant(graph, name));
    let flag = |name: &str| node.attribute.iter().any(|a| a.name() == name && a.i() == 1);
    let inputs = data(graph, node).count();
    match node.op_type() {
        "Conv" => (constant(1) && constant(2) && inputs == 1).then_some(Role::Weighted),
        "Gemm" => {
            (constant(1) && constant(2) && inputs == 1 && !flag("transA")).then_some(Role::Weighted)
        }
        "MatMul" => {
            let matrix = |name: &String| {
                graph.initializer.iter().any(|t| t.name() == name && t.dims.len() == 2)
            };
            (inputs == 1 && node.input.get(1).is_some_and(matrix)).then_some(Role::Weighted)
        }
        "Add" | "Mul" => (inputs == 2).then_some(Role::Computing),
        "Clip" | "HardSigmoid" | "HardSwish" | "LeakyRelu" | "Relu" | "Sigmoid" => {
            (inputs == 1).then_some(Role::Computing)
        }
        "AveragePool" | "GlobalAveragePool" | "ReduceMean" => {
            (inputs == 1).then_some(Role::Pooling)
        }
        "Flatten" | "GlobalMaxPool" | "MaxPool" | "Reshape" | "Slice" | "Split" | "Squeeze"
        | "Transpose" | "Unsqueeze" => (inputs == 1
            && given(&node.output).count() == node.output.len())
        .then_some(Role::Moving),
        "Concat" => Some(Role::Moving),
        _ => None,
    }
}

/// Takes means and moves out of int8 that only floating-point operators listen to.
fn drop_ends(graph: &GraphProto, wiring: &Wiring, roles: &mut [Option<Role>]) {
    for (index, node) in graph.node.iter().enumerate().rev() {
        let heard = node
            .output
            .iter()
            .flat_map(|output| wiring.readers(output))
            .any(|&reader| roles[reader].is_some());
        if matches!(roles[index], Some(Role::Moving | Role::Pooling)) && !heard {
            roles[index] = None;
        }
    }
}

fn assign(graph: &GraphProto, wiring: &Wiring, roles: &[Option<Role>]) -> BTreeMap<String, usize> {
    let mut grids = BTreeMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        let Some(role) = roles[index] else { continue };
        let inputs: Vec<&String> = data(graph, node).collect();
        for input in &inputs {
            let next = grids.len();
            // An input that is off the grid is one that this node shares a rounding with.
            if wiring.maker(input).is_none_or(|maker| roles[maker].is_none()) {
                grids.entry((*input).clone()).or_insert(next);
            }
        }
        if !stays_off(graph, wiring, roles, index) {
            for output in &node.output {
                let next = grids.len();
                grids.entry(output.clone()).or_insert(next);
            }
        }
        if role == Role::Moving {
            let shared: Vec<usize> = inputs
                .iter()
                .copied()
                .chain(&node.output)
                .filter_map(|name| grids.get(name).copied())
                .collect();
            let first = shared.iter().copied().min().unwrap_or(0);
            grids.values_mut().filter(|grid| shared.contains(grid)).for_each(|grid| *grid = first);
        }
    }
    grids
}

/// Tells whether what a node makes is rounded later or never.
fn stays_off(graph: &GraphProto, wiring: &Wiring, roles: &[Option<Role>], index: usize) -> bool {
    let node = &graph.node[index];
    let output = &node.output[0];
    let is_output = graph.output.iter().any(|value| value.name() == output);
    let readers = wiring.readers(output);
    let activation = |&reader: &usize| {
        roles[reader].is_some() && matches!(graph.node[reader].op_type(), "Clip" | "Relu")
    };
    match node.op_type() {
        "Gemm" | "MatMul" if !readers.iter().any(|&reader| roles[reader].is_some()) => true,
        "Add" | "Conv" | "Gemm" | "MatMul" => {
            !is_output && readers.len() == 1 && readers.iter().all(activation)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::simplify::simplify;
    use super::super::testing::{graph, network};
    use super::*;
    use lcam_models::onnx::ModelProto;

    fn simple() -> ModelProto {
        simplify(&network(), &HashSet::new()).unwrap()
    }

    fn named(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn on_grids(plan: &Plan) -> Vec<&str> {
        plan.grids.keys().map(String::as_str).collect()
    }

    #[test]
    fn rounds_behind_activations_and_not_the_logits() {
        let model = simple();
        let plan = Plan::new(graph(&model), &BTreeSet::new()).unwrap();
        let expected =
            ["clipped", "flat", "image", "pooled", "positive", "project", "sum"].map(str::to_owned);
        assert_eq!(on_grids(&plan), expected);
        assert_eq!(plan.grids["flat"], plan.grids["pooled"], "values are moved, not changed");
        assert_ne!(plan.grids["sum"], plan.grids["pooled"]);
        assert!(plan.roles.iter().all(Option::is_some));
    }

    #[test]
    fn what_stays_in_floating_point_needs_no_grid() {
        let model = simple();
        let plan = Plan::new(graph(&model), &named(&["depthwise"])).unwrap();
        let role = |operator: &str| {
            let place = graph(&model).node.iter().position(|node| node.op_type() == operator);
            plan.roles[place.unwrap()]
        };
        // Nobody but the depthwise convolution's activation follows it in floating point; the next has weights.
        assert_eq!(role("Relu"), None);
        assert_eq!(role("Gemm"), Some(Role::Weighted));
        assert!(plan.grids.contains_key("positive"), "the projection reads int8");
        assert!(!plan.grids.contains_key("depthwise"));
    }

    #[test]
    fn means_that_only_floating_point_reads_are_computed_in_it() {
        let model = simple();
        let plan = Plan::new(graph(&model), &named(&["logits"])).unwrap();
        assert!(!on_grids(&plan).contains(&"pooled"));
        assert!(on_grids(&plan).contains(&"sum"));
    }

    #[test]
    fn a_name_that_no_node_has_is_refused() {
        let error = Plan::new(graph(&simple()), &named(&["depthwise", "depthwize"])).unwrap_err();
        assert!(matches!(error, QuantizeError::UnknownNode { name } if name == "depthwize"));
    }
}
