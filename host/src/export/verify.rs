//! A look at what was exported, before anybody trusts it: the file's bytes are read back and run.

use lcam_models::explained::{EXPLANATION, ExplainedModel, IMAGE, LOGITS};
use lcam_models::onnx::{decode_model, encode_model};
use tch::{Device, Kind, Tensor};

use super::ExportError;
use crate::attention::Attention;
use crate::classifier::Classifier;
use crate::graph::{Graph, ValueId};
use crate::layers::FeatureMaps;

/// The largest difference of the maps, relative to the largest value; the sums run in another order.
const MAP_TOLERANCE: f64 = 1e-4;

/// Checks on a fixed picture of noise that the explained model's logits are the classifier's to the bit, and
/// that its map is the one that the attention mechanism gives.
///
/// # Errors
/// Returns [`ExportError::Differs`] when they are not, and other errors when the model cannot be run.
pub fn verify(
    explained: &ExplainedModel,
    classifier: &Classifier,
    maps: &FeatureMaps,
    attention: &Attention,
) -> Result<(), ExportError> {
    let _no_gradients = tch::no_grad_guard();
    let again = decode_model(encode_model(explained.proto())).map_err(ExportError::Unreadable)?;
    let mut graph = Graph::new(&again)?;
    let device = classifier.graph().device();
    graph.to_device(device)?;
    let picture = noise(classifier, device);
    let value = |name: &str| {
        graph.value(name).ok_or_else(|| ExportError::Unreadable(format!("{name} is missing")))
    };
    let found = graph.run(&[(value(IMAGE)?, &picture)], &[value(LOGITS)?, value(EXPLANATION)?])?;
    let wanted: [ValueId; 2] = [classifier.logits(), maps.value];
    let expected = classifier.graph().run(&[(classifier.image(), &picture)], &wanted)?;
    if !found[0].f_equal(&expected[0])? {
        return Err(ExportError::Differs {
            what: "logits",
            by: largest_difference(&found[0], &expected[0])?,
        });
    }
    let map = attention.own_maps(&expected[1], &expected[0].f_argmax(1, false)?)?;
    let by = largest_difference(&found[1], &map)?;
    // A difference that is no number is none that can be accepted.
    if by <= MAP_TOLERANCE { Ok(()) } else { Err(ExportError::Differs { what: "map", by }) }
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
