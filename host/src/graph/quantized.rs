//! Quantised files: each pair of `QuantizeLinear` and `DequantizeLinear` becomes one step.
//!
//! That spares two thirds of the work, and lets gradients through, which methods like Grad-CAM need.

use std::collections::HashMap;

use super::operators::round_trip;
use super::{Graph, Node, ValueId};

/// What a node of a joined pair is called.
const ROUND_TRIP: &str = "QuantizeDequantize";

/// Lets each `DequantizeLinear` of a quantised tensor read what was quantised, where both have the same parameters, one
/// for the whole tensor. What nobody reads any more is dropped.
pub(super) fn join_pairs(graph: &mut Graph) {
    let is_quantizer = |node: &&Node| node.op_type == "QuantizeLinear";
    let quantizers: HashMap<ValueId, Vec<Option<ValueId>>> = graph
        .nodes
        .iter()
        .filter(is_quantizer)
        .filter_map(|node| Some((*node.outputs.first()?, node.inputs.clone())))
        .collect();
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let [Some(quantized), ref parameters @ ..] = node.inputs[..] else { continue };
        let Some(inputs) = quantizers.get(&quantized) else { continue };
        if node.op_type == "DequantizeLinear" && same_scalars(graph, &inputs[1..], parameters) {
            graph.nodes[index].inputs.clone_from(inputs);
            ROUND_TRIP.clone_into(&mut graph.nodes[index].op_type);
            graph.operators[index] = round_trip();
        }
    }
    drop_unread(graph, &quantizers);
}

/// Tells whether scale and zero point are the same constants, of one value each.
fn same_scalars(graph: &Graph, one: &[Option<ValueId>], other: &[Option<ValueId>]) -> bool {
    let same = |(one, other): (&Option<ValueId>, &Option<ValueId>)| {
        let constant = |id: &Option<ValueId>| id.and_then(|id| graph.constants.get(&id));
        let (Some(one), Some(other)) = (constant(one), constant(other)) else { return false };
        one.numel() == 1
            && other.numel() == 1
            && one.kind() == other.kind()
            && one.double_value(&[]).to_bits() == other.double_value(&[]).to_bits()
    };
    one.len() == 2 && other.len() == 2 && one.iter().zip(other).all(same)
}

fn drop_unread(graph: &mut Graph, quantizers: &HashMap<ValueId, Vec<Option<ValueId>>>) {
    let reads = |id: ValueId| {
        graph.outputs.contains(&id)
            || graph.nodes.iter().any(|node| node.inputs.contains(&Some(id)))
    };
    let unread: Vec<ValueId> = quantizers.keys().copied().filter(|&id| !reads(id)).collect();
    let mut kept = graph
        .nodes
        .iter()
        .map(|node| !unread.contains(&node.outputs[0]))
        .collect::<Vec<_>>()
        .into_iter();
    let mut kept_too = kept.clone();
    graph.nodes.retain(|_| kept.next().unwrap_or(true));
    graph.operators.retain(|_| kept_too.next().unwrap_or(true));
}
