//! Quantised graphs as float32 ones, before the runtime reads them: what `--precision float` computes, and of a network
//! in integers what is left to the runtime.
//!
//! The runtime computes in float32 what lies between `DequantizeLinear` and `QuantizeLinear` (QDQ), and is slower with
//! these nodes than without. So they are worked out here:
//! - **weights and biases**, a `DequantizeLinear` of constants, become float32 constants. The runtime itself would widen
//!   a large one anew at each pass, as it evaluates no constant above 4 MiB while it loads;
//! - **activations**, a pair of `QuantizeLinear` and `DequantizeLinear`, become a `Clip` to the range that the integers
//!   can stand for, `(q - zero_point) * scale` from the least to the greatest `q`. Quantisers drop a ReLU that the range
//!   implies, so the range is a part of the network. Where the values lie within it anyway, nothing is left of the pair,
//!   and two clips in a row become one.
//!
//! **What is dropped** is the rounding of activations to the grid of integers: the arithmetic is that of float32 on
//! quantised weights, and no less exact than integers would be. What is no such pair stays as it is: a range along an
//! axis, integers that other operators read, computed scales. The runtime runs or refuses it.

mod activations;
mod pair;
mod range;

use std::collections::{BTreeSet, HashSet};

use lcam_models::onnx::{Constants, GraphProto, NodeProto, TensorProto};

use super::arithmetic::Arithmetic;
use super::guard::GuardError;
use super::limits::Limits;
use activations::clip_activations;
use pair::Integers;
pub(super) use range::cut_by;

/// The oldest operator set whose `Clip` takes its bounds as tensors.
const CLIP_TAKES_TENSORS: i64 = 11;

/// Makes a float32 graph of a quantised one. The nodes must be in topological order, and what the outputs do not need
/// goes.
///
/// # Errors
/// Returns [`GuardError`] when constants do not fit together, or the widened ones are beyond the limits.
pub(super) fn widen(
    graph: &mut GraphProto,
    opset: i64,
    limits: &Limits,
) -> Result<Arithmetic, GuardError> {
    let mut arithmetic = Arithmetic::widened(widen_constants(graph, limits)?);
    let is_quantizer = |node: &&NodeProto| node.op_type() == "QuantizeLinear";
    if opset >= CLIP_TAKES_TENSORS && graph.node.iter().any(|node| is_quantizer(&node)) {
        arithmetic.activations = clip_activations(graph);
    }
    let outputs: Vec<String> = graph.output.iter().map(|o| o.name().to_owned()).collect();
    graph.keep_what_makes(&outputs.iter().map(String::as_str).collect::<Vec<_>>());
    arithmetic.rounded = graph.node.iter().filter(is_quantizer).count();
    Ok(arithmetic)
}

/// Replaces each `DequantizeLinear` of constants by its result, and gives the types of the integers, beside int32,
/// which is for biases.
fn widen_constants(
    graph: &mut GraphProto,
    limits: &Limits,
) -> Result<BTreeSet<&'static str>, GuardError> {
    let constants = Constants::new(graph);
    let (mut widened, mut types, mut elements) = (Vec::new(), BTreeSet::new(), 0);
    for node in &graph.node {
        let Some(tensor) = constants.widen(node)? else { continue };
        elements += tensor.shape()?.iter().product::<usize>() as u64;
        limits.check_total(elements)?;
        let integers = node.input.first().and_then(|name| constants.initializer(name));
        let integers = integers.and_then(|tensor| Integers::of(tensor.element_type().ok()?));
        types.extend(integers.map(|integers| integers.name));
        widened.push(tensor);
    }
    let names: HashSet<&str> = widened.iter().map(TensorProto::name).collect();
    let is_widened =
        |node: &NodeProto| node.output.iter().any(|name| names.contains(name.as_str()));
    graph.node.retain(|node| !is_widened(node));
    graph.initializer.extend(widened);
    Ok(types)
}
