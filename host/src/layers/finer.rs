//! Feature maps of finer grids, looked at beside those of the last stage.
//!
//! Candidates are the tensors that all of the network's evidence passes through: of each grid the narrowest one
//! before the grid shrinks. In a ResNet that is a stage's output; in networks of inverted residuals the
//! bottleneck, and not the wide expansion that already belongs to the next stage.

use std::collections::HashMap;

use super::{FeatureMaps, feature_maps, objection};
use crate::classifier::Classifier;
use crate::graph::{Node, ValueId};

/// How much finer a grid may be than the last stage's, by side: beyond, a map shows edges and not evidence.
const FINEST: usize = 4;

/// Finds at most `count` feature maps of grids finer than those of `deepest`, from the finest to the coarsest;
/// the coarser grids come first where there are more.
#[must_use]
pub fn finer(classifier: &Classifier, deepest: &FeatureMaps, count: usize) -> Vec<FeatureMaps> {
    let mut stages: Vec<Vec<FeatureMaps>> = Vec::new();
    for maps in bottlenecks(classifier) {
        if maps.value == deepest.value {
            break;
        }
        let finer = maps.grid.height > deepest.grid.height && maps.grid.width > deepest.grid.width;
        let near = maps.grid.height <= FINEST * deepest.grid.height
            && maps.grid.width <= FINEST * deepest.grid.width;
        if !(finer && near) {
            continue;
        }
        match stages.last_mut() {
            Some(stage) if stage[0].grid == maps.grid => stage.push(maps),
            _ => stages.push(vec![maps]),
        }
    }
    let start = stages.len().saturating_sub(count);
    stages.split_off(start).into_iter().filter_map(narrowest).collect()
}

/// Walks back from a stage's end while the maps get fewer; of equally many the last.
fn narrowest(stage: Vec<FeatureMaps>) -> Option<FeatureMaps> {
    let mut backwards = stage.into_iter().rev();
    let mut best = backwards.next()?;
    for maps in backwards {
        if maps.channels > best.channels {
            break;
        }
        if maps.channels < best.channels {
            best = maps;
        }
    }
    Some(best)
}

/// Lists the feature maps that every way from the picture to the logits passes, in the network's order.
fn bottlenecks(classifier: &Classifier) -> Vec<FeatureMaps> {
    let nodes: Vec<&Node> = classifier.graph().dependencies(classifier.logits()).collect();
    let mut uses = remaining_uses(classifier, &nodes);
    let mut live = vec![classifier.image()];
    let mut found = Vec::new();
    for node in nodes {
        // A shape is no evidence.
        if node.op_type == "Shape" || !node.inputs.iter().flatten().any(|id| live.contains(id)) {
            continue;
        }
        for input in node.inputs.iter().flatten() {
            if let Some(count) = uses.get_mut(input) {
                *count -= 1;
            }
        }
        live.extend(&node.outputs);
        live.retain(|id| uses.get(id).is_some_and(|&count| count > 0));
        let [value] = live[..] else { continue };
        let made_here = node.outputs.contains(&value);
        let maps = made_here.then(|| feature_maps(classifier, value, node)).flatten();
        found.extend(maps.filter(|maps| objection(classifier, node, maps).is_none()));
    }
    found
}

/// Counts how often each tensor is read.
fn remaining_uses(classifier: &Classifier, nodes: &[&Node]) -> HashMap<ValueId, usize> {
    let mut uses = HashMap::from([(classifier.image(), 0)]);
    for node in nodes.iter().filter(|node| node.op_type != "Shape") {
        for &input in node.inputs.iter().flatten() {
            *uses.entry(input).or_insert(0) += 1;
        }
    }
    uses
}
