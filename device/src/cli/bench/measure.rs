//! Frames through the network, and how long they take.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result};
use embedded_graphics::geometry::Size;
use image::RgbImage;
use lcam_models::class::ClassIndex;
use lcam_models::explained::{ExplainedModel, LOGITS};
use lcam_models::preprocess::{ImageSize, Preprocess};
use lcam_models::scores::{softmax, top_k};
use serde::Serialize;

use super::operators::{OperatorTime, Operators};
use super::{Bench, CAMERA_SIZE, Form, Runtime, SCREEN_SIZE, Stages};
use crate::camera::{PixelFormat, RawFormat};
use crate::cli::drawing::{ScreenSize, draw};
use crate::engine::{Engine, Network};
use crate::observation::ClassConfidence;
use crate::panel::{self, Panel};
use crate::timing::Quantiles;

/// Frames that are not counted: caches fill and clocks rise. Always as many, so that what two runs of different lengths
/// differ by is frames alone.
const WARM_UP: u32 = 5;

/// How many classes are ranked on the screen.
const RANKED: usize = 5;

/// A part of the work for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// A camera's YUYV to RGB.
    Convert,
    /// Resizing, cropping, normalising.
    Preprocess,
    /// The network's pass.
    Infer,
    /// Softmax, ranking, and the map's range.
    PostProcess,
    /// The screen in memory.
    Draw,
    /// The screen to a panel whose bus takes no time.
    Show,
    /// All of them.
    Frame,
}

impl Stage {
    /// Names it for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Convert => "  convert",
            Self::Preprocess => "  preprocess",
            Self::Infer => "  infer",
            Self::PostProcess => "  post-process",
            Self::Draw => "  draw",
            Self::Show => "  show",
            Self::Frame => "  frame",
        }
    }
}

/// What came out.
pub(super) struct Measured {
    pub(super) load_ms: f64,
    pub(super) times_ms: BTreeMap<Form, BTreeMap<Stage, Quantiles>>,
    pub(super) operators: Vec<OperatorTime>,
    pub(super) runtime: Runtime,
}

/// Loads the model and runs the frames.
pub(super) fn measure(bench: &Bench) -> Result<Measured> {
    let name = || bench.model.display().to_string();
    let execution = bench.running.execution();
    let start = Instant::now();
    let model = ExplainedModel::read(&bench.model)?;
    let preprocess = model.metadata().preprocess;
    let network = |proto| Network::new(proto, &[LOGITS], execution).with_context(name);
    let (load_ms, mut classifier, mut explained);
    let is_profile = bench.stages == Stages::Operators;
    if bench.only == Some(Form::Classifier) {
        classifier = Some(network(model.into_parts().0)?);
        explained = None;
        load_ms = milliseconds(start);
    } else {
        let copy = (bench.only.is_none() && !is_profile).then(|| model.proto().clone());
        explained = Some(Engine::new(model, execution).with_context(name)?);
        load_ms = milliseconds(start);
        classifier = copy.map(network).transpose()?;
    }
    let mut way = Way::new(bench, preprocess)?;
    let mut times: BTreeMap<(Form, Stage), Vec<f64>> = BTreeMap::new();
    for frame in 0..WARM_UP + bench.frames {
        let mut clock = Clock { last: Instant::now(), stages: Vec::new() };
        if let Some(network) = &mut classifier {
            let (_, prepared) = way.begin(frame, &mut clock)?;
            classify(network, &prepared, bench.stages, &mut clock).with_context(name)?;
            clock.finish(Form::Classifier, frame, &mut times);
        }
        if let Some(engine) = &mut explained {
            way.explain(engine, frame, &mut clock).with_context(name)?;
            clock.finish(Form::Explained, frame, &mut times);
        }
    }
    let operators = way.operators.times();
    let runtime = explained.as_ref().map(Engine::network).or(classifier.as_ref()).map(Runtime::new);
    let mut times_ms: BTreeMap<Form, BTreeMap<Stage, Quantiles>> = BTreeMap::new();
    for ((form, stage), values) in times {
        let quantiles = Quantiles::of(values).context("no frame was measured")?;
        times_ms.entry(form).or_default().insert(stage, quantiles);
    }
    Ok(Measured { load_ms, times_ms, operators, runtime: runtime.context("nothing ran")? })
}

/// What frames come from and go to.
struct Way {
    stages: Stages,
    preprocess: Preprocess,
    format: RawFormat,
    /// Two frames of the camera that differ everywhere.
    raw: [Vec<u8>; 2],
    /// A frame that was prepared before.
    prepared: Vec<f32>,
    screen: ScreenSize,
    panel: Option<Box<dyn Panel>>,
    operators: Operators,
}

impl Way {
    fn new(bench: &Bench, preprocess: Preprocess) -> Result<Self> {
        let Size { width, height } = bench.camera.unwrap_or(CAMERA_SIZE).size();
        let size = ImageSize { width, height };
        let format = RawFormat { pixels: PixelFormat::Yuyv, size, row_bytes: None };
        // An odd width has one more column.
        let bytes = 2 * width.next_multiple_of(2) as usize * height as usize;
        let raw = [noise(bytes, 0), noise(bytes, 1)];
        let picture = format.to_rgb(&raw[0]).context("the camera's size cannot be")?;
        let screen = bench.size.unwrap_or(SCREEN_SIZE);
        Ok(Self {
            stages: bench.stages,
            preprocess,
            format,
            raw,
            prepared: preprocess.prepare(&picture),
            screen,
            panel: panel::open_unwired(screen.size()),
            operators: Operators::default(),
        })
    }

    /// Gives a frame as picture and prepared: made now, or only prepared and before.
    fn begin(&self, frame: u32, clock: &mut Clock) -> Result<(Option<RgbImage>, Vec<f32>)> {
        if self.stages != Stages::All {
            let copy = self.prepared.clone();
            clock.restart();
            return Ok((None, copy));
        }
        let raw = &self.raw[frame as usize % 2];
        clock.restart();
        let picture = self.format.to_rgb(raw).context("the camera's size cannot be")?;
        clock.lap(Stage::Convert);
        let prepared = self.preprocess.prepare(&picture);
        clock.lap(Stage::Preprocess);
        Ok((Some(picture), prepared))
    }

    fn explain(&mut self, engine: &mut Engine, frame: u32, clock: &mut Clock) -> Result<()> {
        let (picture, prepared) = self.begin(frame, clock)?;
        if self.stages == Stages::Operators {
            let laps = engine.profile(&prepared)?;
            clock.lap(Stage::Infer);
            if frame >= WARM_UP {
                self.operators.add(laps);
            }
            return Ok(());
        }
        let answer = engine.explain_prepared(&prepared)?;
        clock.lap(Stage::Infer);
        let Some(picture) = picture else { return Ok(()) };
        let map = engine.class_map(&answer, answer.predicted())?.min_max();
        let ranking = answer.ranking(RANKED);
        let labels = &engine.metadata().labels;
        let entry = |class: ClassIndex| ClassConfidence::new(labels, &ranking, class);
        let top: Vec<ClassConfidence> = ranking.iter().map(|ranked| entry(ranked.class)).collect();
        clock.lap(Stage::PostProcess);
        let best = &top[..1.min(top.len())];
        let screen = black_box(draw(engine, &picture, &top, best, &[map], self.screen));
        clock.lap(Stage::Draw);
        if let Some(panel) = &mut self.panel {
            panel.show(&screen)?;
            clock.lap(Stage::Show);
        }
        Ok(())
    }
}

fn classify(
    network: &mut Network,
    prepared: &[f32],
    stages: Stages,
    clock: &mut Clock,
) -> Result<()> {
    let outputs = network.run(prepared)?;
    clock.lap(Stage::Infer);
    if let (Stages::All, Some(logits)) = (stages, outputs.first()) {
        black_box((softmax(logits), top_k(logits, RANKED)));
        clock.lap(Stage::PostProcess);
    }
    Ok(())
}

/// Times the stages of one frame.
struct Clock {
    last: Instant,
    stages: Vec<(Stage, f64)>,
}

impl Clock {
    fn restart(&mut self) {
        self.last = Instant::now();
    }

    fn lap(&mut self, stage: Stage) {
        self.stages.push((stage, milliseconds(self.last)));
        self.restart();
    }

    /// Adds the stages, and their sum, to the times of all frames.
    fn finish(&mut self, form: Form, frame: u32, times: &mut BTreeMap<(Form, Stage), Vec<f64>>) {
        let sum = self.stages.iter().map(|(_, time)| time).sum();
        if self.stages.len() > 1 {
            self.stages.push((Stage::Frame, sum));
        }
        for (stage, time) in self.stages.drain(..) {
            if frame >= WARM_UP {
                times.entry((form, stage)).or_default().push(time);
            }
        }
    }
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Makes a frame without plain areas: multiples of the golden ratio, folded to 0..=255 (a low-discrepancy sequence).
/// The time of a pass does not depend on the values as long as they are ordinary numbers.
fn noise(bytes: usize, seed: u8) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
    #[expect(clippy::cast_precision_loss, reason = "bytes of a picture")]
    let value = |index: usize| ((index as f64 * 0.618_033_988_75).fract() * 256.0) as u8;
    (0..bytes).map(|index| value(index).wrapping_add(100 * seed)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_the_warm_up_are_not_counted() {
        let mut times = BTreeMap::new();
        for frame in 0..WARM_UP + 2 {
            let mut clock = Clock { last: Instant::now(), stages: Vec::new() };
            clock.lap(Stage::Infer);
            clock.lap(Stage::Draw);
            clock.finish(Form::Explained, frame, &mut times);
        }
        let counts: Vec<_> = times.iter().map(|((_, stage), list)| (*stage, list.len())).collect();
        assert_eq!(counts, [(Stage::Infer, 2), (Stage::Draw, 2), (Stage::Frame, 2)]);
    }
}
