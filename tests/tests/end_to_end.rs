//! From a classifier to a picture that shows why: the trainer's file on the device.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::num::NonZeroUsize;
use std::path::Path;

use lcam_device::engine::{Engine, Execution, Precision};
use lcam_host::classifier::Classifier;
use lcam_host::evaluate::Explained;
use lcam_host::export::{attach, verify};
use lcam_host::layers::{self, Layers};
use lcam_host::train::Trainer;
use lcam_host::train::run_folder::RunFolder;
use lcam_host::train::settings::{Recipe, Settings};
use lcam_models::class::Labels;
use lcam_models::explained::{Attention, ExplainedModel};
use lcam_models::map::GridSize;
use lcam_models::metadata::{AttentionLayout, Metadata, Provenance, Quantization, Variant};
use lcam_models::onnx::{read_model, write_model};
use lcam_models::preprocess::{ImageSize, Normalization, Preprocess};
use lcam_tests::{Pair, SAMPLES, plain_classifier, run_both, samples, shipped_model};
use tch::Device;

fn engine(path: &Path) -> Engine {
    Engine::load(path, NonZeroUsize::MIN).unwrap()
}

#[test]
fn the_shipped_model_names_the_photographs_and_points_at_the_objects() {
    let mut engine = engine(&shipped_model());
    for sample in SAMPLES {
        let picture = sample.read().unwrap();
        let answer = engine.explain(&picture).unwrap();
        let class = answer.predicted().0;
        assert!(sample.classes.contains(&class), "{}: class {class}", sample.file);
        let size = ImageSize::of(&picture);
        let crop = engine.metadata().preprocess.crop_box(size);
        let GridSize { height, width } = answer.explanation().size();
        let values = answer.explanation().values();
        let highest = (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap();
        #[expect(clippy::cast_precision_loss, reason = "a small grid")]
        let (column, row) = ((highest % width) as f64 + 0.5, (highest / width) as f64 + 0.5);
        #[expect(clippy::cast_precision_loss, reason = "a small grid")]
        let x = (crop.left + column / width as f64 * crop.width) / f64::from(size.width);
        #[expect(clippy::cast_precision_loss, reason = "a small grid")]
        let y = (crop.top + row / height as f64 * crop.height) / f64::from(size.height);
        let [left, top, right, bottom] = sample.object;
        let inside = (left..right).contains(&x) && (top..bottom).contains(&y);
        assert!(inside, "{}: points at {x:.2}, {y:.2}", sample.file);
    }
}

#[test]
fn the_shipped_model_says_the_same_on_host_and_device() {
    let host = Explained::read(&shipped_model(), Device::Cpu).unwrap();
    // Both round activations to 8 bits in integers; in floating point the device clips them to the same ranges.
    for (precision, least) in [(Precision::Int8, 0.999), (Precision::Float, 0.98)] {
        let execution = Execution { threads: NonZeroUsize::MIN, precision };
        let mut device = Engine::load(&shipped_model(), execution).unwrap();
        for sample in SAMPLES {
            let [logits, map] = run_both(&host, &mut device, &sample);
            let (logits, map) = (logits.correlation(), map.correlation());
            assert!(logits > least && map > least, "{}, {precision}: {logits} {map}", sample.file);
        }
    }
}

#[test]
fn the_shipped_model_is_small_and_says_where_it_comes_from() {
    let bytes = shipped_model().metadata().unwrap().len();
    assert!(bytes <= 7_000_000, "{bytes} bytes");
    let model = ExplainedModel::read(&shipped_model()).unwrap();
    let metadata = model.metadata();
    assert_eq!(metadata.quantization, Quantization::Int8);
    assert_eq!(metadata.labels.iter().nth(281), Some("tabby"));
    assert_eq!(metadata.provenance.training["pictures"], "2400");
    assert!(metadata.provenance.scores.contains_key("average-drop-100"));
    assert_eq!(metadata.provenance.training["quantize_pictures"], "300");
}

/// Trains for a moment on the sample photographs and writes the explained model.
fn train(folder: &Path, quantization: Quantization) -> std::path::PathBuf {
    let model = read_model(&plain_classifier()).unwrap();
    let classifier = Classifier::new(&model, None).unwrap();
    let deepest = layers::choose(&classifier).unwrap();
    let layers = Layers { finer: layers::finer(&classifier, &deepest, 2), deepest };
    let preprocess = Preprocess::usual(classifier.input_size(), Normalization::TF);
    let settings = Settings { epochs: 2, ..Settings::of(Recipe::Default, Variant::Img) };
    let mut run = RunFolder::open(&folder.join("run"), &settings, false).unwrap();
    let trainer = Trainer {
        classifier: &classifier,
        layers: &layers,
        preprocess: &preprocess,
        settings: &settings,
    };
    let trained = trainer.train(&samples(), &mut run, false).unwrap();
    let metadata = Metadata {
        variant: settings.variant,
        quantization,
        preprocess,
        labels: Labels::numbered(1000),
        attention: AttentionLayout::default(),
        provenance: Provenance::default(),
    };
    let explained = attach(&model, &classifier, &layers, &trained.attention, metadata).unwrap();
    verify(&explained, &model, &classifier, &layers, &trained.attention).unwrap();
    let path = folder.join("explained.onnx");
    write_model(&path, explained.proto()).unwrap();
    path
}

#[test]
fn what_was_just_trained_runs_on_the_device() {
    for quantization in [Quantization::None, Quantization::WeightsInt8] {
        let folder = tempfile::tempdir().unwrap();
        let path = train(folder.path(), quantization);
        let host = Explained::read(&path, Device::Cpu).unwrap();
        let mut device = engine(&path);
        for sample in SAMPLES {
            let [logits, map] = run_both(&host, &mut device, &sample);
            let (logits, map) = (logits.difference(), map.difference());
            assert!(logits < 1e-4 && map < 1e-4, "{quantization}: {logits:e} {map:e}");
        }
        explains_every_class(&path, &mut device);
    }
}

/// The named class's map from the graph is the one that is computed for any class, and others differ from it.
fn explains_every_class(path: &Path, device: &mut Engine) {
    let attention: Attention = ExplainedModel::read(path).unwrap().into_parts().2;
    assert_eq!(attention.grid(), GridSize { height: 28, width: 28 });
    let answer = device.explain(&SAMPLES[0].read().unwrap()).unwrap();
    let own = device.class_map(&answer, answer.predicted()).unwrap();
    assert_eq!(&own, answer.explanation());
    let second = answer.ranking(2)[1].class;
    let other = device.class_map(&answer, second).unwrap();
    assert!(
        Pair::new(other.values(), own.values()).difference() > 0.01,
        "class {second} has the same map"
    );
}
