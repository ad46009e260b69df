//! A quantised model beside the float one, on the same pictures.

use std::path::{Path, PathBuf};

use lcam_models::class::ClassIndex;
use lcam_models::explained::ExplainedModel;
use lcam_models::map::ClassMap;
use lcam_models::picture::PictureError;
use lcam_models::scores::{softmax, top_k};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use super::QuantizeError;
use crate::dataset::{DatasetError, for_each_batch, spread};
use crate::evaluate::{
    Estimate, Explained, Family, Figure, Fill, KEPT, Method, Options, evaluate_pictures, summarize,
};
use crate::pictures::{View, normalized, readable};

/// Pictures that go through a network at once.
const BATCH: usize = 32;

/// A class that the float model is sure of, which int8 should keep.
pub const SURE: f32 = 0.3;

/// The share of the pixels whose places are compared, as the least that the figures of maps keep.
const TOP_SHARE: f64 = 0.15;

/// The most pictures that average drop and increase in confidence are measured on.
const MOST_FOR_FIGURES: usize = 128;

/// How a quantised model compares with its float one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Pictures compared.
    pub pictures: usize,
    /// How many of them get the same class.
    pub same_class: usize,
    /// Pictures whose class the float model gives a confidence above [`SURE`].
    pub sure: usize,
    /// How many of those get the same class.
    pub sure_same_class: usize,
    /// The signal-to-noise ratio of the logits in decibels, each picture's mean taken off.
    pub logits_db: f64,
    /// The mean of Pearson's correlation of the maps of the float model's class.
    pub map_correlation: f64,
    /// The mean intersection over union of the 15 % highest cells of these maps.
    pub map_overlap: f64,
    /// How faithful the maps of both are.
    pub maps: Option<MapFigures>,
}

/// Average drop and increase in confidence of both models' own maps, for the shares of [`KEPT`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MapFigures {
    /// On how many pictures.
    pub pictures: usize,
    /// Of the float model: drop and increase in percent.
    pub float: Vec<[f64; 2]>,
    /// Of the quantised one.
    pub int8: Vec<[f64; 2]>,
}

impl Comparison {
    /// Gives how many of the pictures that the float model is sure of change their class, in percent; of all pictures
    /// where it is sure of none.
    #[must_use]
    pub fn drop(&self) -> f64 {
        let (all, same) = if self.sure > 0 {
            (self.sure, self.sure_same_class)
        } else {
            (self.pictures, self.same_class)
        };
        100.0 * (1.0 - share(same, all))
    }

    /// Gives the error by which ways to quantise are compared: the logits' noise beside their signal, and what the maps
    /// lack of a correlation of 1.
    pub(super) fn error(&self) -> f64 {
        10f64.powf(-self.logits_db / 10.0) + 1.0 - self.map_correlation
    }

    /// Measures how faithful both models' maps are.
    pub(super) fn measure_maps(
        &mut self,
        float: &ExplainedModel,
        int8: &ExplainedModel,
        folder: &Path,
        pictures: &[PathBuf],
        device: Device,
    ) -> Result<(), QuantizeError> {
        let pictures = spread(pictures.to_vec(), Some(MOST_FOR_FIGURES));
        let options = Options {
            families: vec![Family::Faithfulness],
            ..Options::new(folder.to_owned(), vec![Method::Lcam])
        };
        let figures = |model: &ExplainedModel| {
            let evaluation =
                evaluate_pictures(&Explained::new(model.clone(), device)?, &options, &pictures)?;
            let summary = summarize(&options.methods, &evaluation.outcomes).pop();
            let mean = |figure| {
                summary
                    .as_ref()
                    .and_then(|s| s.get(figure))
                    .map_or(0.0, |e: &Estimate| e.interval.mean)
            };
            let pair = |kept| {
                let fill = Fill::Black;
                [mean(Figure::AverageDrop { fill, kept }), mean(Figure::Increase { fill, kept })]
            };
            Ok::<_, QuantizeError>((evaluation.outcomes.len(), (0..KEPT.len()).map(pair).collect()))
        };
        let (count, float) = figures(float)?;
        let (_, int8) = figures(int8)?;
        self.maps = Some(MapFigures { pictures: count, float, int8 });
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of pictures")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The float model's answers on some pictures.
pub(super) struct Reference {
    views: Vec<View>,
    answers: Vec<Answer>,
    /// The pictures that could not be read.
    pub(super) unreadable: Vec<PictureError>,
}

struct Answer {
    logits: Vec<f32>,
    class: ClassIndex,
    map: ClassMap,
}

impl Reference {
    pub(super) fn new(
        model: &ExplainedModel,
        pictures: &[PathBuf],
        device: Device,
    ) -> Result<Self, QuantizeError> {
        let model = Explained::new(model.clone(), device)?;
        let (mut views, mut unreadable) = (Vec::new(), Vec::new());
        let preprocess = *model.preprocess();
        let prepare = |index, picture| (index, View::center(&preprocess, &picture));
        for_each_batch(pictures, BATCH, prepare, |batch| {
            views.extend(readable(batch, &mut unreadable).1);
            Ok::<_, QuantizeError>(())
        })?;
        if views.is_empty() {
            return Err(DatasetError::nothing_readable(pictures.len(), &unreadable).into());
        }
        let answers = answers(&model, &views, None)?;
        Ok(Self { views, answers, unreadable })
    }

    pub(super) fn compare(&self, model: &Explained) -> Result<Comparison, QuantizeError> {
        let classes: Vec<ClassIndex> = self.answers.iter().map(|answer| answer.class).collect();
        let others = answers(model, &self.views, Some(&classes))?;
        let pairs: Vec<(&Answer, &Answer)> = self.answers.iter().zip(&others).collect();
        let same = |pair: &&(&Answer, &Answer)| best(&pair.1.logits) == pair.0.class;
        let sure: Vec<_> = pairs
            .iter()
            .copied()
            .filter(|pair| softmax(&pair.0.logits)[pair.0.class.0] > SURE)
            .collect();
        Ok(Comparison {
            pictures: pairs.len(),
            same_class: pairs.iter().filter(same).count(),
            sure: sure.len(),
            sure_same_class: sure.iter().filter(same).count(),
            logits_db: logits_db(&pairs),
            map_correlation: mean(&pairs, |one, other| {
                correlation(one.map.values(), other.map.values())
            }),
            map_overlap: mean(&pairs, |one, other| overlap(one.map.values(), other.map.values())),
            maps: None,
        })
    }
}

/// Asks a model about pictures; the maps are those of `classes`, or of its own answers.
fn answers(
    model: &Explained,
    views: &[View],
    classes: Option<&[ClassIndex]>,
) -> Result<Vec<Answer>, QuantizeError> {
    let _no_gradients = tch::no_grad_guard();
    let mut wanted = vec![model.classifier().logits()];
    wanted.extend(model.adapters());
    let mut answers = Vec::with_capacity(views.len());
    for batch in views.chunks(BATCH) {
        let images = normalized(batch, model.preprocess(), model.classifier().graph().device());
        let outputs = model.run(&images, &wanted)?;
        for index in 0..batch.len() {
            let row = |tensor: &Tensor| {
                let row = tensor.f_narrow(0, i64::try_from(index).unwrap_or(0), 1)?;
                Vec::<f32>::try_from(
                    &row.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_reshape([-1i64])?,
                )
            };
            let logits = row(&outputs[0])?;
            let class = classes.map_or_else(|| best(&logits), |classes| classes[answers.len()]);
            let adapters = outputs[1..].iter().map(row).collect::<Result<Vec<_>, _>>()?;
            let adapters: Vec<&[f32]> = adapters.iter().map(Vec::as_slice).collect();
            let map = model.attention().class_map(class, &adapters)?;
            answers.push(Answer { logits, class, map });
        }
    }
    Ok(answers)
}

fn best(logits: &[f32]) -> ClassIndex {
    top_k(logits, 1).first().map_or(ClassIndex(0), |best| best.class)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of pictures")]
fn mean(pairs: &[(&Answer, &Answer)], figure: impl Fn(&Answer, &Answer) -> f64) -> f64 {
    pairs.iter().map(|(one, other)| figure(one, other)).sum::<f64>() / pairs.len().max(1) as f64
}

fn logits_db(pairs: &[(&Answer, &Answer)]) -> f64 {
    let (mut signal, mut noise) = (0.0, 0.0);
    for (one, other) in pairs {
        let (one, other) = (centered(&one.logits), centered(&other.logits));
        signal += one.iter().map(|x| x * x).sum::<f64>();
        noise += one.iter().zip(&other).map(|(x, y)| (x - y).powi(2)).sum::<f64>();
    }
    10.0 * (signal / noise.max(f64::MIN_POSITIVE)).log10()
}

#[expect(clippy::cast_precision_loss, reason = "numbers of classes and cells")]
fn centered(values: &[f32]) -> Vec<f64> {
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len().max(1) as f64;
    values.iter().map(|&x| f64::from(x) - mean).collect()
}

/// Gives Pearson's correlation; 1 for two constant maps, 0 for one.
fn correlation(one: &[f32], other: &[f32]) -> f64 {
    let (one, other) = (centered(one), centered(other));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let (first, second) = (dot(&one, &one), dot(&other, &other));
    if first > 0.0 && second > 0.0 {
        dot(&one, &other) / (first * second).sqrt()
    } else if first == second {
        1.0
    } else {
        0.0
    }
}

/// Gives the intersection over union of the cells above all others.
fn overlap(one: &[f32], other: &[f32]) -> f64 {
    let (one, other) = (highest(one), highest(other));
    let both = one.iter().zip(&other).filter(|(a, b)| **a && **b).count();
    let either = one.iter().zip(&other).filter(|(a, b)| **a || **b).count();
    share(both, either)
}

fn highest(values: &[f32]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
    let mut marked = vec![false; values.len()];
    order
        .iter()
        .take(crate::evaluate::pixels(values.len(), TOP_SHARE))
        .for_each(|&place| marked[place] = true);
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_that_differ_by_scale_and_offset_are_alike() {
        let one = [0.0, 1.0, 4.0, 2.0];
        let scaled = one.map(|x| 3.0 * x - 7.0);
        let opposite = one.map(|x: f32| -x);
        assert!((correlation(&one, &scaled) - 1.0).abs() < 1e-12);
        assert!((correlation(&one, &opposite) + 1.0).abs() < 1e-12);
        assert!(correlation(&one, &[2.0; 4]).abs() < 1e-12);
        assert!((correlation(&[1.0; 4], &[2.0; 4]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn overlap_is_of_the_highest_cells() {
        let values: Vec<f32> = (0..20u8).map(f32::from).collect();
        let mut other = values.clone();
        // 15 % of 20 cells are 3: 17, 18, 19; here 19, 18 and the first.
        other[17] = -1.0;
        other[0] = 30.0;
        assert!((overlap(&values, &values) - 1.0).abs() < 1e-12);
        assert!((overlap(&values, &other) - 0.5).abs() < 1e-12);
    }
}
