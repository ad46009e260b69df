//! `lcam-host evaluate`: how faithful a model's maps are, beside other methods.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use lcam_models::atomic_file;
use lcam_models::metadata::Metadata;
use lcam_models::onnx::{read_model, write_model};
use serde::Serialize;
use tch::Device;

use super::device::parse_device;
use super::outputs;
use crate::evaluate::{
    Evaluation, Explained, Interval, KEPT, MapFolder, MaskFolder, Method, Options, Outcome, Pairs,
    RISE_MASKS, Sanity, Summary, check_sanity, evaluate, evaluate_pairs, summarize,
};

/// Measures how faithful a model's explanation maps are.
#[derive(Debug, Args)]
pub(super) struct Evaluate {
    /// The explained model.
    model: PathBuf,
    /// A folder of pictures that the model was not trained on.
    #[arg(long)]
    images: PathBuf,
    /// Compare with masks of where the objects are, PNG files of the pictures' names in DIR [default: the
    /// folder `masks` beside the pictures].
    #[arg(long, num_args = 0..=1, value_name = "DIR")]
    masks: Option<Option<PathBuf>>,
    /// What is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "lcam,cam,random")]
    methods: Vec<Method>,
    /// The most pictures, taken evenly from the folder.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// What the random maps and the masks of RISE depend on.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many masks RISE draws: as many passes through the network for each picture.
    #[arg(long, default_value_t = RISE_MASKS as u64, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rise_masks: u64,
    /// Checks that the maps depend on what the network has learnt and on the class, and are not constant.
    #[arg(long)]
    sanity: bool,
    /// Makes the two-object test with the pairs in DIR, as `lcam-host compose --pairs` makes them.
    #[arg(long, value_name = "DIR")]
    pairs: Option<PathBuf>,
    /// Writes each method's raw class map of each picture as an array of NumPy: DIR/METHOD/PICTURE.npy.
    #[arg(long, value_name = "DIR")]
    maps: Option<PathBuf>,
    /// Where all figures are written, picture by picture.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes the figures of `lcam` into the model's own metadata, for those who use it.
    #[arg(long)]
    record: bool,
    /// Where to compute: auto, cpu or cuda:N.
    #[arg(long, default_value = "auto", value_parser = parse_device)]
    device: Device,
}

/// The file of all figures.
#[derive(Serialize)]
struct Report<'a> {
    tool: &'a str,
    model: &'a Path,
    images: &'a Path,
    pictures: usize,
    kept: [f64; 3],
    methods: &'a [Summary],
    unreadable: Vec<String>,
    unusable_masks: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sanity: Option<&'a Sanity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pairs: Option<&'a Pairs>,
    outcomes: &'a [Outcome],
}

/// What is tested beside the figures.
#[derive(Default)]
struct ExtraTests {
    sanity: Option<Sanity>,
    pairs: Option<Pairs>,
}

impl Evaluate {
    pub(super) fn run(self) -> anyhow::Result<String> {
        let context = || self.model.display().to_string();
        if let Some(path) = &self.json {
            outputs::check_json(path)?;
        }
        let model = Explained::read(&self.model, self.device)?;
        let mut methods = self.methods.clone();
        let mut seen = Vec::new();
        methods.retain(|method| {
            !seen.contains(method) && {
                seen.push(*method);
                true
            }
        });
        let options = Options {
            images: self.images.clone(),
            masks: self.masks.as_ref().map(|masks| MaskFolder::new(&self.images, masks.as_deref())),
            methods,
            limit: self.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            seed: self.seed,
            maps: self.maps.as_ref().map(|maps| MapFolder::new(maps, &self.images)).transpose()?,
            rise_masks: usize::try_from(self.rise_masks).unwrap_or(RISE_MASKS),
        };
        let evaluation = evaluate(&model, &options).with_context(context)?;
        let summaries = summarize(&options.methods, &evaluation.outcomes);
        let extra = self.extra_tests(&model, &options).with_context(context)?;
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&self.report(&evaluation, &summaries, &extra))?;
            atomic_file::write(path, text.as_bytes())?;
        }
        if self.record {
            self.record(&evaluation, &summaries)?;
        }
        let mut text = table(&evaluation, &summaries);
        let sanity = extra.sanity.as_ref().map(ToString::to_string);
        let pairs = extra.pairs.as_ref().map(ToString::to_string);
        for part in [sanity, pairs].into_iter().flatten() {
            text.push('\n');
            text.push_str(&part);
        }
        Ok(text)
    }

    /// Makes the tests beside the figures that are asked for.
    fn extra_tests(&self, model: &Explained, options: &Options) -> anyhow::Result<ExtraTests> {
        let mut extra = ExtraTests::default();
        if self.sanity {
            let mut randomized = Explained::read(&self.model, self.device)?;
            let tensors = randomized.randomize(self.seed)?;
            extra.sanity = Some(check_sanity(model, &randomized, tensors, options)?);
        }
        if let Some(folder) = &self.pairs {
            extra.pairs = Some(evaluate_pairs(model, folder, options)?);
        }
        Ok(extra)
    }

    /// Rewrites the model file with the figures of its own maps.
    fn record(&self, evaluation: &Evaluation, summaries: &[Summary]) -> anyhow::Result<()> {
        let Some(own) = summaries.iter().find(|summary| summary.method == Method::Lcam) else {
            bail!("there is nothing to record: add lcam to --methods");
        };
        let mut model = read_model(&self.model)?;
        let mut metadata =
            Metadata::read(&model).with_context(|| self.model.display().to_string())?;
        let scores = &mut metadata.provenance.scores;
        let mut note =
            |name: String, value: f64| scores.insert(name, (value * 10.0).round() / 10.0);
        #[expect(clippy::cast_precision_loss, reason = "a number of pictures")]
        note("pictures".to_owned(), evaluation.outcomes.len() as f64);
        for (index, share) in KEPT.iter().enumerate() {
            let percent = 100.0 * share;
            note(format!("average-drop-{percent:.0}"), own.average_drop[index].mean);
            note(format!("increase-{percent:.0}"), own.increase_in_confidence[index].mean);
        }
        for (name, interval) in [("pointing", own.pointing), ("energy", own.energy)] {
            if let Some(interval) = interval {
                note(name.to_owned(), interval.mean);
            }
        }
        metadata.write(&mut model);
        Ok(write_model(&self.model, &model)?)
    }

    fn report<'a>(
        &'a self,
        evaluation: &'a Evaluation,
        methods: &'a [Summary],
        extra: &'a ExtraTests,
    ) -> Report<'a> {
        Report {
            tool: concat!("lcam-host ", env!("CARGO_PKG_VERSION")),
            model: &self.model,
            images: &self.images,
            pictures: evaluation.outcomes.len(),
            kept: KEPT,
            methods,
            unreadable: evaluation.unreadable.iter().map(ToString::to_string).collect(),
            unusable_masks: evaluation.unusable_masks.iter().map(ToString::to_string).collect(),
            sanity: extra.sanity.as_ref(),
            pairs: extra.pairs.as_ref(),
            outcomes: &evaluation.outcomes,
        }
    }
}

/// Rounds to one decimal, the same way wherever a figure is shown.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Lays the figures out for reading.
fn table(evaluation: &Evaluation, summaries: &[Summary]) -> String {
    let mut text = format!(
        "{} pictures; average drop / increase in confidence, in percent, with the highest pixels kept\n{:<12}",
        evaluation.outcomes.len(),
        "method"
    );
    // Writing to a string cannot fail.
    for share in KEPT {
        let _ = write!(text, "{:>15}", format!("{:.0} %", 100.0 * share));
    }
    let masks = summaries.iter().any(|summary| summary.pointing.is_some());
    text.push_str(if masks { "   pointing    energy\n" } else { "\n" });
    for summary in summaries {
        let _ = write!(text, "{:<12}", summary.method.to_string());
        for (drop, increase) in summary.average_drop.iter().zip(&summary.increase_in_confidence) {
            let pair = format!("{:.1} / {:.1}", rounded(drop.mean), rounded(increase.mean));
            let _ = write!(text, "{pair:>15}");
        }
        if let (Some(pointing), Some(energy)) = (&summary.pointing, &summary.energy) {
            let (pointing, energy) = (rounded(pointing.mean), rounded(energy.mean));
            let _ = write!(text, "{pointing:>11.1}{energy:>10.1}");
        }
        text.push('\n');
    }
    if let Some(Interval { mean, low, high }) =
        summaries.first().and_then(|s| s.average_drop.first())
    {
        let _ = writeln!(
            text,
            "A drop is better low, the rest high. Of other pictures like these, 95 % of samples lie within, \
             for example, {low:.1} to {high:.1} where {mean:.1} stands first."
        );
    }
    for problem in evaluation.unreadable.iter().map(ToString::to_string) {
        let _ = writeln!(text, "left out: {problem}");
    }
    for problem in evaluation.unusable_masks.iter().map(ToString::to_string) {
        let _ = writeln!(text, "without mask: {problem}");
    }
    text
}
