//! `lcam-host inspect`: what a classifier is made of and what of it would be explained.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use lcam_models::onnx::{ModelProto, read_model};
use lcam_models::preprocess::ImageSize;

use crate::classifier::Classifier;
use crate::graph::Batching;
use crate::layers;

/// Shows a classifier's input, classes and feature maps.
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
}

impl Inspect {
    pub(super) fn run(self) -> anyhow::Result<String> {
        let model = read_model(&self.model)?;
        let size = self.input_size.map(|side| ImageSize { width: side, height: side });
        let context = || self.model.display().to_string();
        let classifier = Classifier::new(&model, size).with_context(context)?;
        let chosen = match &self.layer {
            Some(name) => layers::named(&classifier, name),
            None => layers::choose(&classifier),
        };
        Ok(describe(&model, &classifier, &chosen.with_context(context)?))
    }
}

fn describe(model: &ModelProto, classifier: &Classifier, chosen: &layers::FeatureMaps) -> String {
    let mut text = String::new();
    let graph = classifier.graph();
    let ImageSize { width, height } = classifier.input_size();
    let batching = match graph.batching() {
        Batching::Native => "several at once",
        Batching::OneByOne => "one after the other",
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "input      {} {width}x{height}, pictures {batching}",
        graph.name(classifier.image())
    );
    let _ =
        writeln!(text, "classes    {} ({})", classifier.classes(), graph.name(classifier.logits()));
    if let Some(softmax) = classifier.dropped_softmax() {
        let _ = writeln!(text, "           taken before the final {softmax}");
    }
    let _ = writeln!(text, "opset      {}", model.opset().unwrap_or(0));
    let _ = writeln!(text, "nodes      {} that depend on the picture", graph.nodes().len());
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
    let _ = writeln!(
        text,
        "* is the last activation before the final pooling, unless named by --layer"
    );
    text
}
