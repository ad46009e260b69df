//! Writes a classifier with its attention mechanism as one explained model.
//!
//! The classifier's nodes stay as they are, so its logits cannot drift; input and outputs get the names of the
//! contract, and the nodes of export/attention.rs are added.

mod agreement;
mod attention;
pub(crate) mod nodes;
mod raise;
mod verify;
mod weights;

use std::collections::HashMap;

use lcam_models::explained::{ContractError, EXPLANATION, ExplainedModel, IMAGE, LOGITS};
use lcam_models::metadata::{Metadata, Quantization};
use lcam_models::onnx::{
    GraphProto, ModelProto, TensorError, ValueInfoProto, tensor_proto::DataType,
};
use tch::{Device, Kind, TchError, Tensor};

pub use agreement::{Agreement, agreement};
pub use verify::verify;

use crate::attention::Attention;
use crate::classifier::Classifier;
use crate::graph::{GraphError, OPSETS, RunError};
use crate::layers::{FeatureMaps, Layers};

/// A model that cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The operator set is too old or too new.
    #[error("the model uses operator set {found}, and {} to {} are supported; export it again with one of these", OPSETS.start(), OPSETS.end())]
    Opset {
        /// The version of the file.
        found: i64,
    },
    /// A softmax has a meaning that newer operator sets cannot say in one node.
    #[error(
        "{node} runs over several dimensions at once, as only operator sets before 13 do; export the model again with 13 or newer"
    )]
    Flattens {
        /// The node.
        node: String,
    },
    /// A tensor's name is one of those that the attention mechanism's tensors get.
    #[error(
        "the model already has a tensor named {name:?}, as explained models do; give the plain classifier"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The result breaks the contract.
    #[error("the result is no valid explained model")]
    Contract(#[from] ContractError),
    /// A weight cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A weight of the attention mechanism is infinite or not a number.
    #[error("the attention mechanism holds weights that are not finite; train with a lower --lr")]
    NotFinite,
    /// libtorch refused.
    #[error("libtorch failed on the exported model")]
    Torch(#[from] TchError),
    /// The result cannot be read back.
    #[error("the exported model cannot be read back: {0}")]
    Unreadable(String),
    /// The result cannot be run.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The result or the classifier fails on a picture.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The result does not answer as the classifier and the attention mechanism do.
    #[error(
        "the exported model's {what} differ by {by:.1e} of the largest value, so it was not written; please report this classifier"
    )]
    Differs {
        /// What differs.
        what: &'static str,
        /// By how much, relative to the largest value.
        by: f64,
    },
}

/// Adds the attention mechanism to a classifier's model, with all weights stored as the metadata's
/// quantisation says, and raises its operator set to 13 if it is older. Of the metadata, everything but the
/// attention's layout is the caller's.
///
/// # Errors
/// Returns [`ExportError`] when names clash, the operator set cannot be raised or the result breaks the
/// contract.
pub fn attach(
    model: &ModelProto,
    classifier: &Classifier,
    layers: &Layers,
    attention: &Attention,
    mut metadata: Metadata,
) -> Result<ExplainedModel, ExportError> {
    let mut model = model.clone();
    let mut graph = model.graph.take().unwrap_or_default();
    refuse_taken_names(&graph)?;
    // A final softmax goes, auxiliary outputs, and shapes that were noted for other batch sizes.
    let mut wanted = vec![classifier.graph().name(classifier.logits())];
    wanted.extend(layers.iter().map(|maps| maps.name.as_str()));
    graph.keep_what_makes(&wanted);
    raise::raise(&mut model, &mut graph, |name| shape(classifier, name))?;
    let feature_maps = rename_interface(&mut graph, classifier, layers);
    let int8 = metadata.quantization == Quantization::WeightsInt8;
    if int8 {
        weights::store_as_int8(&mut graph)?;
    }
    metadata.attention = attention::add(&mut graph, &feature_maps, layers, attention, int8)?;
    declare_interface(&mut graph, classifier, layers);
    model.graph = Some(graph);
    metadata.write(&mut model);
    Ok(ExplainedModel::new(model)?)
}

fn refuse_taken_names(graph: &GraphProto) -> Result<(), ExportError> {
    let mut made = graph.node.iter().flat_map(|node| &node.output);
    match made.find(|name| name.starts_with("lcam.")) {
        Some(name) => Err(ExportError::NameTaken { name: name.clone() }),
        None => Ok(()),
    }
}

/// Gives the shape that a tensor has for one picture, under the name that it has in the classifier.
fn shape(classifier: &Classifier, name: &str) -> Option<Vec<i64>> {
    let value = classifier.graph().value(name)?;
    let constant = classifier.graph().constant(value);
    Some(constant.map_or_else(|| classifier.shape(value).to_vec(), Tensor::size))
}

/// Gives input and logits their names in the contract; another tensor that bears one of them steps aside.
/// Returns the names of the layers' feature maps afterwards.
fn rename_interface(
    graph: &mut GraphProto,
    classifier: &Classifier,
    layers: &Layers,
) -> Vec<String> {
    let names = classifier.graph();
    let mut renamed: HashMap<String, String> = HashMap::new();
    for taken in [IMAGE, LOGITS, EXPLANATION] {
        renamed.insert(taken.to_owned(), format!("classifier.{taken}"));
    }
    renamed.insert(names.name(classifier.image()).to_owned(), IMAGE.to_owned());
    renamed.insert(names.name(classifier.logits()).to_owned(), LOGITS.to_owned());
    let rename = |name: &mut String| {
        if let Some(new) = renamed.get(name.as_str()) {
            name.clone_from(new);
        }
    };
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(rename);
    }
    let initializers = graph.initializer.iter_mut().filter_map(|tensor| tensor.name.as_mut());
    initializers.for_each(rename);
    graph.input.iter_mut().filter_map(|input| input.name.as_mut()).for_each(rename);
    let renamed = |maps: &FeatureMaps| {
        let mut name = maps.name.clone();
        rename(&mut name);
        name
    };
    layers.iter().map(renamed).collect()
}

fn declare_interface(graph: &mut GraphProto, classifier: &Classifier, layers: &Layers) {
    let grid = layers.grid();
    let side = |side: usize| i64::try_from(side).unwrap_or(i64::MAX);
    let input = classifier.input_size();
    let float = |name: &str, shape: &[i64]| ValueInfoProto::tensor(name, DataType::Float, shape);
    graph.input = vec![float(IMAGE, &[1, 3, i64::from(input.height), i64::from(input.width)])];
    graph.output = vec![
        float(LOGITS, &[1, side(classifier.classes())]),
        float(EXPLANATION, &[1, 1, side(grid.height), side(grid.width)]),
    ];
}

/// Copies a tensor's values, row by row, to the CPU.
pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    let flat =
        tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_reshape([-1i64])?;
    Vec::try_from(&flat)
}
