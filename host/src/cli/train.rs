//! `lcam-host train`: from a classifier and a folder of pictures to an explained model.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use lcam_models::class::Labels;
use lcam_models::metadata::{AttentionLayout, Metadata, Provenance, Quantization, Variant};
use lcam_models::onnx::{read_model, write_model};
use lcam_models::preprocess::{ImageSize, Preprocess};
use sha2::{Digest, Sha256};
use tch::Device;

use super::device::parse_device;
use super::outputs;
use super::preprocess::PreprocessArgs;
use crate::attention::Attention;
use crate::classifier::Classifier;
use crate::dataset::{list_pictures, spread};
use crate::export::{agreement, attach, verify};
use crate::layers::{self, LayerError, Layers};
use crate::train::loss::LossMaps;
use crate::train::mask::MaskKind;
use crate::train::optimizer::OptimizerKind;
use crate::train::run_folder::RunFolder;
use crate::train::settings::{Init, Recipe, Settings};
use crate::train::{Trained, Trainer};

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
    /// What the mask is applied to in training.
    #[arg(long, value_enum, default_value = "img")]
    variant: VariantArgument,
    /// The names of the classes, one a line.
    #[arg(long)]
    labels: Option<PathBuf>,
    /// The tensor to explain, in place of the last activation before the final pooling.
    #[arg(long)]
    layer: Option<String>,
    /// How many layers the attention mechanism looks at: the one to explain and finer ones before it, as far as
    /// the network has some. More than one with `--variant img` alone.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    layers: Option<u8>,
    /// Where settings that are not given come from.
    #[arg(long, value_enum, default_value = "default")]
    recipe: Recipe,
    /// Where the weights start.
    #[arg(long, value_enum)]
    init: Option<Init>,
    /// Over which maps the area and variation of the masks run.
    #[arg(long, value_enum)]
    loss: Option<LossMaps>,
    /// How raw maps become masks.
    #[arg(long, value_enum)]
    mask: Option<MaskKind>,
    /// Which rule updates the weights.
    #[arg(long, value_enum)]
    optimizer: Option<OptimizerKind>,
    /// How often every picture is seen.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    epochs: Option<u16>,
    /// Pictures an update.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,
    /// Pictures that go through the network at once in an update; fewer need less memory.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    micro_batch: Option<u16>,
    /// The first epoch's learning rate.
    #[arg(long)]
    lr: Option<f64>,
    /// What all random choices depend on.
    #[arg(long)]
    seed: Option<u64>,
    /// Memory for feature maps before they go to the disk, in MiB.
    #[arg(long)]
    cache_mb: Option<usize>,
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
enum VariantArgument {
    /// The feature maps: L-CAM-Fm. The network runs once on each picture, so it is quick.
    Fm,
    /// The picture: L-CAM-Img. The network runs in each update, so it takes longer and learns what counts.
    Img,
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
        let mut settings = self.settings()?;
        let layers = self.layers(&classifier, settings.layers).with_context(context)?;
        let preprocess = self.preprocess.rule(classifier.input_size())?;
        let labels = self.labels(classifier.classes())?;
        let pictures = list_pictures(&self.images)?;
        outputs::check_model(&self.output)?;
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
            attention: AttentionLayout { layers: Vec::new(), bias: String::new() },
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

    fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = Settings::of(self.recipe, self.variant.into());
        settings.layers = self.layers.map_or(settings.layers, usize::from);
        settings.init = self.init.unwrap_or(settings.init);
        settings.mask = self.mask.unwrap_or(settings.mask);
        settings.loss = self.loss.unwrap_or(settings.loss);
        settings.optimizer = self.optimizer.unwrap_or(settings.optimizer);
        settings.epochs = self.epochs.map_or(settings.epochs, usize::from);
        settings.batch = self.batch.map_or(settings.batch, usize::from);
        settings.micro_batch = self.micro_batch.map_or(settings.micro_batch, usize::from);
        settings.learning_rate = self.lr.unwrap_or(settings.learning_rate);
        settings.seed = self.seed.unwrap_or(settings.seed);
        settings.cache_mb = self.cache_mb.unwrap_or(settings.cache_mb);
        if !(settings.learning_rate > 0.0 && settings.learning_rate.is_finite()) {
            bail!("the learning rate {} must be above 0", settings.learning_rate);
        }
        if settings.variant == Variant::Fm && settings.layers > 1 {
            bail!(
                "--variant fm masks the feature maps of one layer; leave out --layers, or give --variant img"
            );
        }
        Ok(settings)
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
            tool: concat!("lcam-host ", env!("CARGO_PKG_VERSION")).to_owned(),
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

impl From<VariantArgument> for Variant {
    fn from(argument: VariantArgument) -> Self {
        match argument {
            VariantArgument::Fm => Self::Fm,
            VariantArgument::Img => Self::Img,
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
