//! `lcam-host analyze`: planted faults are found and ranked first, clean pictures have none, and whatever is unusable is
//! told in one line.
//!
//! tests/python/plant_faults.py plants. No threshold was chosen with the seeds of these tests.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

#[path = "support/tiny.rs"]
mod tiny;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{Rgb, RgbImage};
use lcam_models::onnx::write_model;
use serde_json::Value;

/// What is planted depends on these: classes, corner, colours, backgrounds, places of objects, exchanged labels.
const SEEDS: [&str; 3] = ["23", "24", "25"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn lcam_host(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lcam-host"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes pictures and a classifier that has learnt them, explains it, and analyses what was held out.
fn analysed(folder: &Path, arguments: &[&str]) -> Value {
    let classifier = repository().join("target/efficientnet-lite0-classifier.onnx");
    let planted = Command::new("python")
        .args(["-W", "ignore"])
        .arg(repository().join("tests/python/plant_faults.py"))
        .arg(&classifier)
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap();
    succeeds(&planted);
    let train = "train classifier.onnx --preprocess tf --labels labels.txt --images train/images --variant fm \
                 --epochs 1 --device cpu --output explained.onnx";
    succeeds(&lcam_host(folder, &train.split_whitespace().collect::<Vec<_>>()));
    let analyze = "analyze explained.onnx --images held-out/images --truth held-out/labels.csv --masks --device cpu \
                   --output report --json analysis.json";
    succeeds(&lcam_host(folder, &analyze.split_whitespace().collect::<Vec<_>>()));
    read(&folder.join("analysis.json"))
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn strings(list: &Value) -> BTreeSet<String> {
    let name = |value: &Value| {
        let path = Path::new(value.as_str().unwrap());
        path.file_name().unwrap().to_string_lossy().into_owned()
    };
    list.as_array().unwrap().iter().map(name).collect()
}

/// Gives precision and recall of what was found.
fn hits(found: &BTreeSet<String>, planted: &BTreeSet<String>) -> (f64, f64) {
    let count = |count: usize| f64::from(u32::try_from(count).unwrap());
    let both = count(found.intersection(planted).count());
    (both / count(found.len()).max(1.0), both / count(planted.len()))
}

#[test]
#[ignore = "minutes: `tests/campaign faults` runs it"]
fn planted_faults_are_found_and_ranked_first() {
    for seed in SEEDS {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("planted");
        let found = analysed(&folder, &["--seed", seed]);
        let planted = read(&folder.join("planted.json"));
        check_planted(seed, &found, &planted);
        let page = std::fs::read_to_string(folder.join("report/index.html")).unwrap();
        assert!(page.contains(planted["mark"]["class"].as_str().unwrap()), "seed {seed}");
        let pictures = page.matches("data:image/jpeg;base64,").count();
        assert!(pictures > 12, "seed {seed}: {pictures} pictures are the evidence");
    }
}

fn check_planted(seed: &str, found: &Value, planted: &Value) {
    let findings = found["findings"].as_array().unwrap();
    let first: BTreeSet<&str> =
        findings.iter().take(3).map(|finding| finding["kind"].as_str().unwrap()).collect();
    let expected: BTreeSet<&str> = ["background", "label-noise", "shortcut"].into();
    assert_eq!(first, expected, "seed {seed}: {findings:#?}");
    let of = |kind: &str| findings.iter().find(|finding| finding["kind"] == kind).unwrap();

    let shortcut = of("shortcut");
    assert_eq!(shortcut["classes"][0], planted["mark"]["class"], "seed {seed}");
    assert_eq!(shortcut["place"], planted["mark"]["place"], "seed {seed}");

    let background = of("background");
    assert_eq!(background["classes"][0], planted["background"]["class"], "seed {seed}");
    for (finding, names) in
        [(background, &planted["on_background"]), (of("label-noise"), &planted["swapped"])]
    {
        let (precision, recall) = hits(&strings(&finding["pictures"]), &strings(names));
        let kind = &finding["kind"];
        assert!(
            precision >= 0.8 && recall >= 0.5,
            "seed {seed}: {kind} {precision:.2} {recall:.2}"
        );
    }
    for finding in &findings[..3] {
        assert!(
            finding["effect"]["adjusted_p"].as_f64().unwrap() <= 0.05,
            "seed {seed}: {finding}"
        );
        assert!(finding["effect"]["low"].as_f64().unwrap() > 0.0, "seed {seed}: {finding}");
    }
}

#[test]
#[ignore = "minutes: `tests/campaign faults` runs it"]
fn clean_pictures_have_no_fault() {
    for seed in SEEDS {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("clean");
        let found = analysed(&folder, &["--seed", seed, "--clean"]);
        let findings = &found["findings"];
        assert_eq!(*findings, Value::Array(Vec::new()), "seed {seed}: {findings:#}");
        assert_eq!(found["pictures"], 240, "seed {seed}");
    }
}

/// Red and blue pictures of 8x8 pixels in folders `a` and `b`, with one of each in the other's.
fn tiny_pictures(folder: &Path) {
    for (name, colors) in
        [("class 0", [[220u8, 20, 10], [10, 20, 200]]), ("class 1", [[10, 20, 220], [200, 30, 5]])]
    {
        std::fs::create_dir_all(folder.join("pictures").join(name)).unwrap();
        for number in 0..12u32 {
            let color = colors[usize::from(number == 0)];
            let picture = RgbImage::from_fn(8, 8, |x, y| {
                let bright = if (x + number) / 4 % 2 == 0 && y < 4 { 1 } else { 2 };
                Rgb(color.map(|value| value / bright))
            });
            picture.save(folder.join(format!("pictures/{name}/{number:02}.png"))).unwrap();
        }
    }
}

#[test]
fn errors_are_told_with_both_maps_and_a_second_model_is_compared() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tiny_pictures(folder);
    let write = |name: &str, rows: [[f32; 3]; 2]| {
        write_model(&folder.join(name), tiny::explained(rows[0], rows[1]).proto()).unwrap();
    };
    write("good.onnx", [[9.0, 0.0, 0.0], [0.0, 0.0, 9.0]]);
    // It names class 0 what has a little more green than blue and red allow: only one picture has.
    write("bad.onnx", [[0.0, 90.0, 0.0], [9.0, 0.0, 9.0]]);
    let analyze = "analyze good.onnx --images pictures --truth folders --device cpu --output report --json out.json";
    let told = succeeds(&lcam_host(folder, &analyze.split_whitespace().collect::<Vec<_>>()));
    assert!(told.starts_with("24 pictures, 2 errors, "), "{told}");
    let found = read(&folder.join("out.json"));
    assert_eq!(found["errors"].as_array().unwrap().len(), 2);
    assert_eq!(found["errors"][0]["label"], "class 0");
    assert_eq!(found["confusions"].as_array().unwrap().len(), 2);
    assert!(found["comparison"].is_null());
    let page = std::fs::read_to_string(folder.join("report/index.html")).unwrap();
    for part in [
        "Heat map for class 1, which is named",
        "Heat map for class 0, the label",
        "What argues for class 1",
    ] {
        assert!(page.contains(part), "{part}");
    }

    let mut arguments: Vec<&str> = analyze.split_whitespace().collect();
    arguments.extend(["--against", "bad.onnx"]);
    succeeds(&lcam_host(folder, &arguments));
    let compared = &read(&folder.join("out.json"))["comparison"]["whole"];
    assert_eq!((compared["pictures"].as_u64(), compared["gained"].as_u64()), (Some(24), Some(0)));
    assert_eq!(compared["lost"].as_u64(), Some(11), "{compared}");
    assert!(compared["p"].as_f64().unwrap() < 0.05);

    // Without labels, on confidence and attention alone.
    let plain = "analyze good.onnx --images pictures --device cpu --output report --json out.json";
    let told = succeeds(&lcam_host(folder, &plain.split_whitespace().collect::<Vec<_>>()));
    assert!(told.starts_with("24 pictures, 0 errors, "), "{told}");
    assert!(read(&folder.join("out.json"))["classes"].as_array().unwrap().len() == 2);
}

#[test]
fn the_same_seed_finds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tiny_pictures(folder);
    write_model(&folder.join("m.onnx"), tiny::explained([9.0, 0.0, 0.0], [0.0, 0.0, 9.0]).proto())
        .unwrap();
    let [first, second] = ["a.json", "b.json"].map(|json| {
        let analyze = format!("analyze m.onnx --images pictures --truth folders --device cpu --output report --json {json}");
        succeeds(&lcam_host(folder, &analyze.split_whitespace().collect::<Vec<_>>()));
        std::fs::read_to_string(folder.join(json)).unwrap()
    });
    assert_eq!(first, second);
}

#[test]
fn refuses_what_is_unusable_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tiny_pictures(folder);
    let write = |name: &str, content: &str| std::fs::write(folder.join(name), content).unwrap();
    write_model(&folder.join("m.onnx"), tiny::explained([9.0, 0.0, 0.0], [0.0, 0.0, 9.0]).proto())
        .unwrap();
    write("labels.csv", "path,label\nclass 0/01.png,class 0\nclass 0/02.png,dog\n");
    write("gone.csv", "class 0/99.png,class 0\n");
    for name in ["full", "events", "mug"] {
        std::fs::create_dir(folder.join(name)).unwrap();
    }
    write("full/notes.txt", "");
    std::fs::copy(folder.join("pictures/class 0/01.png"), folder.join("mug/1.png")).unwrap();
    write("events/1.json", r#"{"tool": "lcam-device 0.1.0", "format": 1}"#);
    let shipped = repository().join("models/efficientnet-lite0/efficientnet-lite0.onnx");
    std::fs::copy(shipped, folder.join("shipped.onnx")).unwrap();
    let cases = [
        ("analyze m.onnx --images pictures", "--output <DIR>"),
        (
            "analyze m.onnx --images pictures --output r --truth mug",
            "give folders, or a file whose name ends in .csv",
        ),
        (
            "analyze m.onnx --images pictures --output r --truth labels.csv",
            "line 3 of labels.csv: no class is called \"dog\"",
        ),
        (
            "analyze m.onnx --images pictures --output r --truth gone.csv",
            "line 1 of gone.csv: there is no picture pictures/class 0/99.png",
        ),
        (
            "analyze m.onnx --images pictures --output r --truth missing.csv",
            "cannot read missing.csv: ",
        ),
        ("analyze m.onnx --images mug --output r --truth folders", "does not name a class"),
        (
            "analyze m.onnx --images pictures --output full",
            "holds notes.txt, which is no part of a report",
        ),
        (
            "analyze m.onnx --images pictures --output r --masks",
            "none of the 24 pictures has a usable mask",
        ),
        (
            "analyze m.onnx --images pictures --output r --against shipped.onnx",
            "compare models of the same classes",
        ),
        ("analyze m.onnx --images nowhere --output r", "cannot read the folder nowhere"),
        ("analyze m.onnx --images events --output r", "cannot read the event events/1.json: "),
    ];
    for (line, expected) in cases {
        let output = lcam_host(folder, &line.split_whitespace().collect::<Vec<_>>());
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {message}");
        assert!(
            message.contains(expected) && message.trim_end().lines().count() == 1,
            "{line}: {message}"
        );
        assert!(!folder.join("r").exists(), "{line} leaves something behind");
    }
}
