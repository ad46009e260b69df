//! The built program: what it writes, and that everything unusable is one line and exit code 2.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use image::{Rgb, RgbImage};
use lcam_device::tiny_model::tiny_model;
use lcam_models::onnx::tensor_proto::DataType;
use lcam_models::onnx::{ModelProto, ValueInfoProto, encode_model, write_model};
use tempfile::TempDir;

/// A folder with `tiny.onnx` and two pictures, `red.png` and `blue.png`.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        write_model(&desk.path("tiny.onnx"), &tiny_model()).unwrap();
        for (name, color) in [("red", [255, 0, 0]), ("blue", [0, 0, 255])] {
            let patch = |x, y| if x > 15 && y > 15 { Rgb(color) } else { Rgb([0, 0, 0]) };
            RgbImage::from_fn(40, 32, patch).save(desk.path(&format!("{name}.png"))).unwrap();
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lcam-device"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = text(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{arguments:?}: {errors}");
        text(&output.stdout)
    }

    /// Checks that a command fails with exit code 2 and one line that holds `expected`.
    fn refuse(&self, arguments: &[&str], expected: &str) {
        let before = self.files();
        let output = self.run(arguments);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert_eq!(self.files(), before, "{arguments:?} left something behind");
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect(self.0.path(), &mut files);
        files.sort();
        files
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn explains_pictures_into_a_folder() {
    let desk = Desk::new();
    let printed = desk.succeed(&["explain", "tiny.onnx", "red.png", "blue.png", "--top-k", "2"]);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 6, "{printed}");
    assert_eq!(lines[0], "red.png -> explained/red.png (float)");
    assert!(lines[1].ends_with("%  red") && lines[4].ends_with("%  blue"), "{printed}");
    for name in ["red", "blue"] {
        let drawn = image::open(desk.path(&format!("explained/{name}.png"))).unwrap();
        assert_eq!((drawn.width(), drawn.height()), (1280, 720));
    }
}

#[test]
fn explains_any_class_and_writes_its_map() {
    let desk = Desk::new();
    let arguments = ["explain", "tiny.onnx", "red.png", "--output", "why.png", "--class", "blue"];
    let more = ["--class", "0", "--map", "map.npy", "--size", "240x240", "--json"];
    let printed = desk.succeed(&[&arguments[..], &more].concat());
    let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(report["output"], "why.png");
    assert_eq!(report["top"][0]["label"], "red");
    assert_eq!(report["explained"][0]["class"], 2);
    assert_eq!(report["explained"][1]["class"], 0);
    let confidences = report["top"].as_array().unwrap().iter();
    let sum: f64 = confidences.map(|entry| entry["confidence"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{printed}");
    assert_eq!(image::open(desk.path("why.png")).unwrap().width(), 240);
    let map = fs::read(desk.path("map.npy")).unwrap();
    assert!(map.starts_with(b"\x93NUMPY") && map.len() == 128 + 4 * 64, "{}", map.len());
}

#[test]
fn does_the_rest_when_one_picture_is_bad() {
    let desk = Desk::new();
    fs::write(desk.path("bad.jpg"), b"no picture").unwrap();
    let output = desk.run(&["explain", "tiny.onnx", "red.png", "bad.jpg", "none.png", "blue.png"]);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(errors.lines().count(), 3, "{errors}");
    assert!(errors.contains("bad.jpg") && errors.contains("none.png"), "{errors}");
    assert!(errors.ends_with("2 of 4 pictures were not explained\n"), "{errors}");
    assert!(desk.path("explained/red.png").exists() && desk.path("explained/blue.png").exists());
    assert!(!desk.path("explained/bad.png").exists());
}

fn image(element: DataType, side: i64) -> ValueInfoProto {
    ValueInfoProto::tensor("image", element, &[1, 3, side, side])
}

#[test]
fn refuses_what_is_no_usable_model() {
    let desk = Desk::new();
    let whole = encode_model(&tiny_model());
    let changed = |change: fn(&mut ModelProto)| {
        let mut model = tiny_model();
        change(&mut model);
        encode_model(&model)
    };
    let graph = |change: fn(&mut lcam_models::onnx::GraphProto)| {
        let mut model = tiny_model();
        change(model.graph.as_mut().unwrap());
        encode_model(&model)
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "not an ONNX model"),
        ("text", b"hello, this is no model at all".to_vec(), "not an ONNX model"),
        ("truncated", whole[..whole.len() / 2].to_vec(), "is damaged"),
        ("plain", changed(|model| model.metadata_props.clear()), "not an explained model"),
        ("newer", changed(|model| model.set_metadata("lcam.format", "9")), "update the program"),
        ("cyclic", graph(|graph| graph.node.reverse()), "cyclic, unsorted or incomplete"),
        ("no output", graph(|graph| drop(graph.output.remove(1))), "explanation"),
        ("wrong type", graph(|graph| graph.input[0] = image(DataType::Double, 8)), "float32"),
        ("wrong shape", graph(|graph| graph.input[0] = image(DataType::Float, 9)), "[1, 3, 8, 8]"),
        ("operator", graph(|g| g.node[2].op_type = Some("Loop".to_owned())), "not supported"),
        ("shape", graph(|g| g.initializer[3].dims = vec![3, 4]), "should hold 12 values"),
        ("huge", graph(|g| g.node[1].attribute[1].ints = vec![60_000; 4]), "at most"),
    ];
    for (name, bytes, expected) in cases {
        let file = format!("{name}.onnx");
        fs::write(desk.path(&file), bytes).unwrap();
        desk.refuse(&["explain", &file, "red.png"], expected);
        desk.refuse(&["info", &file], &file);
    }
    desk.refuse(&["explain", "missing.onnx", "red.png"], "cannot read missing.onnx");
    desk.refuse(&["explain", ".", "red.png"], "cannot read .");
    desk.refuse(&["bench", "red.png"], "not an ONNX model");
}

#[test]
fn refuses_what_cannot_be_done() {
    let desk = Desk::new();
    fs::write(desk.path("file"), b"x").unwrap();
    fs::write(desk.path("bad.png"), b"x").unwrap();
    let explain = |more: &[&str], expected: &str| {
        desk.refuse(&[&["explain", "tiny.onnx"], more].concat(), expected);
    };
    explain(&["bad.png"], "not a picture of a known format");
    explain(&["red.png", "--class", "yellow"], "no class is called \"yellow\"");
    explain(&["red.png", "--class", "3"], "3 classes, 0 to 2");
    explain(&["red.png", "blue.png", "--output", "x.png"], "one file cannot take 2 pictures");
    explain(&["red.png", "blue.png", "--map", "x.npy"], "--map takes one picture");
    explain(&["red.png", "--output", "file"], "cannot make folder file");
    explain(&["red.png", "--output", "x.jpg"], "results are PNG files");
    explain(&["red.png", "--map", "x.txt"], "a map is a NumPy array");
    explain(&["red.png", "--class", "0", "--class", "red"], "\"red\" is given twice, as \"red\"");
    explain(&["red.png", "--threads", "0"], "'--threads <N>': give 1 to 256;");
    explain(&["red.png", "--output", "none/x.png"], "cannot write none/x.png");
    explain(&["red.png", "--output", "red.png"], "is an input");
    explain(&["red.png", "--output", "."], "is an input");
    explain(&["red.png", "--output", "x.png", "--map", "none/x.npy"], "cannot write none/x.npy");
}

#[test]
fn arguments_out_of_range_are_usage_errors() {
    let desk = Desk::new();
    for more in [
        &["--size", "0x5"][..],
        &["--size", "big"],
        &["--top-k", "0"],
        &["--threads", "0"],
        &["--threads", "100000"],
    ] {
        let output = desk.run(&[&["explain", "tiny.onnx", "red.png"], more].concat());
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(text(&output.stderr).contains(more[0]), "{more:?}");
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let desk = Desk::new();
    let mut child = desk
        .command(&["explain", "tiny.onnx", "red.png", "blue.png"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(desk.path("explained/blue.png").exists(), "the work is still done");
}

#[test]
fn tells_what_is_in_a_file() {
    let desk = Desk::new();
    let printed = desk.succeed(&["info", "tiny.onnx", "--threads", "1"]);
    for expected in
        ["L-CAM-Fm", "8x8 RGB", "relu (4x4)", "tract 0.23.9, 1 threads", "arithmetic      float32"]
    {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    let json = desk.succeed(&["info", "tiny.onnx", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["classes"], 3);
    assert_eq!(report["operators"]["Gather"], 3);
}

#[test]
fn measures_the_stages_of_both_ways_to_run() {
    let desk = Desk::new();
    let bench = |arguments: &[&str]| -> serde_json::Value {
        let json =
            desk.succeed(&[&["bench", "tiny.onnx", "--frames", "3", "--json"], arguments].concat());
        serde_json::from_str(&json).unwrap()
    };
    let all = bench(&["--threads", "1"]);
    for stage in ["convert", "preprocess", "infer", "post_process", "draw", "show", "frame"] {
        let times = &all["times_ms"]["explained"][stage];
        let [median, most] = ["p50", "p95"].map(|share| times[share].as_f64().unwrap());
        assert!(0.0 < median && median <= most, "{stage}: {all}");
    }
    assert!(all["times_ms"]["classifier"]["infer"]["p50"].as_f64().unwrap() > 0.0, "{all}");
    assert!(all["explanation_percent"].is_number() && all["load_ms"].is_number(), "{all}");
    assert!(all["beside_percent"].as_f64().unwrap() > 0.0, "{all}");
    // Only an ILI9341 is measured.
    let other = bench(&["--size", "400x200", "--camera", "63x31"]);
    assert!(other["times_ms"]["explained"]["show"].is_null(), "{other}");
    assert!(all["peak_memory_bytes"].as_u64().unwrap() > 1_000_000, "{all}");
    assert_eq!((&all["frames"], &all["runtime"]["threads"]), (&3.into(), &1.into()));
    assert_eq!(all["runtime"]["arithmetic"], "float32, weights widened from int8");

    for only in ["explained", "classifier"] {
        let one = bench(&["--only", only, "--stages", "infer"]);
        let times = one["times_ms"].as_object().unwrap();
        assert_eq!(times.keys().collect::<Vec<_>>(), [only]);
        assert_eq!(times[only].as_object().unwrap().keys().collect::<Vec<_>>(), ["infer"]);
        assert!(one["explanation_percent"].is_null(), "{one}");
    }
    let profile = bench(&["--stages", "operators"]);
    assert_eq!(profile["operators"].as_array().unwrap().len(), 1, "{profile}");
    assert_eq!(profile["operators"][0]["operator"], "float32");
    assert!(profile["operators"][0]["p50"].as_f64().unwrap() > 0.0, "{profile}");
    assert!(all.get("operators").is_none(), "only where it was asked for");
    let text = desk.succeed(&["bench", "tiny.onnx", "--frames", "1"]);
    for expected in ["  post-process", "classifier alone", "of the classifier's pass", "kernels"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn bench_refuses_what_it_cannot_do() {
    let desk = Desk::new();
    for (arguments, expected) in [
        (&["tiny.onnx", "--frames", "0"][..], "--frames"),
        (&["tiny.onnx", "--only", "nothing"], "invalid value 'nothing' for '--only"),
        (&["tiny.onnx", "--stages", "draw"], "invalid value 'draw' for '--stages"),
        (&["tiny.onnx", "--size", "4x4"], "each side 16 to 8192"),
        (&["tiny.onnx", "--camera", "4x4"], "each side 16 to 8192"),
        (&["tiny.onnx", "--stages", "operators", "--only", "classifier"], "leave out --only"),
        (&["tiny.onnx", "--stages", "infer", "--size", "320x240"], "leave them out"),
        (&["missing.onnx"], "cannot read missing.onnx"),
    ] {
        desk.refuse(&[&["bench"], arguments].concat(), expected);
    }
}

#[test]
fn doctor_looks_at_what_run_would_use_and_ends_with_two_when_something_is_wrong() {
    let desk = Desk::new();
    // A machine of files alone, whose memory suffices.
    for (path, content) in [
        ("pi/proc/meminfo", "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n"),
        ("pi/dev/video0", ""),
    ] {
        let path = desk.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let doctor = |arguments: &[&str]| {
        let output = desk.run(&[&["doctor", "--root", "pi"], arguments].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let well = ["/dev/video0", "null:", "--model", "tiny.onnx", "--json"];
    let (code, told, errors) = doctor(&well);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{told}");
    let findings: Vec<serde_json::Value> =
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let model = findings.iter().find(|finding| finding["check"] == "model").unwrap();
    assert_eq!((&model["state"], &model["remedy"]), (&"ok".into(), &serde_json::Value::Null));

    let (code, told, errors) = doctor(&["/dev/video7", "spi://0.0?model=ili9341&dc=GPIO25"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(errors.starts_with("lcam-device: ") && errors.contains("need mending"), "{errors}");
    let (problem, remedy) = ("PROBLEM camera: there is no /dev/video7", "-> plug the camera in");
    assert!(told.contains(problem) && told.contains(remedy), "{told}");
    assert!(told.contains("there is no /dev/spidev0.0"), "{told}");

    let (code, told, _) = doctor(&["rtsp://cam", "hdmi:", "spi://0", "null:"]);
    assert_eq!((code, told.matches("mend the address").count()), (Some(2), 3), "{told}");

    desk.refuse(&["doctor", "--root", "nowhere"], "nowhere is no folder");
    desk.refuse(&["doctor", "--user", "no-such-user"], "there is no user no-such-user");
    desk.refuse(&["doctor", "--threshold", "7"], "threshold is 7; give 0 to 1");
}
