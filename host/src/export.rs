//! Writes a classifier with its attention mechanism as one explained model.
//!
//! The classifier's nodes stay as they are, so its logits cannot drift; input and outputs get the names of the
//! contract, and this is added (`F` the feature maps, `y` the predicted class):
//!
//! ```text
//! y    = ArgMax(logits)                  explanation = Reshape(row A + Gather(b, y), [1, 1, h, w])
//! row  = Gather(W, y)                    A           = Reshape(F, [1, C, h*w])
//! ```
//!
//! Only the predicted class's row is computed: for 1000 classes that is a thousandth of the attention layer.

mod verify;

use std::collections::HashMap;

use lcam_models::explained::{ContractError, EXPLANATION, ExplainedModel, IMAGE, LOGITS};
use lcam_models::metadata::{AttentionLayer, AttentionLayout, Metadata};
use lcam_models::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
    attribute_proto::AttributeType, tensor_proto::DataType,
};
use tch::{Device, Kind, TchError, Tensor};

pub use verify::verify;

use crate::attention::Attention;
use crate::classifier::Classifier;
use crate::graph::{GraphError, RunError};
use crate::layers::FeatureMaps;

/// The oldest operator set of an explained model.
const OLDEST_OPSET: i64 = 13;

const CLASS: &str = "lcam.class";
const ADAPTER: &str = "lcam.adapter.0";
const ROW: &str = "lcam.row.0";
const ROW_OF_CLASS: &str = "lcam.row_of_class.0";
const EVIDENCE: &str = "lcam.evidence.0";
const BIAS_OF_CLASS: &str = "lcam.bias_of_class";
const SUM: &str = "lcam.sum";
const WEIGHTS: &str = "lcam.weights.0";
const BIAS: &str = "lcam.bias";
const ADAPTER_SHAPE: &str = "lcam.adapter_shape.0";
const ROW_SHAPE: &str = "lcam.row_shape.0";
const EXPLANATION_SHAPE: &str = "lcam.explanation_shape";

/// A model that cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The operator set is too old.
    #[error("the model uses operator set {found}; export it again with {OLDEST_OPSET} or newer")]
    Opset {
        /// The version of the file.
        found: i64,
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

/// Adds the attention mechanism to a classifier's model. Of the metadata, everything but the attention's
/// layout is the caller's.
///
/// # Errors
/// Returns [`ExportError`] when names clash, the operator set is too old or the result breaks the contract.
pub fn attach(
    model: &ModelProto,
    classifier: &Classifier,
    maps: &FeatureMaps,
    attention: &Attention,
    mut metadata: Metadata,
) -> Result<ExplainedModel, ExportError> {
    let opset = model.opset().unwrap_or(0);
    if opset < OLDEST_OPSET {
        return Err(ExportError::Opset { found: opset });
    }
    let mut model = model.clone();
    let mut graph = model.graph.take().unwrap_or_default();
    let feature_maps = rename_interface(&mut graph, classifier, &maps.name)?;
    // A final softmax goes, auxiliary outputs, and shapes that were noted for other batch sizes.
    graph.keep_what_makes(&[LOGITS, &feature_maps]);
    add_attention(&mut graph, &feature_maps, maps, attention)?;
    declare_interface(&mut graph, classifier, maps);
    metadata.attention = AttentionLayout {
        layers: vec![AttentionLayer {
            feature_maps,
            adapter: ADAPTER.to_owned(),
            weights: WEIGHTS.to_owned(),
            scales: None,
            grid: maps.grid,
        }],
        bias: BIAS.to_owned(),
    };
    model.graph = Some(graph);
    metadata.write(&mut model);
    Ok(ExplainedModel::new(model)?)
}

/// Gives input and logits their names in the contract; another tensor that bears one of them steps aside.
/// Returns the feature maps' name afterwards.
fn rename_interface(
    graph: &mut GraphProto,
    classifier: &Classifier,
    feature_maps: &str,
) -> Result<String, ExportError> {
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
        if let Some(name) = node.output.iter().find(|name| name.starts_with("lcam.")) {
            return Err(ExportError::NameTaken { name: name.clone() });
        }
    }
    let initializers = graph.initializer.iter_mut().filter_map(|tensor| tensor.name.as_mut());
    initializers.for_each(rename);
    graph.input.iter_mut().filter_map(|input| input.name.as_mut()).for_each(rename);
    let mut name = feature_maps.to_owned();
    rename(&mut name);
    Ok(name)
}

fn add_attention(
    graph: &mut GraphProto,
    feature_maps: &str,
    maps: &FeatureMaps,
    attention: &Attention,
) -> Result<(), TchError> {
    let (classes, channels) = attention.weights.size2()?;
    let side = |side: usize| i64::try_from(side).unwrap_or(i64::MAX);
    let (height, width) = (side(maps.grid.height), side(maps.grid.width));
    let shape =
        |name: &str, sides: &[i64]| TensorProto::from_i64(name, &[side(sides.len())], sides);
    graph.initializer.extend([
        TensorProto::from_f32(WEIGHTS, &[classes, channels], &values(&attention.weights)?),
        TensorProto::from_f32(BIAS, &[classes], &values(&attention.bias)?),
        shape(ADAPTER_SHAPE, &[1, channels, height * width]),
        shape(ROW_SHAPE, &[1, 1, channels]),
        shape(EXPLANATION_SHAPE, &[1, 1, height, width]),
    ]);
    let mut arg_max = node("ArgMax", &[LOGITS], CLASS);
    arg_max.attribute = vec![int("axis", 1), int("keepdims", 0)];
    graph.node.extend([
        arg_max,
        node("Gather", &[WEIGHTS, CLASS], ROW_OF_CLASS),
        node("Reshape", &[ROW_OF_CLASS, ROW_SHAPE], ROW),
        node("Reshape", &[feature_maps, ADAPTER_SHAPE], ADAPTER),
        node("MatMul", &[ROW, ADAPTER], EVIDENCE),
        node("Gather", &[BIAS, CLASS], BIAS_OF_CLASS),
        node("Add", &[EVIDENCE, BIAS_OF_CLASS], SUM),
        node("Reshape", &[SUM, EXPLANATION_SHAPE], EXPLANATION),
    ]);
    Ok(())
}

fn declare_interface(graph: &mut GraphProto, classifier: &Classifier, maps: &FeatureMaps) {
    let side = |side: usize| i64::try_from(side).unwrap_or(i64::MAX);
    let input = classifier.input_size();
    let float = |name: &str, shape: &[i64]| ValueInfoProto::tensor(name, DataType::Float, shape);
    graph.input = vec![float(IMAGE, &[1, 3, i64::from(input.height), i64::from(input.width)])];
    graph.output = vec![
        float(LOGITS, &[1, side(classifier.classes())]),
        float(EXPLANATION, &[1, 1, side(maps.grid.height), side(maps.grid.width)]),
    ];
}

fn values(tensor: &Tensor) -> Result<Vec<f32>, TchError> {
    let flat =
        tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_reshape([-1i64])?;
    Vec::try_from(&flat)
}

fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: Some(output.to_owned()),
        op_type: Some(operator.to_owned()),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(AttributeType::Int.into()),
        i: Some(value),
        ..AttributeProto::default()
    }
}
