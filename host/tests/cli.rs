//! `lcam-host` as its user meets it: a whole training, and one clear line for everything unusable.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{Rgb, RgbImage};
use lcam_models::explained::ExplainedModel;
use lcam_models::metadata::Variant;

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
    let arguments =
        ["train", model.to_str().expect("UTF-8"), "--images", ".", "--output", "out.onnx"];
    let options = ["--preprocess", "tf", "--epochs", "1", "--device", "cpu"];
    let output = lcam_host(&[&arguments[..], &options[..]].concat(), folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let explained = ExplainedModel::read(&folder.path().join("out.onnx")).expect("a valid file");
    let metadata = explained.metadata();
    assert_eq!(metadata.variant, Variant::Fm);
    assert_eq!((metadata.labels.len(), metadata.attention.layers[0].grid.cells()), (1000, 49));
    assert_eq!(metadata.provenance.classifier_sha256.len(), 64);
    assert_eq!(metadata.provenance.training["pictures"], "4");
    assert!(folder.path().join("out.run/curves.svg").exists());
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
    let cases: [(&[&str], &str); 15] = [
        (&["inspect", "missing.onnx"], "cannot read missing.onnx"),
        (&["inspect", "."], "directory"),
        (&["inspect", "truncated.onnx"], "truncated.onnx is not an ONNX model, or it is damaged"),
        (&["inspect", "empty.onnx"], "it holds no graph"),
        (&["inspect", "text.onnx"], "text.onnx is not an ONNX model"),
        (
            &["inspect", "good.onnx", "--layer", "nope"],
            "there is no tensor \"nope\"; candidates are",
        ),
        (&["inspect", "good.onnx", "--input-size", "96"], "leave out --input-size"),
        (
            &["evaluate", "good.onnx", "--images", "."],
            "good.onnx: it is not an explained model (no `lcam.format`",
        ),
        (&["evaluate", "missing.onnx", "--images", "."], "cannot read missing.onnx"),
        (
            &["compose", "--objects", "none", "--backgrounds", ".", "--output", "o.onnx"],
            "cannot read the folder none",
        ),
        (
            &["compose", "--objects", ".", "--backgrounds", ".", "--output", "o.onnx"],
            ". holds no picture",
        ),
        (
            &["compose", "--objects", ".", "--backgrounds", ".", "--output", "x", "--split", "2"],
            "the split 2 must be above 0 and at most 1",
        ),
        (&["inspect", "good.onnx", "--images", "none"], "cannot read the folder none"),
        (
            &["train", "good.onnx", "--images", "none", "--output", "o.onnx"],
            "cannot read the folder none",
        ),
        (
            &[
                "train",
                "good.onnx",
                "--images",
                ".",
                "--output",
                "o.onnx",
                "--labels",
                "labels.txt",
            ],
            "labels.txt holds 2 labels, but the model has 1000 classes",
        ),
    ];
    for (arguments, expected) in cases {
        let output = lcam_host(arguments, folder.path());
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
    for expected in ["2 pictures;", "\nlcam ", "\ncam ", "\nrandom "] {
        assert!(table.contains(expected), "{expected:?} is missing in\n{table}");
    }
    let json = std::fs::read_to_string(folder.path().join("all.json")).expect("all figures");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["outcomes"].as_array().map(Vec::len), Some(2));
    let explained = ExplainedModel::read(&folder.path().join("model.onnx")).expect("still valid");
    let scores = &explained.metadata().provenance.scores;
    let drop = json["methods"][0]["average_drop"][0]["mean"].as_f64().expect("a mean");
    assert!((scores["average-drop-100"] - drop).abs() <= 0.05, "{scores:?} is not {drop}");
    assert!((scores["pictures"] - 2.0).abs() < 1e-9, "{scores:?}");
}
