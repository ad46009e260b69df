//! `lcam-device info`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use lcam_models::explained::ExplainedModel;
use lcam_models::metadata::{AttentionLayer, Metadata, Provenance};
use lcam_models::onnx::ModelProto;
use lcam_models::preprocess::Preprocess;
use serde::Serialize;

use super::Running;
use super::console::{Console, one_line};
use super::runtime::{Runtime, counted, megabytes};
use crate::engine::{Engine, LoadError};

/// Shows what a model file holds and how this machine would run it.
#[derive(Debug, Args)]
pub(super) struct Info {
    /// The explained model, an .onnx file.
    model: PathBuf,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

#[derive(Debug, Serialize)]
struct Report {
    file: String,
    bytes: u64,
    variant: String,
    quantization: String,
    preprocess: Preprocess,
    classes: usize,
    attention_layers: Vec<AttentionLayer>,
    opset: Option<i64>,
    operators: BTreeMap<String, usize>,
    multiply_adds: u64,
    provenance: Provenance,
    runtime: Runtime,
}

impl Info {
    pub(super) fn run(&self, console: &mut Console) -> Result<()> {
        let report = self.collect()?;
        if self.json {
            return console.print(&serde_json::to_string(&report)?);
        }
        let text = report
            .lines()
            .into_iter()
            .map(|(name, value)| format!("{name:<16}{}", one_line(&value)).trim_end().to_owned());
        console.print(&text.collect::<Vec<_>>().join("\n"))
    }

    fn collect(&self) -> Result<Report> {
        let model = ExplainedModel::read(&self.model)?;
        let operators = count_operators(model.proto());
        let opset = model.proto().opset();
        let engine = Engine::new(model, self.running.execution())
            .map_err(|problem| LoadError::Network { path: self.model.clone(), problem })?;
        let bytes = std::fs::metadata(&self.model)
            .with_context(|| format!("cannot read {}", self.model.display()))?
            .len();
        let metadata: &Metadata = engine.metadata();
        Ok(Report {
            file: self.model.display().to_string(),
            bytes,
            variant: metadata.variant.to_string(),
            quantization: metadata.quantization.to_string(),
            preprocess: metadata.preprocess,
            classes: metadata.labels.len(),
            attention_layers: metadata.attention.layers.clone(),
            opset,
            operators,
            multiply_adds: engine.network().multiply_adds(),
            provenance: metadata.provenance.clone(),
            runtime: Runtime::new(engine.network()),
        })
    }
}

fn count_operators(model: &ModelProto) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for node in model.graph.iter().flat_map(|graph| &graph.node) {
        *counts.entry(node.op_type().to_owned()).or_insert(0) += 1;
    }
    counts
}

impl Report {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let Preprocess { input, resize, normalization } = self.preprocess;
        let order = format!("{:?}", normalization.channels).to_uppercase();
        let mut lines = vec![
            ("file", format!("{}, {:.1} MB", self.file, megabytes(self.bytes))),
            ("variant", self.variant.clone()),
            ("weights", self.quantization.clone()),
            (
                "input",
                format!("{}x{} {order}, short side resized to {resize}", input.width, input.height),
            ),
            (
                "normalisation",
                format!("mean {:?}, std_dev {:?}", normalization.mean, normalization.std_dev),
            ),
            ("classes", self.classes.to_string()),
        ];
        for layer in &self.attention_layers {
            let grid =
                format!("{} ({}x{})", layer.feature_maps, layer.grid.height, layer.grid.width);
            lines.push(("attention layer", grid));
        }
        let opset = self.opset.map_or("?".to_owned(), |opset| opset.to_string());
        lines.push(("operators", format!("{} (opset {opset})", counted(&self.operators))));
        #[expect(clippy::cast_precision_loss, reason = "millions, to one decimal")]
        let millions = self.multiply_adds as f64 / 1e6;
        lines.push(("multiply-adds", format!("{millions:.1} million")));
        lines.extend(provenance(&self.provenance));
        lines.extend(self.runtime.lines());
        lines
    }
}

fn provenance(provenance: &Provenance) -> Vec<(&'static str, String)> {
    let settings = provenance.training.iter().map(|(name, value)| format!("{name}={value}"));
    let scores = provenance.scores.iter().map(|(name, value)| format!("{name}={value}"));
    let mut lines = vec![
        ("made by", provenance.tool.clone()),
        ("classifier", provenance.classifier.clone()),
        ("its SHA-256", provenance.classifier_sha256.clone()),
        ("training", settings.collect::<Vec<_>>().join(" ")),
        ("scores", scores.collect::<Vec<_>>().join(" ")),
    ];
    lines.retain(|(_, value)| !value.is_empty());
    lines
}
