//! Several pictures at once through a graph that was exported for one.
//!
//! Exporters write the batch size into constant shapes: `Reshape` to `[1, 1280]`, `Expand` to
//! `[1, 64, 1, 1]`. A leading 1 there is replaced by what means "as the input has". Whether the graph then
//! treats the pictures of a batch apart is not believed but tried: two different pictures at once must
//! give what they give one by one.

use tch::{Kind, Tensor};

use super::{Graph, Input, Precision, ValueId};

/// How several pictures go through a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batching {
    /// At once.
    Native,
    /// One after the other: the graph is tied to one picture.
    OneByOne,
}

/// The largest difference, relative to the largest output, between a batch and single pictures: room for
/// other orders of summation, far below what a mix-up of pictures makes.
const TOLERANCE: f64 = 1e-3;

/// Makes a graph that takes one picture take batches, if it can.
pub(super) fn adapt(graph: &mut Graph) {
    let Some((input, shape)) = picture_input(graph) else { return };
    if takes_batches(graph, input, &shape) {
        return;
    }
    let originals = free_leading_ones(graph);
    if !takes_batches(graph, input, &shape) {
        graph.constants.extend(originals);
        graph.batching = Batching::OneByOne;
    }
}

/// Replaces the leading 1 of constant `Reshape` targets that have no -1 by -1; gives the old ones back.
fn free_leading_ones(graph: &mut Graph) -> Vec<(ValueId, Tensor)> {
    let mut originals = Vec::new();
    let targets = graph.nodes.iter().filter(|node| node.op_type == "Reshape");
    for target in targets.filter_map(|node| node.inputs.get(1).copied().flatten()) {
        let Some(tensor) = graph.constants.get(&target) else { continue };
        let Ok(mut sides) = Vec::<i64>::try_from(tensor) else { continue };
        if sides.first() != Some(&1) {
            continue;
        }
        // 0 keeps the input's own size where another side is left open.
        sides[0] = if sides.contains(&-1) { 0 } else { -1 };
        originals.push((target, tensor.shallow_clone()));
        graph.constants.insert(target, Tensor::from_slice(&sides));
    }
    originals
}

fn takes_batches(graph: &Graph, input: ValueId, shape: &[i64]) -> bool {
    let _no_gradients = tch::no_grad_guard();
    // A fixed pattern, so that nothing depends on a random state.
    let count: i64 = shape.iter().product();
    let Ok(ramp) = Tensor::f_arange(2 * count, (Kind::Float, graph.device)) else { return false };
    let pictures = (ramp * 0.37).sin().reshape([&[2], &shape[1..]].concat());
    let run =
        |pictures: &Tensor| graph.run_once(Precision::Float, &[(input, pictures)], &graph.outputs);
    let (Ok(both), Ok(first), Ok(second)) =
        (run(&pictures), run(&pictures.narrow(0, 0, 1)), run(&pictures.narrow(0, 1, 1)))
    else {
        return false;
    };
    let same = |(both, (first, second)): (&Tensor, (&Tensor, &Tensor))| {
        let Ok(apart) = Tensor::f_cat(&[first, second], 0) else { return false };
        if apart.size() != both.size() {
            return false;
        }
        let scale = apart.abs().max().double_value(&[]).max(f64::MIN_POSITIVE);
        (both - apart).abs().max().double_value(&[]) <= TOLERANCE * scale
    };
    both.iter().zip(first.iter().zip(&second)).all(same)
}

/// Gives the input and the shape of one picture, if the graph takes a single four-dimensional tensor. Sides
/// that are left open get the size that most classifiers take.
fn picture_input(graph: &Graph) -> Option<(ValueId, Vec<i64>)> {
    const USUAL_SIDE: i64 = 224;
    let [Input { value, shape, .. }] = &graph.inputs[..] else { return None };
    // A graph that declares several pictures is taken as it is.
    let [None | Some(1), channels, height, width] = shape[..] else { return None };
    let side = |side: Option<usize>, default| {
        side.map_or(Some(default), |side| i64::try_from(side).ok()).filter(|&side| side > 0)
    };
    Some((*value, vec![1, side(channels, 3)?, side(height, USUAL_SIDE)?, side(width, USUAL_SIDE)?]))
}
