use super::super::{Camera, Capture};
use super::*;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

/// A folder of fake tools.
struct Tools(tempfile::TempDir);

impl Tools {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a shell script, which runs in the folder. Another process makes the executable file: while one of ours
    /// is open for writing, children that are started by other tests hold it, too, and it cannot be run.
    fn add(&self, name: &str, script: &str) {
        let source = self.path().join("source");
        let script = format!("#!/bin/sh\ncd '{}'\n{script}\n", self.path().display());
        fs::write(&source, script).unwrap();
        let target = self.path().join(name);
        let copied = Command::new("install").args(["-m", "755"]).args([&source, &target]).status();
        assert!(copied.unwrap().success());
    }

    fn open(&self, options: &CameraOptions) -> Result<Stream, CameraError> {
        open(3, options, self.path().as_os_str())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }
}

fn size(width: u32, height: u32) -> CameraOptions {
    CameraOptions { size: Some(ImageSize { width, height }), ..CameraOptions::default() }
}

/// A grey frame of 480x270 as `rpicam-vid` writes it: rows of 512 bytes, the padding bright green.
fn padded_frame(luma: u8) -> Vec<u8> {
    let plane = |width: usize, row_bytes: usize, rows: usize, value: u8, padding: u8| {
        let row: Vec<u8> =
            (0..row_bytes).map(|x| if x < width { value } else { padding }).collect();
        row.repeat(rows)
    };
    let chroma = plane(240, 256, 135, 128, 0);
    [plane(480, 512, 270, luma, 255), chroma.clone(), chroma].concat()
}

fn grey(camera: &mut dyn Camera) -> u8 {
    let Capture::Picture(picture) = camera.capture(LONG).unwrap() else { panic!("no picture") };
    let first = *picture.get_pixel(0, 0);
    assert_eq!(picture.dimensions(), (480, 270));
    assert!(picture.pixels().all(|pixel| *pixel == first), "padding is seen");
    first.0[0]
}

#[test]
fn reads_padded_rows_of_rpicam_vid() {
    let tools = Tools::new();
    fs::write(tools.path().join("frame"), padded_frame(126)).unwrap();
    tools.add("rpicam-vid", "echo \"$@\" > arguments; cat frame; exec sleep 100");
    let options = CameraOptions { rate: Some(12.5), ..size(480, 270) };
    let mut camera = tools.open(&options).unwrap();
    // (126 - 16) * 255 / 219 = 128.1
    assert_eq!(grey(&mut camera), 128);
    assert_eq!(
        tools.read("arguments").trim(),
        "-t 0 -n --camera 3 --codec yuv420 --width 480 --height 270 --framerate 12.5 --flush -o -"
    );
    let description = camera.description();
    assert_eq!(description, "csi://3: rpicam-vid asked for 12.5 pictures/s, 480x270 yuv420");
    let start = Instant::now();
    assert!(matches!(camera.capture(Duration::from_millis(100)), Ok(Capture::Nothing)), "frozen");
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[test]
fn runs_a_jetsons_pipeline() {
    let tools = Tools::new();
    let frame = [vec![235; 64 * 32], vec![128; 64 * 32 / 2]].concat();
    fs::write(tools.path().join("frame"), frame).unwrap();
    tools.add("gst-launch-1.0", "printf '%s\\n' \"$@\" > arguments; cat frame; exec sleep 100");
    let mut camera = tools.open(&size(64, 32)).unwrap();
    let Capture::Picture(picture) = camera.capture(LONG).unwrap() else { panic!("no picture") };
    assert!(picture.pixels().all(|pixel| pixel.0 == [255; 3]));
    let expected = "-q nvarguscamerasrc sensor-id=3 ! \
                    video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1 ! nvvidconv ! \
                    video/x-raw,format=I420,width=64,height=32 ! fdsink fd=1";
    assert_eq!(tools.read("arguments").split_whitespace().collect::<Vec<_>>().join(" "), expected);
    assert!(camera.description().contains("gst-launch-1.0"));
}

#[test]
fn takes_the_best_tool_or_says_what_to_install() {
    let tools = Tools::new();
    let error = tools.open(&size(64, 32)).unwrap_err().to_string();
    assert!(
        error.starts_with("csi://3: none of rpicam-vid, libcamera-vid, gst-launch-1.0"),
        "{error}"
    );
    assert!(error.contains("rpicam-apps"), "{error}");
    // Not executable: not a program.
    fs::write(tools.path().join("rpicam-vid"), "").unwrap();
    assert!(find(tools.path().as_os_str()).is_none());
    tools.add("gst-launch-1.0", "");
    assert_eq!(find(tools.path().as_os_str()).unwrap().0, Tool::Argus);
    tools.add("libcamera-vid", "");
    assert_eq!(find(tools.path().as_os_str()).unwrap().0, Tool::Libcamera);
    tools.add("rpicam-vid", "");
    assert_eq!(find(tools.path().as_os_str()).unwrap().0, Tool::Rpicam);
}

#[test]
fn a_tool_that_dies_is_told_of_with_its_last_words() {
    let tools = Tools::new();
    fs::write(tools.path().join("frame"), padded_frame(100)).unwrap();
    let script = "echo INFO: started >&2; cat frame; sleep 0.1; cat frame; echo 'ERROR: *** no cameras available ***' >&2; exit 255";
    tools.add("rpicam-vid", script);
    let mut camera = tools.open(&size(480, 270)).unwrap();
    grey(&mut camera);
    let error = loop {
        match camera.capture(LONG) {
            Ok(Capture::Picture(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(
        error,
        "csi://3: the camera is gone: it ended with exit code 255; its last words: ERROR: *** no cameras available ***"
    );
    assert!(camera.capture(LONG).is_err(), "it stays gone");
}

#[test]
fn half_a_frame_is_no_frame() {
    let tools = Tools::new();
    fs::write(tools.path().join("frame"), padded_frame(100)).unwrap();
    tools.add("rpicam-vid", "head -c 100000 frame");
    let mut camera = tools.open(&size(480, 270)).unwrap();
    let error = camera.capture(LONG).unwrap_err().to_string();
    assert!(error.contains("it ended within a frame, 100000 bytes after its start"), "{error}");
    // Even in good order, a camera does not end.
    tools.add("rpicam-vid", "cat frame");
    let mut camera = tools.open(&size(480, 270)).unwrap();
    grey(&mut camera);
    let error = camera.capture(LONG).unwrap_err().to_string();
    assert!(error.contains("it closed its output"), "{error}");
}

#[test]
fn sizes_that_a_tool_cannot_give_are_refused() {
    let tools = Tools::new();
    tools.add("rpicam-vid", "");
    let error = tools.open(&size(641, 480)).unwrap_err().to_string();
    assert_eq!(
        error,
        "csi://3: the size 641x480 cannot be had here; give an even width and height"
    );
    assert!(Tool::Argus.layout(ImageSize { width: 644, height: 480 }).is_err());
}

#[test]
fn asks_a_jetson_for_a_mode_that_covers_the_picture() {
    let of = |width, height| sensor_size(ImageSize { width, height });
    assert_eq!(of(640, 480), ImageSize { width: 1280, height: 720 });
    assert_eq!(of(1280, 960), ImageSize { width: 1920, height: 1080 });
    assert_eq!(of(4000, 3000), ImageSize { width: 4000, height: 3000 });
    assert_eq!((fraction(30.0), fraction(29.97)), ((30, 1), (29_970, 1000)));
}
