//! What is measured of explanation maps, in families that can be chosen.
//!
//! A family asks the network for its confidence in the same class on pictures that were changed after the map
//! ([`Subject`]), or holds the map against a mask, or looks at the map alone. Each method's maps of a batch go
//! through together.

mod blur;
mod curves;
mod imputation;
mod localization;
mod masking;
mod ranking;
mod road;
mod sparseness;
mod subject;

use std::collections::BTreeMap;

use clap::ValueEnum;
use lcam_models::map::{ExplanationMap, GridSize};
use serde::Serialize;
use tch::{Device, TchError, Tensor};

use super::EvaluateError;
use curves::STEPS;
pub use curves::area;
pub(crate) use imputation::fill_smoothly;
pub use imputation::impute;
pub use localization::{lies_in, share_in};
pub use masking::{Fill, KEPT};
pub use ranking::{pixels, ranks};
use road::NOISE;
pub use road::{REMOVED, combined};
pub use sparseness::gini;
pub(super) use subject::Subject;

/// Figures that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Average drop and increase in confidence on black.
    Faithfulness,
    /// The same on the network's mean colour and on the blurred picture.
    Fills,
    /// Insertion and deletion.
    Curves,
    /// Removal with imputed pixels (ROAD).
    Road,
    /// Pointing game and energy, where there are masks.
    Localization,
    /// The Gini index.
    Sparseness,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Faithfulness,
        Self::Fills,
        Self::Curves,
        Self::Road,
        Self::Localization,
        Self::Sparseness,
    ];

    /// Names it for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Faithfulness => "drop and increase",
            Self::Fills => "other fills",
            Self::Curves => "insertion and deletion",
            Self::Road => "ROAD",
            Self::Localization => "localization",
            Self::Sparseness => "sparseness",
        }
    }
}

/// What was measured of one method's map for one picture. What was not asked for is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// The confidences in the same class on the masked picture, for each share of [`KEPT`]: `O`.
    pub masked: BTreeMap<Fill, Vec<f64>>,
    /// The confidences while the highest pixels turn black, in equal steps from none to all.
    pub deletion: Vec<f64>,
    /// The confidences while the highest pixels appear on the blurred picture.
    pub insertion: Vec<f64>,
    /// The confidences without the most relevant pixels, for each share of [`REMOVED`].
    pub without_most: Vec<f64>,
    /// The confidences without the least relevant pixels.
    pub without_least: Vec<f64>,
    /// Whether the map's highest pixel lies in the object, where a mask says where that is.
    pub pointing: Option<bool>,
    /// The share of the map's sum that lies in the object, 0 to 1, where a mask says where that is.
    pub energy: Option<f64>,
    /// The Gini index of the map, 0 to 1.
    pub gini: Option<f64>,
}

/// How the measurements are made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Protocol {
    /// In how many steps pixels come or go for insertion and deletion, at least 1.
    pub steps: usize,
    /// The standard deviation of ROAD's noise, pixels being 0 to 1.
    pub road_noise: f32,
}

impl Default for Protocol {
    fn default() -> Self {
        Self { steps: STEPS, road_noise: NOISE }
    }
}

/// A method's maps for the pictures of a batch.
#[derive(Debug)]
pub(super) struct Maps {
    /// At the method's own grid.
    pub(super) native: Vec<ExplanationMap>,
    /// At the size of the pictures.
    full: Vec<ExplanationMap>,
    /// The ranks of the pixels of `full`.
    order: Vec<Vec<i32>>,
    /// `full` as `[B, 1, H, W]` beside the pictures.
    values: Tensor,
    /// `order` as `[B, 1, H, W]` beside the pictures.
    ranks: Tensor,
}

impl Maps {
    /// Prepares maps, of which there is at least one, for pictures of `size`.
    pub(super) fn new(
        native: Vec<ExplanationMap>,
        size: GridSize,
        device: Device,
    ) -> Result<Self, TchError> {
        let full: Vec<ExplanationMap> = native.iter().map(|map| map.upsample(size)).collect();
        let order: Vec<Vec<i32>> = full.iter().map(ranks).collect();
        let side = |side| i64::try_from(side).unwrap_or(0);
        let shape = [-1, 1, side(size.height), side(size.width)];
        let values: Vec<f32> = full.iter().flat_map(|map| map.values().iter().copied()).collect();
        let values = Tensor::from_slice(&values).f_reshape(shape)?.f_to_device(device)?;
        let ranks = Tensor::from_slice(&order.concat()).f_reshape(shape)?.f_to_device(device)?;
        Ok(Self { native, full, order, values, ranks })
    }

    /// Counts the pixels of one picture.
    fn pixels(&self) -> usize {
        self.full.first().map_or(0, |map| map.size().cells())
    }
}

/// Measures one family and notes it in `scores`, one entry a picture.
///
/// # Errors
/// Returns [`EvaluateError`] when the network fails.
pub(super) fn measure(
    family: Family,
    subject: &Subject,
    maps: &Maps,
    protocol: &Protocol,
    scores: &mut [Scores],
) -> Result<(), EvaluateError> {
    match family {
        Family::Faithfulness => masked(&[Fill::Black], subject, maps, scores)?,
        Family::Fills => masked(&[Fill::Mean, Fill::Blur], subject, maps, scores)?,
        Family::Curves => {
            let found = curves::measure(subject, maps, protocol.steps)?;
            note(scores, found.deletion, |scores| &mut scores.deletion);
            note(scores, found.insertion, |scores| &mut scores.insertion);
        }
        Family::Road => {
            let left = |order| road::measure(subject, maps, order, protocol.road_noise);
            note(scores, left(road::Order::MostRelevant)?, |scores| &mut scores.without_most);
            note(scores, left(road::Order::LeastRelevant)?, |scores| &mut scores.without_least);
        }
        Family::Localization => {
            for ((scores, map), mask) in scores.iter_mut().zip(&maps.full).zip(subject.masks()) {
                scores.pointing = mask.as_ref().map(|mask| lies_in(map, mask));
                scores.energy = mask.as_ref().map(|mask| share_in(map, mask));
            }
        }
        Family::Sparseness => {
            for (scores, map) in scores.iter_mut().zip(&maps.full) {
                scores.gini = Some(gini(map));
            }
        }
    }
    Ok(())
}

fn masked(
    fills: &[Fill],
    subject: &Subject,
    maps: &Maps,
    scores: &mut [Scores],
) -> Result<(), EvaluateError> {
    for &fill in fills {
        let found = masking::measure(subject, maps, fill)?;
        note(scores, found, |scores| scores.masked.entry(fill).or_default());
    }
    Ok(())
}

fn note<T>(scores: &mut [Scores], found: Vec<T>, place: impl Fn(&mut Scores) -> &mut T) {
    for (scores, found) in scores.iter_mut().zip(found) {
        *place(scores) = found;
    }
}
