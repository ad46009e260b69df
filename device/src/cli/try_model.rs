//! `lcam-device try-model`: loads a model and runs it once, in limited memory. `run` starts it before it takes a model
//! over, since a process that runs out of memory ends at once.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use image::RgbImage;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::engine::{Engine, Execution, Precision};
use crate::pipeline::refuse_weights_elsewhere;

/// Loads a model and runs it once, in limited memory.
#[derive(Debug, Args)]
pub(super) struct TryModel {
    /// The explained model, an .onnx file.
    model: PathBuf,
    /// The address space that the process may use, in MB.
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    memory_mb: u64,
    /// The numbers to compute in.
    #[arg(long, value_name = "NAME", default_value_t)]
    precision: Precision,
}

impl TryModel {
    pub(super) fn run(&self) -> Result<()> {
        let bytes = Some(self.memory_mb.saturating_mul(1_000_000));
        setrlimit(Resource::As, Rlimit { current: bytes, maximum: bytes })
            .context("cannot limit the memory")?;
        refuse_weights_elsewhere(&self.model)?;
        let execution = Execution { threads: NonZeroUsize::MIN, precision: self.precision };
        let mut engine = Engine::load(&self.model, execution)?;
        let name = || self.model.display().to_string();
        let input = engine.metadata().preprocess.input;
        let picture = RgbImage::from_fn(input.width, input.height, |x, y| {
            image::Rgb([x, y, x ^ y].map(|value| u8::try_from(value & 0xff).unwrap_or(0)))
        });
        let answer = engine.explain(&picture).with_context(name)?;
        // A class that is not predicted is explained from other numbers.
        let other = answer.ranking(2).last().map_or(answer.predicted(), |last| last.class);
        engine.class_map(&answer, other).with_context(name)?;
        Ok(())
    }
}
