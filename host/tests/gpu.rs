//! What a CUDA device computes, beside the CPU. `tests/gpu` runs these; they need such a device.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

#[path = "support/lite0.rs"]
mod lite0;

use std::path::{Path, PathBuf};

use lcam_host::attention::Attention;
use lcam_host::classifier::Classifier;
use lcam_host::evaluate::{Explained, Method, Options, Scores, evaluate};
use lcam_host::export::verify;
use lcam_host::graph::Precision;
use lcam_host::train::Trainer;
use lcam_host::train::run_folder::RunFolder;
use lcam_host::train::settings::{Recipe, Settings};
use lcam_models::metadata::{Quantization, Variant};
use lcam_models::preprocess::{Normalization, Preprocess};
use tch::{Cuda, Device, Kind, Tensor};

/// Convolutions on a GPU sum in another order, and by default in TF32: 10 bits of mantissa.
const TOLERANCE: f64 = 2e-2;

/// Draws an attention mechanism of the paper's kind.
fn random() -> Attention {
    Attention::random(1000, &lite0::classifier().1, 3)
}

fn cuda() -> Device {
    assert!(Cuda::is_available(), "there is no CUDA device, or libtorch was built without CUDA");
    Device::Cuda(0)
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/samples")
}

fn relative_difference(found: &Tensor, expected: &Tensor) -> f64 {
    let found = found.to_device(Device::Cpu);
    ((found - expected).abs().max() / expected.abs().max()).double_value(&[])
}

fn train(device: Device) -> Attention {
    let (mut classifier, layers) = lite0::classifier();
    classifier.to_device(device).unwrap();
    let preprocess = Preprocess::usual(classifier.input_size(), Normalization::TF);
    let settings = Settings { epochs: 3, batch: 2, ..Settings::of(Recipe::Default, Variant::Fm) };
    let folder = tempfile::tempdir().unwrap();
    let mut run = RunFolder::open(folder.path(), &settings, false).unwrap();
    let trainer = Trainer {
        classifier: &classifier,
        layers: &layers,
        preprocess: &preprocess,
        settings: &settings,
    };
    let attention = trainer.train(&samples(), &mut run, false).unwrap().attention;
    let explained = lite0::explained(&attention, Quantization::None);
    verify(&explained, &lite0::model(), &classifier, &layers, &attention).unwrap();
    attention
}

#[test]
#[ignore = "needs a CUDA device: tests/gpu"]
fn a_cuda_device_computes_the_same_logits_and_maps() {
    let attention = random();
    let image = Tensor::randn([3, 3, 224, 224], (Kind::Float, Device::Cpu));
    for quantization in [Quantization::None, Quantization::WeightsInt8] {
        let run = |device: Device| {
            let model = Explained::new(lite0::explained(&attention, quantization), device).unwrap();
            let wanted = [model.classifier().logits(), model.explanation()];
            model.run(&image.to_device(device), &wanted).unwrap()
        };
        for (found, expected) in run(cuda()).iter().zip(&run(Device::Cpu)) {
            let difference = relative_difference(found, expected);
            assert!(difference < TOLERANCE, "{quantization}: {difference}");
        }
    }
}

#[test]
#[ignore = "needs a CUDA device: tests/gpu"]
fn a_cuda_device_trains_to_the_same_weights() {
    let difference =
        relative_difference(&train(cuda()).layers[0].rows, &train(Device::Cpu).layers[0].rows);
    assert!(difference < TOLERANCE, "{difference}");
}

#[test]
#[ignore = "needs a CUDA device: tests/gpu"]
fn a_cuda_device_computes_in_bfloat16() {
    let (mut classifier, _) = lite0::classifier();
    let image = Tensor::randn([3, 3, 224, 224], (Kind::Float, Device::Cpu));
    let run = |classifier: &Classifier, image: &Tensor| {
        let feeds = [(classifier.image(), image)];
        let logits = classifier.graph().run_in(Precision::Bfloat16, &feeds, &[classifier.logits()]);
        logits.unwrap().remove(0)
    };
    let expected = run(&classifier, &image);
    classifier.to_device(cuda()).unwrap();
    let difference = relative_difference(&run(&classifier, &image.to_device(cuda())), &expected);
    assert!(difference < 0.1, "{difference}");
}

#[test]
#[ignore = "needs a CUDA device: tests/gpu"]
fn a_cuda_device_measures_the_same_figures() {
    let attention = train(Device::Cpu);
    let options = Options::new(samples(), vec![Method::Lcam, Method::Cam]);
    let measure = |device: Device| {
        let explained = lite0::explained(&attention, Quantization::None);
        evaluate(&Explained::new(explained, device).unwrap(), &options).unwrap().outcomes
    };
    for (found, expected) in measure(cuda()).iter().zip(&measure(Device::Cpu)) {
        assert_eq!(found.class, expected.class, "{}", found.picture.display());
        for (found, expected) in found.scores.iter().zip(&expected.scores) {
            let masked = |scores: &Scores| scores.masked.values().flatten().copied().collect();
            let (ours, theirs): (Vec<f64>, Vec<f64>) = (masked(found), masked(expected));
            let near = ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 0.05);
            assert!(near, "{found:?} is not {expected:?}");
        }
    }
}
