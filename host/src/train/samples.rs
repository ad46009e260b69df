//! The training pictures with the frozen network's answers, and batches of them.

use std::path::{Path, PathBuf};

use lcam_models::picture::PictureError;
use tch::{Device, Kind, TchError, Tensor};

use super::store::Store;
use super::{TrainError, Trainer};
use crate::dataset::{DatasetError, for_each_batch};
use crate::pictures::{self, View};
use crate::progress;

/// Pictures with the network's answers.
pub(super) struct Samples {
    pub(super) paths: Vec<PathBuf>,
    /// The classes that the network names.
    pub(super) labels: Vec<i64>,
    pub(super) unreadable: Vec<PictureError>,
    /// The last stage's feature maps of the first pictures, for the start of the weights; their labels come first.
    pub(super) first: Tensor,
    /// The standard deviations of each layer's feature maps, `[C]` each.
    pub(super) deviations: Vec<Tensor>,
    /// What the network made of the clean pictures, unless pictures are changed in each epoch.
    kept: Option<Kept>,
}

/// What an update needs of some pictures.
pub(super) struct Batch {
    /// `[B, C, h, w]` of each layer.
    pub(super) features: Vec<Tensor>,
    /// `[B, 3, H, W]` in 0..=1, where pictures are masked.
    pub(super) pixels: Option<Tensor>,
    /// `[B]`.
    pub(super) labels: Tensor,
}

struct Kept {
    features: Vec<Store>,
    pixels: Option<Store>,
}

/// How many pictures the weights' start is read off.
const PICTURES_FOR_START: i64 = 32;

impl Samples {
    /// Asks the frozen network about every picture once.
    pub(super) fn ask(
        trainer: &Trainer<'_>,
        paths: &[PathBuf],
        folder: &Path,
    ) -> Result<Self, TrainError> {
        let mut kept = (!trainer.settings.augment).then(|| Kept::new(trainer, folder));
        let mut spread: Vec<Spread> = trainer.layers.iter().map(|_| Spread::default()).collect();
        let (mut used, mut labels, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        let mut first: Vec<Tensor> = Vec::new();
        let progress = progress::bar(paths.len(), "asking the network");
        let _no_gradients = tch::no_grad_guard();
        let preprocess = trainer.preprocess;
        let prepare = |index, picture| (index, View::center(preprocess, &picture));
        for_each_batch(paths, trainer.settings.micro_batch, prepare, |batch| {
            progress.inc(batch.len() as u64);
            let (indices, views) = pictures::readable(batch, &mut unreadable);
            if views.is_empty() {
                return Ok(());
            }
            let (features, logits) = trainer.look_at(&views)?;
            labels.extend(Vec::<i64>::try_from(&logits.f_argmax(1, false)?)?);
            let used_before = used.len();
            used.extend(indices.into_iter().map(|index| paths[index].clone()));
            for (spread, features) in spread.iter_mut().zip(&features) {
                spread.add(features)?;
            }
            if let Some(deepest) = features.last() {
                let missing = PICTURES_FOR_START - i64::try_from(used_before).unwrap_or(i64::MAX);
                if missing > 0 {
                    first.push(deepest.f_narrow(0, 0, missing.min(deepest.size()[0]))?.copy());
                }
            }
            if let Some(kept) = &mut kept {
                kept.push(&features, trainer.pixels(&views).as_ref())?;
            }
            Ok::<_, TrainError>(())
        })?;
        progress.finish_and_clear();
        if used.is_empty() {
            return Err(DatasetError::nothing_readable(paths.len(), &unreadable).into());
        }
        let first = Tensor::f_cat(&first, 0)?;
        let deviations = spread.iter().map(Spread::deviations).collect::<Result<_, _>>()?;
        Ok(Self { paths: used, labels, unreadable, first, deviations, kept })
    }

    /// Hands on batches of the pictures in this order.
    pub(super) fn for_each_batch(
        &mut self,
        trainer: &Trainer<'_>,
        epoch: usize,
        order: &[usize],
        learn: &mut dyn FnMut(&Batch) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let device = trainer.classifier.graph().device();
        let labels = |chosen: &[usize]| {
            let labels: Vec<i64> = chosen.iter().map(|&index| self.labels[index]).collect();
            Tensor::from_slice(&labels).to_device(device)
        };
        if let Some(kept) = &mut self.kept {
            for chosen in order.chunks(trainer.settings.batch) {
                learn(&kept.batch(chosen, labels(chosen), device)?)?;
            }
            return Ok(());
        }
        let shuffled: Vec<PathBuf> = order.iter().map(|&index| self.paths[index].clone()).collect();
        // What the decoding threads share: tensors must not be among it.
        let (preprocess, settings) = (trainer.preprocess, trainer.settings);
        let prepare = |place: usize, picture| {
            (order[place], View::random(preprocess, &picture, settings.seed, epoch, order[place]))
        };
        for_each_batch(&shuffled, trainer.settings.batch, prepare, |batch| {
            // Every picture was read before; one that vanished since is left out of this epoch.
            let (chosen, views) = pictures::readable(batch, &mut Vec::new());
            if views.is_empty() {
                return Ok(());
            }
            let (features, _) = tch::no_grad(|| trainer.look_at(&views))?;
            learn(&Batch { features, pixels: trainer.pixels(&views), labels: labels(&chosen) })
        })
    }
}

impl Batch {
    /// Takes some of the pictures.
    pub(super) fn part(&self, start: i64, count: i64) -> Result<Self, TchError> {
        let part = |tensor: &Tensor| tensor.f_narrow(0, start, count);
        Ok(Self {
            features: self.features.iter().map(part).collect::<Result<_, _>>()?,
            pixels: self.pixels.as_ref().map(part).transpose()?,
            labels: part(&self.labels)?,
        })
    }
}

impl Kept {
    fn new(trainer: &Trainer<'_>, folder: &Path) -> Self {
        let shape =
            |value| <[i64; 3]>::try_from(&trainer.classifier.shape(value)[1..]).unwrap_or_default();
        let mut shapes: Vec<[i64; 3]> = trainer.layers.values().into_iter().map(shape).collect();
        let features = shapes.len();
        if trainer.masks_pictures() {
            shapes.push(shape(trainer.classifier.image()));
        }
        let mut budget = trainer.settings.cache_mb.saturating_mul(1 << 20);
        // Shared out evenly by size: two bytes a value of feature maps, one of pixels.
        let bytes = |(place, shape): (usize, &[i64; 3])| {
            let values = usize::try_from(shape.iter().product::<i64>()).unwrap_or(0);
            values * if place < features { 2 } else { 1 }
        };
        let total: usize = shapes.iter().enumerate().map(bytes).sum();
        budget /= total.max(1);
        let mut stores: Vec<Store> = shapes
            .iter()
            .enumerate()
            .map(|(place, &shape)| {
                let share = budget * bytes((place, &shape));
                if place < features {
                    Store::of_features(shape, share, folder)
                } else {
                    Store::of_pixels(shape, share, folder)
                }
            })
            .collect();
        let pixels = stores.split_off(features).pop();
        Self { features: stores, pixels }
    }

    fn push(&mut self, features: &[Tensor], pixels: Option<&Tensor>) -> Result<(), TrainError> {
        for (store, features) in self.features.iter_mut().zip(features) {
            store.push(features)?;
        }
        if let (Some(store), Some(pixels)) = (&mut self.pixels, pixels) {
            store.push(&pixels.f_mul_scalar(PIXEL)?.f_round()?)?;
        }
        Ok(())
    }

    fn batch(
        &mut self,
        chosen: &[usize],
        labels: Tensor,
        device: Device,
    ) -> Result<Batch, TrainError> {
        let stores = self.features.iter_mut();
        let features = stores.map(|store| store.batch(chosen, device)).collect::<Result<_, _>>()?;
        let pixels = self.pixels.as_mut().map(|store| store.batch(chosen, device)).transpose()?;
        let pixels = pixels.map(|pixels| pixels.f_div_scalar(PIXEL)).transpose()?;
        Ok(Batch { features, pixels, labels })
    }
}

/// The largest value of a pixel in a file.
const PIXEL: f64 = 255.0;

/// How far values spread, channel by channel.
#[derive(Default)]
struct Spread {
    count: f64,
    /// Sums of the values and of their squares, `[C]` each.
    sums: Option<[Tensor; 2]>,
}

impl Spread {
    fn add(&mut self, features: &Tensor) -> Result<(), TchError> {
        let axes = [0i64, 2, 3];
        let sum = |tensor: &Tensor| tensor.f_sum_dim_intlist(axes.as_slice(), false, Kind::Double);
        let [sum, square] = [sum(features)?, sum(&features.f_square()?)?];
        self.sums = Some(match self.sums.take() {
            Some([sums, squares]) => [sums.f_add(&sum)?, squares.f_add(&square)?],
            None => [sum, square],
        });
        let sides = features.size();
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 values")]
        {
            self.count += (sides[0] * sides[2] * sides[3]) as f64;
        }
        Ok(())
    }

    /// Gives the standard deviation of each channel. Of channels that hardly change on these pictures it says
    /// little, so none is taken for much smaller than the layer's are on average.
    fn deviations(&self) -> Result<Tensor, TchError> {
        /// Of the layer's mean deviation.
        const LEAST: f64 = 0.1;
        let Some([sums, squares]) = &self.sums else { return Tensor::f_ones([0], KIND) };
        let mean = sums.f_div_scalar(self.count)?;
        let variance = squares.f_div_scalar(self.count)?.f_sub(&mean.f_square()?)?;
        let deviations = variance.f_clamp_min(0.0)?.f_sqrt()?;
        // Pictures that are all the same, or a single cell: nothing to divide by.
        let least = match deviations.f_mean(Kind::Double)?.f_double_value(&[])? {
            mean if mean > 0.0 => LEAST * mean,
            _ => 1.0,
        };
        deviations.f_clamp_min(least)?.f_to_kind(Kind::Float)
    }
}

const KIND: (Kind, Device) = (Kind::Float, Device::Cpu);
