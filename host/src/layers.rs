//! Which feature maps the attention mechanism looks at.
//!
//! The method takes the feature maps of the last convolutional stage: the last activation before the final
//! pooling. They are found by walking from the logits towards the picture.

use lcam_models::map::GridSize;

use crate::classifier::Classifier;
use crate::graph::{Node, ValueId};

/// Feature maps that could be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureMaps {
    /// The tensor, `[batch, channels, height, width]`.
    pub value: ValueId,
    /// Its name.
    pub name: String,
    /// How many maps there are.
    pub channels: usize,
    /// Their grid.
    pub grid: GridSize,
    /// The operator that makes them.
    pub made_by: String,
}

/// A layer that cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The network keeps no two-dimensional feature maps until its head, as transformers do not.
    #[error(
        "the network has no spatial feature maps before its head (a tensor of shape {shape:?} at {node}); transformers and fully connected networks are not supported, convolutional ones are"
    )]
    NotSpatial {
        /// Where the search ended.
        node: String,
        /// What was found there.
        shape: Vec<i64>,
    },
    /// A named tensor does not exist.
    #[error("there is no tensor {name:?}; candidates are {candidates}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// Names that could be meant.
        candidates: String,
    },
    /// A named tensor holds no feature maps.
    #[error(
        "the tensor {name:?} has the shape {shape:?}, but feature maps are [1, channels, height, width] with more than one cell; candidates are {candidates}"
    )]
    Unusable {
        /// The name asked for.
        name: String,
        /// Its shape for one picture.
        shape: Vec<i64>,
        /// Names that could be meant.
        candidates: String,
    },
}

/// Feature maps and why they were chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The feature maps.
    pub maps: FeatureMaps,
    /// The node that makes them.
    pub made_by: String,
    /// The node after them where the plane of the picture is lost: the final pooling, or what flattens.
    pub pooling: Option<String>,
    /// Later feature maps that were passed over, from the picture to the logits.
    pub passed_over: Vec<PassedOver>,
}

/// Feature maps that were not chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The node that makes them.
    pub node: String,
    /// What speaks against them.
    pub reason: Reason,
}

/// What speaks against feature maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// They hand on what an earlier layer found, as pooling does.
    HandsOn,
    /// Their channels are the classes themselves.
    ClassChannels,
}

/// Operators that hand feature maps on without adding evidence of their own.
const PASSING: [&str; 6] = ["MaxPool", "AveragePool", "Identity", "Dropout", "Cast", "Pad"];

/// Chooses the last activation before the final pooling, whose channels are not the classes themselves.
///
/// # Errors
/// Returns [`LayerError::NotSpatial`] for a network without such feature maps.
pub fn choose(classifier: &Classifier) -> Result<FeatureMaps, LayerError> {
    explain_choice(classifier).map(|choice| choice.maps)
}

/// Chooses as [`choose`] does and says why.
///
/// # Errors
/// Returns [`LayerError::NotSpatial`] for a network without feature maps before its head.
pub fn explain_choice(classifier: &Classifier) -> Result<Choice, LayerError> {
    let mut value = classifier.logits();
    let mut pooling = None;
    let mut passed_over = Vec::new();
    loop {
        let Some(node) = classifier.producer(value) else {
            return Err(not_spatial(classifier, value, "the input"));
        };
        match feature_maps(classifier, value, node) {
            None => pooling = Some(node.title.clone()),
            Some(maps) => match objection(classifier, node, &maps) {
                Some(reason) => passed_over.push(PassedOver { node: node.title.clone(), reason }),
                None => {
                    passed_over.reverse();
                    return Ok(Choice { maps, made_by: node.title.clone(), pooling, passed_over });
                }
            },
        }
        let shape = classifier.shape(value);
        // A sequence of tokens: the picture's plane is already lost here.
        if shape.len() == 3 && shape[1] > 1 && shape[2] > 1 {
            return Err(not_spatial(classifier, value, &node.title));
        }
        value = data_input(classifier, node)
            .ok_or_else(|| not_spatial(classifier, value, &node.title))?;
    }
}

/// Takes the feature maps of this name.
///
/// # Errors
/// Returns [`LayerError`] when there is no such tensor or it holds no feature maps.
pub fn named(classifier: &Classifier, name: &str) -> Result<FeatureMaps, LayerError> {
    let list = || {
        let names: Vec<_> = candidates(classifier).into_iter().map(|maps| maps.name).collect();
        names.join(", ")
    };
    let value = classifier
        .graph()
        .value(name)
        .ok_or_else(|| LayerError::Unknown { name: name.to_owned(), candidates: list() })?;
    let maps = classifier.producer(value).and_then(|node| feature_maps(classifier, value, node));
    maps.ok_or_else(|| LayerError::Unusable {
        name: name.to_owned(),
        shape: classifier.shape(value).to_vec(),
        candidates: list(),
    })
}

/// Lists the last feature maps of each grid size, from the picture to the logits.
#[must_use]
pub fn candidates(classifier: &Classifier) -> Vec<FeatureMaps> {
    let mut found: Vec<FeatureMaps> = Vec::new();
    for node in classifier.graph().nodes() {
        for &value in &node.outputs {
            let Some(maps) = feature_maps(classifier, value, node) else { continue };
            if objection(classifier, node, &maps).is_some() {
                continue;
            }
            found.retain(|earlier| earlier.grid != maps.grid);
            found.push(maps);
        }
    }
    found
}

fn feature_maps(classifier: &Classifier, value: ValueId, node: &Node) -> Option<FeatureMaps> {
    let [1, channels, height, width] = classifier.shape(value)[..] else { return None };
    let count = |side: i64| usize::try_from(side).ok();
    let grid = GridSize { height: count(height)?, width: count(width)? };
    (grid.cells() > 1).then(|| FeatureMaps {
        value,
        name: classifier.graph().name(value).to_owned(),
        channels: usize::try_from(channels).unwrap_or(0),
        grid,
        made_by: node.op_type.clone(),
    })
}

/// Says what speaks against feature maps that a node makes.
fn objection(classifier: &Classifier, node: &Node, maps: &FeatureMaps) -> Option<Reason> {
    if PASSING.contains(&node.op_type.as_str()) {
        return Some(Reason::HandsOn);
    }
    (maps.channels == classifier.classes()).then_some(Reason::ClassChannels)
}

/// Follows the input that depends on the picture; of several the first.
fn data_input(classifier: &Classifier, node: &Node) -> Option<ValueId> {
    node.inputs
        .iter()
        .flatten()
        .copied()
        .find(|&value| classifier.producer(value).is_some() || value == classifier.image())
}

fn not_spatial(classifier: &Classifier, value: ValueId, node: &str) -> LayerError {
    LayerError::NotSpatial { node: node.to_owned(), shape: classifier.shape(value).to_vec() }
}
