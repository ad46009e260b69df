//! `lcam-host analyze`: what is wrong with a model and its pictures.

mod json;

use std::fmt::Write as _;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use lcam_models::atomic_file;
use lcam_models::explained::ExplainedModel;
use tch::Device;

use super::device::parse_device;
use super::{TOOL, outputs};
use crate::analyze::finding::with_interval;
use crate::analyze::shown::show;
use crate::analyze::{Analysis, Material, Options, Truth, analyze};
use crate::evaluate::{EvaluateError, Explained, MaskFolder};
use crate::report::{AnalysisReport, check_output};

/// Finds errors' causes, shortcuts, bias and wrong labels from where the model looks.
#[derive(Debug, Args)]
pub(super) struct Analyze {
    /// The explained model.
    model: PathBuf,
    /// A folder of pictures, best of ones that the model was not trained on, or of the events that a device has recorded.
    #[arg(long)]
    images: PathBuf,
    /// What the pictures truly show: `folders`, where each lies in a folder called as its class, or a CSV file of
    /// path,label with paths relative to --images.
    #[arg(long, value_name = "folders|FILE.csv", value_parser = parse_truth)]
    truth: Option<Truth>,
    /// Use masks of where the objects are, PNG files of the pictures' names in DIR [default: the folder `masks` beside
    /// the pictures].
    #[arg(long, num_args = 0..=1, value_name = "DIR")]
    masks: Option<Option<PathBuf>>,
    /// A second model of the same classes, as before or after a retraining: what changed, and where it looks.
    #[arg(long, value_name = "OTHER.onnx")]
    against: Option<PathBuf>,
    /// A folder for the report. An earlier report there is replaced.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Where all is written for programs: findings, errors with their causes, classes, slices.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The most pictures, taken evenly from the folder.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// What random choices depend on.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to compute: auto, cpu or cuda:N.
    #[arg(long, default_value = "auto", value_parser = parse_device)]
    device: Device,
}

/// Reads `folders` or the path of a CSV file.
fn parse_truth(text: &str) -> Result<Truth, String> {
    match text {
        "folders" => Ok(Truth::Folders),
        _ if Path::new(text).extension().is_some_and(|end| end.eq_ignore_ascii_case("csv")) => {
            Ok(Truth::Csv(text.into()))
        }
        _ => Err("give folders, or a file whose name ends in .csv".to_owned()),
    }
}

impl Analyze {
    pub(super) fn run(self) -> anyhow::Result<String> {
        let context = || self.model.display().to_string();
        self.check_outputs()?;
        let read = |path: &PathBuf| ExplainedModel::read(path).map_err(EvaluateError::from);
        let model = read(&self.model)?;
        let other = self.against.as_ref().map(read).transpose()?;
        let options = self.options();
        // All that can be wrong is looked at before networks are started, which takes long.
        let metadata_of_other = other.as_ref().map(ExplainedModel::metadata);
        let material = Material::read(&options, model.metadata(), metadata_of_other)?;
        let model = Explained::new(model, self.device)?;
        let other = other.map(|other| Explained::new(other, self.device)).transpose()?;
        let analysis = analyze(&model, other.as_ref(), &options, material).with_context(context)?;
        let wanted = AnalysisReport::wanted(&analysis);
        let shown = show(&model, &analysis.pictures, &analysis.audit.records, wanted)?;
        let mut report = AnalysisReport {
            tool: TOOL,
            model: &self.model,
            metadata: model.metadata(),
            against: self.against.as_deref(),
            options: &options,
            analysis: &analysis,
            shown,
            shown_of_other: std::collections::BTreeMap::new(),
        };
        if let (Some(other), Some(comparison)) = (&other, &analysis.comparison) {
            let wanted = AnalysisReport::wanted_of_other(&analysis);
            report.shown_of_other =
                show(other, &analysis.pictures, &comparison.other.records, wanted)?;
        }
        // What was found is told even where it cannot be written.
        if let Err(problem) = self.write(&report) {
            let _ = writeln!(stdout(), "{}", Self::summary(&analysis, None));
            return Err(problem);
        }
        Ok(Self::summary(&analysis, Some(&self.output)))
    }

    /// Refuses outputs that cannot be written, before anything is computed.
    fn check_outputs(&self) -> anyhow::Result<()> {
        outputs::check_apart(&[
            ("--json", self.json.as_deref()),
            ("--output", Some(&self.output)),
        ])?;
        check_output(&self.output)?;
        outputs::check_place(&self.output, true)?;
        if let Some(path) = &self.json {
            outputs::check_json(path)?;
            outputs::check_place(path, false)?;
        }
        Ok(())
    }

    fn options(&self) -> Options {
        let masks = self.masks.as_ref();
        Options {
            images: self.images.clone(),
            truth: self.truth.clone(),
            masks: masks.map(|masks| MaskFolder::new(&self.images, masks.as_deref())),
            limit: self.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            seed: self.seed,
        }
    }

    fn write(&self, report: &AnalysisReport<'_>) -> anyhow::Result<()> {
        if let Some(path) = &self.json {
            let json = serde_json::to_string(&json::Document::new(report))?;
            atomic_file::write(path, json.as_bytes())?;
        }
        Ok(report.write(&self.output)?)
    }

    /// Tells the findings in a few lines, and where the report is, if there is one.
    fn summary(analysis: &Analysis, report: Option<&Path>) -> String {
        let audit = &analysis.audit;
        let report = report.map(|folder| folder.join("index.html"));
        let place = report.map(|page| format!("; the report is {}", page.display()));
        let mut text = format!(
            "{} pictures, {} errors, {} findings{}\n",
            audit.records.len(),
            audit.cases.len(),
            audit.findings.len(),
            place.unwrap_or_default(),
        );
        // Writing to a string cannot fail.
        for (rank, finding) in audit.findings.iter().enumerate() {
            let (kind, effect) = (finding.kind.title(), with_interval(finding.effect.interval));
            let _ = writeln!(text, "{}. {kind}, {effect}: {}", rank + 1, finding.sentence);
        }
        for (fate, finding) in analysis.comparison.iter().flat_map(|found| &found.findings) {
            let _ = writeln!(text, "{} with the other model: {}", fate.title(), finding.sentence);
        }
        for problem in &audit.unreadable {
            let _ = writeln!(text, "left out: {problem}");
        }
        for problem in &audit.unusable_masks {
            let _ = writeln!(text, "without mask: {problem}");
        }
        if analysis.unlabelled > 0 {
            let _ = writeln!(text, "without label: {} pictures", analysis.unlabelled);
        }
        text
    }
}
