//! How to train: one place for every default.

use clap::ValueEnum;
use lcam_models::metadata::{Activation, Variant};
use serde::{Deserialize, Serialize};

use super::fill::Fill;
use super::loss::{LossMaps, LossWeights};
use super::mask::MaskKind;
use super::optimizer::OptimizerKind;
use crate::graph::Precision;

/// Where the weights start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// At the classifier's own weights: training starts at CAM, and classes that no training picture shows
    /// keep a good map.
    Classifier,
    /// At random, as in the paper.
    Random,
}

/// A named set of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Recipe {
    /// What measured best here.
    Default,
    /// The paper's for VGG-16.
    Paper,
    /// The paper's for ResNet-50.
    PaperResnet,
}

/// How to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What the mask is applied to.
    pub variant: Variant,
    /// How many layers the attention mechanism looks at, as far as the network has so many.
    pub layers: usize,
    /// What makes the maps of the attention mechanism's sums, in training and in the file.
    pub activation: Activation,
    /// Where the weights start.
    pub init: Init,
    /// How raw maps become masks.
    pub mask: MaskKind,
    /// Which shares of the pixels a mask of [`MaskKind::MinMax`] keeps, above 0 and at most 1; one is drawn for each
    /// picture in each update.
    pub shares: Vec<f64>,
    /// What takes the place of removed pixels, with [`Variant::Img`]; one is drawn for each update.
    pub fills: Vec<Fill>,
    /// Over which maps area and variation run.
    pub loss: LossMaps,
    /// How much each term of the loss counts.
    pub loss_weights: LossWeights,
    /// Which rule updates the weights.
    pub optimizer: OptimizerKind,
    /// How often every picture is seen.
    pub epochs: usize,
    /// Pictures an update.
    pub batch: usize,
    /// Pictures that go through the network at once in an update; bounds memory and changes no result.
    pub micro_batch: usize,
    /// In which numbers the network looks at masked pictures, with [`Variant::Img`].
    #[serde(default)]
    pub precision: Precision,
    /// The first epoch's learning rate.
    pub learning_rate: f64,
    /// What the learning rate is multiplied with after each epoch.
    pub learning_rate_decay: f64,
    /// After how many epochs the learning rate stays as it is, if it does.
    pub decaying_epochs: Option<usize>,
    /// Whether pictures are randomly cropped and mirrored, anew in each epoch.
    pub augment: bool,
    /// What all random choices depend on.
    pub seed: u64,
    /// What is trained on: a digest of classifier, layer, preprocessing and the names of the pictures, so
    /// that no training goes on with another's checkpoint.
    #[serde(default)]
    pub subject: String,
    /// How much memory the feature maps may take before they go to the disk; it changes no result.
    pub cache_mb: usize,
}

impl Settings {
    /// Gives the settings of a recipe for a variant.
    #[must_use]
    pub fn of(recipe: Recipe, variant: Variant) -> Self {
        let settings = match (recipe, variant) {
            (Recipe::Default, Variant::Img) => Self::masked_pictures(),
            (Recipe::Default, Variant::Fm) => Self::masked_features(),
            (Recipe::Paper, _) => Self::paper(),
            (Recipe::PaperResnet, _) => Self {
                epochs: 26,
                learning_rate: 1e-4,
                learning_rate_decay: 0.95,
                decaying_epochs: Some(12),
                ..Self::paper()
            },
        };
        Self { variant, ..settings }
    }

    /// Several layers, trained on what a user sees of a map. models/efficientnet-lite0/STUDY.md holds what was
    /// measured on the way.
    fn masked_pictures() -> Self {
        Self {
            layers: 3,
            activation: Activation::Sigmoid,
            mask: MaskKind::MinMax,
            loss: LossMaps::Diagonal,
            loss_weights: LossWeights {
                cross_entropy: 1.0,
                area: 1.0,
                area_power: 1.0,
                variation: 0.002,
                border: 0.0,
                destruction: 0.0,
            },
            epochs: 3,
            ..Self::masked_features()
        }
    }

    /// Chosen on EfficientNet-Lite0 with 2400 composites, by average drop in percent at
    /// 100, 50 and 15 % of the pixels on 400 held out, where CAM has 41.0, 50.9, 82.5: this 37.8, 51.6, 82.4;
    /// 8 epochs at 1e-3 in batches of 64, as long as the paper trains, 37.6, 56.4, 82.9; without pairs 41.6, 51.7,
    /// 81.8. Longer training gains at 100 % alone: its maps spread.
    fn masked_features() -> Self {
        Self {
            variant: Variant::Fm,
            layers: 1,
            activation: Activation::None,
            init: Init::Classifier,
            mask: MaskKind::Sigmoid,
            shares: vec![1.0, 0.5, 0.15],
            fills: vec![Fill::Black],
            loss: LossMaps::AllPairs,
            loss_weights: LossWeights::default(),
            optimizer: OptimizerKind::Adamw,
            epochs: 4,
            batch: 32,
            micro_batch: 32,
            precision: Precision::Float,
            learning_rate: 2e-3,
            learning_rate_decay: 0.5,
            decaying_epochs: None,
            augment: false,
            seed: 1,
            subject: String::new(),
            cache_mb: 1024,
        }
    }

    fn paper() -> Self {
        Self {
            init: Init::Random,
            optimizer: OptimizerKind::Sgd,
            epochs: 8,
            batch: 64,
            learning_rate: 1e-2,
            learning_rate_decay: 0.75,
            augment: true,
            ..Self::masked_features()
        }
    }

    /// Gives the learning rate of an epoch, counted from 0.
    #[must_use]
    pub fn learning_rate_of(&self, epoch: usize) -> f64 {
        let decays = self.decaying_epochs.map_or(epoch, |most| epoch.min(most));
        let epoch = i32::try_from(decays).unwrap_or(i32::MAX);
        self.learning_rate * self.learning_rate_decay.powi(epoch)
    }
}
