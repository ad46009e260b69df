//! Networks as people export them, explained by the trainer, on the device.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use lcam_device::engine::Engine;
use lcam_host::attention::Attention;
use lcam_host::classifier::Classifier;
use lcam_host::evaluate::Explained;
use lcam_host::export::attach;
use lcam_host::layers::{self, Layers};
use lcam_models::class::Labels;
use lcam_models::explained::ExplainedModel;
use lcam_models::metadata::{AttentionLayout, Metadata, Provenance, Quantization, Variant};
use lcam_models::onnx::{ModelProto, read_model};
use lcam_models::preprocess::{ImageSize, Normalization, Preprocess};
use lcam_tests::SAMPLES;
use tch::{Device, Tensor};

/// Of the largest value: two libraries sum in their own order.
const TOLERANCE: f64 = 1e-4;

/// Networks that the device does not run yet, and what it says: ConvNeXt as the dynamo exporter writes it computes
/// indices with `Range`.
const REFUSED: [(&str, &str); 1] = [("convnext_tiny", "(Range): this operator is not supported")];

/// Attaches random weights; `None` for a network without feature maps.
fn explained(model: &ModelProto, quantization: Quantization) -> Option<ExplainedModel> {
    // Some leave their sides open.
    let usual = ImageSize { width: 224, height: 224 };
    let classifier =
        Classifier::new(model, None).or_else(|_| Classifier::new(model, Some(usual))).unwrap();
    let deepest = layers::choose(&classifier).ok()?;
    let layers = Layers { finer: layers::finer(&classifier, &deepest, 2), deepest };
    let attention = Attention::random(classifier.classes(), &layers, 3);
    let metadata = Metadata {
        variant: Variant::Fm,
        quantization,
        preprocess: Preprocess::usual(classifier.input_size(), Normalization::IMAGENET),
        labels: Labels::numbered(classifier.classes()),
        attention: AttentionLayout::default(),
        provenance: Provenance::default(),
    };
    Some(attach(model, &classifier, &layers, &attention, metadata).unwrap())
}

fn difference(found: &[f32], expected: &Tensor) -> f64 {
    let expected = expected.reshape([-1]);
    let found = Tensor::from_slice(found);
    ((found - &expected).abs().max() / expected.abs().max()).double_value(&[])
}

/// Gives what is wrong with a network on the device, or the largest difference from the host.
fn compare(explained: ExplainedModel) -> Result<f64, String> {
    let host = Explained::new(explained.clone(), Device::Cpu).map_err(|error| error.to_string())?;
    let mut device =
        Engine::new(explained, NonZeroUsize::MIN).map_err(|error| error.to_string())?;
    let mut largest = 0f64;
    for sample in SAMPLES {
        let prepared = host.preprocess().prepare(&sample.read().unwrap());
        let size = host.preprocess().input;
        let shape = [1, 3, i64::from(size.height), i64::from(size.width)];
        let image = Tensor::from_slice(&prepared).reshape(shape);
        let outputs = host.run(&image, &[host.classifier().logits(), host.explanation()]).unwrap();
        let answer = device.explain_prepared(&prepared).map_err(|error| error.to_string())?;
        largest = largest.max(difference(answer.logits(), &outputs[0]));
        largest = largest.max(difference(answer.explanation().values(), &outputs[1]));
    }
    if largest <= TOLERANCE { Ok(largest) } else { Err(format!("differs by {largest:.1e}")) }
}

fn networks() -> Vec<PathBuf> {
    let folder = std::env::var_os("LCAM_ZOO")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/zoo"), PathBuf::from);
    let entries = std::fs::read_dir(folder).expect("tests/run makes target/zoo");
    let models = entries.map(|entry| entry.unwrap().path().join("model.onnx"));
    models.filter(|path| path.exists()).collect()
}

#[test]
fn networks_answer_on_the_device_as_on_the_host() {
    let mut failures = Vec::new();
    let mut compared = 0;
    for path in networks() {
        let model = read_model(&path).unwrap();
        for quantization in [Quantization::None, Quantization::WeightsInt8] {
            let Some(explained) = explained(&model, quantization) else { continue };
            compared += 1;
            let refused = REFUSED.iter().find(|(name, _)| path.parent().unwrap().ends_with(name));
            let result = compare(explained);
            if let Some((_, reason)) = refused {
                if !result.as_ref().is_err_and(|problem| problem.contains(reason)) {
                    failures
                        .push(format!("{} is not refused any more: {result:?}", path.display()));
                }
            } else if let Err(problem) = result {
                failures.push(format!("{} ({quantization}): {problem}", path.display()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(compared >= 10, "only {compared} networks and precisions in target/zoo");
}
