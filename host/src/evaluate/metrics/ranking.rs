//! The order of a map's pixels, which everything that removes or keeps a share of them goes by.

use lcam_models::map::ExplanationMap;

/// Gives each pixel's place when all are put in order, the highest first: 0 for the highest. Of equal values
/// the first ones, row by row, come first.
#[must_use]
pub fn ranks(map: &ExplanationMap) -> Vec<i32> {
    // The bits of floats that are not negative are in the order of their values.
    let key = |(index, value): (usize, &f32)| (u64::from(!value.to_bits()) << 32) | index as u64;
    let mut order: Vec<u64> = map.values().iter().enumerate().map(key).collect();
    order.sort_unstable();
    let mut ranks = vec![0; order.len()];
    for (rank, key) in (0i32..).zip(order) {
        ranks[usize::try_from(key & u64::from(u32::MAX)).unwrap_or(0)] = rank;
    }
    ranks
}

/// Rounds a share, 0 to 1, to whole pixels.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a number of pixels"
)]
pub fn pixels(count: usize, share: f64) -> usize {
    ((count as f64 * share).round() as usize).min(count)
}

#[cfg(test)]
mod tests {
    use lcam_models::map::{ClassMap, GridSize};
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    fn map(values: &[f32]) -> ExplanationMap {
        let size = GridSize { height: 1, width: values.len() };
        ClassMap::new(size, values.to_vec()).unwrap().min_max()
    }

    #[test]
    fn the_highest_comes_first_and_ties_by_place() {
        assert_eq!(ranks(&map(&[0.0, 0.5, 1.0, 0.75])), [3, 2, 0, 1]);
        assert_eq!(ranks(&map(&[1.0, 1.0, 0.0, 1.0, 1.0])), [0, 1, 4, 2, 3]);
    }

    #[test]
    fn shares_are_rounded_to_whole_pixels() {
        assert_eq!(
            [0.0, 0.15, 0.5, 1.0].map(|share| pixels(50_176, share)),
            [0, 7526, 25088, 50176]
        );
    }

    proptest! {
        #[test]
        fn ranks_are_a_permutation(values in proptest::collection::vec(-2f32..2.0, 1..300)) {
            let map = map(&values);
            let ranks = ranks(&map);
            let mut by_rank = vec![None; values.len()];
            for (index, &rank) in ranks.iter().enumerate() {
                by_rank[usize::try_from(rank).unwrap()] = Some(map.values()[index]);
            }
            let by_rank: Vec<f32> = by_rank.into_iter().flatten().collect();
            prop_assert!(by_rank.len() == values.len() && by_rank.is_sorted_by(|a, b| a >= b));
        }
    }
}
