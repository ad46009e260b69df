//! Quantisation: what it leaves of a small network and of a real one, and what it refuses.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

#[path = "support/lite0.rs"]
mod lite0;
#[path = "support/tiny.rs"]
mod tiny;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{Rgb, RgbImage};
use lcam_host::attention::{Attention, classifier_rows};
use lcam_host::quantize::{Options, QuantizeError, Quantized, RangeMethod, quantize};
use lcam_models::explained::ExplainedModel;
use lcam_models::metadata::Quantization;
use lcam_models::onnx::{NodeProto, encode_model, write_model};
use tch::{Device, Kind, Tensor};

/// Writes pictures of 8x8 pixels, each with another share of red and of green.
fn colours(folder: &Path, count: u8) -> Vec<PathBuf> {
    let write = |number: u8| {
        let picture = RgbImage::from_fn(8, 8, |x, y| {
            let [x, y] = [x, y].map(|place| u8::try_from(place).unwrap());
            Rgb([(number.wrapping_mul(37) / 2 + 10 * x) % 251, 251 - 9 * number - 5 * y, 13 * x])
        });
        let path = folder.join(format!("{number:02}.png"));
        picture.save(&path).unwrap();
        path
    };
    (0..count).map(write).collect()
}

fn tiny() -> ExplainedModel {
    tiny::explained([2.0, -1.0, 0.3], [-2.0, 1.0, 0.0])
}

fn options() -> Options {
    Options { calibration: 8, max_drop: 0.0, ..Options::default() }
}

fn quantized(options: &Options) -> Result<Quantized, QuantizeError> {
    let folder = tempfile::tempdir().unwrap();
    quantize(&tiny(), folder.path(), colours(folder.path(), 24), options)
}

fn nodes<'a>(model: &'a ExplainedModel, operator: &'a str) -> impl Iterator<Item = &'a NodeProto> {
    let graph = model.proto().graph.as_ref().unwrap();
    graph.node.iter().filter(move |node| node.op_type() == operator)
}

#[test]
fn a_small_network_keeps_its_classes_and_maps() {
    let found = quantized(&options()).unwrap();
    let comparison = &found.comparison;
    assert_eq!((comparison.pictures, comparison.same_class), (12, 12));
    assert!(comparison.sure > 6, "the float model is sure of {}", comparison.sure);
    assert!(comparison.map_correlation > 0.99, "{comparison:?}");
    assert!((30.0..100.0).contains(&comparison.logits_db), "{comparison:?}");
    assert_eq!(comparison.maps.as_ref().unwrap().pictures, 12);
    assert_eq!(found.model.metadata().quantization, Quantization::Int8);
    assert_eq!(found.calibrated_with, 8);
    assert!(found.tried.len() >= RangeMethod::ALL.len());
    let layers: Vec<&str> = found.noise.iter().map(|layer| layer.operator.as_str()).collect();
    assert_eq!(layers, ["Conv", "MatMul"]);
    // Image, maps, and their means, which Flatten hands on.
    assert_eq!(nodes(&found.model, "QuantizeLinear").count(), 4);
}

#[test]
fn gives_the_same_file_each_time() {
    let [one, other] = [(); 2].map(|()| encode_model(quantized(&options()).unwrap().model.proto()));
    assert!(one == other, "two runs differ");
}

#[test]
fn does_what_is_asked_for() {
    let method = Some(RangeMethod::Percentile);
    let found = quantized(&Options { method, symmetric: true, ..options() }).unwrap();
    assert_eq!(found.method, RangeMethod::Percentile);
    assert!(found.tried.iter().all(|trial| Some(trial.method) == method));
    let graph = found.model.proto().graph.as_ref().unwrap();
    let zeros = graph.initializer.iter().filter(|tensor| tensor.name().ends_with("zero_point"));
    let zeros: Vec<u8> = zeros.flat_map(|tensor| tensor.le_bytes().unwrap().into_owned()).collect();
    assert!(zeros.len() > 4 && zeros.iter().all(|&zero| zero == 0), "{zeros:?}");

    let keep_float = BTreeSet::from(["means".to_owned()]);
    let found = quantized(&Options { keep_float, ..options() }).unwrap();
    let conv = nodes(&found.model, "Conv").next().unwrap();
    assert_eq!(conv.input[0], "image", "it reads pixels as they are");
    assert_eq!(nodes(&found.model, "QuantizeLinear").count(), 1, "of what MatMul reads");
}

#[test]
fn refuses_what_it_cannot_do() {
    let done = quantized(&options()).unwrap().model;
    let folder = tempfile::tempdir().unwrap();
    let pictures = colours(folder.path(), 24);
    let again = quantize(&done, folder.path(), pictures.clone(), &options());
    assert!(matches!(again, Err(QuantizeError::AlreadyQuantized)), "{again:?}");
    let few = quantize(&tiny(), folder.path(), pictures[..3].to_vec(), &options());
    assert!(matches!(few, Err(QuantizeError::TooFew { found: 3, .. })), "{few:?}");
    let keep_float = BTreeSet::from(["nowhere".to_owned()]);
    let unknown = quantize(&tiny(), folder.path(), pictures, &Options { keep_float, ..options() });
    assert!(matches!(unknown, Err(QuantizeError::UnknownNode { .. })), "{unknown:?}");
}

#[test]
fn pictures_that_cannot_be_read_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = colours(folder.path(), 24);
    // Of 24 pictures, the first is calibrated with, and the second is not.
    for path in &pictures[..2] {
        std::fs::write(path, "no picture").unwrap();
    }
    let found = quantize(&tiny(), folder.path(), pictures, &options()).unwrap();
    assert_eq!(found.unreadable.len(), 2, "{:?}", found.unreadable);
}

/// Writes cuts of the sample photographs, of 256x256 pixels.
fn cuts(folder: &Path) -> Vec<PathBuf> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/samples");
    let mut paths = Vec::new();
    for name in ["astronaut", "camera", "chelsea", "coffee", "rocket"] {
        let picture = image::open(samples.join(format!("{name}.jpg"))).unwrap().into_rgb8();
        let short = picture.width().min(picture.height());
        for (number, left, top) in [(0, 0, 0), (1, 1, 1), (2, 1, 0), (3, 0, 1)] {
            let side = short * 9 / 10;
            let [x, y] = [(left, picture.width()), (top, picture.height())]
                .map(|(end, whole)| end * (whole - side));
            let cut = image::imageops::crop_imm(&picture, x, y, side, side).to_image();
            let filter = image::imageops::FilterType::Triangle;
            let path = folder.join(format!("{name}-{number}.png"));
            image::imageops::resize(&cut, 256, 256, filter).save(&path).unwrap();
            paths.push(path);
        }
    }
    paths
}

/// The shipped network's structure, ReLU6 and depthwise convolutions, with class activation maps.
#[test]
fn efficientnet_lite0_agrees_with_itself_in_other_runtimes() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    let paths = cuts(&pictures);
    let (classifier, layers) = lite0::classifier();
    let features = Tensor::rand([1, 1280, 7, 7], (Kind::Float, Device::Cpu));
    let rows = classifier_rows(&classifier, &layers.deepest, &features).unwrap();
    let bias = Tensor::zeros([1000], (Kind::Float, Device::Cpu));
    let float = lite0::explained(&Attention::single(rows, bias), Quantization::None);
    let options = Options { calibration: 10, method: Some(RangeMethod::Mse), ..options() };
    let found = quantize(&float, &pictures, paths, &options).unwrap();
    let comparison = &found.comparison;
    assert!(comparison.map_correlation > 0.97, "{comparison:?}");
    assert!(comparison.logits_db > 14.0, "{comparison:?}");
    assert!(found.fallback.is_empty(), "{:?}", found.fallback);
    let size = encode_model(found.model.proto()).len();
    assert!(size < 7_500_000, "{size} bytes");

    let path = |name: &str| folder.path().join(name);
    write_model(&path("float.onnx"), float.proto()).unwrap();
    write_model(&path("int8.onnx"), found.model.proto()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/check_quantized.py");
    let python = Command::new("python")
        .arg(script)
        .args([path("float.onnx"), path("int8.onnx"), pictures])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&python.stdout);
    assert!(python.status.success(), "{told}{}", String::from_utf8_lossy(&python.stderr));
    // Every convolution is computed in integers, and nothing is rounded in vain.
    assert!(told.contains(" QLinearConv") && !told.contains(" Conv,"), "{told}");
}
