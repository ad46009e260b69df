//! `lcam-host` as its user meets it: a whole training, and one clear line for everything unusable.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{Rgb, RgbImage};
use lcam_models::explained::ExplainedModel;
use lcam_models::metadata::Variant;
use lcam_models::onnx::{
    ModelProto, ValueInfoProto, decode_model, encode_model, tensor_proto::DataType,
};

fn classifier() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/efficientnet-lite0-classifier.onnx")
}

fn lcam_host(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lcam-host"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program starts")
}

#[test]
fn trains_and_writes_an_explained_model() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for number in 0..4u8 {
        let picture = RgbImage::from_pixel(240, 250, Rgb([60 * number, 90, 20]));
        picture.save(folder.path().join(format!("{number}.png"))).expect("the folder is writable");
    }
    let model = classifier();
    let model = model.to_str().expect("UTF-8");
    let options = ["--preprocess", "tf", "--epochs", "1", "--device", "cpu"];
    for (variant, layers, cells) in [(Variant::Img, 3, 28 * 28), (Variant::Fm, 1, 7 * 7)] {
        let (name, run) = (format!("{variant}.onnx"), format!("{variant}.run"));
        let mut arguments = vec!["train", model, "--images", ".", "--output", &name];
        arguments.extend(options);
        // The default masks pictures.
        if variant == Variant::Fm {
            arguments.extend(["--variant", "fm"]);
        }
        let output = lcam_host(&arguments, folder.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let explained = ExplainedModel::read(&folder.path().join(&name)).expect("a valid file");
        let metadata = explained.metadata();
        assert_eq!((metadata.variant, metadata.attention.layers.len()), (variant, layers));
        assert_eq!((metadata.labels.len(), explained.attention().grid().cells()), (1000, cells));
        assert_eq!(metadata.provenance.classifier_sha256.len(), 64);
        assert_eq!(metadata.provenance.training["pictures"], "4");
        assert!(folder.path().join(run).join("curves.svg").exists());
    }
}

fn png() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = RgbImage::from_pixel(32, 32, Rgb([9, 90, 200]));
    picture.write_to(&mut bytes, image::ImageFormat::Png).expect("a picture");
    bytes.into_inner()
}

/// Declares an input of 100000 x 100000.
fn wide(model: &[u8]) -> ModelProto {
    let mut model = decode_model(model.to_vec()).expect("a model");
    let graph = model.graph.as_mut().expect("a graph");
    let name = graph.input[0].name().to_owned();
    let shape = [1, 3, 100_000, 100_000];
    graph.input[0] = ValueInfoProto::tensor(&name, DataType::Float, &shape);
    model
}

#[test]
fn takes_a_mean_and_a_deviation_for_each_plane() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("picture.png"), png()).expect("the folder is writable");
    let model = classifier();
    let model = model.to_str().expect("UTF-8");
    let arguments = ["train", model, "--images", ".", "--output", "out.onnx", "--epochs", "1"];
    let rule = ["--mean", "0.1,0.2,0.3", "--std", "0.5,1,2", "--device", "cpu"];
    let output = lcam_host(&[&arguments[..], &rule].concat(), folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("names one class on all pictures"), "{told}");
    let explained = ExplainedModel::read(&folder.path().join("out.onnx")).expect("a valid file");
    let normalization = explained.metadata().preprocess.normalization;
    assert_eq!((normalization.mean, normalization.std_dev), ([0.1, 0.2, 0.3], [0.5, 1.0, 2.0]));
    let refused =
        lcam_host(&[&arguments[..], &["--mean", "1,2", "--std", "1,1,1"]].concat(), folder.path());
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("give three numbers"), "{message}");
}

#[test]
fn refuses_what_is_unusable_in_one_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, content: &[u8]| {
        std::fs::write(folder.path().join(name), content).expect("the folder is writable");
    };
    let whole = std::fs::read(classifier()).expect("tests/run makes the classifier");
    write("truncated.onnx", &whole[..whole.len() / 2]);
    write("empty.onnx", b"");
    write("text.onnx", b"this is no model");
    write("labels.txt", b"one\ntwo\n");
    write("good.onnx", &whole);
    let shipped = "../models/efficientnet-lite0/efficientnet-lite0.onnx";
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(shipped);
    write("explained.onnx", &std::fs::read(shipped).expect("the shipped model"));
    write("picture.png", &png());
    let mut lines = (0..1000).map(|class| format!("class {class}\n")).collect::<Vec<_>>();
    lines[9] = "\n".to_owned();
    write("gap.txt", lines.concat().as_bytes());
    write("latin.txt", b"caf\xe9\n");
    write("wide.onnx", &encode_model(&wide(&whole)));
    // Of what is said on the command line, nothing has a space in it.
    let cases = [
        ("inspect missing.onnx", "cannot read missing.onnx"),
        ("inspect .", "it is not a file; give an .onnx file"),
        ("inspect", "required arguments were not provided: <MODEL>; try --help"),
        ("inspect x --input-size 0", "invalid value '0' for '--input-size"),
        ("train x --shares 0.5,2", "invalid value '2' for '--shares"),
        ("train x --lr 0", "invalid value '0' for '--lr <LR>': it must be a number above 0"),
        ("train x --area -1", "unexpected argument"),
        (
            "train good.onnx --images . --output o.onnx --variant fm --layers 2",
            "leave out --layers, or give --variant img",
        ),
        (
            "train good.onnx --images . --output o.onnx --variant fm --destruction 1",
            "--destruction is about masked pictures; leave it out, or give --variant img",
        ),
        (
            "train good.onnx --images . --output o.onnx --variant fm --precision bfloat16",
            "--precision is about masked pictures; leave it out, or give --variant img",
        ),
        (
            "train good.onnx --images . --output o.onnx --mask sigmoid --shares 1",
            "give --variant img --mask min-max",
        ),
        ("paint", "unrecognized subcommand 'paint'"),
        ("inspect truncated.onnx", "truncated.onnx is not an ONNX model, or it is damaged"),
        ("inspect empty.onnx", "it holds no graph"),
        ("inspect text.onnx", "text.onnx is not an ONNX model"),
        ("inspect good.onnx --layer nope", "there is no tensor \"nope\"; candidates are"),
        ("inspect good.onnx --input-size 96", "leave out --input-size"),
        (
            "train good.onnx --images . --output good.onnx",
            "good.onnx exists and is no explained model; choose another --output",
        ),
        (
            "train good.onnx --images . --output o.onnx --labels gap.txt",
            "line 10 of gap.txt is empty",
        ),
        (
            "train good.onnx --images . --output o.onnx --labels latin.txt",
            "the labels latin.txt are not UTF-8",
        ),
        (
            "train good.onnx --images . --output o.onnx --resume",
            "o.run holds no training to resume",
        ),
        (
            "evaluate good.onnx --images . --json picture.png",
            "picture.png exists and is no JSON that lcam-host has written",
        ),
        ("inspect wide.onnx", "takes pictures of 100000x100000; at most 4096x4096"),
        (
            "evaluate good.onnx --images .",
            "good.onnx: it is not an explained model (no `lcam.format`",
        ),
        ("evaluate missing.onnx --images .", "cannot read missing.onnx"),
        ("evaluate explained.onnx --images none", "lcam-host: cannot read the folder none"),
        ("evaluate missing.onnx --images . --json no/all.json", "no file can be made in"),
        (
            "evaluate x --images . --output r --json r/all.json",
            "which --output fills; choose places apart",
        ),
        ("evaluate x --images . --pairs no", "cannot read the folder no/images"),
        (
            "evaluate x --images . --metrics localization",
            "localization is measured with masks of where the objects are: give --masks",
        ),
        (
            "evaluate x --images . --masks --metrics road",
            "--masks are for localization: add it to --metrics, or leave out --masks",
        ),
        ("compose --objects none --backgrounds . --output o.onnx", "cannot read the folder none"),
        (
            "compose --objects . --backgrounds . --output o.onnx",
            "0 different objects can be used, but 2 are needed",
        ),
        (
            "compose --objects . --backgrounds . --output x --split 2",
            "the split 2 must be above 0 and at most 1",
        ),
        (
            "quantize good.onnx --images . --output o.onnx",
            "good.onnx: it is not an explained model (no `lcam.format`",
        ),
        ("quantize missing.onnx --images . --output o.onnx", "cannot read missing.onnx"),
        (
            "quantize x --images . --output o.onnx --calibration 0",
            "invalid value '0' for '--calibration",
        ),
        (
            "quantize x --images . --output o.onnx --max-drop 101",
            "invalid value '101' for '--max-drop <POINTS>': expected 0 to 100 percent",
        ),
        ("quantize x --images . --output o.onnx --method best", "invalid value 'best'"),
        ("quantize explained.onnx --images none --output o.onnx", "cannot read the folder none"),
        (
            "quantize explained.onnx --images . --output explained.onnx",
            "--output is the float model itself; choose another name",
        ),
        (
            "quantize explained.onnx --images . --output good.onnx",
            "good.onnx exists and is no explained model; choose another --output",
        ),
        ("quantize explained.onnx --images . --output no/o.onnx", "no file can be made in"),
        (
            "quantize explained.onnx --images . --output o.onnx",
            "explained.onnx: it is quantised already; give the float model that it was made from",
        ),
        ("quantize explained.onnx --images . --output o.onnx --report .", "choose"),
        ("inspect good.onnx --images none", "cannot read the folder none"),
        ("train good.onnx --images none --output o.onnx", "cannot read the folder none"),
        (
            "train good.onnx --images . --output o.onnx --labels labels.txt",
            "labels.txt holds 2 labels, but the model has 1000 classes",
        ),
    ];
    for (arguments, expected) in cases {
        let words: Vec<&str> = arguments.split(' ').collect();
        let output = lcam_host(&words, folder.path());
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected), "{arguments:?}: {message}");
        assert_eq!(message.trim_end().lines().count(), 1, "{arguments:?}: {message}");
        assert!(!folder.path().join("o.onnx").exists(), "{arguments:?} left a file");
    }
}

#[test]
fn the_table_of_operators_is_what_the_program_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = lcam_host(&["operators"], folder.path());
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("OPERATORS.md");
    let table = std::fs::read_to_string(path).expect("host/OPERATORS.md");
    let table = table.split_once("\n\n").map_or("", |(_, table)| table);
    let remedy = "run `(head -2 host/OPERATORS.md; lcam-host operators) > new`, and move it there";
    assert_eq!(told.trim_end(), table.trim_end(), "{remedy}");
}

#[test]
fn measures_an_explained_model_and_records_the_figures() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../models/efficientnet-lite0/efficientnet-lite0.onnx");
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/samples");
    std::fs::copy(shipped, folder.path().join("model.onnx")).expect("the shipped model");
    let samples = samples.to_str().expect("UTF-8");
    let arguments = ["evaluate", "model.onnx", "--images", samples, "--limit", "2", "--record"];
    let output = lcam_host(&[&arguments[..], &["--json", "all.json"]].concat(), folder.path());
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for expected in ["2 pictures,", " lcam ", "\naverage drop, 50 % ", "\nROAD "] {
        assert!(table.contains(expected), "{expected:?} is missing in\n{table}");
    }
    let json = std::fs::read_to_string(folder.path().join("all.json")).expect("all figures");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["outcomes"].as_array().map(Vec::len), Some(2));
    let explained = ExplainedModel::read(&folder.path().join("model.onnx")).expect("still valid");
    let scores = &explained.metadata().provenance.scores;
    let drop = json["methods"][0]["figures"][0]["mean"].as_f64().expect("a mean");
    assert!((scores["average-drop-100"] - drop).abs() <= 0.05, "{scores:?} is not {drop}");
    assert!((scores["pictures"] - 2.0).abs() < 1e-9, "{scores:?}");
    assert!(!scores.contains_key("pointing"), "of an earlier run with masks: {scores:?}");
}
