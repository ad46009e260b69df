//! The statistics behind a finding: how large an effect is, how sure, and what many tests at once cost.
//!
//! Effects lie between -1 and 1, so that findings of different kinds can be ranked: differences of shares, Cliff's
//! delta, shares of evidence. Tests are one-sided where a finding has a direction. Nothing here knows of pictures.

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Hypergeometric, Normal};

use crate::evaluate::Interval;

/// The quantile of the normal distribution that leaves 2.5 % above it.
const Z: f64 = 1.959_963_984_540_054;

/// How far two samples lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Separation {
    /// Cliff's delta: the share of pairs in which the first sample's value is larger, less the share in which it is
    /// smaller; -1 to 1.
    pub delta: f64,
    /// The one-sided p-value of Mann and Whitney's test that the first sample is larger (normal approximation, ties
    /// and continuity corrected).
    pub p: f64,
}

/// A part of a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many.
    pub hits: usize,
    /// Of how many.
    pub of: usize,
}

impl Share {
    /// Counts those that `is_hit` holds for.
    pub fn count<T>(items: impl IntoIterator<Item = T>, is_hit: impl Fn(T) -> bool) -> Self {
        items.into_iter().fold(Self::default(), |share, item| Self {
            hits: share.hits + usize::from(is_hit(item)),
            of: share.of + 1,
        })
    }

    /// Gives the share, 0 to 1; 0 of nothing.
    #[must_use]
    pub fn value(self) -> f64 {
        if self.of == 0 { 0.0 } else { number(self.hits) / number(self.of) }
    }

    /// Gives Wilson's 95 % score interval (1927), which stays within 0..=1 for few and for extreme counts.
    #[must_use]
    pub fn interval(self) -> Interval {
        if self.of == 0 {
            return Interval { mean: 0.0, low: 0.0, high: 1.0 };
        }
        let (p, n) = (self.value(), number(self.of));
        let z2 = Z * Z / n;
        let centre = p + z2 / 2.0;
        let half = Z * (p * (1.0 - p) / n + z2 / (4.0 * n)).sqrt();
        let bound = |value: f64| (value / (1.0 + z2)).clamp(0.0, 1.0);
        // At 0 and 1 the bound is the value itself; rounding must not put it beyond.
        Interval { mean: p, low: bound(centre - half).min(p), high: bound(centre + half).max(p) }
    }

    /// Gives this share less another, with Newcombe's 95 % interval (1998, method 10).
    #[must_use]
    pub fn less(self, other: Self) -> Interval {
        let (a, b) = (self.interval(), other.interval());
        let mean = a.mean - b.mean;
        let low = mean - (a.mean - a.low).hypot(b.high - b.mean);
        let high = mean + (a.high - a.mean).hypot(b.mean - b.low);
        Interval { mean, low: low.max(-1.0), high: high.min(1.0) }
    }

    /// Gives Fisher's exact one-sided p-value that this share is larger than another.
    #[must_use]
    pub fn larger_than(self, other: Self) -> f64 {
        let whole = (self.of + other.of) as u64;
        let Ok(drawn) = Hypergeometric::new(whole, (self.hits + other.hits) as u64, self.of as u64)
        else {
            return 1.0;
        };
        at_least(&drawn, self.hits)
    }

    /// Gives the exact one-sided p-value that the true share is above `share`.
    #[must_use]
    pub fn above(self, share: f64) -> f64 {
        Binomial::new(share, self.of as u64).map_or(1.0, |drawn| at_least(&drawn, self.hits))
    }
}

fn at_least(distribution: &impl DiscreteCDF<u64, f64>, hits: usize) -> f64 {
    match hits {
        0 => 1.0,
        hits => distribution.sf(hits as u64 - 1).clamp(0.0, 1.0),
    }
}

/// Compares two samples by the ranks of their values; nothing for an empty one.
#[must_use]
pub fn separation(first: &[f64], second: &[f64]) -> Option<Separation> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let values: Vec<f64> = first.iter().chain(second).copied().collect();
    let Ranks { ranks, ties } = ranks(&values);
    let (a, b) = (number(first.len()), number(second.len()));
    let sum: f64 = ranks[..first.len()].iter().sum();
    // How many pairs the first sample wins, ties counting half.
    let wins = sum - a * (a + 1.0) / 2.0;
    let all = a + b;
    let variance = a * b / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    let excess = wins - a * b / 2.0;
    Some(Separation { delta: 2.0 * excess / (a * b), p: tail(excess - 0.5, variance) })
}

/// Gives the one-sided p-value of Wilcoxon's signed-rank test that paired differences are above 0 (normal
/// approximation; differences of 0 are left out).
#[must_use]
pub fn signed_rank(differences: &[f64]) -> f64 {
    let differences: Vec<f64> = differences.iter().copied().filter(|&d| d != 0.0).collect();
    let sizes: Vec<f64> = differences.iter().map(|d| d.abs()).collect();
    let Ranks { ranks, ties } = ranks(&sizes);
    let positive: f64 =
        ranks.iter().zip(&differences).filter(|(_, d)| **d > 0.0).map(|p| p.0).sum();
    let n = number(differences.len());
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
    tail(positive - n * (n + 1.0) / 4.0 - 0.5, variance)
}

/// Gives the two-sided p-value of McNemar's exact test: of the pictures that changed, `gained` got right and `lost` got
/// wrong.
#[must_use]
pub fn mcnemar(gained: usize, lost: usize) -> f64 {
    let share = Share { hits: gained.max(lost), of: gained + lost };
    (2.0 * share.above(0.5)).min(1.0)
}

/// Gives the chance that a normal variable of mean 0 exceeds `value`.
#[must_use]
pub fn tail(value: f64, variance: f64) -> f64 {
    if variance > 0.0 { Normal::standard().sf(value / variance.sqrt()) } else { 1.0 }
}

/// Adjusts p-values so that with a limit of 5 % no test out of all is significant by chance in 95 % (Holm 1979).
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut largest = 0.0f64;
    adjust(p, |order, adjusted| {
        for (rank, &index) in order.iter().enumerate() {
            largest = largest.max(number(p.len() - rank) * p[index]).min(1.0);
            adjusted[index] = largest;
        }
    })
}

/// Adjusts p-values so that with a limit of 5 % at most 5 % of the significant ones are so by chance, on average
/// (Benjamini and Hochberg 1995).
#[must_use]
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let mut least = 1.0f64;
    adjust(p, |order, adjusted| {
        for (rank, &index) in order.iter().enumerate().rev() {
            least = least.min(number(p.len()) / number(rank + 1) * p[index]);
            adjusted[index] = least;
        }
    })
}

fn adjust(p: &[f64], fill: impl FnOnce(&[usize], &mut [f64])) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![1.0; p.len()];
    fill(&order, &mut adjusted);
    adjusted
}

struct Ranks {
    /// The rank of each value from 1; equal values share the mean of theirs.
    ranks: Vec<f64>,
    /// The sum of `t^3 - t` over groups of `t` equal values.
    ties: f64,
}

fn ranks(values: &[f64]) -> Ranks {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut found = Ranks { ranks: vec![0.0; values.len()], ties: 0.0 };
    let mut start = 0;
    for group in order.chunk_by(|&a, &b| values[a].total_cmp(&values[b]).is_eq()) {
        let size = number(group.len());
        let rank = number(start) + (size + 1.0) / 2.0;
        group.iter().for_each(|&index| found.ranks[index] = rank);
        found.ties += size * (size * size - 1.0);
        start += group.len();
    }
    found
}

/// Gives the mean; 0 of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / number(values.len()) }
}

/// Gives the value that a share of all lies below, 0 to 1; 0 of nothing.
#[must_use]
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in the list"
    )]
    let place = (share.clamp(0.0, 1.0) * number(last)).round() as usize;
    sorted[place.min(last)]
}

/// Gives a count as a number to calculate with.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of pictures are far below 2^53")]
pub fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }

    #[test]
    fn shares_have_intervals_and_exact_tests() {
        // statsmodels 0.14, proportion_confint(8, 10, method="wilson").
        let interval = Share { hits: 8, of: 10 }.interval();
        near(interval.low, 0.490_162, 1e-5);
        near(interval.high, 0.943_318, 1e-5);
        // Newcombe 1998, table II, row a: 56/70 against 48/80.
        let less = Share { hits: 56, of: 70 }.less(Share { hits: 48, of: 80 });
        near(less.low, 0.0524, 1e-4);
        near(less.high, 0.3339, 1e-4);
        // Fisher's lady tasting tea: 17/70 for 3 of 4 or better.
        near(Share { hits: 3, of: 4 }.larger_than(Share { hits: 1, of: 4 }), 17.0 / 70.0, 1e-9);
        near(Share { hits: 2, of: 2 }.above(0.1), 0.01, 1e-9);
        near(mcnemar(5, 0), 0.0625, 1e-9);
        near(Share { hits: 0, of: 5 }.above(0.5), 1.0, 0.0);
    }

    #[test]
    fn ranks_tell_samples_apart() {
        let found = separation(&[3.0, 4.0, 5.0], &[1.0, 2.0, 3.0]).unwrap();
        // 8 pairs won, none lost, one tied.
        near(found.delta, 8.0 / 9.0, 1e-12);
        // scipy 1.17, mannwhitneyu(..., alternative="greater", method="asymptotic").
        near(found.p, 0.060_592, 1e-6);
        let same = separation(&[1.0; 4], &[1.0; 4]).unwrap();
        near(same.delta, 0.0, 1e-12);
        assert!(same.p > 0.5);
        assert!(separation(&[], &[1.0]).is_none());
    }

    #[test]
    fn signed_ranks_find_a_shift() {
        let shifted: Vec<f64> = (1..=12).map(f64::from).collect();
        // scipy 1.17, wilcoxon(range(1, 13), alternative="greater", method="asymptotic", correction=True).
        near(signed_rank(&shifted), 0.001_263_1, 1e-7);
        let even: Vec<f64> =
            (1..=12).map(|i| f64::from(i) * if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert!(signed_rank(&even) > 0.2);
        near(signed_rank(&[0.0; 9]), 1.0, 0.0);
    }

    #[test]
    fn many_tests_cost() {
        let p = [0.01, 0.04, 0.03, 0.005];
        // R 4.4, p.adjust(p, "holm") and "BH".
        for (found, expected) in holm(&p).iter().zip([0.03, 0.06, 0.06, 0.02]) {
            near(*found, expected, 1e-12);
        }
        for (found, expected) in benjamini_hochberg(&p).iter().zip([0.02, 0.04, 0.04, 0.02]) {
            near(*found, expected, 1e-12);
        }
    }

    #[test]
    fn quantiles_are_values() {
        near(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0, 0.0);
        near(quantile(&[], 0.5), 0.0, 0.0);
    }
}
