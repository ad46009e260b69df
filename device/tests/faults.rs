//! The program as a process of its own, with what cannot be done to a thread: signals at any moment, and a full disk.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use lcam_device::tiny_model::tiny_model;
use lcam_models::onnx::write_model;
use rustix::process::{Pid, Signal, kill_process};

const SIGTERM: i32 = 15;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lcam-device"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_model(&folder.path().join("tiny.onnx"), &tiny_model()).unwrap();
    folder
}

fn run(folder: &Path, outputs: &[&str]) -> Command {
    let mut command = program();
    command.current_dir(folder).args(["run", "test://bars"]).args(outputs);
    command.args(["--model", "tiny.onnx", "--state", "state"]);
    command
}

fn terminate(child: &Child) {
    let process = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(process, Signal::TERM).unwrap();
}

/// Waits for the end, which must come soon.
fn end(child: Child) -> Output {
    let start = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn sigterm_at_any_moment_ends_it_in_good_order() {
    let folder = folder();
    let mut ended_well = 0;
    // Closely through the start, then here and there in the run; every other time with no copy of the model.
    for turn in 0..60_u64 {
        let delay_ms = if turn < 50 { turn * 4 } else { turn * 20 };
        if turn % 2 == 0 {
            let _ = fs::remove_dir_all(folder.path().join("state"));
        }
        let child = run(folder.path(), &["file://out/last.png", "null:"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay_ms));
        terminate(&child);
        let output = end(child);
        let unheard = output.status.signal() == Some(SIGTERM) && output.stderr.is_empty();
        assert!(
            output.status.success() || unheard,
            "after {delay_ms} ms: {}: {}",
            output.status,
            said(&output)
        );
        ended_well += u32::from(output.status.success());
        let mut left = names(&folder.path().join("state"));
        left.extend(names(&folder.path().join("out")));
        left.retain(|name| !["tiny.onnx.last-good", "last.png"].contains(&name.as_str()));
        assert_eq!(left, Vec::<String>::new(), "after {delay_ms} ms");
    }
    assert!(ended_well >= 10, "{ended_well} of 60 heard the signal");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A disk of 400 kB that only the program sees, below /proc/PID/root.
fn on_a_small_disk(folder: &Path, arguments: &[&str]) -> (Child, PathBuf) {
    let disk = folder.join("disk");
    fs::create_dir(&disk).unwrap();
    let script = "mount -t tmpfs -o size=400k disk disk && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_lcam-device")).args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(fs::File::create(folder.join("log")).unwrap());
    let child = command.spawn().expect("unshare is of the package util-linux");
    let seen = PathBuf::from(format!("/proc/{}/root{}", child.id(), disk.display()));
    (child, seen)
}

fn until(what: &str, log: &Path, holds: impl Fn(&str) -> bool) {
    let start = Instant::now();
    loop {
        let said = fs::read_to_string(log).unwrap();
        if holds(&said) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "not {what}: {said}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_full_disk_is_told_loses_nothing_and_is_used_again_when_there_is_room() {
    let folder = folder();
    let log = folder.path().join("log");
    let (mut child, disk) = on_a_small_disk(
        folder.path(),
        &[
            "run",
            "test://bars",
            "file://disk/%06d.png?size=320x240",
            "null:",
            "--rate",
            "100",
            "--model",
            "tiny.onnx",
            "--state",
            "disk/state",
            "--record",
            "disk/events",
            "--record-min-free-mb",
            "0",
            "--record-max-mb",
            "100",
            "--record-cooldown",
            "0",
        ],
    );
    until("full", &log, |said| {
        said.contains("file://disk/%06d.png?size=320x240: ") && said.contains("recorder: ")
    });
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("No space left on device") && said.contains("free some room"), "{said}");
    // What is there is whole: pictures, and events with all their files.
    let pictures = names(&disk).into_iter().filter(|name| name.ends_with(".png"));
    assert!(pictures.map(|name| image::open(disk.join(name)).unwrap().width()).all(|w| w == 320));
    // One more event may just be begun and given up.
    until("whole", &log, |_| {
        let events = names(&disk.join("events"));
        let whole = events.iter().filter(|name| name.ends_with(".json")).count();
        whole > 0 && events.len() == 4 * whole
    });
    assert!(child.try_wait().unwrap().is_none(), "it runs on");
    // Somebody makes room.
    for name in names(&disk).iter().filter(|name| name.ends_with(".png")) {
        fs::remove_file(disk.join(name)).unwrap();
    }
    until("used again", &log, |said| {
        said.contains("file://disk/%06d.png?size=320x240: works again")
    });
    terminate(&child);
    assert!(child.wait().unwrap().success(), "{}", fs::read_to_string(&log).unwrap());
}

#[test]
fn a_model_with_weights_in_other_files_is_refused_in_one_line() {
    let folder = folder();
    let mut model = tiny_model();
    let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
    tensor.data_location = Some(1);
    tensor.external_data = vec![lcam_models::onnx::StringStringEntryProto {
        key: Some("location".to_owned()),
        value: Some("weights.bin".to_owned()),
    }];
    tensor.raw_data = None;
    fs::write(folder.path().join("weights.bin"), [0; 1024]).unwrap();
    write_model(&folder.path().join("tiny.onnx"), &model).unwrap();
    let output = run(folder.path(), &["null:"]).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let line = said.lines().last().unwrap();
    assert!(line.contains("weights are in other files") && line.contains("onnx.save"), "{line}");
    assert!(!line.contains("candidate"), "{line}");
}

#[test]
fn what_cannot_be_started_with_is_told_in_one_line() {
    let folder = folder();
    fs::write(folder.path().join("bad.onnx"), b"no model").unwrap();
    let large = fs::File::create(folder.path().join("large.onnx")).unwrap();
    large.set_len(5_000_000_000).unwrap();
    let model = ["--model", "tiny.onnx"];
    for (arguments, expected) in [
        (
            &["test://bars", "file://out/last.png", "--model", "bad.onnx"][..],
            "bad.onnx is not an ONNX model",
        ),
        (&["test://bars", "--model", "none.onnx"], "cannot read none.onnx"),
        (
            &["test://bars", "--record", "events", "--record-class", "x", model[0], model[1]],
            "--record-class \"x\": ",
        ),
        (&["test://bars", "--model", "/dev/zero"], "cannot read /dev/zero: it is not a file"),
        (&["--config", "/dev/zero"], "cannot read /dev/zero: it is not a file"),
        (&["test://bars", "--model", "large.onnx"], "large.onnx: it has 5000 MB, and a model may"),
        (&["test://bars", "http://[::1]:0", "http://[::1]:0", model[0], model[1]], "given twice"),
        (&["test://bars", "hdmi:", model[0], model[1]], "http://127.0.0.1:8080, window:"),
        (&["test://bars", "--loop", model[0], model[1]], "only files and folders begin again"),
        (&["test://bars", "--frames", "x", model[0], model[1]], "give a whole number"),
        (&["/dev/null", model[0], model[1]], "/dev/null"),
        // Standard input is empty here, and cannot be opened anew.
        (&["-", model[0], model[1]], "-: it ended without a picture"),
    ] {
        let state = folder.path().join("state");
        let mut command = program();
        command.current_dir(folder.path()).arg("run").args(arguments).arg("--state").arg(&state);
        let output = end(command.spawn().unwrap());
        let said = said(&output);
        let told: Vec<&str> = said.lines().filter(|line| !line.contains(": display: ")).collect();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(told.len() == 1 && told[0].contains(expected), "{arguments:?}: {said}");
        assert!(!folder.path().join("out").exists() && !folder.path().join("events").exists());
        let _ = fs::remove_dir_all(state);
    }
}

#[test]
fn a_pipe_that_fails_over_and_over_is_told_once() {
    let folder = folder();
    let mut command = program();
    command.current_dir(folder.path()).args(["run", "pipe:exit 3", "null:"]);
    let child = command.args(["--model", "tiny.onnx", "--state", "state"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(3500));
    terminate(&child);
    let output = end(child);
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    let told: Vec<&str> = said.lines().filter(|line| line.contains("camera: ")).collect();
    assert!(told.len() == 1 && told[0].contains("exit code 3"), "{said}");
}

#[test]
fn damaged_pictures_of_a_folder_are_told_of() {
    let folder = folder();
    fs::create_dir(folder.path().join("mix")).unwrap();
    for name in ["a.png", "c.png", "e.png"] {
        image::RgbImage::new(8, 8).save(folder.path().join("mix").join(name)).unwrap();
    }
    for name in ["b.jpg", "d.jpg", "f.jpg"] {
        fs::write(folder.path().join("mix").join(name), b"damaged").unwrap();
    }
    let mut command = program();
    command.current_dir(folder.path()).args(["run", "mix", "null:", "--rate", "20"]);
    let child = command.args(["--model", "tiny.onnx", "--state", "state"]).spawn().unwrap();
    let output = end(child);
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    let told: Vec<&str> = said.lines().filter(|line| line.contains("left out")).collect();
    // The first at once, the others when the folder is through.
    let expected = [("left out: 1;", "b.jpg"), ("left out: 2;", "f.jpg")];
    let are_told =
        |(line, (count, name)): (&&str, (&str, &str))| line.contains(count) && line.contains(name);
    assert!(told.len() == 2 && told.iter().zip(expected).all(are_told), "{said}");
}

#[test]
fn what_a_killed_program_has_left_is_removed_at_the_next_start() {
    let folder = folder();
    let left = folder.path().join("state/.lcam-killed");
    fs::create_dir(folder.path().join("state")).unwrap();
    fs::write(&left, [0; 100]).unwrap();
    let mut command = run(folder.path(), &["null:"]);
    let output = end(command.args(["--frames", "2"]).spawn().unwrap());
    assert!(output.status.success() && !left.exists(), "{}", said(&output));
}
