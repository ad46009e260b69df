//! Writes a classifier with its attention mechanism as one explained model.
//!
//! The classifier's nodes stay as they are, so its logits cannot drift; input and outputs get the names of the
//! contract, and this is added (`F` the feature maps, `y` the predicted class):
//!
//! ```text
//! y    = ArgMax(logits)                  explanation = Reshape(row A + b[y], [1, 1, h, w])
//! row  = Gather(W, y)                    A           = Reshape(F, [1, C, h*w])
//! ```
//!
//! Only the predicted class's row is computed: for 1000 classes that is a thousandth of the attention layer.
//! With int8 weights, `row = Cast(Gather(W8, y)) * Gather(scales, y)`.

mod agreement;
mod raise;
mod verify;
mod weights;

use std::collections::HashMap;

use lcam_models::explained::{ContractError, EXPLANATION, ExplainedModel, IMAGE, LOGITS};
use lcam_models::metadata::{AttentionLayer, AttentionLayout, Metadata, Quantization};
use lcam_models::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorError, TensorProto, ValueInfoProto,
    attribute_proto::AttributeType, tensor_proto::DataType,
};
use tch::{Device, Kind, TchError, Tensor};

pub use agreement::{Agreement, agreement};
pub use verify::verify;

use crate::attention::Attention;
use crate::classifier::Classifier;
use crate::graph::{GraphError, OPSETS, RunError};
use crate::layers::FeatureMaps;

const CLASS: &str = "lcam.class";
const ADAPTER: &str = "lcam.adapter.0";
const ROW: &str = "lcam.row.0";
const ROW_OF_CLASS: &str = "lcam.row_of_class.0";
const EVIDENCE: &str = "lcam.evidence.0";
const BIAS_OF_CLASS: &str = "lcam.bias_of_class";
const OFFSET: &str = "lcam.offset";
const SUM: &str = "lcam.sum";
const WEIGHTS: &str = "lcam.weights.0";
const SCALES: &str = "lcam.scales.0";
const NARROW_ROW: &str = "lcam.narrow_row.0";
const WIDE_ROW: &str = "lcam.wide_row.0";
const SCALE_OF_CLASS: &str = "lcam.scale_of_class.0";
const BIAS: &str = "lcam.bias";
const ADAPTER_SHAPE: &str = "lcam.adapter_shape.0";
const ROW_SHAPE: &str = "lcam.row_shape.0";
const OFFSET_SHAPE: &str = "lcam.offset_shape";
const EXPLANATION_SHAPE: &str = "lcam.explanation_shape";

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
    maps: &FeatureMaps,
    attention: &Attention,
    mut metadata: Metadata,
) -> Result<ExplainedModel, ExportError> {
    let mut model = model.clone();
    let mut graph = model.graph.take().unwrap_or_default();
    refuse_taken_names(&graph)?;
    // A final softmax goes, auxiliary outputs, and shapes that were noted for other batch sizes.
    graph.keep_what_makes(&[classifier.graph().name(classifier.logits()), &maps.name]);
    raise::raise(&mut model, &mut graph, |name| shape(classifier, name))?;
    let feature_maps = rename_interface(&mut graph, classifier, &maps.name);
    let int8 = metadata.quantization == Quantization::WeightsInt8;
    if int8 {
        weights::store_as_int8(&mut graph)?;
    }
    add_rows(&mut graph, attention, int8)?;
    add_map(&mut graph, &feature_maps, maps, attention)?;
    declare_interface(&mut graph, classifier, maps);
    metadata.attention = AttentionLayout {
        layers: vec![AttentionLayer {
            feature_maps,
            adapter: ADAPTER.to_owned(),
            weights: WEIGHTS.to_owned(),
            scales: int8.then(|| SCALES.to_owned()),
            grid: maps.grid,
        }],
        bias: BIAS.to_owned(),
    };
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
/// Returns the feature maps' name afterwards.
fn rename_interface(graph: &mut GraphProto, classifier: &Classifier, feature_maps: &str) -> String {
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
    let mut name = feature_maps.to_owned();
    rename(&mut name);
    name
}

/// Adds the weights, and what picks the predicted class's row of them: [`ROW_OF_CLASS`].
fn add_rows(graph: &mut GraphProto, attention: &Attention, int8: bool) -> Result<(), ExportError> {
    let mut arg_max = node("ArgMax", &[LOGITS], CLASS);
    arg_max.attribute = vec![int("axis", 1), int("keepdims", 0)];
    graph.node.push(arg_max);
    let (classes, channels) = attention.weights.size2()?;
    let rows = values(&attention.weights)?;
    if rows.iter().any(|weight| !weight.is_finite()) {
        return Err(ExportError::NotFinite);
    }
    if !int8 {
        graph.initializer.push(TensorProto::from_f32(WEIGHTS, &[classes, channels], &rows));
        graph.node.push(node("Gather", &[WEIGHTS, CLASS], ROW_OF_CLASS));
        return Ok(());
    }
    let side = |side: i64| usize::try_from(side).unwrap_or(0);
    let rounded =
        weights::round(&rows, side(classes), side(channels)).ok_or(ExportError::NotFinite)?;
    graph.initializer.extend([
        TensorProto::from_i8(WEIGHTS, &[classes, channels], &rounded.values),
        TensorProto::from_f32(SCALES, &[classes, 1], &rounded.scales),
    ]);
    let mut cast = node("Cast", &[NARROW_ROW], WIDE_ROW);
    cast.attribute = vec![int("to", i64::from(i32::from(DataType::Float)))];
    graph.node.extend([
        node("Gather", &[WEIGHTS, CLASS], NARROW_ROW),
        cast,
        node("Gather", &[SCALES, CLASS], SCALE_OF_CLASS),
        node("Mul", &[WIDE_ROW, SCALE_OF_CLASS], ROW_OF_CLASS),
    ]);
    Ok(())
}

/// Adds what makes the map from the row and the feature maps.
fn add_map(
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
        TensorProto::from_f32(BIAS, &[classes], &values(&attention.bias)?),
        shape(ADAPTER_SHAPE, &[1, channels, height * width]),
        shape(ROW_SHAPE, &[1, 1, channels]),
        shape(OFFSET_SHAPE, &[1, 1, 1]),
        shape(EXPLANATION_SHAPE, &[1, 1, height, width]),
    ]);
    graph.node.extend([
        node("Reshape", &[ROW_OF_CLASS, ROW_SHAPE], ROW),
        node("Reshape", &[feature_maps, ADAPTER_SHAPE], ADAPTER),
        node("MatMul", &[ROW, ADAPTER], EVIDENCE),
        node("Gather", &[BIAS, CLASS], BIAS_OF_CLASS),
        node("Reshape", &[BIAS_OF_CLASS, OFFSET_SHAPE], OFFSET),
        node("Add", &[EVIDENCE, OFFSET], SUM),
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
