//! `lcam-host evaluate`: how faithful a model's maps are, beside other methods.

mod json;
mod table;

use std::io::{Write, stdout};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use lcam_models::atomic_file;
use lcam_models::metadata::Metadata;
use lcam_models::onnx::{read_model, write_model};
use tch::Device;

use super::device::parse_device;
use super::{TOOL, outputs};
use crate::dataset::list_pictures;
use crate::evaluate::{
    EvaluateError, Evaluation, Explained, Family, Figure, Fill, KEPT, MapFolder, MaskFolder,
    Method, Options, Pairs, Protocol, REMOVED, RISE_MASKS, Sanity, Summary, check_sanity, evaluate,
    evaluate_pairs, summarize,
};
use crate::report::{Report, Section, check_output};
use json::{Figures, Settings};

/// How many pictures of each kind a report shows: what one still looks at.
const EXAMPLES: usize = 6;

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
    /// What explains; the others are compared with the first.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "lcam,cam,random")]
    methods: Vec<Method>,
    /// What is measured [default: everything].
    #[arg(long, value_enum, value_delimiter = ',')]
    metrics: Vec<Family>,
    /// In how many steps pixels come and go for insertion and deletion.
    #[arg(long, default_value_t = Protocol::default().steps, value_parser = parse_steps)]
    steps: usize,
    /// The standard deviation of ROAD's noise, pixels being 0 to 1.
    #[arg(long, default_value_t = Protocol::default().road_noise, value_parser = parse_noise)]
    road_noise: f32,
    /// The most pictures, taken evenly from the folder; of pairs, too.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// What random maps, the masks of RISE and noise depend on.
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
    /// A folder for the report: a page with curves and pictures, and the table in Markdown. An earlier report
    /// there is replaced.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Writes the figures of `lcam` into the model's own metadata, for those who use it.
    #[arg(long)]
    record: bool,
    /// Where to compute: auto, cpu or cuda:N.
    #[arg(long, default_value = "auto", value_parser = parse_device)]
    device: Device,
}

/// What is tested beside the figures.
#[derive(Default)]
struct ExtraTests {
    sanity: Option<Sanity>,
    pairs: Option<Pairs>,
}

impl ExtraTests {
    fn sections(&self) -> Vec<Section> {
        let sanity = self.sanity.as_ref().map(Section::of_sanity);
        sanity.into_iter().chain(self.pairs.as_ref().map(Section::of_pairs)).collect()
    }
}

impl Evaluate {
    pub(super) fn run(self) -> anyhow::Result<String> {
        let context = || self.model.display().to_string();
        self.check_outputs()?;
        let options = self.options()?;
        if self.record
            && !(options.methods.contains(&Method::Lcam)
                && options.families.contains(&Family::Faithfulness))
        {
            bail!(
                "there is nothing to record: add lcam to --methods and faithfulness to --metrics"
            );
        }
        let model = Explained::read(&self.model, self.device)?;
        let mut evaluation = evaluate(&model, &options).map_err(|error| self.told(error))?;
        evaluation.digests = evaluation.digests.with_model(&self.model).with_context(context)?;
        let summaries = summarize(&options.methods, &evaluation.outcomes);
        let extra = self.extra_tests(&model, &options).with_context(context)?;
        let mut text = table::table(&evaluation, &summaries);
        let sanity = extra.sanity.as_ref().map(ToString::to_string);
        let pairs = extra.pairs.as_ref().map(ToString::to_string);
        for part in [sanity, pairs].into_iter().flatten() {
            text.push('\n');
            text.push_str(&part);
        }
        let report = Report {
            tool: TOOL,
            model: &self.model,
            metadata: model.metadata(),
            options: &options,
            evaluation: &evaluation,
            summaries: &summaries,
            sections: extra.sections(),
        };
        let figures = self.figures(&options, &evaluation, &summaries, &extra);
        // What was measured is told even where it cannot be written.
        if let Err(problem) = self.write(&figures, &report) {
            let _ = writeln!(stdout(), "{text}");
            return Err(problem);
        }
        Ok(text)
    }

    /// Refuses outputs that cannot be written, before anything is measured.
    fn check_outputs(&self) -> anyhow::Result<()> {
        let maps = self.maps.as_deref();
        outputs::check_apart(&[
            ("--json", self.json.as_deref()),
            ("--output", self.output.as_deref()),
            ("--maps", maps),
        ])?;
        if let Some(path) = &self.json {
            outputs::check_json(path)?;
            outputs::check_place(path, false)?;
        }
        if let Some(folder) = &self.output {
            check_output(folder)?;
            outputs::check_place(folder, true)?;
        }
        // A report's folder is replaced, the one of maps is filled: what is around it may be closed.
        maps.map_or(Ok(()), |folder| outputs::check_place(&folder.join("maps"), true))
    }

    /// Writes each output, and tells of the first that failed.
    fn write(&self, figures: &Figures<'_>, report: &Report<'_>) -> anyhow::Result<()> {
        let json = self.json.as_ref().map(|path| -> anyhow::Result<()> {
            Ok(atomic_file::write(path, serde_json::to_string(figures)?.as_bytes())?)
        });
        let page = self.output.as_ref().map(|folder| report.write(folder));
        json.transpose()?;
        page.transpose()?;
        if self.record {
            self.record(report.evaluation, report.summaries)?;
        }
        Ok(())
    }

    /// Makes the tests beside the figures that are asked for.
    /// Names the model where it is to blame.
    fn told(&self, error: EvaluateError) -> anyhow::Error {
        let is_about_the_model = error.is_about_the_model();
        let error = anyhow::Error::from(error);
        if is_about_the_model { error.context(self.model.display().to_string()) } else { error }
    }

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

    fn options(&self) -> anyhow::Result<Options> {
        if let Some(folder) = &self.pairs {
            list_pictures(&folder.join("images"))?;
        }
        let localizes = self.metrics.contains(&Family::Localization);
        if localizes && self.masks.is_none() {
            bail!("localization is measured with masks of where the objects are: give --masks");
        }
        if self.masks.is_some() && !localizes && !self.metrics.is_empty() {
            bail!("--masks are for localization: add it to --metrics, or leave out --masks");
        }
        let every = if self.metrics.is_empty() { &Family::ALL[..] } else { &self.metrics };
        Ok(Options {
            images: self.images.clone(),
            masks: self.masks.as_ref().map(|masks| MaskFolder::new(&self.images, masks.as_deref())),
            methods: unique(&self.methods),
            families: unique(every),
            protocol: Protocol { steps: self.steps, road_noise: self.road_noise },
            limit: self.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            seed: self.seed,
            rise_masks: usize::try_from(self.rise_masks).unwrap_or(RISE_MASKS),
            maps: self.maps.as_ref().map(|maps| MapFolder::new(maps, &self.images)).transpose()?,
            examples: if self.output.is_some() { EXAMPLES } else { 0 },
        })
    }

    /// Rewrites the model file with the figures of its own maps.
    fn record(&self, evaluation: &Evaluation, summaries: &[Summary]) -> anyhow::Result<()> {
        let Some(own) = summaries.iter().find(|summary| summary.method == Method::Lcam) else {
            return Ok(());
        };
        let mut model = read_model(&self.model)?;
        let mut metadata =
            Metadata::read(&model).with_context(|| self.model.display().to_string())?;
        let scores = &mut metadata.provenance.scores;
        // Those of another measurement are on other pictures.
        scores.clear();
        #[expect(clippy::cast_precision_loss, reason = "a number of pictures")]
        scores.insert("pictures".to_owned(), evaluation.outcomes.len() as f64);
        let is_recorded = |figure: Figure| match figure {
            Figure::AverageDrop { fill, .. } | Figure::Increase { fill, .. } => fill == Fill::Black,
            Figure::Gini => false,
            _ => true,
        };
        for estimate in own.figures.iter().filter(|estimate| is_recorded(estimate.figure)) {
            scores.insert(estimate.figure.to_string(), rounded(estimate.interval.mean));
        }
        metadata.write(&mut model);
        Ok(write_model(&self.model, &model)?)
    }

    fn figures<'a>(
        &'a self,
        options: &'a Options,
        evaluation: &'a Evaluation,
        methods: &'a [Summary],
        extra: &'a ExtraTests,
    ) -> Figures<'a> {
        Figures {
            tool: TOOL,
            settings: Settings {
                model: self.model.display().to_string(),
                images: self.images.display().to_string(),
                masks: options.masks.is_some(),
                methods: &options.methods,
                metrics: &options.families,
                kept: KEPT,
                removed: REMOVED,
                protocol: options.protocol,
                limit: options.limit,
                seed: options.seed,
            },
            digests: &evaluation.digests,
            pictures: evaluation.outcomes.len(),
            methods,
            times: &evaluation.times,
            unreadable: evaluation.unreadable.iter().map(ToString::to_string).collect(),
            unusable_masks: evaluation.unusable_masks.iter().map(ToString::to_string).collect(),
            sanity: extra.sanity.as_ref(),
            pairs: extra.pairs.as_ref(),
            outcomes: &evaluation.outcomes,
        }
    }
}

/// Takes each value once, in the order in which they came first.
fn unique<T: Copy + PartialEq>(values: &[T]) -> Vec<T> {
    let mut kept = Vec::new();
    for &value in values {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

/// Rounds to one decimal.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn parse_steps(text: &str) -> Result<usize, String> {
    let steps = text.parse().ok().filter(|steps| (1..=1000).contains(steps));
    steps.ok_or_else(|| "expected 1 to 1000 steps".to_owned())
}

fn parse_noise(text: &str) -> Result<f32, String> {
    let noise = text.parse().ok().filter(|noise| (0.0..=1.0).contains(noise));
    noise.ok_or_else(|| "expected a standard deviation of 0 to 1".to_owned())
}
