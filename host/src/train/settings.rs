//! How to train: one place for every default.

use clap::ValueEnum;
use lcam_models::metadata::Variant;
use serde::{Deserialize, Serialize};

use super::loss::{LossMaps, LossWeights};
use super::optimizer::OptimizerKind;

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
}

/// How to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What the mask is applied to.
    pub variant: Variant,
    /// Where the weights start.
    pub init: Init,
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
    /// The first epoch's learning rate.
    pub learning_rate: f64,
    /// What the learning rate is multiplied with after each epoch.
    pub learning_rate_decay: f64,
    /// Whether pictures are randomly cropped and mirrored, anew in each epoch.
    pub augment: bool,
    /// What all random choices depend on.
    pub seed: u64,
    /// How much memory the feature maps may take before they go to the disk; it changes no result.
    pub cache_mb: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            variant: Variant::Fm,
            init: Init::Classifier,
            loss: LossMaps::AllPairs,
            loss_weights: LossWeights::default(),
            optimizer: OptimizerKind::Adamw,
            epochs: 8,
            batch: 64,
            learning_rate: 1e-3,
            learning_rate_decay: 1.0,
            augment: false,
            seed: 1,
            cache_mb: 1024,
        }
    }
}

impl Settings {
    /// Gives the settings of a recipe.
    #[must_use]
    pub fn of(recipe: Recipe) -> Self {
        match recipe {
            Recipe::Default => Self::default(),
            Recipe::Paper => Self {
                init: Init::Random,
                optimizer: OptimizerKind::Sgd,
                learning_rate: 1e-2,
                learning_rate_decay: 0.75,
                augment: true,
                ..Self::default()
            },
        }
    }

    /// Gives the learning rate of an epoch, counted from 0.
    #[must_use]
    pub fn learning_rate_of(&self, epoch: usize) -> f64 {
        let epoch = i32::try_from(epoch).unwrap_or(i32::MAX);
        self.learning_rate * self.learning_rate_decay.powi(epoch)
    }
}
