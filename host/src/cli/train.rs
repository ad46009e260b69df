//! `lcam-host train`: from a classifier and a folder of pictures to an explained model.

mod settings;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use lcam_models::class::Labels;
use lcam_models::metadata::{AttentionLayout, Metadata, Provenance, Quantization};
use lcam_models::onnx::{read_model, write_model};
use lcam_models::preprocess::{ImageSize, Preprocess};
use sha2::{Digest, Sha256};
use tch::Device;

use super::device::parse_device;
use super::preprocess::PreprocessArgs;
use super::{TOOL, outputs};
use crate::attention::Attention;
use crate::classifier::Classifier;
use crate::dataset::{list_pictures, spread};
use crate::export::{agreement, attach, verify};
use crate::layers::{self, LayerError, Layers};
use crate::train::run_folder::RunFolder;
use crate::train::settings::Settings;
use crate::train::{Trained, Trainer};
use settings::SettingsArgs;

/// Trains the attention mechanism of a classifier and writes the explained model.
#[derive(Debug, Args)]
pub(super) struct Train {
    /// The classifier, an ONNX file.
    model: PathBuf,
    /// A folder of pictures; labels are not needed.
    #[arg(long)]
    images: PathBuf,
    /// Where the explained model is written.
    #[arg(long)]
    output: PathBuf,
    /// The names of the classes, one a line.
    #[arg(long)]
    labels: Option<PathBuf>,
    /// The tensor to explain, in place of the last activation before the final pooling.
    #[arg(long)]
    layer: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    preprocess: PreprocessArgs,
    /// The folder of settings, metrics, curves and checkpoints [default: OUTPUT with the ending `run`].
    #[arg(long)]
    run_folder: Option<PathBuf>,
    /// Goes on with the training in the run folder.
    #[arg(long)]
    resume: bool,
    /// How the explained model's weights are stored: int8 makes a file of a quarter of the size, whose logits
    /// are no longer the classifier's to the bit.
    #[arg(long, value_enum, default_value = "float")]
    weights: Weights,
    /// Where to compute: auto, cpu or cuda:N.
    #[arg(long, default_value = "auto", value_parser = parse_device)]
    device: Device,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Weights {
    /// 32-bit floating point.
    Float,
    /// One scale an output channel.
    Int8,
}

/// How many pictures the effect of int8 weights is measured on.
const PICTURES_FOR_AGREEMENT: usize = 256;

impl Train {
    pub(super) fn run(self) -> anyhow::Result<String> {
        let model = read_model(&self.model)?;
        let context = || self.model.display().to_string();
        let size = self.preprocess.input_size.map(|side| ImageSize { width: side, height: side });
        let mut classifier = Classifier::new(&model, size).with_context(context)?;
        let mut settings = self.settings.settings(self.device)?;
        let layers = self.layers(&classifier, settings.layers).with_context(context)?;
        let preprocess = self.preprocess.rule(classifier.input_size())?;
        let labels = self.labels(classifier.classes())?;
        let pictures = list_pictures(&self.images)?;
        outputs::check_model(&self.output)?;
        outputs::check_place(&self.output, true)?;
        settings.subject = self.subject(&layers, &preprocess, &pictures)?;
        let mut metadata = Metadata {
            variant: settings.variant,
            quantization: match self.weights {
                Weights::Float => Quantization::None,
                Weights::Int8 => Quantization::WeightsInt8,
            },
            preprocess,
            labels,
            // `attach` says where it put the attention mechanism.
            attention: AttentionLayout::default(),
            provenance: Provenance::default(),
        };
        // What cannot be exported is found out before hours of training.
        let untrained = Attention::random(classifier.classes(), &layers, 0);
        attach(&model, &classifier, &layers, &untrained, metadata.clone()).with_context(context)?;
        let path = self.run_folder.clone().unwrap_or_else(|| self.output.with_extension("run"));
        classifier.to_device(self.device)?;
        let mut folder = RunFolder::open(&path, &settings, self.resume)?;
        let trainer = Trainer {
            classifier: &classifier,
            layers: &layers,
            preprocess: &preprocess,
            settings: &settings,
        };
        let trained = trainer.train(&self.images, &mut folder, self.resume)?;
        metadata.provenance = self.provenance(&settings, &trained)?;
        let explained = attach(&model, &classifier, &layers, &trained.attention, metadata)?;
        verify(&explained, &model, &classifier, &layers, &trained.attention)?;
        let mut report = self.report(&path, &trained);
        if let Weights::Int8 = self.weights {
            let pictures = spread(pictures, Some(PICTURES_FOR_AGREEMENT));
            let agreement = agreement(&explained, &classifier, &pictures)?;
            let (percent, count) = (agreement.percent(), agreement.pictures);
            // Writing to a string cannot fail.
            let _ = writeln!(
                report,
                "with int8 weights {percent:.1} % of {count} pictures keep their class"
            );
        }
        write_model(&self.output, explained.proto())?;
        Ok(report)
    }

    /// Finds the layers to look at: at most `count`.
    fn layers(&self, classifier: &Classifier, count: usize) -> Result<Layers, LayerError> {
        let deepest = match &self.layer {
            Some(name) => layers::named(classifier, name),
            None => layers::choose(classifier),
        }?;
        Ok(Layers { finer: layers::finer(classifier, &deepest, count - 1), deepest })
    }

    fn labels(&self, classes: usize) -> anyhow::Result<Labels> {
        let Some(path) = &self.labels else { return Ok(Labels::numbered(classes)) };
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read the labels {}", path.display()))?;
        let Ok(text) = String::from_utf8(bytes) else {
            bail!("the labels {} are not UTF-8; save them as UTF-8 text", path.display());
        };
        let labels = Labels::from_lines(text.trim_start_matches('\u{feff}'));
        if let Some(line) = labels.iter().position(str::is_empty) {
            let (path, line) = (path.display(), line + 1);
            bail!("line {line} of {path} is empty; give each class a name");
        }
        if labels.len() != classes {
            let (path, found) = (path.display(), labels.len());
            bail!(
                "{path} holds {found} labels, but the model has {classes} classes; give one a line"
            );
        }
        Ok(labels)
    }

    /// Digests what is trained on.
    fn subject(
        &self,
        layers: &Layers,
        preprocess: &Preprocess,
        pictures: &[PathBuf],
    ) -> anyhow::Result<String> {
        let below = |path: &PathBuf| path.strip_prefix(&self.images).unwrap_or(path).to_owned();
        let names: Vec<PathBuf> = pictures.iter().map(below).collect();
        let layers: Vec<&str> = layers.iter().map(|maps| maps.name.as_str()).collect();
        let text = format!("{} {layers:?} {preprocess:?} {names:?}", self.classifier_digest()?);
        Ok(hexadecimal(&Sha256::digest(text)))
    }

    fn classifier_digest(&self) -> anyhow::Result<String> {
        let bytes = std::fs::read(&self.model)
            .with_context(|| format!("cannot read {}", self.model.display()))?;
        Ok(hexadecimal(&Sha256::digest(&bytes)))
    }

    fn provenance(&self, settings: &Settings, trained: &Trained) -> anyhow::Result<Provenance> {
        let mut training = BTreeMap::new();
        if let serde_json::Value::Object(fields) = serde_json::to_value(settings)? {
            let plain =
                |value: serde_json::Value| value.as_str().map_or(value.to_string(), str::to_owned);
            training.extend(fields.into_iter().map(|(name, value)| (name, plain(value))));
        }
        training.insert("pictures".to_owned(), trained.pictures.to_string());
        Ok(Provenance {
            tool: TOOL.to_owned(),
            classifier: self.model.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            classifier_sha256: self.classifier_digest()?,
            training,
            scores: BTreeMap::new(),
        })
    }

    fn report(&self, run_folder: &std::path::Path, trained: &Trained) -> String {
        let mut text = format!(
            "{}: trained on {} pictures, classes named: {}, loss {:.4}; settings and curves in {}\n",
            self.output.display(),
            trained.pictures,
            trained.classes_seen,
            trained.loss,
            run_folder.display(),
        );
        if trained.classes_seen < 2 {
            let _ = writeln!(
                text,
                "the classifier names one class on all pictures, so its maps mean little; \
                 `lcam-host inspect --images` tells whether the normalisation fits"
            );
        }
        for error in &trained.unreadable {
            let _ = writeln!(text, "left out: {error}");
        }
        text
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
