//! Means over all pictures, with intervals, and how they differ from the first method's.

use rand::RngExt;
use serde::Serialize;

use super::figures::{Better, Figure};
use super::{Method, Outcome};
use crate::random::generator;

/// How often the pictures are drawn anew for an interval.
const RESAMPLES: usize = 1000;

/// The figures of one method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The method.
    pub method: Method,
    /// What was measured, in the order of [`Figure::all`].
    pub figures: Vec<Estimate>,
}

/// One figure of one method.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub figure: Figure,
    /// Over how many pictures.
    pub pictures: usize,
    /// The mean in percent.
    #[serde(flatten)]
    pub interval: Interval,
    /// How it differs from the first method's on the same pictures; nothing for the first.
    pub against_first: Option<Difference>,
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

/// A paired difference: in every sample both methods have the same pictures, so that what is hard about a
/// picture cancels out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// This method's mean less the first one's, with its interval.
    #[serde(flatten)]
    pub interval: Interval,
    /// The share of samples in which this method is better, 0 to 1.
    pub better: f64,
}

impl Summary {
    /// Finds a figure.
    #[must_use]
    pub fn get(&self, figure: Figure) -> Option<&Estimate> {
        self.figures.iter().find(|estimate| estimate.figure == figure)
    }
}

/// The fewest pictures that a difference can be clear on: the samples of fewer hold too few different ones for their
/// interval to be one.
const LEAST_PICTURES: usize = 10;

impl Estimate {
    /// Gives the difference from the first method if its interval leaves 0 out.
    #[must_use]
    pub fn clear_difference(&self) -> Option<Difference> {
        let leaves_out = |interval: Interval| interval.low > 0.0 || interval.high < 0.0;
        self.against_first
            .filter(|difference| self.pictures >= LEAST_PICTURES && leaves_out(difference.interval))
    }
}

impl Interval {
    /// Gives the mean of some values and its interval; nothing for no value.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let draws = Draws::new(values.len())?;
        Some(Self::around(mean(values), draws.means(values)))
    }

    fn around(mean: f64, mut means: Vec<f64>) -> Self {
        means.sort_by(f64::total_cmp);
        Self { mean, low: means[RESAMPLES / 40], high: means[RESAMPLES - 1 - RESAMPLES / 40] }
    }
}

/// Sums up what was measured for each of `methods`, which are those of the outcomes in their order.
#[must_use]
pub fn summarize(methods: &[Method], outcomes: &[Outcome]) -> Vec<Summary> {
    let mut summaries: Vec<Summary> =
        methods.iter().map(|&method| Summary { method, figures: Vec::new() }).collect();
    let mut draws: Option<Draws> = None;
    for figure in Figure::all() {
        let mut first: Option<(Vec<f64>, f64)> = None;
        for (index, summary) in summaries.iter_mut().enumerate() {
            let value = |outcome: &Outcome| figure.value(outcome, outcome.scores.get(index)?);
            let values: Vec<f64> = outcomes.iter().filter_map(value).collect();
            if draws.as_ref().is_none_or(|draws| draws.pictures != values.len()) {
                draws = Draws::new(values.len()).or(draws);
            }
            let Some(draws) = draws.as_ref().filter(|draws| draws.pictures == values.len()) else {
                continue;
            };
            let (means, mean) = (draws.means(&values), mean(&values));
            let against_first = first
                .as_ref()
                .map(|(others, other)| difference(&means, others, mean - other, figure.better()));
            summary.figures.push(Estimate {
                figure,
                pictures: values.len(),
                interval: Interval::around(mean, means.clone()),
                against_first,
            });
            if index == 0 {
                first = Some((means, mean));
            }
        }
    }
    summaries
}

/// Compares the means of the same samples.
fn difference(means: &[f64], others: &[f64], mean: f64, better: Better) -> Difference {
    let preferred =
        means.iter().zip(others).filter(|(mean, other)| better.prefers(**mean, **other));
    #[expect(clippy::cast_precision_loss, reason = "a number of samples")]
    let share = preferred.count() as f64 / RESAMPLES as f64;
    let differences = means.iter().zip(others).map(|(mean, other)| mean - other).collect();
    Difference { interval: Interval::around(mean, differences), better: share }
}

/// Samples of pictures, drawn with replacement: the same ones for every method and figure.
#[derive(Debug)]
struct Draws {
    pictures: usize,
    drawn: Vec<u32>,
}

impl Draws {
    fn new(pictures: usize) -> Option<Self> {
        let end = u32::try_from(pictures).ok().filter(|&end| end > 0)?;
        let mut random = generator(0, 0, 0);
        let drawn = (0..RESAMPLES * pictures).map(|_| random.random_range(0..end)).collect();
        Some(Self { pictures, drawn })
    }

    fn means(&self, values: &[f64]) -> Vec<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a number of pictures")]
        let count = self.pictures as f64;
        let sum = |drawn: &[u32]| drawn.iter().map(|&index| values[index as usize]).sum::<f64>();
        self.drawn.chunks_exact(self.pictures).map(|drawn| sum(drawn) / count).collect()
    }
}

fn mean(values: &[f64]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a number of pictures")]
    let count = values.len() as f64;
    values.iter().sum::<f64>() / count
}

#[cfg(test)]
mod tests {
    use super::super::metrics::{Fill, Scores};
    use super::*;

    fn outcome(confidence: f64, masked: &[[f64; 3]], pointing: Option<bool>) -> Outcome {
        let scores = |masked: &[f64; 3]| Scores {
            masked: [(Fill::Black, masked.to_vec())].into(),
            pointing,
            ..Scores::default()
        };
        let scores = masked.iter().map(scores).collect();
        Outcome { picture: "x".into(), class: 0, confidence, scores }
    }

    #[test]
    fn means_are_over_the_pictures_that_count() {
        // Drops of 50 % and none, of 100 % and 25 %, of none twice; rises only where O > Y.
        let outcomes =
            [outcome(0.8, &[[0.4, 0.0, 0.8]], Some(true)), outcome(0.4, &[[0.5, 0.3, 0.4]], None)];
        let summary = summarize(&[Method::Cam], &outcomes).remove(0);
        let means: Vec<f64> = summary.figures.iter().map(|e| e.interval.mean).collect();
        let expected = [25.0, 62.5, 0.0, 50.0, 0.0, 0.0, 100.0];
        let close =
            means.iter().zip(expected).all(|(mean, expected)| (mean - expected).abs() < 1e-9);
        assert!(close && means.len() == expected.len(), "{means:?}");
        let pointing = summary.get(Figure::Pointing).unwrap();
        assert_eq!(pointing.pictures, 1, "pictures without a mask do not count");
    }

    #[test]
    fn a_small_difference_on_every_picture_is_clear() {
        // Confidences from nearly 0 to 0.9, the second method always a little better: apart, the intervals
        // overlap; in pairs they do not.
        let outcomes: Vec<Outcome> = (0..50u32)
            .map(|number| {
                let masked = f64::from(number) / 60.0;
                outcome(0.9, &[[masked; 3], [masked + 0.02 + masked / 100.0; 3]], None)
            })
            .collect();
        let summaries = summarize(&[Method::Cam, Method::Lcam], &outcomes);
        let drop = Figure::AverageDrop { fill: Fill::Black, kept: 0 };
        let [first, second] = [0, 1].map(|index: usize| *summaries[index].get(drop).unwrap());
        assert!(first.against_first.is_none() && second.interval.high > first.interval.low);
        let difference = second.clear_difference().unwrap();
        assert!(difference.interval.high < 0.0, "{difference:?}");
        assert!((difference.better - 1.0).abs() < 1e-12);
        let increase = Figure::Increase { fill: Fill::Black, kept: 0 };
        let same = summaries[1].get(increase).unwrap();
        assert!(same.clear_difference().is_none(), "{same:?}");
        assert!(same.against_first.unwrap().better < 1e-12, "{same:?}");
        let few = summarize(&[Method::Cam, Method::Lcam], &outcomes[..9]);
        assert!(few[1].get(drop).unwrap().against_first.is_some());
        assert!(few[1].get(drop).unwrap().clear_difference().is_none(), "nine are too few");
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
