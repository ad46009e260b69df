//! A look at what was exported, before anybody trusts it: the file's bytes are read back and run.

use lcam_models::class::ClassIndex;
use lcam_models::explained::{EXPLANATION, ExplainedModel, IMAGE, LOGITS};
use lcam_models::metadata::Quantization;
use lcam_models::onnx::{ModelProto, decode_model, encode_model};
use tch::{Device, Kind, TchError, Tensor};

use super::{ExportError, weights};
use crate::attention::Attention;
use crate::classifier::Classifier;
use crate::graph::Graph;
use crate::layers::Layers;
use crate::rounding;

/// The largest difference of the maps, relative to the largest value; the sums run in another order.
const MAP_TOLERANCE: f64 = 1e-4;

/// Checks on a fixed picture of noise that
///
/// - the explained model's logits are the classifier's to the bit; with int8 weights, those of the classifier
///   with its weights rounded likewise;
/// - its map is the one that the attention mechanism gives for its feature maps, rounded likewise;
/// - the maps that devices compute for any class ([`lcam_models::explained::Attention::class_map`]) are that
///   map for the named class.
///
/// # Errors
/// Returns [`ExportError::Differs`] when one of it is not so, and other errors when the model cannot be run.
pub fn verify(
    explained: &ExplainedModel,
    model: &ModelProto,
    classifier: &Classifier,
    layers: &Layers,
    attention: &Attention,
) -> Result<(), ExportError> {
    let _no_gradients = tch::no_grad_guard();
    let device = classifier.graph().device();
    let picture = noise(classifier, device);
    let Outputs { logits, explanation, adapters } = run_file(explained, &picture)?;
    let int8 = explained.metadata().quantization == Quantization::WeightsInt8;
    let wanted = [vec![classifier.logits()], layers.values()].concat();
    let expected = if int8 {
        rounded(model, classifier)?.run(&[(classifier.image(), &picture)], &wanted)?
    } else {
        classifier.graph().run(&[(classifier.image(), &picture)], &wanted)?
    };
    if !logits.f_equal(&expected[0])? {
        let by = largest_difference(&logits, &expected[0])?;
        return Err(ExportError::Differs { what: "logits", by });
    }
    let class = logits.f_argmax(1, false)?;
    let map = if int8 {
        rounded_rows(attention)?.own_maps(&expected[1..], &class)?
    } else {
        attention.own_maps(&expected[1..], &class)?
    };
    check_map("map", &explanation, &map)?;
    check_map("maps of other classes", &explanation, &device_map(explained, &adapters, &class)?)
}

/// What a file answers.
struct Outputs {
    logits: Tensor,
    explanation: Tensor,
    /// The adapted feature maps of each layer.
    adapters: Vec<Tensor>,
}

/// Reads the file's bytes back and runs them.
fn run_file(explained: &ExplainedModel, picture: &Tensor) -> Result<Outputs, ExportError> {
    let again = decode_model(encode_model(explained.proto())).map_err(ExportError::Unreadable)?;
    let mut graph = Graph::new(&again)?;
    graph.to_device(picture.device())?;
    let value = |name: &str| {
        graph.value(name).ok_or_else(|| ExportError::Unreadable(format!("{name} is missing")))
    };
    let names = [LOGITS, EXPLANATION].into_iter().chain(explained.attention().adapters());
    let wanted = names.map(value).collect::<Result<Vec<_>, _>>()?;
    let mut adapters = graph.run(&[(value(IMAGE)?, picture)], &wanted)?;
    let explanation = adapters.remove(1);
    Ok(Outputs { logits: adapters.remove(0), explanation, adapters })
}

/// Gives the classifier with its weights rounded as in the file. Its tensors have the numbers of the original.
fn rounded(model: &ModelProto, classifier: &Classifier) -> Result<Graph, ExportError> {
    let mut model = model.clone();
    if let Some(graph) = &mut model.graph {
        weights::round_in_place(graph)?;
    }
    let mut graph = Graph::new(&model)?;
    graph.to_device(classifier.graph().device())?;
    Ok(graph)
}

fn rounded_rows(attention: &Attention) -> Result<Attention, ExportError> {
    let mut rounded = attention.detached();
    for layer in &mut rounded.layers {
        let (classes, channels) = layer.rows.size2()?;
        let side = |side: i64| usize::try_from(side).unwrap_or(0);
        let values = super::values(&layer.rows)?;
        let rows = rounding::round(&values, side(classes), side(channels))
            .ok_or(ExportError::NotFinite)?;
        layer.rows = Tensor::from_slice(&rows.widened(side(channels)))
            .f_reshape([classes, channels])?
            .f_to_device(layer.rows.device())?;
    }
    Ok(rounded)
}

/// Computes the map of a class as a device does for classes that were not named.
fn device_map(
    explained: &ExplainedModel,
    adapters: &[Tensor],
    class: &Tensor,
) -> Result<Tensor, ExportError> {
    let class = ClassIndex(usize::try_from(class.int64_value(&[0])).unwrap_or(0));
    let adapters = adapters.iter().map(super::values).collect::<Result<Vec<_>, _>>()?;
    let adapters: Vec<&[f32]> = adapters.iter().map(Vec::as_slice).collect();
    let map = explained
        .attention()
        .class_map(class, &adapters)
        .map_err(|problem| ExportError::Unreadable(problem.to_string()))?;
    Ok(Tensor::from_slice(map.values()))
}

fn check_map(what: &'static str, found: &Tensor, expected: &Tensor) -> Result<(), ExportError> {
    let flat = |tensor: &Tensor| -> Result<Tensor, TchError> {
        tensor.f_to_device(Device::Cpu)?.f_reshape([-1i64])
    };
    let by = largest_difference(&flat(found)?, &flat(expected)?)?;
    // Weights that are finite, and so large that their sums are not.
    if by.is_nan() {
        return Err(ExportError::NotFinite);
    }
    if by <= MAP_TOLERANCE { Ok(()) } else { Err(ExportError::Differs { what, by }) }
}

/// Gives one picture that is the same on every machine.
fn noise(classifier: &Classifier, device: Device) -> Tensor {
    let size = classifier.input_size();
    let (height, width) = (i64::from(size.height), i64::from(size.width));
    let ramp = Tensor::arange(3 * height * width, (Kind::Double, Device::Cpu));
    (ramp * 12.9898).sin().reshape([1, 3, height, width]).to_kind(Kind::Float).to_device(device)
}

/// Gives the largest difference relative to the largest expected value.
fn largest_difference(found: &Tensor, expected: &Tensor) -> Result<f64, ExportError> {
    let largest = expected.f_abs()?.f_max()?.f_double_value(&[])?.max(f64::MIN_POSITIVE);
    Ok(found.f_sub(expected)?.f_abs()?.f_max()?.f_double_value(&[])? / largest)
}
