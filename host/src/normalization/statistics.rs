//! The statistics that a batch normalisation layer stored in training, against those on the photographs.

use tch::{Kind, Tensor};

use lcam_models::preprocess::Preprocess;

use super::VIEWS;
use super::score::Score;
use crate::classifier::Classifier;
use crate::graph::{RunError, ValueId};
use crate::pictures::{self, View};

/// The statistics of a `BatchNormalization` node.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// What messages call the node.
    pub node: String,
    /// What it normalises, `[batch, channels, ...]`.
    pub input: ValueId,
    /// The mean of each channel.
    pub mean: Vec<f64>,
    /// The variance of each channel.
    pub variance: Vec<f64>,
}

/// Channels whose stored variance is below this part of the largest are dead: they tell nothing.
const DEAD: f64 = 1e-6;

/// How many views go through the network at once.
const BATCH: usize = 16;

/// Finds the first `BatchNormalization` node after the picture.
#[must_use]
pub fn first_stored(classifier: &Classifier) -> Option<Stored> {
    let graph = classifier.graph();
    let numbers = |value: Option<ValueId>| {
        let tensor = graph.constant(value?)?.to_device(tch::Device::Cpu).to_kind(Kind::Double);
        Vec::<f64>::try_from(tensor).ok()
    };
    graph.dependencies(classifier.logits()).find_map(|node| {
        let [Some(input), _, _, mean, variance] = node.inputs[..] else { return None };
        let (mean, variance) = (numbers(mean)?, numbers(variance)?);
        let node_title = node.title.clone();
        (node.op_type == "BatchNormalization" && mean.len() == variance.len()).then_some(Stored {
            node: node_title,
            input,
            mean,
            variance,
        })
    })
}

/// Tells how well the values that reach the layer fit what it stored: the overlap of two normal
/// distributions with these means and variances, averaged over the channels.
///
/// The overlap is the Bhattacharyya coefficient (Bhattacharyya 1943): with means m, n and variances v, w
/// `sqrt(2 sqrt(v w) / (v + w)) * exp(-(m - n)^2 / (4 (v + w)))`, 1 for equal distributions.
///
/// # Errors
/// Returns [`RunError`] when the network fails.
pub fn score(
    classifier: &Classifier,
    stored: &Stored,
    preprocess: &Preprocess,
    views: &[View],
) -> Result<Score, RunError> {
    let pictures = moments(classifier, stored, preprocess, views)?;
    let channels = stored.mean.len();
    let total =
        pictures.iter().fold(vec![[0.0; 2]; channels], |total, picture| sum(total, picture, 1.0));
    #[expect(clippy::cast_precision_loss, reason = "a number of photographs")]
    let count = pictures.len() as f64;
    let value = overlap(stored, &total, count);
    let without = pictures
        .iter()
        .map(|picture| overlap(stored, &sum(total.clone(), picture, -1.0), count - 1.0))
        .collect();
    Ok(Score { value, without })
}

/// Gives, for each picture and channel, the mean of the values and of their squares.
fn moments(
    classifier: &Classifier,
    stored: &Stored,
    preprocess: &Preprocess,
    views: &[View],
) -> Result<Vec<Vec<[f64; 2]>>, RunError> {
    let _no_gradients = tch::no_grad_guard();
    let graph = classifier.graph();
    let mut pictures = Vec::new();
    for part in views.chunks(BATCH.next_multiple_of(VIEWS)) {
        let input = pictures::normalized(part, preprocess, graph.device());
        let values = graph.run(&[(classifier.image(), &input)], &[stored.input])?.remove(0);
        let channels = i64::try_from(stored.mean.len()).unwrap_or(0);
        let views = i64::try_from(VIEWS).unwrap_or(1);
        let size = values.size();
        // [pictures, views, channels, cells]
        let values = values.reshape([size[0] / views, views, channels, -1]).to_kind(Kind::Double);
        let mean = |values: &Tensor| values.mean_dim([1i64, 3].as_slice(), false, Kind::Double);
        let both = Tensor::stack(&[mean(&values), mean(&values.square())], -1);
        let numbers = Vec::<f64>::try_from(both.to_device(tch::Device::Cpu).reshape([-1]));
        let numbers = numbers.unwrap_or_default();
        let pairs = numbers.as_chunks::<2>().0;
        pictures.extend(pairs.chunks(stored.mean.len()).map(<[_]>::to_vec));
    }
    Ok(pictures)
}

fn sum(mut total: Vec<[f64; 2]>, picture: &[[f64; 2]], sign: f64) -> Vec<[f64; 2]> {
    for (total, picture) in total.iter_mut().zip(picture) {
        total[0] += sign * picture[0];
        total[1] += sign * picture[1];
    }
    total
}

fn overlap(stored: &Stored, total: &[[f64; 2]], count: f64) -> f64 {
    let largest = stored.variance.iter().copied().fold(0.0, f64::max);
    let channels = stored.mean.iter().zip(&stored.variance).zip(total);
    let alive = channels.filter(|((_, variance), _)| **variance > DEAD * largest);
    let overlaps: Vec<f64> = alive
        .map(|((&mean, &variance), [sum, squares])| {
            let found_mean = sum / count;
            let found_variance = (squares / count - found_mean.powi(2)).max(0.0);
            let both = variance + found_variance;
            let spread = (2.0 * (variance * found_variance).sqrt() / both).sqrt();
            let overlap = spread * (-(mean - found_mean).powi(2) / (4.0 * both)).exp();
            if overlap.is_finite() { overlap } else { 0.0 }
        })
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "a number of channels")]
    let channels = overlaps.len().max(1) as f64;
    overlaps.iter().sum::<f64>() / channels
}
