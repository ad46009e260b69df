//! The window, on a desktop without a screen: what is shown, and what keys do.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use lcam_device::tiny_model::tiny_model;
use lcam_models::onnx::write_model;

/// The desktop's size, in whose middle the window appears.
const DESKTOP: (u32, u32) = (800, 600);
const WINDOW: (u32, u32) = (320, 240);
const PATIENCE: Duration = Duration::from_secs(30);

/// An X server that draws into a file. It ends with the test.
struct Desktop {
    server: Child,
    display: String,
    folder: tempfile::TempDir,
}

impl Desktop {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-nolisten", "tcp", "-screen", "0"])
            .arg(format!("{}x{}x24", DESKTOP.0, DESKTOP.1))
            .arg("-fbdir")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is missing; tests/setup.sh installs it");
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Self { server, display: format!(":{}", number.trim()), folder }
    }

    /// Reads what the middle of the desktop shows: X11's window dump, XWDFile.h.
    fn middle(&self) -> RgbImage {
        let bytes = fs::read(self.folder.path().join("Xvfb_screen0")).unwrap();
        let word = |index: usize| {
            let bytes: [u8; 4] = bytes[index * 4..][..4].try_into().unwrap();
            u32::from_be_bytes(bytes) as usize
        };
        let (header, row_bytes, colors) = (word(0), word(12), word(19));
        assert_eq!((word(1), word(7), word(11)), (7, 0, 32), "version, byte order, bits a pixel");
        let (left, top) = ((DESKTOP.0 - WINDOW.0) / 2, (DESKTOP.1 - WINDOW.1) / 2);
        RgbImage::from_fn(WINDOW.0, WINDOW.1, |x, y| {
            let place = (top + y) as usize * row_bytes + (left + x) as usize * 4;
            // Each entry of the colour table has 12 bytes.
            let pixel = &bytes[header + colors * 12 + place..];
            Rgb([pixel[2], pixel[1], pixel[0]])
        })
    }

    /// Presses a key over the window.
    fn press(&self, key: &str) {
        let (x, y) = (DESKTOP.0 / 2, DESKTOP.1 / 2);
        let status = Command::new("xdotool")
            .env("DISPLAY", &self.display)
            .args(["mousemove", &x.to_string(), &y.to_string(), "key", key])
            .status()
            .expect("xdotool is missing; tests/setup.sh installs it");
        assert!(status.success());
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Starts the program on a red picture, with a window and a file that shows the same.
fn start(folder: &Path, display: &str) -> Child {
    write_model(&folder.join("tiny.onnx"), &tiny_model()).unwrap();
    RgbImage::from_pixel(64, 48, Rgb([250, 20, 20])).save(folder.join("red.png")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_lcam-device"))
        .current_dir(folder)
        .env("DISPLAY", display)
        .args(["run", "red.png", "window:320x240", "file://last.png?size=320x240"])
        .args(["--model", "tiny.onnx", "--state", "state", "--loop", "--rate", "10"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_window_shows_the_screen_and_obeys_keys() {
    let desktop = Desktop::start();
    let folder = tempfile::tempdir().unwrap();
    let mut program = start(folder.path(), &desktop.display);
    let file: PathBuf = folder.path().join("last.png");
    let drawn = || image::open(&file).map(|picture| picture.into_rgb8()).ok();
    // Until then both may say that the program starts.
    until("the screen", || {
        let is_explained = |screen: &RgbImage| screen.pixels().any(|pixel| pixel.0[0] > 200);
        drawn().is_some_and(|drawn| is_explained(&drawn) && drawn == desktop.middle())
    });
    let heat = desktop.middle();
    let colors: HashSet<[u8; 3]> = heat.pixels().map(|pixel| pixel.0).collect();
    assert!(colors.len() > 20, "{colors:?} are not a heat map and a caption");
    desktop.press("m");
    until("the contour", || {
        drawn().is_some_and(|drawn| drawn != heat && drawn == desktop.middle())
    });
    desktop.press("q");
    until("the end", || program.try_wait().unwrap().is_some());
    assert!(program.wait().unwrap().success());
}

#[test]
fn without_a_desktop_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    write_model(&folder.path().join("tiny.onnx"), &tiny_model()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lcam-device"))
        .current_dir(folder.path())
        .env_remove("DISPLAY")
        .args(["run", "test://bars", "window:", "--model", "tiny.onnx", "--state", "state"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("window:640x480: no window can be opened"), "{said}");
    assert!(said.contains("is there a desktop") && said.lines().count() == 1, "{said}");
}
