//! `lcam-device bench`.

mod measure;
mod memory;
mod operators;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::Running;
use super::console::{Console, one_line};
use super::drawing::ScreenSize;
use super::runtime::{Runtime, megabytes};
use crate::timing::Quantiles;
use measure::{Measured, Stage, measure};
use operators::OperatorTime;

/// Measures how long each stage of a frame takes, and what the explanation costs.
///
/// The same file runs twice over: as it is, and reduced to what the logits need. The two take turns, so
/// that a machine that grows warm or busy slows both.
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// The explained model, an .onnx file.
    model: PathBuf,
    /// How many frames of each are measured, after five that are not.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    frames: u32,
    /// Runs one of the two alone, to count its instructions or its memory.
    #[arg(long, value_enum)]
    only: Option<Form>,
    /// Runs the network alone, or all that is done for a frame.
    #[arg(long, value_enum, default_value = "all")]
    stages: Stages,
    /// The size of the camera's pictures, which come as YUYV [default: 640x480].
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    camera: Option<ScreenSize>,
    /// The size of the display that is drawn for, in pixels; at 320x240 and 240x320 it is an ILI9341 without its bus
    /// [default: 320x240].
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    size: Option<ScreenSize>,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

/// The usual size of a camera's pictures.
const CAMERA_SIZE: ScreenSize = ScreenSize::new(640, 480);
/// The usual size of a small display.
const SCREEN_SIZE: ScreenSize = ScreenSize::new(320, 240);

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Form {
    /// Class and explanation, as the device computes them.
    Explained,
    /// What the class alone needs.
    Classifier,
}

/// How much of a frame's way is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Stages {
    /// The network's pass on a prepared picture.
    Infer,
    /// The pass with the time of each of its operators, of the explained model alone.
    Operators,
    /// From a camera's picture to a drawn screen.
    All,
}

#[derive(Debug, Serialize)]
struct Report {
    file: String,
    bytes: u64,
    /// From the file to a network that is ready to run.
    load_ms: f64,
    frames: u32,
    stages: Stages,
    /// What ran -> stage -> milliseconds a frame.
    times_ms: BTreeMap<Form, BTreeMap<Stage, Quantiles>>,
    /// Those of `--stages operators`, in the order of the pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    operators: Vec<OperatorTime>,
    /// What the explanation adds to the classifier's pass, in percent of the medians.
    explanation_percent: Option<f64>,
    /// What everything beside the network takes for an explained frame, in percent of the medians of its pass.
    beside_percent: Option<f64>,
    /// The most memory that the process has held.
    peak_memory_bytes: Option<u64>,
    runtime: Runtime,
}

impl Bench {
    pub(super) fn run(&self, console: &mut Console) -> Result<()> {
        let report = self.report()?;
        if self.json {
            return console.print(&serde_json::to_string(&report)?);
        }
        let lines = report.lines();
        let text = lines
            .iter()
            .map(|(name, value)| format!("{name:<16}{}", one_line(value)).trim_end().to_owned());
        console.print(&text.collect::<Vec<_>>().join("\n"))
    }

    fn report(&self) -> Result<Report> {
        if self.stages == Stages::Operators && self.only == Some(Form::Classifier) {
            bail!("--stages operators is of the explained model; leave out --only classifier");
        }
        if self.stages != Stages::All && (self.camera.is_some() || self.size.is_some()) {
            bail!("--camera and --size are of --stages all; leave them out");
        }
        let bytes = std::fs::metadata(&self.model)
            .with_context(|| format!("cannot read {}", self.model.display()))?
            .len();
        let Measured { load_ms, times_ms, operators, runtime } = measure(self)?;
        let infer = |form: Form| Some(times_ms.get(&form)?.get(&Stage::Infer)?.p50);
        let explanation_percent = infer(Form::Explained)
            .zip(infer(Form::Classifier))
            .map(|(explained, classifier)| (explained / classifier - 1.0) * 100.0);
        let beside_percent = times_ms.get(&Form::Explained).and_then(|times| {
            let time = |stage| times.get(&stage).map(|quantiles| quantiles.p50);
            let pass = time(Stage::Infer)?;
            Some((time(Stage::Frame)? - pass) / pass * 100.0)
        });
        Ok(Report {
            file: self.model.display().to_string(),
            bytes,
            load_ms,
            frames: self.frames,
            stages: self.stages,
            times_ms,
            operators,
            explanation_percent,
            beside_percent,
            peak_memory_bytes: memory::peak(),
            runtime,
        })
    }
}

impl Report {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let size = format!("{}, {:.1} MB", self.file, megabytes(self.bytes));
        let mut lines = vec![("file", size), ("load", format!("{:.0} ms", self.load_ms))];
        lines.extend(self.runtime.lines());
        lines.push((
            "frames",
            format!("{}: median and 95th percentile in milliseconds", self.frames),
        ));
        for (form, stages) in &self.times_ms {
            let name = match form {
                Form::Explained => "explained",
                Form::Classifier => "classifier alone",
            };
            lines.push((name, String::new()));
            for (stage, Quantiles { p50, p95 }) in stages {
                lines.push((stage.name(), format!("{p50:10.2} {p95:10.2}")));
            }
        }
        lines.extend(self.operators.iter().map(|operator| ("", operator.line())));
        if let Some(percent) = self.explanation_percent {
            lines.push(("explanation", format!("{percent:+.2} % of the classifier's pass")));
        }
        if let Some(percent) = self.beside_percent {
            lines.push(("all the rest", format!("{percent:.1} % of the explained pass")));
        }
        if let Some(bytes) = self.peak_memory_bytes {
            let of = if self.times_ms.len() > 1 { ", of both networks together" } else { "" };
            lines.push(("peak memory", format!("{:.0} MB{of}", megabytes(bytes))));
        }
        lines
    }
}
