//! The loss of L-CAM: cross-entropy of the masked network, area and total variation of the masks.
//!
//! `L = 1.5 CE(logits', y) + 2 Area + 0.01 TV` with `Area = mean((m + 0.0005)^0.3)` and
//! `TV = [sum (dy)^2 + sum (dx)^2 + 0.3 sum(border rows and columns)^2] / (2 B)`, on the sigmoid masks at
//! their own grid. Source: Gkartzonika et al.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};

/// Over which maps area and variation run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LossMaps {
    /// The map of every label of the batch on every picture, as in the paper: what is left of the area term
    /// for a picture's own class is small, the rest pushes the maps of absent classes to zero.
    AllPairs,
    /// Each picture's own class only.
    Diagonal,
}

/// How much each term counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossWeights {
    /// Cross-entropy.
    pub cross_entropy: f64,
    /// Mean of the masks, to the power of `area_power`.
    pub area: f64,
    /// 0.3 in the paper, where it makes small masks smaller; 1 counts each pixel alike.
    pub area_power: f64,
    /// Total variation of the masks.
    pub variation: f64,
    /// How much a mask's values on the border count in its variation. 0.3 in the paper, which keeps masks off the border: and
    /// off objects that reach it.
    #[serde(default = "paper_border")]
    pub border: f64,
    /// What the network still sees of the class where the masks are low.
    #[serde(default)]
    pub destruction: f64,
}

impl Default for LossWeights {
    /// The paper's.
    fn default() -> Self {
        Self {
            cross_entropy: 1.5,
            area: 2.0,
            area_power: 0.3,
            variation: 0.01,
            border: paper_border(),
            destruction: 0.0,
        }
    }
}

fn paper_border() -> f64 {
    0.3
}

/// The terms of a loss, not yet weighted; scalars.
#[derive(Debug)]
pub struct LossTerms {
    /// Cross-entropy of the masked network with the clean network's answer.
    pub cross_entropy: Tensor,
    /// Mean of the masks, to a power.
    pub area: Tensor,
    /// Total variation of the masks.
    pub variation: Tensor,
    /// What the network still sees of the class where the masks are low; `None` where nobody asked it.
    pub destruction: Option<Tensor>,
}

impl LossTerms {
    /// Computes the terms from logits `[B, R]` of the masked network, labels `[B]` and masks `[B, K, h, w]`. Of the
    /// weights, those inside of a term are used: the area's power and the variation's border.
    ///
    /// # Errors
    /// Returns libtorch's error when shapes do not fit.
    pub fn new(
        logits: &Tensor,
        labels: &Tensor,
        masks: &Tensor,
        weights: LossWeights,
    ) -> Result<Self, TchError> {
        let cross_entropy =
            logits.f_cross_entropy_loss::<Tensor>(labels, None, tch::Reduction::Mean, -100, 0.0)?;
        let (area, variation) =
            (area(masks, weights.area_power)?, variation(masks, weights.border)?);
        Ok(Self { cross_entropy, area, variation, destruction: None })
    }

    /// Adds the mean of `-log(1 - p)`, with `p` the probability of the label in `rest` `[B, R]`, the logits of
    /// the picture without what the mask keeps (the deletion game of Fong and Vedaldi 2017).
    ///
    /// # Errors
    /// Returns libtorch's error when shapes do not fit.
    pub fn with_destruction(mut self, rest: &Tensor, labels: &Tensor) -> Result<Self, TchError> {
        /// Keeps the logarithm finite.
        const LEAST: f64 = 1e-4;
        let own = rest.f_softmax(1, Kind::Float)?.f_gather(1, &labels.f_unsqueeze(1)?, false)?;
        let gone = own.f_neg()?.f_add_scalar(1.0)?.f_clamp_min(LEAST)?;
        self.destruction = Some(gone.f_log()?.f_neg()?.f_mean(Kind::Float)?);
        Ok(self)
    }

    /// Sums the weighted terms.
    ///
    /// # Errors
    /// Returns libtorch's error.
    pub fn total(&self, weights: LossWeights) -> Result<Tensor, TchError> {
        let scale = |term: &Tensor, weight| term.f_mul_scalar(weight);
        let total = scale(&self.cross_entropy, weights.cross_entropy)?
            .f_add(&scale(&self.area, weights.area)?)?
            .f_add(&scale(&self.variation, weights.variation)?)?;
        match &self.destruction {
            Some(term) => total.f_add(&scale(term, weights.destruction)?),
            None => Ok(total),
        }
    }
}

/// mean((m + 0.0005)^power); the small addend keeps the slope finite at 0.
fn area(masks: &Tensor, power: f64) -> Result<Tensor, TchError> {
    masks.f_add_scalar(0.0005)?.f_pow_tensor_scalar(power)?.f_mean(Kind::Float)
}

/// Squared differences of neighbours and, weighted, squared values on the border, over twice the pictures.
fn variation(masks: &Tensor, border_weight: f64) -> Result<Tensor, TchError> {
    let [batch, _, height, width] = <[i64; 4]>::try_from(masks.size()).unwrap_or([1; 4]);
    let squares = |tensor: Tensor| tensor.f_square()?.f_sum(Kind::Float);
    let steps = |axis: i64, side: i64| {
        squares(masks.f_narrow(axis, 1, side - 1)?.f_sub(&masks.f_narrow(axis, 0, side - 1)?)?)
    };
    let line = |axis: i64, at: i64| squares(masks.f_select(axis, at)?);
    let border = line(2, 0)?
        .f_add(&line(2, height - 1)?)?
        .f_add(&line(3, 0)?)?
        .f_add(&line(3, width - 1)?)?;
    let sum =
        steps(2, height)?.f_add(&steps(3, width)?)?.f_add(&border.f_mul_scalar(border_weight)?)?;
    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    sum.f_div_scalar(2.0 * batch as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_follow_the_formulas() {
        // A 2x3 mask; by hand: rows differ by 1 in one cell and columns twice, the whole border is the mask
        // with its four corners counted twice.
        let masks = Tensor::from_slice(&[0.0f32, 1.0, 0.0, 0.0, 0.0, 0.0]).reshape([1, 1, 2, 3]);
        let logits = Tensor::from_slice(&[0.0f32, 0.0]).reshape([1, 2]);
        let label = Tensor::from_slice(&[1i64]);
        let terms = LossTerms::new(&logits, &label, &masks, LossWeights::default()).unwrap();
        let close = |term: &Tensor, value: f64| (term.double_value(&[]) - value).abs() < 1e-6;
        assert!(close(&terms.cross_entropy, 2f64.ln()));
        let area = (1.0005f64.powf(0.3) + 5.0 * 0.0005f64.powf(0.3)) / 6.0;
        assert!(close(&terms.area, area), "{:?}", terms.area);
        assert!(close(&terms.variation, (1.0 + 2.0 + 0.3) / 2.0), "{:?}", terms.variation);
        let free = LossWeights { border: 0.0, ..LossWeights::default() };
        let steps = LossTerms::new(&logits, &label, &masks, free).unwrap();
        assert!(close(&steps.variation, (1.0 + 2.0) / 2.0), "{:?}", steps.variation);
        let total = terms.total(LossWeights::default()).unwrap();
        assert!(close(&total, 1.5 * 2f64.ln() + 2.0 * area + 0.01 * 1.65));
    }

    #[test]
    fn a_mask_at_zero_has_a_finite_slope() {
        let masks =
            Tensor::zeros([1, 1, 2, 2], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        area(&masks, 0.3).unwrap().backward();
        assert!(masks.grad().isfinite().all().int64_value(&[]) == 1);
    }
}
