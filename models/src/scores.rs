//! From logits to confidences and ranked classes.

use serde::Serialize;

use crate::class::ClassIndex;

/// One class and the network's confidence in it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// The class.
    pub class: ClassIndex,
    /// Its softmax probability, 0 to 1.
    pub confidence: f32,
}

/// Turns logits into probabilities: `exp(x_i - max x) / sum_j exp(x_j - max x)`.
///
/// The sum is taken in `f64`, so that the result does not depend on the number of classes. For an
/// empty slice the result is empty.
#[must_use]
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&x| f64::from(x - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    #[expect(clippy::cast_possible_truncation, reason = "a probability fits an f32")]
    powers.iter().map(|power| (power / sum) as f32).collect()
}

/// Ranks the `k` most probable classes, best first; of equal ones the lower index comes first.
#[must_use]
pub fn top_k(confidences: &[f32], k: usize) -> Vec<Ranked> {
    let mut ranked: Vec<Ranked> = confidences
        .iter()
        .enumerate()
        .map(|(index, &confidence)| Ranked { class: ClassIndex(index), confidence })
        .collect();
    ranked.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.class.cmp(&b.class)));
    ranked.truncate(k);
    ranked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    #[test]
    fn ranks_best_first_and_ties_by_index() {
        let classes: Vec<usize> =
            top_k(&[0.1, 0.4, 0.1, 0.4], 3).iter().map(|r| r.class.0).collect();
        assert_eq!(classes, [1, 3, 0]);
        assert!(top_k(&[], 3).is_empty());
    }

    #[test]
    fn survives_logits_far_from_zero() {
        assert_eq!(softmax(&[1e4, -1e4]), [1.0, 0.0]);
        assert!(softmax(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn probabilities_sum_to_one(logits in proptest::collection::vec(-60f32..60.0, 1..2000)) {
            let sum: f64 = softmax(&logits).iter().map(|&p| f64::from(p)).sum();
            prop_assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
    }
}
