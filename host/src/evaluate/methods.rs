//! The methods that are compared. Each gives a raw class map for one class of each picture.
//!
//! All but `lcam` and `rise` work on the feature maps of the explained layer, the deepest one where the
//! attention mechanism looks at several. Methods that mask pictures leave black what they take away. How far
//! these implementations are from other people's is measured in host/METHODS.md.

mod gradients;
mod masked;
mod own;
mod pass;
mod recipro_cam;
mod rise;
mod score_cam;

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;
use tch::Tensor;

use super::{EvaluateError, Explained};
pub(super) use pass::Pass;

/// How many masks RISE draws where nothing else is asked for (Petsiuk et al. 2018 take 4000 for VGG-16 and
/// 8000 for ResNet-50).
pub const RISE_MASKS: usize = 4000;

/// A way to explain a classification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The model file's own explanation, from the same pass as the class.
    Lcam,
    /// Class activation maps (Zhou et al. 2016): the feature maps, weighted by the derivative of the class's
    /// logit by them, averaged over space. With global average pooling and one linear layer these are that
    /// layer's weights, as in the paper; under any other head they are Grad-CAM without its cut at 0.
    Cam,
    /// Grad-CAM (Selvaraju et al. 2017): what `cam` gives, cut at 0.
    GradCam,
    /// Grad-CAM++ (Chattopadhay et al. 2018): the feature maps, weighted by the positive derivatives of the
    /// class's logit, of which each cell counts as much as it takes to explain the logit.
    #[value(name = "grad-cam++")]
    #[serde(rename = "grad-cam++")]
    GradCamPlusPlus,
    /// LayerCAM (Jiang et al. 2021): each cell of the feature maps, weighted by its own positive derivative.
    LayerCam,
    /// Score-CAM (Wang et al. 2020): the feature maps, weighted by the class's logit for the picture times
    /// each of them.
    ScoreCam,
    /// Recipro-CAM (Byun and Lee 2023): the confidence when of the feature maps only the surroundings of one
    /// cell are left, cell by cell.
    ReciproCam,
    /// RISE (Petsiuk et al. 2018): the mean of random masks, weighted by the confidence behind them.
    Rise,
    /// Noise: what a map is worth that knows nothing.
    Random,
}

/// What a method computes for one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Passes {
    /// Passes through the whole network, with the one that names the class.
    pub network: usize,
    /// Passes through what comes after the explained layer.
    pub head: usize,
    /// Whether derivatives are propagated back from the logit to the explained layer.
    pub backward: bool,
}

impl fmt::Display for Passes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.network)?;
        match (self.backward, self.head) {
            (true, _) => f.write_str(" + backward"),
            (false, 0) => Ok(()),
            (false, head) => write!(f, " + {head} of the head"),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lcam => "lcam",
            Self::Cam => "cam",
            Self::GradCam => "grad-cam",
            Self::GradCamPlusPlus => "grad-cam++",
            Self::LayerCam => "layer-cam",
            Self::ScoreCam => "score-cam",
            Self::ReciproCam => "recipro-cam",
            Self::Rise => "rise",
            Self::Random => "random",
        })
    }
}

impl Method {
    /// Tells what the method computes for one picture, with so many masks of RISE.
    #[must_use]
    pub fn passes(self, model: &Explained, rise_masks: usize) -> Passes {
        let shape = model.classifier().shape(model.feature_maps());
        let side = |axis: usize| {
            shape.get(axis).and_then(|&side| usize::try_from(side).ok()).unwrap_or_default()
        };
        let one = Passes { network: 1, head: 0, backward: false };
        match self {
            Self::Lcam | Self::Random => one,
            Self::Cam | Self::GradCam | Self::GradCamPlusPlus | Self::LayerCam => {
                Passes { head: 1, backward: true, ..one }
            }
            Self::ScoreCam => Passes { network: 1 + side(1), ..one },
            Self::ReciproCam => Passes { head: side(2) * side(3), ..one },
            Self::Rise => Passes { network: 1 + rise_masks, ..one },
        }
    }

    /// Tells whether a map takes few enough passes to make some for every check: the file's own explanation,
    /// CAM and what takes gradients.
    #[must_use]
    pub fn is_quick(self) -> bool {
        !matches!(self, Self::ScoreCam | Self::ReciproCam | Self::Rise | Self::Random)
    }

    /// Gives the raw maps of the pass's classes, `[B, 1, h, w]`: at the grid of the explained layer, of RISE
    /// at the size of the pictures. A picture's map depends on nothing but the picture, the class and the
    /// pass's settings.
    ///
    /// # Errors
    /// Returns [`EvaluateError`] when the network fails.
    pub(super) fn class_maps(
        self,
        model: &Explained,
        pass: &Pass,
    ) -> Result<Tensor, EvaluateError> {
        match self {
            Self::Lcam => own::lcam(model, pass),
            Self::Cam => gradients::cam(model, pass),
            Self::GradCam => Ok(gradients::cam(model, pass)?.f_relu()?),
            Self::GradCamPlusPlus => gradients::grad_cam_plus_plus(model, pass),
            Self::LayerCam => gradients::layer_cam(model, pass),
            Self::ScoreCam => score_cam::score_cam(model, pass),
            Self::ReciproCam => recipro_cam::recipro_cam(model, pass),
            Self::Rise => rise::rise(model, pass),
            Self::Random => own::noise(model, pass),
        }
    }
}
