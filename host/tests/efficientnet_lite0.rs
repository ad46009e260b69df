//! The real EfficientNet-Lite0: its feature maps are found, the attention mechanism starts at the classifier's
//! own weights, and an interrupted training ends as an uninterrupted one.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use image::{Rgb, RgbImage};
use lcam_host::attention::Attention;
use lcam_host::classifier::Classifier;
use lcam_host::export::{ExportError, attach, verify};
use lcam_host::graph::Batching;
use lcam_host::layers::{self, FeatureMaps};
use lcam_host::train::run_folder::RunFolder;
use lcam_host::train::settings::{Recipe, Settings};
use lcam_host::train::{Trained, Trainer};
use lcam_models::class::{ClassIndex, Labels};
use lcam_models::explained::ExplainedModel;
use lcam_models::metadata::{AttentionLayout, Metadata, Provenance, Quantization, Variant};
use lcam_models::onnx::{read_model, write_model};
use lcam_models::preprocess::{Normalization, Preprocess};
use tch::{Device, Kind, Tensor};

fn classifier() -> (Classifier, FeatureMaps) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/efficientnet-lite0-classifier.onnx");
    let model = read_model(&path)
        .expect("tests/run makes the classifier by models/efficientnet-lite0/export.py");
    let classifier = Classifier::new(&model, None).unwrap();
    let maps = layers::choose(&classifier).unwrap();
    (classifier, maps)
}

/// Writes pictures of coloured stripes, each its own, and one file that is no picture.
fn pictures(folder: &Path, count: u32) {
    for number in 0..count {
        let picture = RgbImage::from_fn(260, 230, |x, y| {
            let stripe = ((x * (number + 1) / 13) ^ (y * (number + 3) / 17)) % 256;
            let stripe = u8::try_from(stripe).unwrap();
            Rgb([stripe, 255 - stripe, stripe.wrapping_mul(7)])
        });
        picture.save(folder.join(format!("{number:02}.png"))).unwrap();
    }
    std::fs::write(folder.join("broken.jpg"), b"no picture").unwrap();
}

fn train(images: &Path, run: &Path, settings: &Settings, resume: bool) -> Trained {
    let (classifier, maps) = classifier();
    let preprocess = Preprocess::usual(classifier.input_size(), Normalization::TF);
    let trainer =
        Trainer { classifier: &classifier, maps: &maps, preprocess: &preprocess, settings };
    let mut folder = RunFolder::open(run, settings, resume).unwrap();
    trainer.train(images, &mut folder, resume).unwrap()
}

#[test]
fn finds_the_last_activation_before_pooling() {
    let (classifier, maps) = classifier();
    assert_eq!((maps.channels, maps.grid.height, maps.grid.width), (1280, 7, 7));
    assert_eq!(maps.made_by, "Clip");
    assert_eq!(classifier.classes(), 1000);
    assert_eq!(classifier.graph().batching(), Batching::Native, "exported for one picture");
}

#[test]
fn starts_at_the_weights_of_the_last_layer() {
    let (classifier, maps) = classifier();
    let dense = classifier.producer(classifier.logits()).unwrap();
    let weights = classifier.graph().constant(dense.inputs[1].unwrap()).unwrap();
    let features = Tensor::rand([2, 1280, 7, 7], (Kind::Float, Device::Cpu));
    let attention = Attention::from_classifier(&classifier, &maps, &features).unwrap();
    // Summed over the 49 cells, each of which the average pooling counts for a 49th.
    let difference = (&attention.weights - weights).abs().max().double_value(&[]);
    assert!(difference < 1e-5, "{difference}");
}

#[test]
fn own_maps_are_the_diagonal_of_all_maps() {
    let features = Tensor::rand([3, 5, 4, 2], (Kind::Float, Device::Cpu));
    let labels = Tensor::from_slice(&[6i64, 0, 6]);
    let attention = Attention::random(7, 5, Device::Cpu);
    let all = attention.class_maps(&features, &labels).unwrap();
    let own = attention.own_maps(&features, &labels).unwrap();
    for index in 0..3 {
        let difference = (all.get(index).get(index) - own.get(index).get(0)).abs().max();
        assert!(difference.double_value(&[]) < 1e-5);
    }
}

#[test]
fn learns_and_resumes_to_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    pictures(&images, 10);
    let run = |name: &str| -> PathBuf { folder.path().join(name) };
    for augment in [false, true] {
        let settings =
            |epochs| Settings { epochs, batch: 4, augment, ..Settings::of(Recipe::Default) };
        let name = |part: &str| run(&format!("{part}-{augment}"));
        let whole = train(&images, &name("whole"), &settings(3), false);
        assert_eq!((whole.pictures, whole.unreadable.len()), (10, 1));
        let first = train(&images, &name("parts"), &settings(1), false);
        assert!(whole.loss < first.loss, "{} is not below {}", whole.loss, first.loss);
        let resumed = train(&images, &name("parts"), &settings(3), true);
        // Threads of libtorch may sum in another order.
        let difference = (&resumed.attention.weights - &whole.attention.weights).abs().max();
        assert!(difference.double_value(&[]) < 1e-6, "augment {augment}: {difference:?}");
        for file in ["metrics.csv", "curves.svg", "settings.json", "checkpoint.safetensors"] {
            assert!(name("parts").join(file).metadata().unwrap().len() > 0, "{file}");
        }
    }
}

#[test]
fn refuses_to_overwrite_or_mix_trainings() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::default();
    RunFolder::open(folder.path(), &settings, false).unwrap();
    let message = RunFolder::open(folder.path(), &settings, false).unwrap_err().to_string();
    assert!(message.contains("--resume"), "{message}");
    let other = Settings { seed: 2, ..settings };
    let message = RunFolder::open(folder.path(), &other, true).unwrap_err().to_string();
    assert!(message.contains("other settings"), "{message}");
}

/// Checks an explained model by `onnx.checker` and runs it in ONNX Runtime; says whether its logits are the
/// plain classifier's to the bit, and writes the picture and the map beside the model.
const REFERENCE: &str = r#"
import sys, numpy, onnx, onnxruntime
explained, plain = sys.argv[1:]
onnx.checker.check_model(explained, full_check=True)
image = numpy.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=numpy.float32)
run = lambda path: onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"image": image})
logits, explanation = run(explained)
same = numpy.array_equal(logits, run(plain)[0])
numpy.savetxt(explained + ".map", explanation.reshape(1, -1))
numpy.savetxt(explained + ".image", image.reshape(1, -1))
print("identical" if same and explanation.shape == (1, 1, 7, 7) else "different")
"#;

#[test]
fn the_exported_model_agrees_with_onnx_runtime() {
    let (classifier, maps) = classifier();
    let plain =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/efficientnet-lite0-classifier.onnx");
    let model = read_model(&plain).unwrap();
    tch::manual_seed(3);
    let attention = Attention::random(1000, 1280, Device::Cpu);
    let metadata = Metadata {
        variant: Variant::Fm,
        quantization: Quantization::None,
        preprocess: Preprocess::usual(classifier.input_size(), Normalization::TF),
        labels: Labels::numbered(1000),
        attention: AttentionLayout { layers: Vec::new(), bias: String::new() },
        provenance: Provenance::default(),
    };
    let explained = attach(&model, &classifier, &maps, &attention, metadata).unwrap();
    verify(&explained, &classifier, &maps, &attention).unwrap();
    let other = Attention::random(1000, 1280, Device::Cpu);
    let refused = verify(&explained, &classifier, &maps, &other);
    assert!(matches!(refused, Err(ExportError::Differs { what: "map", .. })), "{refused:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("explained.onnx");
    write_model(&path, explained.proto()).unwrap();
    let explained = ExplainedModel::read(&path).unwrap();

    let python =
        Command::new("python").args(["-c", REFERENCE]).args([&path, &plain]).output().unwrap();
    let errors = String::from_utf8_lossy(&python.stderr);
    assert!(python.status.success(), "tests/run brings ONNX Runtime: {errors}");
    assert_eq!(String::from_utf8_lossy(&python.stdout).trim(), "identical", "logits");

    let read = |ending: &str| -> Vec<f32> {
        let text = std::fs::read_to_string(path.with_extension(format!("onnx.{ending}"))).unwrap();
        text.split_whitespace().map(|value| value.parse().unwrap()).collect()
    };
    let image = Tensor::from_slice(&read("image")).reshape([1, 3, 224, 224]);
    let wanted = [classifier.logits(), maps.value];
    let outputs = classifier.graph().run(&[(classifier.image(), &image)], &wanted).unwrap();
    let class = outputs[0].argmax(1, false);
    let ours = attention.own_maps(&outputs[1], &class).unwrap();
    let theirs = Tensor::from_slice(&read("map")).reshape([1, 1, 7, 7]);
    let difference = (&ours - &theirs).abs().max() / theirs.abs().max();
    assert!(difference.double_value(&[]) < 1e-4, "{difference:?}");

    let features: Vec<f32> = Vec::try_from(outputs[1].reshape([-1])).unwrap();
    let class = ClassIndex(usize::try_from(class.int64_value(&[0])).unwrap());
    let shared = explained.attention().class_map(class, &[&features]).unwrap();
    let shared = Tensor::from_slice(shared.values()).reshape([1, 1, 7, 7]);
    assert!(((shared - &theirs).abs().max() / theirs.abs().max()).double_value(&[]) < 1e-4);
}
