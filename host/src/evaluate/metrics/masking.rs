//! Average drop and increase in confidence: what is left of the confidence on the masked picture.
//!
//! A masked picture is `m * picture + (1 - m) * fill`. Black is the paper's fill. It looks like nothing that the
//! network was trained on, and a drop may be the shock of it; the other fills tell how much a result owes to
//! that.

use clap::ValueEnum;
use serde::Serialize;
use tch::{TchError, Tensor};

use super::ranking::pixels;
use super::{Maps, Subject};
use crate::evaluate::EvaluateError;

/// The shares of pixels that keep their values (Gkartzonika et al. 2022).
pub const KEPT: [f64; 3] = [1.0, 0.5, 0.15];

/// What stands where a picture is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// 0 in 0..=1.
    Black,
    /// The network's mean colour: 0 after normalisation.
    Mean,
    /// The picture itself, blurred.
    Blur,
}

impl Fill {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Black, Self::Mean, Self::Blur];
}

/// Measures the confidences on the masked pictures: for each picture one for each share of [`KEPT`].
pub(super) fn measure(
    subject: &Subject,
    maps: &Maps,
    fill: Fill,
) -> Result<Vec<Vec<f64>>, EvaluateError> {
    let mut masked = vec![Vec::with_capacity(KEPT.len()); maps.full.len()];
    for share in KEPT {
        let pictures = mix(subject, &kept(maps, share)?, fill)?;
        for (values, confidence) in masked.iter_mut().zip(subject.confidences(&pictures)?) {
            values.push(confidence);
        }
    }
    Ok(masked)
}

/// Keeps the values of the highest `share` of each map's pixels and sets the rest to 0, `[B, 1, H, W]`.
fn kept(maps: &Maps, share: f64) -> Result<Tensor, TchError> {
    let count = i64::try_from(pixels(maps.pixels(), share)).unwrap_or(i64::MAX);
    maps.values.f_mul(&maps.ranks.f_lt(count)?)
}

fn mix(subject: &Subject, masks: &Tensor, fill: Fill) -> Result<Tensor, TchError> {
    let picture = subject.pixels().f_mul(masks)?;
    let rest = masks.f_neg()?.f_add_scalar(1.0)?;
    match fill {
        Fill::Black => Ok(picture),
        Fill::Mean => picture.f_add(&rest.f_mul(&subject.mean_color())?),
        Fill::Blur => picture.f_add(&rest.f_mul(subject.blurred())?),
    }
}
