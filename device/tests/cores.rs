//! The program built for ARM, run as by each board's core: the names and the maps are those of this machine, and the kernels
//! are those that are meant for the core.
//!
//! `cross/test` builds such a program and runs this; alone it needs `LCAM_ARM`, the program's path, and `LCAM_CORES`, names
//! of cores that `cross/emulate` knows.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]
#![expect(
    clippy::print_stderr,
    reason = "emulation takes long, and the differences are worth reading"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The most by which a value of a map, 0 to 1, and a confidence may differ from this machine's.
const TOLERANCE: f64 = 1e-3;

/// What the runtime finds on a core and takes for it.
struct Core {
    name: &'static str,
    instruction_sets: &'static [&'static str],
    /// How the names of its float matrix kernels begin and end.
    kernels: (&'static str, &'static str),
    /// Its integer kernels; where there are none, a quantised file is computed in float.
    integers: Option<&'static str>,
}

impl Core {
    fn named(name: &str) -> &'static Self {
        CORES.iter().find(|core| core.name == name).unwrap_or_else(|| panic!("no core {name}"))
    }

    fn precision(&self) -> &'static str {
        if self.integers.is_some() { "int8" } else { "float" }
    }
}

/// tract 0.23.9 knows the A53 and the A7 by their part numbers and ranks all kernels for them; others take the generic ones.
const CORES: [Core; 5] = [
    Core {
        name: "cortex-a53",
        instruction_sets: &["aarch64"],
        kernels: ("arm64simd_mmm_f32_", "_a53"),
        integers: Some("int8 NEON"),
    },
    Core {
        name: "cortex-a72",
        instruction_sets: &["aarch64"],
        kernels: ("arm64simd_mmm_f32_", "_gen"),
        integers: Some("int8 NEON"),
    },
    Core {
        name: "cortex-a76",
        instruction_sets: &["aarch64", "fp16", "dotprod"],
        kernels: ("arm64simd_mmm_f32_", "_gen"),
        integers: Some("int8 NEON SDOT"),
    },
    Core {
        name: "cortex-a7-32",
        instruction_sets: &["arm", "neon"],
        kernels: ("armv7neon_mmm_f32_", ""),
        integers: None,
    },
    Core {
        name: "cortex-a53-32",
        instruction_sets: &["arm", "neon"],
        kernels: ("armv7neon_mmm_f32_", "_generic"),
        integers: None,
    },
];

/// One picture, named and explained.
struct Explained {
    top: Vec<(String, f64)>,
    map: Vec<f32>,
}

/// A program, and how it is started.
struct Program {
    name: String,
    command: Vec<PathBuf>,
    folder: TempDir,
}

impl Program {
    fn new(name: &str, command: Vec<PathBuf>) -> Self {
        Self { name: name.to_owned(), command, folder: tempfile::tempdir().unwrap() }
    }

    fn run(&self, arguments: &[&str], paths: &[&Path]) -> Value {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).args(arguments).args(paths);
        let output = command
            .args(["--json", "--threads", "1"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {arguments:?} {paths:?}: {errors}", self.name);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn explain(&self, model: &Path, picture: &Path, precision: &str) -> Explained {
        let arguments = ["explain", "--map", "map.npy", "--precision", precision];
        let report = self.run(&arguments, &[model, picture]);
        let entry = |entry: &Value| {
            let confidence = entry["confidence"].as_f64().unwrap();
            (entry["label"].as_str().unwrap().to_owned(), confidence)
        };
        let top = report["top"].as_array().unwrap().iter().map(entry).collect();
        Explained { top, map: read_map(&self.folder.path().join("map.npy")) }
    }

    /// Gives what the runtime says of the machine and of the kernels that run a model.
    fn runtime(&self, model: &Path) -> Value {
        self.run(&["info"], &[model])["runtime"].clone()
    }
}

/// Reads the values of an array that the program wrote: little-endian, after a header whose length stands in bytes 8 and 9.
fn read_map(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (values, rest) = bytes[start..].as_chunks::<4>();
    assert!(!values.is_empty() && rest.is_empty(), "{} is no map", path.display());
    values.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

/// Gives how far apart two results are; panics when the picture has another name.
fn difference(core: &str, picture: &str, found: &Explained, expected: &Explained) -> f64 {
    assert_eq!(found.top[0].0, expected.top[0].0, "{core}, {picture}");
    assert_eq!(found.map.len(), expected.map.len(), "{core}, {picture}");
    let confidence = (found.top[0].1 - expected.top[0].1).abs();
    let apart = |(a, b): (&f32, &f32)| f64::from((a - b).abs());
    found.map.iter().zip(&expected.map).map(apart).fold(confidence, f64::max)
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(folder);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    assert!(!files.is_empty(), "there is no .{extension} file");
    files.sort();
    files
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run cross/test"))
}

#[test]
#[ignore = "needs a program that is built for ARM, and an emulator: run cross/test"]
fn names_and_maps_are_those_of_this_machine_on_every_core() {
    let here = Program::new("this machine", vec![env!("CARGO_BIN_EXE_lcam-device").into()]);
    let emulate = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cross/emulate");
    let program = PathBuf::from(variable("LCAM_ARM"));
    let cores = variable("LCAM_CORES");
    let mut compared = 0;
    for model in files("efficientnet-lite0", "onnx") {
        for picture in files("samples", "jpg") {
            let here = |precision| here.explain(&model, &picture, precision);
            let (int8, float) = (here("int8"), here("float"));
            for core in cores.split_whitespace() {
                let there = Program::new(core, vec![emulate.clone(), core.into(), program.clone()]);
                let name = picture.file_name().unwrap().to_string_lossy();
                let found = there.explain(&model, &picture, "auto");
                let expected = if Core::named(core).integers.is_some() { &int8 } else { &float };
                let difference = difference(core, &name, &found, expected);
                eprintln!("{core}, {name}: {:?}, {difference:.1e} apart", found.top[0]);
                assert!(difference <= TOLERANCE, "{core}, {name}: {difference} apart");
                compared += 1;
            }
        }
    }
    assert!(compared > 0, "LCAM_CORES names no core");
}

#[test]
#[ignore = "needs a program that is built for ARM, and an emulator: run cross/test"]
fn kernels_are_those_of_the_core() {
    let emulate = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cross/emulate");
    let program = PathBuf::from(variable("LCAM_ARM"));
    for core in variable("LCAM_CORES").split_whitespace() {
        let expected = Core::named(core);
        let there = Program::new(core, vec![emulate.clone(), core.into(), program.clone()]);
        for model in files("efficientnet-lite0", "onnx") {
            let runtime = there.runtime(&model);
            eprintln!("{core}: {runtime}");
            assert_eq!(runtime["instruction_sets"], json!(expected.instruction_sets), "{core}");
            assert_eq!(runtime["precision"], expected.precision(), "{core}");
            let kernels = runtime["kernels"].as_object().unwrap();
            if let Some(integers) = expected.integers {
                assert!(kernels.contains_key(integers), "{core}: {kernels:?}");
            }
            let float: Vec<&String> =
                kernels.keys().filter(|name| name.contains("_f32_")).collect();
            assert!(!float.is_empty(), "{core}: {kernels:?}");
            let (start, end) = expected.kernels;
            let fits = |name: &&String| name.starts_with(start) && name.ends_with(end);
            assert!(float.iter().all(fits), "{core}: {float:?}, expected {start}...{end}");
        }
    }
}
