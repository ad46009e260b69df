//! Several pictures at once through a graph that was exported for one.
//!
//! Exporters write the batch size into constant shapes: `Reshape` to `[1, 1280]`, `Expand` to
//! `[1, 64, 1, 1]`. A leading 1 there is replaced by what means "as the input has". Whether the graph then
//! treats the pictures of a batch apart is not believed but tried: two different pictures at once must
//! give what they give one by one.

use tch::{Kind, Tensor};

use super::Graph;

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

/// Makes a graph take batches, if it can.
pub(super) fn adapt(graph: &mut Graph) {
    if takes_batches(graph) {
        graph.batching = Batching::Native;
        return;
    }
    let originals = free_leading_ones(graph);
    if takes_batches(graph) {
        graph.batching = Batching::Native;
    } else {
        graph.constants.extend(originals);
    }
}

/// Replaces the leading 1 of constant `Reshape` targets that have no -1 by -1; gives the old ones back.
fn free_leading_ones(graph: &mut Graph) -> Vec<(super::ValueId, Tensor)> {
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

fn takes_batches(graph: &Graph) -> bool {
    let _no_gradients = tch::no_grad_guard();
    let Some(shape) = probe_shape(graph) else { return false };
    // A fixed pattern, so that nothing depends on a random state.
    let count: i64 = shape.iter().product();
    let Ok(ramp) = Tensor::f_arange(2 * count, (Kind::Float, graph.device)) else { return false };
    let pictures = (ramp * 0.37).sin().reshape([&[2], &shape[1..]].concat());
    let run = |pictures: &Tensor| graph.run_once(&[(graph.input.value, pictures)], &graph.outputs);
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

/// Gives the shape of one picture; sides that are left open get the size that most classifiers take.
fn probe_shape(graph: &Graph) -> Option<Vec<i64>> {
    const USUAL_SIDE: i64 = 224;
    let shape = &graph.input.shape;
    if shape.len() != 4 {
        return None;
    }
    let side = |index: usize, default| {
        shape[index].map_or(Some(default), |side| i64::try_from(side).ok()).filter(|&side| side > 0)
    };
    Some(vec![1, side(1, 3)?, side(2, USUAL_SIDE)?, side(3, USUAL_SIDE)?])
}
