//! Memory over time: many frames, and the shipped model. `LCAM_SOAK_FRAMES` says how many; tests/campaign takes 100,000.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lcam_device::tiny_model::tiny_model;
use lcam_models::onnx::write_model;

/// Frames without a campaign.
const FEW: u64 = 3_000;
/// What memory may grow by from the first fifth of the frames to the end, in bytes: buffers that the system's
/// allocator keeps.
const GROWTH: u64 = 4_000_000;
/// What a camera device has left beside its system, in bytes.
const MOST: u64 = 150_000_000;

fn run(folder: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_lcam-device"))
        .args(["run", "test://bars", "--state", "state"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .unwrap()
}

/// Reads a number of bytes of a process's status; `None` when it has ended.
fn memory(child: &Child, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The number of the frame that was told of last; 0 before the first.
fn progress(results: &Path) -> u64 {
    let text = fs::read_to_string(results).unwrap_or_default();
    let frame =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["frame"].as_u64();
    // The last line may be half written.
    text.lines().rev().find_map(frame).unwrap_or(0)
}

#[test]
fn memory_stays_flat_over_many_frames() {
    let folder = tempfile::tempdir().unwrap();
    write_model(&folder.path().join("tiny.onnx"), &tiny_model()).unwrap();
    let frames = std::env::var("LCAM_SOAK_FRAMES").map_or(FEW, |text| text.parse().unwrap());
    let frames_text = frames.to_string();
    let mut child = run(
        folder.path(),
        &[
            "null:320x240",
            "file://last.png?size=128x64",
            "http://127.0.0.1:0",
            "--model",
            "tiny.onnx",
            "--rate",
            "10000",
            "--lockstep",
            "--frames",
            &frames_text,
            "--publish",
            "jsonl:results?max_mb=1",
            "--record",
            "events",
            "--record-max-mb",
            "1",
            "--record-cooldown",
            "0",
            "--smooth",
            "0.5",
            "--threads",
            "1",
        ],
    );
    let (mut early, mut late, mut seen) = (0, 0, 0);
    while child.try_wait().unwrap().is_none() {
        // A file that was just begun tells of no frame.
        seen = progress(&folder.path().join("results")).max(seen);
        let now = memory(&child, "VmRSS").unwrap_or(late);
        if seen < frames / 5 {
            early = now.max(early);
        } else {
            late = now.max(late);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(child.wait().unwrap().success(), "{log}");
    assert!(early > 0 && late > 0, "the program was not looked at");
    assert!(late <= early + GROWTH, "{early} bytes in the first fifth, then {late}");
}

#[test]
fn the_shipped_model_runs_within_the_memory_of_a_small_board() {
    let folder = tempfile::tempdir().unwrap();
    let model = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../models/efficientnet-lite0/efficientnet-lite0.onnx"
    );
    let mut child = run(
        folder.path(),
        &[
            "null:640x480",
            "http://127.0.0.1:0?size=640x480",
            "--model",
            model,
            "--width",
            "640",
            "--height",
            "480",
            "--rate",
            "30",
            "--frames",
            "60",
        ],
    );
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        // The kernel keeps the highest that ever was.
        most = memory(&child, "VmHWM").unwrap_or(0).max(most);
        std::thread::sleep(Duration::from_millis(10));
    }
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(child.wait().unwrap().success(), "{log}");
    assert!((20_000_000..MOST).contains(&most), "{most} bytes");
}
