//! One update: the maps of a batch, the masked pass and the loss.

use lcam_models::metadata::Variant;
use rand::RngExt;
use tch::{Kind, TchError, Tensor};

use super::fill::{Fill, masked};
use super::head::Head;
use super::loss::{LossMaps, LossTerms};
use super::mask::{MaskKind, keep_highest, min_max};
use super::optimizer::Optimizer;
use super::run_folder::Metrics;
use super::samples::Batch;
use super::settings::Settings;
use super::{TrainError, Trainer};
use crate::attention::{Attention, upsample};
use crate::pictures;
use crate::random::generator;

/// What is drawn anew for each update.
#[derive(Clone, Debug)]
pub(super) struct Draw {
    /// The share of the pixels that is kept of each picture. One share for all would make some updates about the whole
    /// object and some about its core; the maps then point at it less often.
    shares: Vec<f64>,
    fill: Fill,
}

impl Draw {
    /// Draws for an update with so many pictures, counted from 0 in each epoch.
    pub(super) fn new(trainer: &Trainer<'_>, epoch: usize, update: usize, pictures: i64) -> Self {
        // Counted from the end, apart from the streams of crops, which are counted from the start.
        let stream = u64::MAX - epoch as u64;
        let mut random = generator(trainer.settings.seed, stream, update as u64);
        let mut pick = |count: usize| random.random_range(0..count.max(1));
        let Settings { shares, fills, .. } = trainer.settings;
        let fill = fills.get(pick(fills.len())).copied().unwrap_or(Fill::Black);
        let mut share = || shares.get(pick(shares.len())).copied().unwrap_or(1.0);
        Self { shares: (0..pictures).map(|_| share()).collect(), fill }
    }

    /// Gives the shares of some of the pictures.
    fn part(&self, start: i64, count: i64) -> Vec<f64> {
        let places = self.shares.iter().zip(0i64..);
        let places = places.filter(|(_, place)| (start..start + count).contains(place));
        places.map(|(&share, _)| share).collect()
    }
}

/// What is removed of some pictures.
struct Cut {
    /// The share of the pixels that is kept of each.
    shares: Vec<f64>,
    /// What is seen in the place of the rest, `[B, 3, H, W]`; nothing for black.
    instead: Option<Tensor>,
}

/// Masks of a batch.
struct Masks {
    /// Each picture's own, as it masks: `[B, 1, h, w]`.
    own: Tensor,
    /// Those that area and variation run over: `[B, K, h, w]`.
    all: Tensor,
}

impl Trainer<'_> {
    /// Updates the head by one batch; gives the means over its pictures.
    pub(super) fn step(
        &self,
        head: &Head,
        optimizer: &mut Optimizer,
        batch: &Batch,
        draw: &Draw,
        rate: f64,
    ) -> Result<Metrics, TrainError> {
        let count = batch.labels.size()[0];
        let at_once = i64::try_from(self.settings.micro_batch).unwrap_or(i64::MAX);
        // Of the whole batch, so that its parts add up to it.
        let instead = batch.pixels.as_ref().map(|pixels| draw.fill.instead(pixels)).transpose()?;
        let instead = instead.flatten();
        let mut gradients = Vec::new();
        let mut sum = Metrics::default();
        for start in (0..count).step_by(self.settings.micro_batch) {
            let pictures = at_once.min(count - start);
            let part = batch.part(start, pictures)?;
            let attention = head.attention()?;
            let masks = self.masks(&attention, &part, (&batch.labels, start))?;
            let instead =
                instead.as_ref().map(|all| all.f_narrow(0, start, pictures)).transpose()?;
            let cut = Cut { shares: draw.part(start, pictures), instead };
            let terms = self.terms(&masks, &part, &cut)?;
            let total = terms.total(self.settings.loss_weights)?;
            // Every term is a mean over pictures.
            #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
            let (pictures, whole) = (pictures as f64, count as f64);
            optimizer.differentiate(&total.f_mul_scalar(pictures / whole)?, &mut gradients)?;
            let value = |term: &Tensor| term.to_kind(Kind::Double).double_value(&[]);
            sum.add(&Metrics {
                loss: value(&total),
                cross_entropy: value(&terms.cross_entropy),
                area: value(&terms.area),
                variation: value(&terms.variation),
                destruction: terms.destruction.as_ref().map_or(0.0, value),
                pictures,
                seconds: 0.0,
            });
        }
        optimizer.step(&gradients, rate)?;
        Ok(sum.mean())
    }

    /// Computes the masks of some pictures of a batch, which start at a place in it and whose labels are given.
    fn masks(
        &self,
        attention: &Attention,
        part: &Batch,
        (labels, start): (&Tensor, i64),
    ) -> Result<Masks, TchError> {
        let shape = |raw: &Tensor| match self.settings.mask {
            MaskKind::Sigmoid => raw.f_sigmoid(),
            MaskKind::MinMax => min_max(raw),
        };
        match self.settings.loss {
            LossMaps::AllPairs => {
                let all = shape(&attention.class_maps(&part.features, labels)?)?;
                // Picture i of the part has label start + i.
                let own = all.f_diagonal(start, 0, 1)?.f_permute([2, 0, 1])?.f_unsqueeze(1)?;
                Ok(Masks { own, all })
            }
            LossMaps::Diagonal => {
                let own = shape(&attention.own_maps(&part.features, &part.labels)?)?;
                Ok(Masks { all: own.shallow_clone(), own })
            }
        }
    }

    fn terms(&self, masks: &Masks, part: &Batch, cut: &Cut) -> Result<LossTerms, TrainError> {
        let graph = self.classifier.graph();
        let wanted = [self.classifier.logits()];
        let weights = self.settings.loss_weights;
        let (Variant::Img, Some(pixels)) = (self.settings.variant, &part.pixels) else {
            let deepest = part.features.last().unwrap_or(&masks.own);
            let masked = deepest.f_mul(&masks.own)?;
            let logits = graph.run(&[(self.layers.deepest.value, &masked)], &wanted)?.remove(0);
            return Ok(LossTerms::new(&logits, &part.labels, &masks.all, weights)?);
        };
        let sides = pixels.size();
        let full = upsample(&masks.own, [sides[2], sides[3]])?;
        let kept = match self.settings.mask {
            MaskKind::Sigmoid => full,
            MaskKind::MinMax => keep_highest(&full, &cut.shares)?,
        };
        let answer = |mask: &Tensor| {
            let picture =
                pictures::normalize(&masked(pixels, mask, cut.instead.as_ref())?, self.preprocess);
            let feeds = [(self.classifier.image(), &picture)];
            Ok::<_, TrainError>(graph.run_in(self.settings.precision, &feeds, &wanted)?.remove(0))
        };
        let terms = LossTerms::new(&answer(&kept)?, &part.labels, &masks.all, weights)?;
        if weights.destruction == 0.0 {
            return Ok(terms);
        }
        let rest = kept.f_neg()?.f_add_scalar(1.0)?;
        Ok(terms.with_destruction(&answer(&rest)?, &part.labels)?)
    }
}
