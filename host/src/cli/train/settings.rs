//! How to train, as it is said on the command line.

use anyhow::bail;
use clap::{Args, ValueEnum};
use lcam_models::metadata::{Activation, Variant};
use tch::Device;

use crate::graph::Precision;
use crate::train::fill::Fill;
use crate::train::loss::LossMaps;
use crate::train::mask::MaskKind;
use crate::train::optimizer::OptimizerKind;
use crate::train::settings::{Init, Recipe, Settings};

/// A recipe, and what is different from it.
#[derive(Debug, Args)]
pub(super) struct SettingsArgs {
    /// What the mask is applied to in training.
    #[arg(long, value_enum, default_value = "img")]
    variant: VariantArgument,
    /// Where settings that are not given come from.
    #[arg(long, value_enum, default_value = "default")]
    recipe: Recipe,
    /// How many layers the attention mechanism looks at: the one to explain and finer ones before it, as far as
    /// the network has some. More than one with `--variant img` alone.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    layers: Option<u8>,
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
    /// In which numbers the network looks at masked pictures, with `--variant img` [default: bfloat16 on a GPU, float
    /// elsewhere]
    #[arg(long, value_enum)]
    precision: Option<Precision>,
    /// The first epoch's learning rate.
    #[arg(long, value_parser = parse_positive)]
    lr: Option<f64>,
    /// What the learning rate is multiplied with after each epoch.
    #[arg(long, value_parser = parse_positive)]
    lr_decay: Option<f64>,
    /// How much the area of the masks counts beside the cross-entropy.
    #[arg(long, value_parser = parse_weight)]
    area: Option<f64>,
    /// The power of each pixel in the area.
    #[arg(long, value_parser = parse_positive)]
    area_power: Option<f64>,
    /// How much it counts what the network still sees where the masks are low; above 0, with `--variant img`, the
    /// network runs twice in each update.
    #[arg(long, value_parser = parse_weight)]
    destruction: Option<f64>,
    /// What takes the place of removed pixels, with `--variant img`; of several, one is drawn for each update.
    #[arg(long, value_enum, value_delimiter = ',')]
    fill: Option<Vec<Fill>>,
    /// Which shares of the pixels `--mask min-max` keeps, above 0 and at most 1; one is drawn for each picture
    /// in each update.
    #[arg(long, value_delimiter = ',', value_parser = parse_share)]
    shares: Option<Vec<f64>>,
    /// What makes the maps of the attention mechanism's sums.
    #[arg(long, value_enum)]
    activation: Option<ActivationArgument>,
    /// What all random choices depend on.
    #[arg(long)]
    seed: Option<u64>,
    /// Memory for feature maps before they go to the disk, in MiB.
    #[arg(long)]
    cache_mb: Option<usize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum VariantArgument {
    /// The feature maps: L-CAM-Fm. The network runs once on each picture, so it is quick.
    Fm,
    /// The picture: L-CAM-Img. The network runs in each update, so it takes longer and learns what counts.
    Img,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ActivationArgument {
    /// Nothing.
    None,
    /// The sigmoid.
    Sigmoid,
}

impl SettingsArgs {
    /// Gives the recipe's settings for a device, as far as others were not given.
    pub(super) fn settings(&self, device: Device) -> anyhow::Result<Settings> {
        let mut settings = Settings::of(self.recipe, self.variant.into());
        settings.layers = self.layers.map_or(settings.layers, usize::from);
        settings.init = self.init.unwrap_or(settings.init);
        settings.mask = self.mask.unwrap_or(settings.mask);
        settings.loss = self.loss.unwrap_or(settings.loss);
        settings.optimizer = self.optimizer.unwrap_or(settings.optimizer);
        settings.epochs = self.epochs.map_or(settings.epochs, usize::from);
        settings.batch = self.batch.map_or(settings.batch, usize::from);
        settings.micro_batch = self.micro_batch.map_or(settings.micro_batch, usize::from);
        let fast = match device {
            Device::Cuda(_) => Precision::Bfloat16,
            _ => settings.precision,
        };
        settings.precision = self.precision.unwrap_or(fast);
        settings.learning_rate = self.lr.unwrap_or(settings.learning_rate);
        settings.seed = self.seed.unwrap_or(settings.seed);
        settings.cache_mb = self.cache_mb.unwrap_or(settings.cache_mb);
        settings.learning_rate_decay = self.lr_decay.unwrap_or(settings.learning_rate_decay);
        let weights = &mut settings.loss_weights;
        weights.area = self.area.unwrap_or(weights.area);
        weights.area_power = self.area_power.unwrap_or(weights.area_power);
        weights.destruction = self.destruction.unwrap_or(weights.destruction);
        settings.fills = self.fill.clone().unwrap_or(settings.fills);
        settings.shares = self.shares.clone().unwrap_or(settings.shares);
        settings.activation = self.activation.map_or(settings.activation, Into::into);
        if settings.variant == Variant::Fm && settings.layers > 1 {
            bail!(
                "--variant fm masks the feature maps of one layer; leave out --layers, or give --variant img"
            );
        }
        let about_pictures = [
            ("--fill", self.fill.is_some()),
            ("--destruction", self.destruction.is_some()),
            ("--precision", self.precision.is_some()),
        ];
        if let (Variant::Fm, Some((flag, _))) =
            (settings.variant, about_pictures.iter().find(|(_, given)| *given))
        {
            bail!("{flag} is about masked pictures; leave it out, or give --variant img");
        }
        let cuts = settings.variant == Variant::Img && settings.mask == MaskKind::MinMax;
        if self.shares.is_some() && !cuts {
            bail!(
                "--shares are cut from pictures; leave it out, or give --variant img --mask min-max"
            );
        }
        Ok(settings)
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

impl From<ActivationArgument> for Activation {
    fn from(argument: ActivationArgument) -> Self {
        match argument {
            ActivationArgument::None => Self::None,
            ActivationArgument::Sigmoid => Self::Sigmoid,
        }
    }
}

fn parse_number(text: &str, fits: fn(f64) -> bool, wanted: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && fits(value) => Ok(value),
        _ => Err(format!("it must be {wanted}")),
    }
}

fn parse_positive(text: &str) -> Result<f64, String> {
    parse_number(text, |value| value > 0.0, "a number above 0")
}

fn parse_weight(text: &str) -> Result<f64, String> {
    parse_number(text, |value| value >= 0.0, "a number from 0 on")
}

fn parse_share(text: &str) -> Result<f64, String> {
    parse_number(text, |value| value > 0.0 && value <= 1.0, "a number above 0 and at most 1")
}
