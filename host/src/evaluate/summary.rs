//! Means over all pictures, with intervals.

use rand::RngExt;
use serde::Serialize;

use super::{KEPT, Method, Outcome, Scores};
use crate::random::generator;

/// How often the pictures are drawn anew for an interval.
const RESAMPLES: usize = 1000;

/// The figures of one method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The method.
    pub method: Method,
    /// The average drop in percent, for each share of [`KEPT`].
    pub average_drop: Vec<Interval>,
    /// The increase in confidence in percent, for each share of [`KEPT`].
    pub increase_in_confidence: Vec<Interval>,
    /// The share of pictures in percent whose highest pixel lies in the object.
    pub pointing: Option<Interval>,
    /// The mean share of the map's sum in percent that lies in the object.
    pub energy: Option<Interval>,
}

/// A mean and where it lies for 95 % of all samples of as many pictures (percentile bootstrap, Efron 1979).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Sums up what was measured for each of `methods`, which are those of the outcomes in their order.
#[must_use]
pub fn summarize(methods: &[Method], outcomes: &[Outcome]) -> Vec<Summary> {
    let summary = |(index, &method): (usize, &Method)| {
        let of = |value: &dyn Fn(&Outcome, &Scores) -> Option<f64>| -> Option<Interval> {
            let values: Vec<f64> = outcomes
                .iter()
                .filter_map(|outcome| value(outcome, outcome.scores.get(index)?))
                .collect();
            Interval::of(&values)
        };
        let kept = |value: &dyn Fn(f64, f64) -> f64| {
            let at =
                |nu: usize| of(&|outcome, s| Some(value(outcome.confidence, *s.masked.get(nu)?)));
            (0..KEPT.len()).filter_map(at).collect()
        };
        Summary {
            method,
            average_drop: kept(&drop),
            increase_in_confidence: kept(&increase),
            pointing: of(&|_, scores| Some(if scores.pointing? { 100.0 } else { 0.0 })),
            energy: of(&|_, scores| Some(100.0 * scores.energy?)),
        }
    };
    methods.iter().enumerate().map(summary).collect()
}

/// The drop of the confidence in percent of what it was.
fn drop(clean: f64, masked: f64) -> f64 {
    if clean > 0.0 { 100.0 * (clean - masked).max(0.0) / clean } else { 0.0 }
}

/// 100 where the confidence has risen.
fn increase(clean: f64, masked: f64) -> f64 {
    if masked > clean { 100.0 } else { 0.0 }
}

impl Interval {
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a number of pictures")]
        let count = values.len() as f64;
        let mean = |sum: f64| sum / count;
        // The same draws for every method and figure: their differences are then not blurred.
        let mut random = generator(0, 0, 0);
        let mut means: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                mean((0..values.len()).map(|_| values[random.random_range(0..values.len())]).sum())
            })
            .collect();
        means.sort_by(f64::total_cmp);
        let (low, high) = (means[RESAMPLES / 40], means[RESAMPLES - 1 - RESAMPLES / 40]);
        Some(Self { mean: mean(values.iter().sum()), low, high })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_follow_the_formulas() {
        let outcome = |confidence: f64, masked: [f64; 3], pointing| Outcome {
            picture: "x".into(),
            class: 0,
            confidence,
            scores: vec![Scores { masked: masked.to_vec(), pointing, energy: Some(0.25) }],
        };
        // Drops of 50 % and none, of 100 % and 25 %, of none twice; rises only where O > Y.
        let outcomes =
            [outcome(0.8, [0.4, 0.0, 0.8], Some(true)), outcome(0.4, [0.5, 0.3, 0.4], None)];
        let summary = summarize(&[Method::Cam], &outcomes).remove(0);
        let means = |intervals: &[Interval]| intervals.iter().map(|i| i.mean).collect::<Vec<_>>();
        let close = |found: Vec<f64>, expected: [f64; 3]| {
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-9)
        };
        assert!(close(means(&summary.average_drop), [25.0, 62.5, 0.0]), "{summary:?}");
        assert!(close(means(&summary.increase_in_confidence), [50.0, 0.0, 0.0]), "{summary:?}");
        let pointing = summary.pointing.unwrap();
        assert!((pointing.mean - 100.0).abs() < 1e-9, "pictures without a mask do not count");
    }

    #[test]
    fn an_interval_narrows_with_the_number_of_pictures() {
        let width = |count: usize| {
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let values: Vec<f64> = (0..count).map(|index| (index % 2) as f64).collect();
            let interval = Interval::of(&values).unwrap();
            assert!(interval.low <= interval.mean && interval.mean <= interval.high);
            interval.high - interval.low
        };
        // 2 * 1.96 * 0.5 / sqrt(n)
        assert!((width(100) - 0.196).abs() < 0.04, "{}", width(100));
        assert!((width(1600) - 0.049).abs() < 0.01, "{}", width(1600));
    }
}
