//! `lcam-host compose`: object cut-outs on backgrounds, with masks.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use crate::compose::{PAIRS, Settings, compose};

/// Puts object cut-outs on backgrounds: pictures to train on and to measure with.
#[derive(Debug, Args)]
pub(super) struct Compose {
    /// Folders of objects with a transparent background.
    #[arg(long, required = true, num_args = 1..)]
    objects: Vec<PathBuf>,
    /// Folders of photographs.
    #[arg(long, required = true, num_args = 1..)]
    backgrounds: Vec<PathBuf>,
    /// The folder that is made.
    #[arg(long)]
    output: PathBuf,
    /// How many composites, training and held-out part together.
    #[arg(long, default_value_t = Settings::default().count, value_parser = parse_count)]
    count: usize,
    /// Their sides in pixels.
    #[arg(long, default_value_t = Settings::default().size, value_parser = clap::value_parser!(u32).range(32..=4096))]
    size: u32,
    /// What all random choices depend on.
    #[arg(long, default_value_t = Settings::default().seed)]
    seed: u64,
    /// The share of objects, backgrounds and composites for training; the rest is held out.
    #[arg(long, default_value_t = Settings::default().split)]
    split: f64,
    /// Also make so many pictures of two objects, both parts together, for `lcam-host evaluate --pairs`.
    #[arg(long, default_value_t = Settings::default().pairs, value_parser = parse_pairs)]
    pairs: usize,
}

impl Compose {
    pub(super) fn run(self) -> anyhow::Result<String> {
        if !(self.split > 0.0 && self.split <= 1.0) {
            bail!("the split {} must be above 0 and at most 1", self.split);
        }
        let settings = Settings {
            count: self.count,
            size: self.size,
            seed: self.seed,
            split: self.split,
            pairs: self.pairs,
        };
        let composed = compose(&self.objects, &self.backgrounds, &self.output, &settings)?;
        let mut text = String::new();
        for (part, counts) in composed.parts {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{}: {} composites of {} objects on {} backgrounds",
                self.output.join(part.folder()).display(),
                counts.composites,
                counts.objects,
                counts.backgrounds,
            );
            if counts.pairs > 0 {
                let folder = self.output.join(part.folder()).join(PAIRS);
                let _ = writeln!(text, "{}: {} pairs of objects", folder.display(), counts.pairs);
            }
        }
        for rejected in composed.left_out {
            let _ = writeln!(text, "left out: {rejected}");
        }
        Ok(text)
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 2..=1_000_000) => Ok(count),
        _ => Err("give a number from 2 to 1000000".to_owned()),
    }
}

fn parse_pairs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ (0 | 2..=1_000_000)) => Ok(count),
        _ => Err("give a number from 2 to 1000000, or 0 for none".to_owned()),
    }
}
