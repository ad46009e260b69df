//! Files of 8-bit weights and activations on the device: our quantiser's, and those of ONNX Runtime's `quantize_static`.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use lcam_device::engine::{Engine, Execution, Precision};
use lcam_host::attention::Attention;
use lcam_host::classifier::Classifier;
use lcam_host::evaluate::Explained;
use lcam_host::export::attach;
use lcam_host::layers::{self, Layers};
use lcam_host::quantize::{Options, RangeMethod, quantize};
use lcam_models::class::Labels;
use lcam_models::explained::ExplainedModel;
use lcam_models::metadata::{AttentionLayout, Metadata, Provenance, Quantization, Variant};
use lcam_models::onnx::{read_model, write_model};
use lcam_models::preprocess::{Normalization, Preprocess};
use lcam_tests::{Pair, SAMPLES, plain_classifier, run_both, samples};
use tch::Device;

/// EfficientNet-Lite0 with attention over three layers, drawn at random.
fn float_model() -> ExplainedModel {
    let model = read_model(&plain_classifier()).unwrap();
    let classifier = Classifier::new(&model, None).unwrap();
    let deepest = layers::choose(&classifier).unwrap();
    let layers = Layers { finer: layers::finer(&classifier, &deepest, 2), deepest };
    let metadata = Metadata {
        variant: Variant::Img,
        quantization: Quantization::None,
        preprocess: Preprocess::usual(classifier.input_size(), Normalization::TF),
        labels: Labels::numbered(1000),
        attention: AttentionLayout::default(),
        provenance: Provenance::default(),
    };
    let attention = Attention::random(1000, &layers, 5);
    attach(&model, &classifier, &layers, &attention, metadata).unwrap()
}

fn photographs() -> Vec<PathBuf> {
    SAMPLES.iter().map(|sample| samples().join(sample.file)).collect()
}

fn engine(path: &Path, precision: Precision) -> Engine {
    Engine::load(path, Execution { threads: NonZeroUsize::MIN, precision }).unwrap()
}

#[test]
fn our_quantisers_file_gives_the_hosts_answers() {
    let folder = tempfile::tempdir().unwrap();
    let pictures: Vec<PathBuf> =
        std::fs::read_dir(samples()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let pictures: Vec<PathBuf> =
        pictures.into_iter().filter(|path| path.extension().is_some_and(|e| e == "jpg")).collect();
    // The question is whether both sides compute alike, not how good five pictures are to calibrate with.
    let options =
        Options { method: Some(RangeMethod::MinMax), max_drop: 100.0, ..Options::default() };
    let found = quantize(&float_model(), &samples(), pictures, &options).unwrap();
    let path = folder.path().join("int8.onnx");
    write_model(&path, found.model.proto()).unwrap();

    let host = Explained::read(&path, Device::Cpu).unwrap();
    // In floating point the device clips activations and does not round them; in integers it computes what the host does.
    let mut devices = [(Precision::Float, 0.98), (Precision::Int8, 0.99)]
        .map(|(precision, least)| (engine(&path, precision), least));
    let arithmetic = devices[0].0.network().arithmetic().to_string();
    let expected = "float32, weights widened from int8, activations clipped to their uint8 ranges";
    assert_eq!(arithmetic, expected);
    let arithmetic = devices[1].0.network().arithmetic().to_string();
    assert!(arithmetic.starts_with("int8 by "), "{arithmetic}");
    let (_, rest) = arithmetic.split_once("; float32: ").unwrap();
    assert!(!rest.contains("Conv") && !rest.contains("Gemm"), "{arithmetic}");
    for sample in SAMPLES {
        for (device, least) in &mut devices {
            let [logits, map] = run_both(&host, device, &sample);
            let (logits, map) = (logits.correlation(), map.correlation());
            let name = format!("{}, {}", sample.file, device.network().arithmetic().precision());
            assert!(logits > *least && map > *least, "{name}: {logits} {map}");
            let answer = device.explain(&sample.read().unwrap()).unwrap();
            assert!(sample.classes.contains(&answer.predicted().0), "{name}");
        }
    }
}

#[test]
fn files_of_onnx_runtimes_quantiser_give_its_answers() {
    let folder = tempfile::tempdir().unwrap();
    let float = folder.path().join("float.onnx");
    write_model(&float, float_model().proto()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/quantize_static.py");
    let python = Command::new("python")
        .arg(script)
        .args([&float, folder.path()])
        .args(photographs())
        .output()
        .unwrap();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let answers = std::fs::read(folder.path().join("answers.json")).unwrap();
    let answers: BTreeMap<String, BTreeMap<String, [Vec<f32>; 2]>> =
        serde_json::from_slice(&answers).unwrap();
    assert_eq!(answers.len(), 4);
    for (form, answers) in answers {
        let mut device = engine(&folder.path().join(format!("{form}.onnx")), Precision::Float);
        let arithmetic = device.network().arithmetic().to_string();
        assert!(arithmetic.contains("clipped") && !arithmetic.contains("rounded"), "{arithmetic}");
        for sample in SAMPLES {
            let [logits, map] = &answers[sample.file];
            let answer = device.explain(&sample.read().unwrap()).unwrap();
            let logits = Pair::new(answer.logits(), logits).correlation();
            let map = Pair::new(answer.explanation().values(), map).correlation();
            assert!(logits > 0.95 && map > 0.9, "{form}, {}: {logits} {map}", sample.file);
            // A class that was not predicted is explained from the same numbers.
            let second = answer.ranking(2)[1].class;
            device.class_map(&answer, second).unwrap();
        }
    }
}
