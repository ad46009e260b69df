//! How pictures become the network's input: the flags, and the normalisations that have names.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use lcam_models::preprocess::{Channels, ImageSize, Normalization, Preprocess};

/// How pictures become the network's input.
#[derive(Debug, Args)]
pub(super) struct PreprocessArgs {
    /// A common normalisation; `lcam-host inspect MODEL --images DIR` tells which one fits.
    #[arg(long = "preprocess", value_enum, default_value = "imagenet")]
    named: Named,
    /// Subtracted from pixels in 0..1, in the order of the planes: R,G,B.
    #[arg(long, value_name = "R,G,B", requires = "std", allow_hyphen_values = true)]
    mean: Option<Triple>,
    /// Divided by, likewise.
    #[arg(long, value_name = "R,G,B", requires = "mean")]
    std: Option<Triple>,
    /// The order of the planes.
    #[arg(long, value_enum, default_value = "rgb")]
    channels: Order,
    /// What the short side is resized to before the centre is cropped [default: 256/224 of the input].
    #[arg(long)]
    resize: Option<u32>,
    /// The side of the square input in pixels, where the model leaves it open.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) input_size: Option<u32>,
}

/// One number a plane.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Triple([f32; 3]);

impl FromStr for Triple {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Result<Vec<f32>, _> =
            text.split(',').map(|number| number.trim().parse()).collect();
        let numbers = numbers.ok().and_then(|numbers| numbers.try_into().ok());
        numbers.map(Self).ok_or("give three numbers, as in 0.485,0.456,0.406")
    }
}

/// A normalisation that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Named {
    /// ImageNet's mean and standard deviation, as torchvision uses.
    Imagenet,
    /// (pixel - 127) / 128, as the EfficientNet-Lite models of TensorFlow use.
    Tf,
    /// -1 to 1, as Inception and MobileNet of TensorFlow use.
    Signed,
    /// 0 to 1.
    Unit,
    /// 0 to 255.
    Raw,
}

/// The order of the planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Order {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

impl PreprocessArgs {
    pub(super) fn rule(&self, input: ImageSize) -> anyhow::Result<Preprocess> {
        let mut normalization = self.named.normalization(self.channels);
        if let (Some(Triple(mean)), Some(Triple(std_dev))) = (self.mean, self.std) {
            normalization.mean = mean;
            normalization.std_dev = std_dev;
        }
        let mut preprocess = Preprocess::usual(input, normalization);
        preprocess.resize = self.resize.unwrap_or(preprocess.resize);
        preprocess.check()?;
        Ok(preprocess)
    }
}

impl Named {
    /// Gives the normalisation for planes in this order; its mean and deviation go with the colours.
    pub(super) fn normalization(self, order: Order) -> Normalization {
        let rgb = match self {
            Self::Imagenet => Normalization::IMAGENET,
            Self::Tf => Normalization::TF,
            Self::Signed => Normalization::SIGNED,
            Self::Unit => Normalization::UNIT,
            Self::Raw => Normalization::RAW,
        };
        let channels = match order {
            Order::Rgb => Channels::Rgb,
            Order::Bgr => Channels::Bgr,
        };
        rgb.in_order(channels)
    }
}
