//! Intervals of effects that are no means of the pictures' own values.

use rand::RngExt;

use super::statistics::{number, separation};
use crate::evaluate::Interval;
use crate::random::generator;

/// How often the samples are drawn anew.
const RESAMPLES: usize = 1000;
/// The most values of each sample that are drawn: more make an interval no better than it needs to be.
const MOST: usize = 500;

/// Gives Cliff's delta with its 95 % interval (percentile bootstrap; both samples are drawn anew).
#[must_use]
pub fn of_delta(first: &[f64], second: &[f64], delta: f64) -> Interval {
    let mut random = generator(0, 0, 0);
    let mut draw = |values: &[f64]| -> Vec<f64> {
        (0..values.len().min(MOST)).map(|_| values[random.random_range(0..values.len())]).collect()
    };
    let mut deltas: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let (first, second) = (draw(first), draw(second));
            separation(&first, &second).map(|found| found.delta)
        })
        .collect();
    deltas.sort_by(f64::total_cmp);
    let at = |place: usize| deltas.get(place).copied().unwrap_or(delta);
    Interval { mean: delta, low: at(RESAMPLES / 40), high: at(RESAMPLES - 1 - RESAMPLES / 40) }
}

/// Gives the correlation of two lists of numbers (Pearson); 0 where one is constant.
#[must_use]
pub fn correlation(first: &[f32], second: &[f32]) -> f64 {
    let count = number(first.len().max(1));
    let mean = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let (a, b) = (mean(first), mean(second));
    let pairs = || first.iter().zip(second).map(|(&x, &y)| (f64::from(x) - a, f64::from(y) - b));
    let together: f64 = pairs().map(|(x, y)| x * y).sum();
    let (x, y) = pairs().fold((0.0, 0.0), |(xx, yy), (x, y)| (xx + x * x, yy + y * y));
    if x > 0.0 && y > 0.0 { together / (x * y).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_holds_its_delta() {
        let first: Vec<f64> = (0..60).map(f64::from).collect();
        let second: Vec<f64> = (20..80).map(f64::from).collect();
        let delta = separation(&second, &first).unwrap().delta;
        let interval = of_delta(&second, &first, delta);
        assert!(interval.low < delta && delta < interval.high, "{interval:?}");
        assert!(interval.low > 0.2 && interval.high < 0.85, "{interval:?}");
    }

    #[test]
    fn correlations_are_pearson_s() {
        assert!((correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]) - 1.0).abs() < 1e-9);
        assert!((correlation(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0]) - 0.5).abs() < 1e-9);
        assert!(correlation(&[1.0, 1.0], &[1.0, 3.0]).abs() < 1e-9);
    }
}
