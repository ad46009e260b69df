//! ROAD (Rong et al. 2022): pixels are removed so that hardly a trace of which they were is left.
//!
//! Removed pixels are imputed linearly ([`super::imputation`]) with a little Gaussian noise. The confidence that
//! is left when the least relevant pixels are gone, less what is left without the most relevant ones, halved
//! and averaged over the shares, is the figure; so does the package `grad-cam` (`ROADCombined`), too.

use lcam_models::map::GridSize;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Normal};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use tch::Tensor;

use super::imputation::impute;
use super::ranking::pixels;
use super::{Maps, Subject};
use crate::evaluate::EvaluateError;
use crate::random::generator;

/// The shares of pixels that are removed (the package's percentiles).
pub const REMOVED: [f64; 4] = [0.2, 0.4, 0.6, 0.8];

/// The standard deviation of the noise, pixels being 0 to 1 (the authors' implementation).
pub(super) const NOISE: f32 = 0.01;

/// Sets the noise apart from other random choices.
const STREAM: u64 = 0x524f_4144;

/// Which pixels go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The highest of the map.
    MostRelevant,
    /// The lowest.
    LeastRelevant,
}

/// Measures the confidences with pixels removed: for each picture one for each share of [`REMOVED`].
pub(super) fn measure(
    subject: &Subject,
    maps: &Maps,
    order: Order,
    noise: f32,
) -> Result<Vec<Vec<f64>>, EvaluateError> {
    let mut left = vec![Vec::with_capacity(REMOVED.len()); maps.full.len()];
    for share in REMOVED {
        let imputed = imputed(subject, maps, order, share, noise)?;
        for (values, confidence) in left.iter_mut().zip(subject.confidences(&imputed)?) {
            values.push(confidence);
        }
    }
    Ok(left)
}

/// Gives the pictures with a share of their pixels imputed, `[B, 3, H, W]` in 0..=1 but for the noise.
fn imputed(
    subject: &Subject,
    maps: &Maps,
    order: Order,
    share: f64,
    noise: f32,
) -> Result<Tensor, EvaluateError> {
    let shape = subject.pixels().size();
    let values = Vec::<f32>::try_from(&subject.pixels().f_reshape([-1i64])?)?;
    let size = maps.full[0].size();
    let count = pixels(size.cells(), share);
    // The same noise for every method, that their differences be their own.
    let stream = STREAM + count as u64 * 2 + u64::from(order == Order::MostRelevant);
    let pictures: Vec<(&[f32], &Vec<i32>, StdRng)> = values
        .chunks_exact(3 * size.cells())
        .zip(&maps.order)
        .enumerate()
        .map(|(index, (picture, ranks))| {
            (picture, ranks, generator(subject.seed(), stream, subject.number(index)))
        })
        .collect();
    let imputed: Vec<Vec<f32>> = pictures
        .into_par_iter()
        .map(|(picture, ranks, random)| {
            let removed = removed(ranks, count, order);
            let mut imputed = impute_picture(picture, &removed, size);
            add_noise(&mut imputed, &removed, noise, random);
            imputed
        })
        .collect();
    let imputed = Tensor::from_slice(&imputed.concat()).f_reshape(shape)?;
    Ok(imputed.f_to_device(subject.pixels().device())?)
}

fn removed(ranks: &[i32], count: usize, order: Order) -> Vec<bool> {
    let all = i32::try_from(ranks.len()).unwrap_or(i32::MAX);
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    let is_removed = |&rank: &i32| match order {
        Order::MostRelevant => rank < count,
        Order::LeastRelevant => rank >= all - count,
    };
    ranks.iter().map(is_removed).collect()
}

fn impute_picture(picture: &[f32], removed: &[bool], size: GridSize) -> Vec<f32> {
    picture.chunks_exact(size.cells()).flat_map(|plane| impute(plane, removed, size)).collect()
}

fn add_noise(picture: &mut [f32], removed: &[bool], deviation: f32, mut random: impl rand::Rng) {
    // A deviation that is no number above 0 means no noise.
    let Ok(noise) = Normal::new(0.0f32, deviation) else { return };
    for plane in picture.chunks_exact_mut(removed.len()) {
        for (value, _) in plane.iter_mut().zip(removed).filter(|(_, removed)| **removed) {
            *value += noise.sample(&mut random);
        }
    }
}

/// Gives the figure, -1/2 to 1/2, from the confidences without the most and without the least relevant pixels;
/// nothing where nothing was measured.
#[must_use]
pub fn combined(without_most: &[f64], without_least: &[f64]) -> Option<f64> {
    if without_most.is_empty() || without_most.len() != without_least.len() {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a handful of shares")]
    let count = without_most.len() as f64;
    let differences = without_least.iter().zip(without_most).map(|(least, most)| least - most);
    Some(differences.sum::<f64>() / 2.0 / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_or_the_least_relevant_go() {
        let ranks = [2, 0, 3, 1];
        assert_eq!(removed(&ranks, 2, Order::MostRelevant), [false, true, false, true]);
        assert_eq!(removed(&ranks, 1, Order::LeastRelevant), [false, false, true, false]);
    }

    #[test]
    fn halves_the_difference() {
        assert!((combined(&[0.1, 0.3], &[0.9, 0.7]).unwrap() - 0.3).abs() < 1e-12);
        assert_eq!(combined(&[], &[]), None);
    }

    #[test]
    fn noise_is_on_removed_pixels_alone() {
        let mut picture = vec![0.5; 3000];
        let removed: Vec<bool> = (0..1000).map(|index| index < 900).collect();
        add_noise(&mut picture, &removed, NOISE, generator(1, STREAM, 0));
        let differences: Vec<f32> = picture.iter().map(|value| value - 0.5).collect();
        assert!(differences[900..1000].iter().all(|difference| difference.abs() < 1e-9));
        let deviation =
            (differences.iter().map(|x| x * x).sum::<f32>() / (3.0 * 900.0)).sqrt() / NOISE;
        assert!((deviation - 1.0).abs() < 0.06, "{deviation}");
    }
}
