//! The real EfficientNet-Lite0: its feature maps are found, the attention mechanism starts at the classifier's
//! own weights, and an interrupted training ends as an uninterrupted one.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

#[path = "support/lite0.rs"]
mod lite0;

use std::path::Path;
use std::process::Command;

use image::{Rgb, RgbImage};
use lcam_host::attention::{Attention, Layer, classifier_rows};
use lcam_host::evaluate::Explained;
use lcam_host::export::{ExportError, verify};
use lcam_host::graph::{Batching, Precision};
use lcam_host::layers::{FeatureMaps, Layers};
use lcam_host::train::fill::Fill;
use lcam_host::train::loss::LossWeights;
use lcam_host::train::optimizer::OptimizerKind;
use lcam_host::train::run_folder::RunFolder;
use lcam_host::train::settings::{Recipe, Settings};
use lcam_host::train::{Trained, Trainer};
use lcam_models::class::ClassIndex;
use lcam_models::explained::ExplainedModel;
use lcam_models::metadata::{Quantization, Variant};
use lcam_models::onnx::write_model;
use lcam_models::preprocess::{Normalization, Preprocess};
use tch::{Device, Kind, Tensor};

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
    let (classifier, single) = lite0::classifier();
    let layers = if settings.layers > 1 { lite0::layers() } else { single };
    let preprocess = Preprocess::usual(classifier.input_size(), Normalization::TF);
    let trainer =
        Trainer { classifier: &classifier, layers: &layers, preprocess: &preprocess, settings };
    let mut folder = RunFolder::open(run, settings, resume).unwrap();
    trainer.train(images, &mut folder, resume).unwrap()
}

#[test]
fn finds_the_last_activation_before_pooling() {
    let (classifier, layers) = lite0::classifier();
    let maps = layers.deepest;
    assert_eq!((maps.channels, maps.grid.height, maps.grid.width), (1280, 7, 7));
    assert_eq!(maps.made_by, "Clip");
    assert_eq!(classifier.classes(), 1000);
    assert_eq!(classifier.graph().batching(), Batching::Native, "exported for one picture");
}

#[test]
fn starts_at_the_weights_of_the_last_layer() {
    let (classifier, layers) = lite0::classifier();
    let dense = classifier.producer(classifier.logits()).unwrap();
    let weights = classifier.graph().constant(dense.inputs[1].unwrap()).unwrap();
    let features = Tensor::rand([2, 1280, 7, 7], (Kind::Float, Device::Cpu));
    let rows = classifier_rows(&classifier, &layers.deepest, &features).unwrap();
    // Summed over the 49 cells, each of which the average pooling counts for a 49th.
    let difference = (&rows - weights).abs().max().double_value(&[]);
    assert!(difference < 1e-5, "{difference}");
}

#[test]
fn own_maps_are_the_diagonal_of_all_maps() {
    let features = Tensor::rand([3, 5, 4, 2], (Kind::Float, Device::Cpu));
    let labels = Tensor::from_slice(&[6i64, 0, 6]);
    let attention = Attention::single(
        Tensor::rand([7, 5], (Kind::Float, Device::Cpu)),
        Tensor::rand([7], (Kind::Float, Device::Cpu)),
    );
    let all = attention.class_maps(&[features.shallow_clone()], &labels).unwrap();
    let own = attention.own_maps(&[features], &labels).unwrap();
    for index in 0..3 {
        let difference = (all.get(index).get(index) - own.get(index).get(0)).abs().max();
        assert!(difference.double_value(&[]) < 1e-5);
    }
}

/// How far two trained attention mechanisms are apart, relative to their size.
fn difference(one: &Attention, other: &Attention) -> f64 {
    let apart =
        |(a, b): (&Layer, &Layer)| ((&a.rows - &b.rows).norm() / b.rows.norm()).double_value(&[]);
    one.layers.iter().zip(&other.layers).map(apart).fold(0.0, f64::max)
}

#[test]
fn learns_and_resumes_to_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    pictures(&images, 10);
    // The paper's draws its start at random, augments and uses SGD.
    let recipes = [
        (Recipe::Default, Variant::Img),
        (Recipe::Default, Variant::Fm),
        (Recipe::Paper, Variant::Img),
        (Recipe::Paper, Variant::Fm),
    ];
    for (recipe, variant) in recipes {
        let defaults = Settings::of(recipe, variant);
        // One share and one fill, so that losses can be compared.
        let settings = |epochs| Settings {
            epochs,
            batch: 4,
            shares: vec![1.0],
            fills: vec![Fill::Black],
            ..defaults.clone()
        };
        let run = |part: &str| folder.path().join(format!("{part}-{recipe:?}-{variant:?}"));
        let whole = train(&images, &run("whole"), &settings(3), false);
        assert_eq!((whole.pictures, whole.unreadable.len()), (10, 1));
        let first = train(&images, &run("parts"), &settings(1), false);
        let (before, after) = (first.loss, whole.loss);
        assert!(after < before, "{recipe:?} {variant}: {after} is not below {before}");
        let resumed = train(&images, &run("parts"), &settings(3), true);
        // Threads of libtorch may sum in another order, and AdamW turns on the sign of what is nearly 0.
        let by = difference(&resumed.attention, &whole.attention);
        assert!(by < 1e-2, "{recipe:?} {variant}: {by}");
        for file in ["metrics.csv", "curves.svg", "settings.json", "checkpoint.safetensors"] {
            assert!(run("parts").join(file).metadata().unwrap().len() > 0, "{file}");
        }
    }
}

#[test]
fn bfloat16_learns_what_float_learns() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    pictures(&images, 6);
    let trained = |precision| {
        let settings = Settings {
            epochs: 2,
            batch: 6,
            precision,
            optimizer: OptimizerKind::Sgd,
            ..Settings::of(Recipe::Default, Variant::Img)
        };
        train(&images, &folder.path().join(format!("{precision:?}")), &settings, false)
    };
    let (float, narrow) = (trained(Precision::Float), trained(Precision::Bfloat16));
    assert!((float.loss - narrow.loss).abs() < 0.05 * float.loss, "{} {}", float.loss, narrow.loss);
    let by = difference(&narrow.attention, &float.attention);
    // The finer layers' rows are nothing but what was learned: gradients that have nothing in common would be 1.4 apart.
    assert!(by > 0.0 && by < 0.8, "{by}");
}

#[test]
fn parts_of_a_batch_add_up_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    pictures(&images, 6);
    for recipe in [Recipe::Default, Recipe::Paper] {
        let defaults = Settings::of(recipe, Variant::Img);
        let settings = |micro_batch| Settings {
            epochs: 1,
            batch: 6,
            micro_batch,
            // What stands in the place of a picture's removed pixels may be in another part.
            fills: vec![Fill::Other],
            // The first update of AdamW is the gradient's sign alone, which rounding can turn.
            optimizer: OptimizerKind::Sgd,
            loss_weights: LossWeights { destruction: 0.5, ..defaults.loss_weights },
            ..defaults.clone()
        };
        let run = |size: usize| folder.path().join(format!("{recipe:?}-{size}"));
        let whole = train(&images, &run(6), &settings(6), false);
        let parts = train(&images, &run(4), &settings(4), false);
        assert!((whole.loss - parts.loss).abs() < 1e-4 * whole.loss, "{recipe:?}");
        let by = difference(&whole.attention, &parts.attention);
        assert!(by < 1e-2, "{recipe:?}: {by}");
    }
}

#[test]
fn refuses_to_overwrite_or_mix_trainings() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    pictures(&images, 3);
    let run = folder.path().join("run");
    let defaults = Settings::of(Recipe::Default, Variant::Fm);
    let settings = Settings { epochs: 2, subject: "these".to_owned(), ..defaults };
    let open = |settings: &Settings, resume| RunFolder::open(&run, settings, resume);
    let refusal = |settings: &Settings, resume| open(settings, resume).unwrap_err().to_string();
    let message = refusal(&settings, true);
    assert!(message.contains("holds no training to resume"), "{message}");
    let first = train(&images, &run, &settings, false);
    let message = refusal(&settings, false);
    assert!(message.contains("give --resume"), "{message}");
    let message = refusal(&Settings { seed: 2, ..settings.clone() }, true);
    assert!(message.contains("seed is 1 there and 2 here"), "{message}");
    let message = refusal(&Settings { subject: "those".to_owned(), ..settings.clone() }, true);
    assert!(message.contains("subject is \"these\" there"), "{message}");
    let again = train(&images, &run, &settings, true);
    assert!((again.loss - first.loss).abs() < 1e-9, "a finished training has its last loss");
    std::fs::write(folder.path().join("mine"), b"").unwrap();
    let foreign = RunFolder::open(folder.path(), &settings, false).unwrap_err().to_string();
    assert!(foreign.contains("already holds other files"), "{foreign}");
}

/// Checks an explained model by `onnx.checker` and runs it in ONNX Runtime; says how far its logits are from
/// the plain classifier's, relative to the largest, and writes the picture and the map beside the model.
const REFERENCE: &str = r#"
import sys, numpy, onnx, onnxruntime
explained, plain = sys.argv[1:]
onnx.checker.check_model(explained, full_check=True)
image = numpy.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=numpy.float32)
run = lambda path: onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"image": image})
logits, explanation = run(explained)
plain = run(plain)[0]
assert explanation.shape in ((1, 1, 7, 7), (1, 1, 28, 28))
numpy.savetxt(explained + ".map", explanation.reshape(1, -1))
numpy.savetxt(explained + ".image", image.reshape(1, -1))
print(numpy.abs(logits - plain).max() / numpy.abs(plain).max())
"#;

/// Attaches random weights to the classifier and writes the result; gives the weights.
fn export(path: &Path, layers: &Layers, quantization: Quantization) -> Attention {
    let (classifier, _) = lite0::classifier();
    let attention = Attention::random(1000, layers, 3);
    let explained = lite0::explained(&attention, quantization);
    let model = lite0::model();
    verify(&explained, &model, &classifier, layers, &attention).unwrap();
    let other = Attention::random(1000, layers, 4);
    let refused = verify(&explained, &model, &classifier, layers, &other);
    assert!(matches!(refused, Err(ExportError::Differs { what: "map", .. })), "{refused:?}");
    write_model(path, explained.proto()).unwrap();
    attention
}

/// Runs a written model in ONNX Runtime; gives the distance of its logits from the plain classifier's, the
/// picture and the map.
fn run_reference(path: &Path) -> (f64, Tensor, Tensor) {
    let python = Command::new("python")
        .args(["-c", REFERENCE])
        .args([path, &lite0::path()])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&python.stderr);
    assert!(python.status.success(), "tests/run brings ONNX Runtime: {errors}");
    let read = |ending: &str, shape: &[i64]| {
        let text = std::fs::read_to_string(path.with_extension(format!("onnx.{ending}"))).unwrap();
        let values: Vec<f32> =
            text.split_whitespace().map(|value| value.parse().unwrap()).collect();
        Tensor::from_slice(&values).reshape(shape)
    };
    let difference = String::from_utf8_lossy(&python.stdout).trim().parse().unwrap();
    (difference, read("image", &[1, 3, 224, 224]), read("map", &[-1]))
}

fn relative_difference(found: &Tensor, expected: &Tensor) -> f64 {
    let (found, expected) = (found.reshape([-1]), expected.reshape([-1]));
    ((found - &expected).abs().max() / expected.abs().max()).double_value(&[])
}

#[test]
fn the_exported_model_agrees_with_onnx_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let (classifier, single) = lite0::classifier();
    for layers in [single, lite0::layers()] {
        let path = folder.path().join(format!("{}.onnx", layers.values().len()));
        let attention = export(&path, &layers, Quantization::None);
        let explained = ExplainedModel::read(&path).unwrap();
        let (difference, image, theirs) = run_reference(&path);
        assert!(difference == 0.0, "the logits differ by {difference}");

        let wanted = [vec![classifier.logits()], layers.values()].concat();
        let outputs = classifier.graph().run(&[(classifier.image(), &image)], &wanted).unwrap();
        let class = outputs[0].argmax(1, false);
        let ours = attention.own_maps(&outputs[1..], &class).unwrap();
        assert!(relative_difference(&ours, &theirs) < 1e-4);

        let adapt = |(layer, features): (&Layer, &Tensor)| -> Vec<f32> {
            Vec::try_from(layer.adapt(features).unwrap().reshape([-1])).unwrap()
        };
        let adapted: Vec<_> = attention.layers.iter().zip(&outputs[1..]).map(adapt).collect();
        let adapted: Vec<&[f32]> = adapted.iter().map(Vec::as_slice).collect();
        let class = ClassIndex(usize::try_from(class.int64_value(&[0])).unwrap());
        let shared = explained.attention().class_map(class, &adapted).unwrap();
        let shared = Tensor::from_slice(shared.values()).reshape_as(&theirs);
        assert!(relative_difference(&shared, &theirs) < 1e-4);
    }
}

#[test]
fn finds_the_bottlenecks_of_finer_grids() {
    let layers = lite0::layers();
    let sides = |maps: &FeatureMaps| (maps.channels, maps.grid.height, maps.grid.width);
    let found: Vec<_> = layers.iter().map(sides).collect();
    assert_eq!(found, [(40, 28, 28), (112, 14, 14), (1280, 7, 7)]);
}

#[test]
fn int8_weights_make_a_small_file_that_answers_alike() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("explained.onnx");
    export(&path, &lite0::layers(), Quantization::WeightsInt8);
    let megabytes = path.metadata().unwrap().len() / 1_000_000;
    assert!(megabytes < 8, "{megabytes} MB; 4.65 M parameters and 1.28 M of the attention");
    let (difference, image, theirs) = run_reference(&path);
    // Half a step of 1/127 in each rounded weight, over some 50 layers.
    assert!(difference > 0.0 && difference < 0.1, "{difference}");
    let model = Explained::read(&path, Device::Cpu).unwrap();
    let ours = model.run(&image, &[model.explanation()]).unwrap().remove(0);
    assert!(relative_difference(&ours, &theirs) < 1e-4);
}

#[test]
fn an_explained_model_takes_batches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("explained.onnx");
    export(&path, &lite0::layers(), Quantization::WeightsInt8);
    let model = Explained::read(&path, Device::Cpu).unwrap();
    assert_eq!(model.classifier().graph().batching(), Batching::Native);
}
