//! `lcam-host inspect`: what a classifier is made of and what of it would be explained.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use lcam_models::onnx::{ModelProto, read_model};
use lcam_models::preprocess::ImageSize;
use tch::Device;

use super::device::parse_device;
use super::normalization;
use crate::classifier::Classifier;
use crate::complexity::Complexity;
use crate::graph::Batching;
use crate::layers::{self, Choice, FeatureMaps, Reason};

/// Shows a classifier's input, size, classes and feature maps, and with photographs its normalisation.
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The classifier, an ONNX file.
    model: PathBuf,
    /// The side of the square input in pixels, where the model leaves it open.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    input_size: Option<u32>,
    /// The tensor to explain, in place of the one that is chosen.
    #[arg(long)]
    layer: Option<String>,
    /// A folder of photographs to find out with which normalisation fits the network.
    #[arg(long)]
    images: Option<PathBuf>,
    /// How many of the photographs are looked at, taken evenly from the folder.
    #[arg(long, default_value_t = 64, requires = "images", value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Where to compute: auto, cpu or cuda:N.
    #[arg(long, default_value = "auto", value_parser = parse_device)]
    device: Device,
}

impl Inspect {
    pub(super) fn run(self) -> anyhow::Result<String> {
        let model = read_model(&self.model)?;
        let size = self.input_size.map(|side| ImageSize { width: side, height: side });
        let context = || self.model.display().to_string();
        let mut classifier = Classifier::new(&model, size).with_context(context)?;
        let mut text = network(&model, &classifier);
        match &self.layer {
            Some(name) => {
                let maps = layers::named(&classifier, name).with_context(context)?;
                feature_maps(&mut text, &classifier, &maps);
                let _ = writeln!(text, "* was named by --layer");
            }
            None => {
                let choice = layers::explain_choice(&classifier).with_context(context)?;
                feature_maps(&mut text, &classifier, &choice.maps);
                reason(&mut text, &choice);
            }
        }
        if let Some(images) = &self.images {
            classifier.to_device(self.device)?;
            text += &normalization::report(&classifier, images, self.limit.into())?;
        }
        Ok(text)
    }
}

// Writing to a string cannot fail, so what `write!` returns is dropped everywhere here.

fn network(model: &ModelProto, classifier: &Classifier) -> String {
    let mut text = String::new();
    let graph = classifier.graph();
    let ImageSize { width, height } = classifier.input_size();
    let batching = match graph.batching() {
        Batching::Native => "several at once",
        Batching::OneByOne => "one after the other",
    };
    let image = graph.name(classifier.image());
    let _ = writeln!(text, "input          {image} {width}x{height}, pictures {batching}");
    let (classes, logits) = (classifier.classes(), graph.name(classifier.logits()));
    let _ = writeln!(text, "classes        {classes} ({logits})");
    if let Some(softmax) = classifier.dropped_softmax() {
        let _ = writeln!(text, "               taken before the final {softmax}");
    }
    let _ = writeln!(text, "opset          {}", model.opset().unwrap_or(0));
    let _ = writeln!(text, "nodes          {} that depend on the picture", graph.nodes().len());
    let complexity = Complexity::of(classifier);
    let _ = writeln!(text, "multiply-adds  {} for one picture", short(complexity.multiply_adds));
    let _ = writeln!(text, "parameters     {}", short(complexity.parameters));
    for operator in &complexity.uncounted {
        let _ = writeln!(text, "               without the multiply-adds of {operator}");
    }
    text
}

/// Writes a count with four digits: 385.4 M, 1.814 G.
fn short(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let value = count as f64;
    let (scaled, unit) = match count {
        0..1_000 => return count.to_string(),
        1_000..1_000_000 => (value / 1e3, 'k'),
        1_000_000..1_000_000_000 => (value / 1e6, 'M'),
        _ => (value / 1e9, 'G'),
    };
    let decimals = if scaled < 10.0 {
        3
    } else if scaled < 100.0 {
        2
    } else {
        1
    };
    format!("{scaled:.decimals$} {unit}")
}

fn feature_maps(text: &mut String, classifier: &Classifier, chosen: &FeatureMaps) {
    let _ = writeln!(text, "feature maps, the last of each grid (* explained):");
    let mut candidates = layers::candidates(classifier);
    if !candidates.contains(chosen) {
        candidates.push(chosen.clone());
    }
    for maps in candidates {
        let mark = if maps.value == chosen.value { '*' } else { ' ' };
        let (channels, grid) = (maps.channels, maps.grid);
        let _ = writeln!(
            text,
            " {mark} {channels:>5} x {:>3} x {:<3}  {:<18} {}",
            grid.height, grid.width, maps.made_by, maps.name
        );
    }
}

fn reason(text: &mut String, choice: &Choice) {
    let before = choice.pooling.as_deref().unwrap_or("the logits");
    let _ = writeln!(
        text,
        "* comes from {}, the last before the plane ends at {before}",
        choice.made_by
    );
    for passed in &choice.passed_over {
        let why = match passed.reason {
            Reason::HandsOn => "only hands on what it is given",
            Reason::ClassChannels => "its channels are the classes themselves",
        };
        let _ = writeln!(text, "  passed over {}: {why}", passed.node);
    }
}
