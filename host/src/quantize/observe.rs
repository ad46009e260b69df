//! What values a network's tensors take on pictures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use indicatif::ProgressBar;
use lcam_models::explained::IMAGE;
use lcam_models::picture::PictureError;
use lcam_models::preprocess::Preprocess;
use tch::{Kind, Tensor};

use super::QuantizeError;
use super::range::{Histogram, Range};
use crate::dataset::for_each_batch;
use crate::graph::{Graph, ValueId};
use crate::pictures::{View, normalized};

/// Pictures that go through the network at once: all of its tensors are kept.
const BATCH: usize = 8;

/// The values of some tensors on the pictures of a list.
pub(super) struct Observed {
    /// Tensor -> how often it takes which values.
    pub(super) histograms: BTreeMap<String, Histogram>,
    /// The pictures that could not be read.
    pub(super) unreadable: Vec<PictureError>,
}

/// The extremes of each channel of a tensor.
#[derive(Clone, Debug)]
pub(super) struct Extremes {
    pub(super) low: Vec<f64>,
    pub(super) high: Vec<f64>,
}

/// Shows pictures to networks.
pub(super) struct Observer<'a> {
    pub(super) preprocess: &'a Preprocess,
    pub(super) pictures: &'a [PathBuf],
    pub(super) progress: &'a ProgressBar,
}

impl Observer<'_> {
    /// Runs a network twice on each picture: for the tensors' ranges, and for what lies in them.
    ///
    /// # Errors
    /// Returns [`QuantizeError`] when the network fails or a value is not finite.
    pub(super) fn observe(
        &self,
        network: &Graph,
        tensors: &BTreeSet<String>,
    ) -> Result<Observed, QuantizeError> {
        let mut ranges: BTreeMap<String, Range> = BTreeMap::new();
        let unreadable = self.run(network, tensors, |name, values| {
            let (low, high) = values.f_aminmax(None, false)?;
            let seen = Range { low: low.double_value(&[]), high: high.double_value(&[]) };
            if !(seen.low.is_finite() && seen.high.is_finite()) {
                return Err(QuantizeError::NotFinite { tensor: name.to_owned() });
            }
            let range = ranges.entry(name.to_owned()).or_insert(Range::NONE);
            *range = range.with(seen);
            Ok(())
        })?;
        let new = |(name, range)| (name, Histogram::new(range));
        let mut histograms: BTreeMap<String, Histogram> = ranges.into_iter().map(new).collect();
        self.run(network, tensors, |name, values| {
            histograms.get_mut(name).map_or(Ok(()), |histogram| histogram.add(values))
        })?;
        Ok(Observed { histograms, unreadable })
    }

    /// Finds the extremes of the channels of tensors `[B, C, ...]`.
    ///
    /// # Errors
    /// As [`Observer::observe`].
    pub(super) fn extremes(
        &self,
        network: &Graph,
        tensors: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Extremes>, QuantizeError> {
        let mut seen: BTreeMap<String, Extremes> = BTreeMap::new();
        self.run(network, tensors, |name, values| {
            let rank = i64::try_from(values.dim()).unwrap_or(0);
            let others: Vec<i64> = (0..rank).filter(|&axis| axis != 1).collect();
            let list = |values: Tensor| Vec::<f64>::try_from(&values.f_to_kind(Kind::Double)?);
            let low = list(values.f_amin(&others[..], false)?)?;
            let high = list(values.f_amax(&others[..], false)?)?;
            let none = || Extremes {
                low: vec![f64::INFINITY; low.len()],
                high: vec![f64::NEG_INFINITY; high.len()],
            };
            let known = seen.entry(name.to_owned()).or_insert_with(none);
            known.low.iter_mut().zip(low).for_each(|(known, low)| *known = known.min(low));
            known.high.iter_mut().zip(high).for_each(|(known, high)| *known = known.max(high));
            Ok(())
        })?;
        Ok(seen)
    }

    /// Hands on each tensor of each batch with its name.
    fn run(
        &self,
        network: &Graph,
        tensors: &BTreeSet<String>,
        mut each: impl FnMut(&str, &Tensor) -> Result<(), QuantizeError>,
    ) -> Result<Vec<PictureError>, QuantizeError> {
        let _no_gradients = tch::no_grad_guard();
        let value = |name: &String| {
            network.value(name).ok_or_else(|| QuantizeError::Missing { tensor: name.clone() })
        };
        let image = network.value(IMAGE).ok_or(QuantizeError::NoImage)?;
        let wanted: Vec<ValueId> = tensors.iter().map(value).collect::<Result<_, _>>()?;
        let mut unreadable = Vec::new();
        let prepare = |_, picture| View::center(self.preprocess, &picture);
        self.progress.inc_length(self.pictures.len() as u64);
        for_each_batch(self.pictures, BATCH, prepare, |batch| {
            let count = batch.len();
            let read = |view: Result<View, PictureError>| {
                view.map_err(|error| unreadable.push(error)).ok()
            };
            let views: Vec<View> = batch.into_iter().filter_map(read).collect();
            if !views.is_empty() {
                let images = normalized(&views, self.preprocess, network.device());
                let values = network.run(&[(image, &images)], &wanted)?;
                tensors.iter().zip(&values).try_for_each(|(name, values)| each(name, values))?;
            }
            self.progress.inc(count as u64);
            Ok::<_, QuantizeError>(())
        })?;
        Ok(unreadable)
    }
}

impl Histogram {
    /// Counts values, all of which lie in the range.
    fn add(&mut self, values: &Tensor) -> Result<(), QuantizeError> {
        let Range { low, high } = self.range;
        if low >= high {
            return Ok(());
        }
        let bins = i64::try_from(Self::BINS).unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "2048")]
        let width = (high - low) / Self::BINS as f64;
        // `histc` of libtorch runs on one thread; counting whole numbers runs on all.
        let places = values
            .f_reshape([-1i64])?
            .f_sub_scalar(low)?
            .f_div_scalar(width)?
            .f_clamp_(0, bins - 1)?
            .f_to_kind(Kind::Int64)?;
        let counts = Vec::<i64>::try_from(&places.f_bincount::<Tensor>(None, bins)?)?;
        for (sum, count) in self.counts.iter_mut().zip(counts) {
            #[expect(clippy::cast_precision_loss, reason = "counts")]
            {
                *sum += count as f64;
            }
        }
        Ok(())
    }
}
