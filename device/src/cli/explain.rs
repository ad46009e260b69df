//! `lcam-device explain`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use image::ImageFormat;
use lcam_models::atomic_file;
use lcam_models::class::ClassIndex;
use lcam_models::map::GridSize;
use lcam_models::npy;
use lcam_models::picture::read_picture;
use lcam_models::preprocess::ImageSize;
use serde::Serialize;

use super::Running;
use super::console::{self, Console, one_line};
use super::drawing::{ScreenSize, draw};
use super::outputs::Outputs;
use crate::engine::Engine;
use crate::isolate;
use crate::observation::ClassConfidence;

/// Names pictures and draws where the evidence lies.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The explained model, an .onnx file.
    model: PathBuf,
    /// The pictures: JPEG, PNG, WebP, GIF or BMP.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A folder for the results, or for one picture a .png file.
    #[arg(long, value_name = "DIR|FILE.png", default_value = "explained")]
    output: PathBuf,
    /// How many of the most probable classes to list.
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = top_k)]
    top_k: usize,
    /// A class to explain in place of the predicted one, by name or number; may be repeated.
    #[arg(long = "class", value_name = "NAME|INDEX")]
    classes: Vec<String>,
    /// Also writes the explanation map, 0 to 1 and as large as the network's input, as a NumPy array.
    #[arg(long, value_name = "FILE.npy")]
    map: Option<PathBuf>,
    /// Prints one JSON object a picture instead of text.
    #[arg(long)]
    json: bool,
    /// The size of the result in pixels.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x720")]
    size: ScreenSize,
    #[command(flatten)]
    running: Running,
}

/// The most explanations on one screen.
const MAX_CLASSES: usize = 12;

fn top_k(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&k| k > 0).ok_or_else(|| "give a number above 0".to_owned())
}

/// What is printed about one picture.
#[derive(Debug, Serialize)]
struct Report {
    image: String,
    output: String,
    top: Vec<ClassConfidence>,
    explained: Vec<ClassConfidence>,
    /// The numbers that the network computed in: float or int8.
    precision: &'static str,
    /// How long the network's pass took.
    pass_ms: f64,
}

impl Explain {
    pub(super) fn run(&self, console: &mut Console) -> Result<()> {
        self.check_outputs()?;
        let mut engine = Engine::load(&self.model, self.running.execution())?;
        let classes = self.find_classes(&engine)?;
        let inputs: Vec<&Path> =
            self.images.iter().chain([&self.model]).map(PathBuf::as_path).collect();
        let mut outputs = Outputs::new(&self.output, &inputs, self.images.len())?;
        if let Some(map) = &self.map {
            outputs.claim(map)?;
        }
        let mut failed = 0;
        for image in &self.images {
            match self.explain(image, &mut engine, &classes, &mut outputs) {
                Ok(report) => console.print(&self.format(&report)?)?,
                Err(error) if self.images.len() == 1 => return Err(error),
                Err(error) => {
                    console::report(&error);
                    failed += 1;
                }
            }
        }
        ensure!(failed == 0, "{failed} of {} pictures were not explained", self.images.len());
        Ok(())
    }

    /// Refuses outputs whose names promise another kind of file.
    fn check_outputs(&self) -> Result<()> {
        ensure!(
            self.map.is_none() || self.images.len() == 1,
            "--map takes one picture, and {} were given",
            self.images.len()
        );
        if let Some(map) = &self.map {
            let is_array = map.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npy"));
            ensure!(is_array, "--map {}: a map is a NumPy array; give a .npy file", map.display());
        }
        let is_picture = ImageFormat::from_path(&self.output)
            .is_ok_and(|format| format != ImageFormat::Png && !self.output.is_dir());
        ensure!(
            !is_picture,
            "--output {}: results are PNG files; give a .png file or a folder",
            self.output.display()
        );
        Ok(())
    }

    fn find_classes(&self, engine: &Engine) -> Result<Vec<ClassIndex>> {
        ensure!(
            self.classes.len() <= MAX_CLASSES,
            "--class was given {} times; {MAX_CLASSES} fit on a screen",
            self.classes.len()
        );
        let labels = &engine.metadata().labels;
        let find = |name: &String| labels.find(name).with_context(|| format!("--class {name:?}"));
        let classes: Vec<ClassIndex> = self.classes.iter().map(find).collect::<Result<_>>()?;
        for (place, class) in classes.iter().enumerate() {
            ensure!(
                !classes[..place].contains(class),
                "--class {:?} is given twice, as {:?}",
                self.classes[place],
                labels.label(*class)
            );
        }
        Ok(classes)
    }

    /// Reads, explains, draws and writes one picture. Nothing is written before all of it is computed.
    fn explain(
        &self,
        image: &Path,
        engine: &mut Engine,
        classes: &[ClassIndex],
        outputs: &mut Outputs,
    ) -> Result<Report> {
        let picture = isolate::catch(|| read_picture(image)).map_err(|panic| {
            anyhow!("cannot read {}: the decoder broke off ({panic})", image.display())
        })??;
        let name = || image.display().to_string();
        let start = Instant::now();
        let answer = engine.explain(&picture).with_context(name)?;
        let pass = start.elapsed();
        let classes = if classes.is_empty() { vec![answer.predicted()] } else { classes.to_vec() };
        let map_of = |&class: &ClassIndex| Ok(engine.class_map(&answer, class)?.min_max());
        let maps: Vec<_> = classes.iter().map(map_of).collect::<Result<_>>().with_context(name)?;
        let labels = &engine.metadata().labels;
        let ranking = answer.ranking(labels.len());
        let entry = |&class: &ClassIndex| ClassConfidence::new(labels, &ranking, class);
        let report = Report {
            image: name(),
            output: String::new(),
            top: ranking.iter().take(self.top_k).map(|r| entry(&r.class)).collect(),
            explained: classes.iter().map(entry).collect(),
            precision: engine.network().arithmetic().precision(),
            pass_ms: pass.as_secs_f64() * 1e3,
        };
        let png = draw(engine, &picture, &report.top, &report.explained, &maps, self.size)
            .to_png()
            .with_context(name)?;
        let output = outputs.path_for(image)?;
        if let (Some(path), Some(map)) = (&self.map, maps.first()) {
            let ImageSize { width, height } = engine.metadata().preprocess.input;
            let size = GridSize { height: height as usize, width: width as usize };
            let map = map.upsample(size);
            atomic_file::write(path, &npy::encode(map.size(), map.values()))?;
        }
        atomic_file::write(&output, &png)?;
        Ok(Report { output: output.display().to_string(), ..report })
    }

    fn format(&self, report: &Report) -> Result<String> {
        if self.json {
            return Ok(serde_json::to_string(report)?);
        }
        let (image, output) = (one_line(&report.image), one_line(&report.output));
        let mut lines = vec![format!("{image} -> {output} ({})", report.precision)];
        let line = |entry: &ClassConfidence| {
            format!("{:7.2} %  {}", entry.confidence * 100.0, one_line(&entry.label))
        };
        lines.extend(report.top.iter().map(line));
        if !self.classes.is_empty() {
            lines.extend(
                report.explained.iter().map(|entry| format!("{}  (explained)", line(entry))),
            );
        }
        Ok(lines.join("\n"))
    }
}
