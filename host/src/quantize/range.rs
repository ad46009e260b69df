//! How wide a tensor's grid is: everything that was seen, or less, for finer steps.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

use super::grid::Grid;

/// How the range of a tensor is chosen from what was seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RangeMethod {
    /// From the least to the largest value.
    #[value(name = "minmax")]
    MinMax,
    /// Without the outermost 0.01 % of the values at each end.
    Percentile,
    /// The range with the least mean square error.
    Mse,
}

impl RangeMethod {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MinMax, Self::Percentile, Self::Mse];
}

impl fmt::Display for RangeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MinMax => "minmax",
            Self::Percentile => "percentile",
            Self::Mse => "mse",
        })
    }
}

/// What lies beyond it at each end is left out by [`RangeMethod::Percentile`]; the 99.99 % that TensorRT and ONNX
/// Runtime's calibrators are used with.
const TAIL: f64 = 1e-4;

/// How much of the range [`RangeMethod::Mse`] tries at each end, in this many steps.
const STEPS: u32 = 24;
/// The least share of an end that it tries.
const LEAST_SHARE: f64 = 0.3;

/// A range of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Range {
    /// The range of no value.
    pub(super) const NONE: Self = Self { low: f64::INFINITY, high: f64::NEG_INFINITY };

    pub(super) fn with(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

/// How often values were seen in equal parts of a range.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    pub(super) range: Range,
    pub(super) counts: Vec<f64>,
}

impl Histogram {
    pub(super) const BINS: usize = 2048;

    pub(super) fn new(range: Range) -> Self {
        Self { range, counts: vec![0.0; Self::BINS] }
    }

    /// Chooses the range for a grid.
    pub(super) fn choose(&self, method: RangeMethod, symmetric: bool) -> Range {
        match method {
            RangeMethod::MinMax => self.range,
            RangeMethod::Percentile => self.percentile(),
            RangeMethod::Mse => self.least_error(symmetric),
        }
    }

    fn width(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "2048")]
        let bins = self.counts.len() as f64;
        (self.range.high - self.range.low) / bins
    }

    /// Gives the middle of each part with how often it was seen, the empty ones left out.
    fn bins(&self) -> Vec<(f64, f64)> {
        let (low, width) = (self.range.low, self.width());
        #[expect(clippy::cast_precision_loss, reason = "at most 2048")]
        let middle = |index: usize| low + (index as f64 + 0.5) * width;
        let all = self.counts.iter().enumerate().map(|(index, &count)| (middle(index), count));
        all.filter(|&(_, count)| count > 0.0).collect()
    }

    fn percentile(&self) -> Range {
        let bins = self.bins();
        let tail = TAIL * bins.iter().map(|bin| bin.1).sum::<f64>();
        let half = 0.5 * self.width();
        let end = |bins: &mut dyn Iterator<Item = &(f64, f64)>| {
            let mut seen = 0.0;
            for &(value, count) in bins {
                seen += count;
                if seen > tail {
                    return Some(value);
                }
            }
            None
        };
        match (end(&mut bins.iter()), end(&mut bins.iter().rev())) {
            (Some(low), Some(high)) => Range { low: low - half, high: high + half },
            _ => self.range,
        }
    }

    /// Tries shares of both ends, one end after the other, and keeps what leaves the least error.
    fn least_error(&self, symmetric: bool) -> Range {
        let bins = self.bins();
        let error = |range: Range| {
            let grid = Grid::over(range, symmetric);
            bins.iter()
                .map(|&(value, count)| count * (grid.round_trip_one(value) - value).powi(2))
                .sum::<f64>()
        };
        let shares: Vec<f64> = (0..=STEPS)
            .map(|step| 1.0 - (1.0 - LEAST_SHARE) * f64::from(step) / f64::from(STEPS))
            .collect();
        let best = |candidates: &mut dyn Iterator<Item = Range>| {
            candidates
                .map(|range| (error(range), range))
                .min_by(|one, other| one.0.total_cmp(&other.0))
        };
        let Range { low, high } = self.range;
        if symmetric {
            let mut both =
                shares.iter().map(|share| Range { low: share * low, high: share * high });
            return best(&mut both).map_or(self.range, |best| best.1);
        }
        let mut chosen = self.range;
        for _ in 0..2 {
            let mut highs =
                shares.iter().map(|share| Range { low: chosen.low, high: share * high });
            chosen = best(&mut highs).map_or(chosen, |best| best.1);
            let mut lows = shares.iter().map(|share| Range { low: share * low, high: chosen.high });
            chosen = best(&mut lows).map_or(chosen, |best| best.1);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what a bell of this width between -1 and 1 looks like, with one value far out.
    #[expect(clippy::cast_precision_loss, reason = "2048")]
    fn bell(outlier: f64) -> Histogram {
        let mut histogram = Histogram::new(Range { low: -1.0, high: outlier });
        let width = histogram.width();
        for (index, count) in histogram.counts.iter_mut().enumerate() {
            let value = -1.0 + (index as f64 + 0.5) * width;
            *count = (1e6 * (-value * value / 0.08).exp() * width).floor();
        }
        histogram.counts[Histogram::BINS - 1] = 1.0;
        histogram
    }

    #[test]
    fn everything_seen_is_in_the_range_or_the_least_is_lost() {
        let bell = bell(8.0);
        assert_eq!(bell.choose(RangeMethod::MinMax, false), Range { low: -1.0, high: 8.0 });
        let percentile = bell.choose(RangeMethod::Percentile, false);
        assert!(percentile.high > 0.5 && percentile.high < 1.0, "{percentile:?}");
        assert!(percentile.low < -0.5 && percentile.low >= -1.0, "{percentile:?}");
    }

    #[test]
    fn the_least_error_cuts_an_outlier_off_and_keeps_even_values() {
        let error = |histogram: &Histogram, range: Range| {
            let grid = Grid::over(range, false);
            let bins = histogram.bins();
            bins.iter().map(|(v, n)| n * (grid.round_trip_one(*v) - v).powi(2)).sum::<f64>()
        };
        let bell = bell(8.0);
        let chosen = bell.choose(RangeMethod::Mse, false);
        assert!(chosen.high < 7.0, "{chosen:?}");
        assert!(error(&bell, chosen) < error(&bell, bell.range));
        let even =
            Histogram { counts: vec![5.0; Histogram::BINS], range: Range { low: 0.0, high: 6.0 } };
        let kept = even.choose(RangeMethod::Mse, false);
        assert!((kept.high - 6.0).abs() < 0.05, "{kept:?}");
    }

    #[test]
    fn symmetric_ranges_are_shortened_at_both_ends() {
        let Range { low, high } = bell(8.0).choose(RangeMethod::Mse, true);
        assert!((low / -1.0 - high / 8.0).abs() < 1e-12);
    }
}
