//! `lcam-device bench`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use lcam_models::explained::{ExplainedModel, LOGITS};
use serde::Serialize;

use super::Running;
use super::console::Console;
use crate::engine::{Engine, Network};

/// Measures what the explanation adds to the classifier's own time.
///
/// The same file runs twice over: as it is, and reduced to what the logits need. The two take turns, so
/// that a machine that grows warm or busy slows both; the medians are compared.
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// The explained model, an .onnx file.
    model: PathBuf,
    /// How often each of the two runs.
    #[arg(long, default_value_t = 101, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

#[derive(Debug, Serialize)]
struct Report {
    runs: u32,
    threads: usize,
    classifier_ms: f64,
    explained_ms: f64,
    /// The explanation's share of the classifier's time, in percent.
    added_percent: f64,
}

/// Rounds that are not counted: caches fill and clocks rise.
const WARM_UP: u32 = 5;

impl Bench {
    pub(super) fn run(&self, console: &mut Console) -> Result<()> {
        let report = self.measure().with_context(|| self.model.display().to_string())?;
        if self.json {
            return console.print(&serde_json::to_string(&report)?);
        }
        console.print(&format!(
            "classifier alone  {:8.2} ms\nwith explanation  {:8.2} ms ({:+.2} %)\nmedians of {} runs each, taking turns, {} threads",
            report.classifier_ms, report.explained_ms, report.added_percent, report.runs, report.threads
        ))
    }

    fn measure(&self) -> Result<Report> {
        let threads = self.running.threads();
        let model = ExplainedModel::read(&self.model)?;
        let mut classifier = Network::new(model.proto().clone(), &[LOGITS], threads)?;
        let mut engine = Engine::new(model, threads)?;
        let input = engine.metadata().preprocess.input;
        let image = pattern(3 * input.pixels());
        let (mut alone, mut explained) = (Vec::new(), Vec::new());
        for round in 0..WARM_UP + self.runs {
            let copies = (image.clone(), image.clone());
            let start = Instant::now();
            classifier.run(copies.0)?;
            let middle = Instant::now();
            engine.explain_prepared(copies.1)?;
            if round >= WARM_UP {
                alone.push((middle - start).as_secs_f64() * 1e3);
                explained.push(middle.elapsed().as_secs_f64() * 1e3);
            }
        }
        let (classifier_ms, explained_ms) = (median(alone), median(explained));
        Ok(Report {
            runs: self.runs,
            threads: threads.get(),
            classifier_ms,
            explained_ms,
            added_percent: (explained_ms / classifier_ms - 1.0) * 100.0,
        })
    }
}

/// Makes an input without plain areas: multiples of the golden ratio, folded to -1..1 (a low-discrepancy
/// sequence). The time of a pass does not depend on the values as long as they are ordinary numbers.
fn pattern(length: usize) -> Vec<f32> {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a pattern")]
    let value = |index: usize| ((index as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0) as f32;
    (0..length).map(value).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn the_pattern_is_ordinary_numbers() {
        assert!(pattern(1000).iter().all(|value| (-1.0..1.0).contains(value)));
    }
}
