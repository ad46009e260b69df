//! Which feature maps the attention mechanism looks at.
//!
//! The method takes the feature maps of the last convolutional stage: the last activation before the final
//! pooling. They are found by walking from the logits towards the picture.

mod finer;

use lcam_models::map::GridSize;

pub use finer::finer;

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

/// The layers that are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Feature maps of finer grids, from the finest on; none in the paper's method.
    pub finer: Vec<FeatureMaps>,
    /// The last stage's feature maps.
    pub deepest: FeatureMaps,
}

impl Layers {
    /// Takes one layer, as the paper does.
    #[must_use]
    pub fn single(deepest: FeatureMaps) -> Self {
        Self { finer: Vec::new(), deepest }
    }

    /// Goes through the layers, the deepest last.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &FeatureMaps> {
        self.finer.iter().chain([&self.deepest])
    }

    /// Gives the tensors of [`Layers::iter`].
    #[must_use]
    pub fn values(&self) -> Vec<ValueId> {
        self.iter().map(|maps| maps.value).collect()
    }

    /// Gives the finest grid: that of the maps.
    #[must_use]
    pub fn grid(&self) -> GridSize {
        self.finer.first().unwrap_or(&self.deepest).grid
    }
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

/// Operators whose output has its channels behind the batch.
const CHANNELS_FIRST: [&str; 7] = [
    "Conv",
    "ConvTranspose",
    "BatchNormalization",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "GlobalMaxPool",
];

/// Operators whose output has its channels last: the layers of transformers, and of heads like theirs.
const CHANNELS_LAST: [&str; 2] = ["MatMul", "LayerNormalization"];

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
    if channel_axis_is_elsewhere(classifier, value) {
        return None;
    }
    let count = |side: i64| usize::try_from(side).ok();
    let grid = GridSize { height: count(height)?, width: count(width)? };
    // One number a cell is no choice of channels; it is rather that the channels come last.
    (grid.cells() > 1 && channels > 1).then(|| FeatureMaps {
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

/// Tells whether a tensor's second axis is known not to be the channels, as in `[batch, height, width,
/// channels]`. What the second axis was before each `Transpose` is followed back to an operator that says
/// where its channels are.
fn channel_axis_is_elsewhere(classifier: &Classifier, value: ValueId) -> bool {
    let rank = classifier.shape(value).len();
    let (mut value, mut axis) = (value, 1);
    while let Some(node) = classifier.producer(value) {
        if CHANNELS_FIRST.contains(&node.op_type.as_str()) {
            return axis != 1;
        }
        if CHANNELS_LAST.contains(&node.op_type.as_str()) {
            return axis != rank - 1;
        }
        if let Some(order) = &node.order {
            axis = order.get(axis).and_then(|&axis| usize::try_from(axis).ok()).unwrap_or(axis);
        }
        match data_input(classifier, node) {
            Some(input) if classifier.shape(input).len() == rank => value = input,
            // Reshaped: its axes are new.
            _ => return false,
        }
    }
    axis != 1
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

#[cfg(test)]
mod tests {
    use lcam_models::onnx::attribute_proto::AttributeType;
    use lcam_models::onnx::tensor_proto::DataType;
    use lcam_models::onnx::{
        AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
        ValueInfoProto,
    };

    use super::*;

    fn node(operator: &str, inputs: &[&str], output: &str, order: &[i64]) -> NodeProto {
        let perm = AttributeProto {
            name: Some("perm".to_owned()),
            r#type: Some(AttributeType::Ints.into()),
            ints: order.to_vec(),
            ..AttributeProto::default()
        };
        NodeProto {
            op_type: Some(operator.to_owned()),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute: if order.is_empty() { Vec::new() } else { vec![perm] },
            ..NodeProto::default()
        }
    }

    /// A convolution `maps` `[1, 5, 4, 4]` of a picture of 4x4, and this head.
    fn chosen(head: Vec<NodeProto>) -> String {
        let weights = |name: &str, dims: &[i64]| {
            let count: i64 = dims.iter().product();
            TensorProto::from_f32(name, dims, &vec![0.1; usize::try_from(count).unwrap()])
        };
        let conv = node("Conv", &["image", "kernel"], "maps", &[]);
        let float =
            |name: &str, shape: &[i64]| ValueInfoProto::tensor(name, DataType::Float, shape);
        let model = ModelProto {
            opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
            graph: Some(GraphProto {
                node: [vec![conv], head].concat(),
                initializer: vec![
                    weights("kernel", &[5, 3, 1, 1]),
                    weights("scale", &[5]),
                    weights("dense", &[5, 7]),
                ],
                input: vec![float("image", &[1, 3, 4, 4])],
                output: vec![float("logits", &[1, 7])],
                ..GraphProto::default()
            }),
            ..ModelProto::default()
        };
        choose(&Classifier::new(&model, None).unwrap()).unwrap().name
    }

    #[test]
    fn passes_over_tensors_whose_channels_come_last() {
        // As ConvNeXt ends: the channels go last to be normalised after the pooling.
        let after_pooling = vec![
            node("GlobalAveragePool", &["maps"], "pooled", &[]),
            node("Transpose", &["pooled"], "turned", &[0, 2, 3, 1]),
            node("LayerNormalization", &["turned", "scale"], "normalised", &[]),
            node("Transpose", &["normalised"], "back", &[0, 3, 1, 2]),
            node("Flatten", &["back"], "flat", &[]),
            node("MatMul", &["flat", "dense"], "logits", &[]),
        ];
        assert_eq!(chosen(after_pooling), "maps");
        // As Swin ends: what was made with the channels last is turned before the pooling.
        let before_pooling = vec![
            node("Transpose", &["maps"], "turned", &[0, 2, 3, 1]),
            node("LayerNormalization", &["turned", "scale"], "normalised", &[]),
            node("Transpose", &["normalised"], "back", &[0, 3, 1, 2]),
            node("GlobalAveragePool", &["back"], "pooled", &[]),
            node("Flatten", &["pooled"], "flat", &[]),
            node("MatMul", &["flat", "dense"], "logits", &[]),
        ];
        assert_eq!(chosen(before_pooling), "back");
    }
}
