//! What `run` can be told, on the command line and in a file by the same names.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use serde::Deserialize;

use crate::camera::{Flip, RawFormat, Rotation};
use crate::control::DisplayMode;
use crate::engine::Precision;
use crate::processors::Processors;
use crate::{small_file, toml_text};

/// Every option of `run`. What is not given on the command line is taken from the file, if there is one.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(in crate::cli) struct Options {
    /// Where pictures come from: /dev/video0, csi://0, a picture, a folder, a .mjpg file, pipe:COMMAND, - or test://bars.
    #[arg(value_name = "INPUT")]
    pub(in crate::cli) input: Option<String>,
    /// Where screens go, several at once: spi://..., i2c://..., drm:, fb:/dev/fb0, board://NAME, file://DIR/%06d.png,
    /// http://127.0.0.1:8080, window:, null: [default: null:].
    #[arg(value_name = "OUTPUT")]
    pub(in crate::cli) outputs: Vec<String>,
    /// The explained model, an .onnx file.
    #[arg(long, value_name = "MODEL.onnx")]
    pub(in crate::cli) model: Option<PathBuf>,
    /// Where results go as data; may be given again: jsonl:-, jsonl:FILE, udp://HOST:PORT, mqtt://HOST/TOPIC.
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) publish: Vec<String>,

    /// The camera's width in pixels.
    #[arg(long, value_name = "PIXELS", requires = "height", help_heading = "Camera")]
    pub(in crate::cli) width: Option<u32>,
    /// The camera's height in pixels.
    #[arg(long, value_name = "PIXELS", requires = "width", help_heading = "Camera")]
    pub(in crate::cli) height: Option<u32>,
    /// Pictures a second that the camera gives; also paces files.
    #[arg(long, value_name = "FPS", help_heading = "Camera")]
    pub(in crate::cli) rate: Option<f32>,
    /// Mirrors the picture: horizontal, vertical or both.
    #[arg(long, help_heading = "Camera")]
    #[serde(deserialize_with = "parsed")]
    pub(in crate::cli) flip: Option<Flip>,
    /// Turns the picture clockwise: 90, 180 or 270.
    #[arg(long, value_name = "DEGREES", help_heading = "Camera")]
    #[serde(deserialize_with = "parsed")]
    pub(in crate::cli) rotate: Option<Rotation>,
    /// Begins again after the last picture of a file or folder.
    #[arg(long = "loop", help_heading = "Camera")]
    #[serde(rename = "loop")]
    pub(in crate::cli) repeat: bool,
    /// What a pipe carries, if not MJPEG: FORMAT:WIDTHxHEIGHT with a format of rgb24, yuyv, uyvy, nv12, yuv420.
    #[arg(long, value_name = "FORMAT", help_heading = "Camera")]
    #[serde(deserialize_with = "parsed")]
    pub(in crate::cli) raw: Option<RawFormat>,

    /// How many of the most probable classes are listed [default: 5].
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..=100), help_heading = "Explanation")]
    pub(in crate::cli) top_k: Option<u16>,
    /// The confidence, 0 to 1, from which on a class is named [default: 0].
    #[arg(long, value_name = "SHARE", help_heading = "Explanation")]
    pub(in crate::cli) threshold: Option<f32>,
    /// The confidence below which a named class is named no more [default: 0.8 of --threshold].
    #[arg(long, value_name = "SHARE", help_heading = "Explanation")]
    pub(in crate::cli) leave_threshold: Option<f32>,
    /// Averages confidences and maps over frames: the share of the past, 0 to 0.99 [default: 0].
    #[arg(long, value_name = "SHARE", help_heading = "Explanation")]
    pub(in crate::cli) smooth: Option<f32>,
    /// The class to explain in place of the predicted one, by name or number.
    #[arg(long, value_name = "NAME|INDEX", help_heading = "Explanation")]
    #[serde(deserialize_with = "parsed")]
    pub(in crate::cli) class: Option<String>,
    /// How the explanation is shown: heat, contour, side-by-side or off [default: heat].
    #[arg(long, help_heading = "Explanation")]
    #[serde(deserialize_with = "parsed")]
    pub(in crate::cli) mode: Option<DisplayMode>,

    /// Threads to run the network on [default: all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Running")]
    pub(in crate::cli) threads: Option<u16>,
    /// The numbers that the network computes in: auto, float or int8; auto is int8 for a quantised file on a processor
    /// that has kernels for it [default: auto].
    #[arg(long, value_name = "NAME", help_heading = "Running")]
    #[serde(deserialize_with = "parsed")]
    pub(in crate::cli) precision: Option<Precision>,
    /// Keeps the network on these processors, such as 2-3.
    #[arg(long, value_name = "LIST", help_heading = "Running")]
    #[serde(deserialize_with = "parsed")]
    pub(in crate::cli) processors: Option<Processors>,
    /// The most pictures a second that are taken, to spare power.
    #[arg(long, value_name = "FPS", help_heading = "Running")]
    pub(in crate::cli) max_fps: Option<f32>,
    /// Ends after so many pictures, and tells how long each stage took.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Running")]
    pub(in crate::cli) frames: Option<u64>,
    /// Takes the next picture only when the last went through the network and to all displays.
    #[arg(long, help_heading = "Running")]
    pub(in crate::cli) lockstep: bool,
    /// A folder for the last good model [default: $STATE_DIRECTORY, or lcam-device in the user's state folder].
    #[arg(long, value_name = "DIR", help_heading = "Running")]
    pub(in crate::cli) state: Option<PathBuf>,
    /// The memory, in MB, within which a new model must load and run to be taken [default: 1024].
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(16..), help_heading = "Running")]
    pub(in crate::cli) model_memory_mb: Option<u64>,

    /// Keeps events and snapshots, screens and data, in this folder.
    #[arg(long, value_name = "DIR", help_heading = "Events")]
    pub(in crate::cli) record: Option<PathBuf>,
    /// The most that the folder may hold, in MB [default: 1000].
    #[arg(long, value_name = "MB", help_heading = "Events")]
    pub(in crate::cli) record_max_mb: Option<u64>,
    /// The room that is left free on the disk, in MB [default: 200].
    #[arg(long, value_name = "MB", help_heading = "Events")]
    pub(in crate::cli) record_min_free_mb: Option<u64>,
    /// Records when a class of this name is named; may be given again [default: any class].
    #[arg(long, value_name = "NAME", help_heading = "Events")]
    pub(in crate::cli) record_class: Vec<String>,
    /// The least confidence of what is recorded [default: 0].
    #[arg(long, value_name = "SHARE", help_heading = "Events")]
    pub(in crate::cli) record_confidence: Option<f32>,
    /// The least time between two events, in seconds [default: 10].
    #[arg(long, value_name = "SECONDS", help_heading = "Events")]
    pub(in crate::cli) record_cooldown: Option<f32>,
}

/// Reads a value by its text form, as the command line does.
fn parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value {
        Text(String),
        Number(i64),
    }
    let text = match Value::deserialize(deserializer)? {
        Value::Text(text) => text,
        Value::Number(number) => number.to_string(),
    };
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

impl Options {
    /// Reads a TOML file whose keys are the long options without their dashes, `input` and `outputs`.
    pub(in crate::cli) fn read(path: &Path) -> Result<Self> {
        let text =
            small_file::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml_text::parse(&text).map_err(|problem| anyhow!("{}, {problem}", path.display()))
    }

    /// Takes from `file` what is not given here.
    pub(in crate::cli) fn or(self, file: Self) -> Self {
        let list = |here: Vec<String>, there| if here.is_empty() { there } else { here };
        // Width and height are one thing.
        let (width, height) = match (self.width, self.height) {
            (None, None) => (file.width, file.height),
            size => size,
        };
        Self {
            input: self.input.or(file.input),
            outputs: list(self.outputs, file.outputs),
            model: self.model.or(file.model),
            publish: list(self.publish, file.publish),
            width,
            height,
            rate: self.rate.or(file.rate),
            flip: self.flip.or(file.flip),
            rotate: self.rotate.or(file.rotate),
            repeat: self.repeat || file.repeat,
            raw: self.raw.or(file.raw),
            top_k: self.top_k.or(file.top_k),
            threshold: self.threshold.or(file.threshold),
            leave_threshold: self.leave_threshold.or(file.leave_threshold),
            smooth: self.smooth.or(file.smooth),
            class: self.class.or(file.class),
            mode: self.mode.or(file.mode),
            threads: self.threads.or(file.threads),
            precision: self.precision.or(file.precision),
            processors: self.processors.or(file.processors),
            max_fps: self.max_fps.or(file.max_fps),
            frames: self.frames.or(file.frames),
            lockstep: self.lockstep || file.lockstep,
            state: self.state.or(file.state),
            model_memory_mb: self.model_memory_mb.or(file.model_memory_mb),
            record: self.record.or(file.record),
            record_max_mb: self.record_max_mb.or(file.record_max_mb),
            record_min_free_mb: self.record_min_free_mb.or(file.record_min_free_mb),
            record_class: list(self.record_class, file.record_class),
            record_confidence: self.record_confidence.or(file.record_confidence),
            record_cooldown: self.record_cooldown.or(file.record_cooldown),
        }
    }

    /// Checks what the command line would have refused, and what depends on other options.
    pub(in crate::cli) fn check(&self) -> Result<()> {
        for (name, value, range) in [
            ("threshold", self.threshold, 0.0..=1.0),
            ("leave-threshold", self.leave_threshold, 0.0..=self.threshold.unwrap_or(1.0)),
            ("smooth", self.smooth, 0.0..=0.99),
            ("max-fps", self.max_fps, 0.001..=10_000.0),
            ("record-confidence", self.record_confidence, 0.0..=1.0),
            ("record-cooldown", self.record_cooldown, 0.0..=1e6),
        ] {
            let Some(value) = value else { continue };
            let (low, high) = (range.start(), range.end());
            ensure!(range.contains(&value), "{name} is {value}; give {low} to {high}");
        }
        const MEGABYTES: u64 = u64::MAX / 1_000_000;
        for (name, value, range) in [
            ("top-k", self.top_k.map(u64::from), 1..=100),
            ("threads", self.threads.map(u64::from), 1..=256),
            ("frames", self.frames, 1..=u64::MAX),
            ("model-memory-mb", self.model_memory_mb, 16..=MEGABYTES),
            ("record-max-mb", self.record_max_mb, 1..=MEGABYTES),
            ("record-min-free-mb", self.record_min_free_mb, 0..=MEGABYTES),
        ] {
            let Some(value) = value else { continue };
            let (low, high) = (range.start(), range.end());
            let to = if *high < MEGABYTES { format!("to {high}") } else { "or more".to_owned() };
            ensure!(range.contains(&value), "{name} is {value}; give {low} {to}");
        }
        if let Some(processors) = &self.processors {
            processors.check().map_err(|problem| anyhow!("processors: {problem}"))?;
        }
        ensure!(
            self.threshold.is_some() || self.leave_threshold.is_none(),
            "threshold is missing; leave-threshold goes with it"
        );
        ensure!(
            self.width.is_some() == self.height.is_some(),
            "width and height come together; give both or none"
        );
        let recording = self.record_max_mb.is_some()
            || self.record_min_free_mb.is_some()
            || !self.record_class.is_empty()
            || self.record_confidence.is_some()
            || self.record_cooldown.is_some();
        ensure!(
            self.record.is_some() || !recording,
            "record is missing; name the folder for events"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(text: &str) -> Result<Options> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.toml");
        fs::write(&path, text).unwrap();
        let options = Options::read(&path)?;
        options.check()?;
        Ok(options)
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let file = read("input = '/dev/video0'\noutputs = ['drm:']\nrotate = 90\nmode = 'contour'\nsmooth = 0.5\nloop = true").unwrap();
        let line = Options { input: Some("-".to_owned()), smooth: Some(0.1), ..Options::default() };
        let both = line.or(file);
        assert_eq!(both.input.as_deref(), Some("-"));
        assert_eq!(both.outputs, ["drm:"]);
        assert_eq!(
            (both.smooth, both.mode, both.repeat),
            (Some(0.1), Some(DisplayMode::Contour), true)
        );
        assert!(both.rotate.is_some());
    }

    #[test]
    fn each_mistake_in_a_file_is_one_line_that_says_where() {
        for (text, expected) in [
            ("input = 1", "line 1: invalid type"),
            ("input = '-'\ninptu = 2", "line 2: unknown field `inptu`"),
            ("\n\nmode = 'glow'", "line 3: \"glow\" is no display mode"),
            ("threshold = 2.0", "threshold is 2; give 0 to 1"),
            ("threshold = 0.5\nleave-threshold = 0.6", "leave-threshold is 0.6; give 0 to 0.5"),
            ("threads = 0", "threads is 0"),
            ("precision = 'fp16'", "line 1: \"fp16\" is no precision; give auto, float, int8"),
            ("leave-threshold = 0.5", "threshold is missing"),
            ("processors = 1023", "processors: this machine has no processor 1023"),
            ("frames = 0", "frames is 0; give 1 or more"),
            ("top-k = 2.5", "line 1: invalid type: floating point `2.5`, expected a whole number"),
            ("width = 3", "width and height come together"),
            ("record-max-mb = 3", "record is missing"),
            ("smooth = nan", "smooth is NaN"),
            ("input = '", "line 1"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(expected) && !error.contains('\n'), "{text:?}: {error}");
        }
        assert!(Options::read(Path::new("/nowhere/device.toml")).is_err());
    }
}
