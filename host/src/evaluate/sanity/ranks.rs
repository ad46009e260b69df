//! Spearman's rank correlation (1904): Pearson's, of ranks; equal values share the mean of their ranks.

/// Tells whether all values are the same.
pub(super) fn is_constant(values: &[f32]) -> bool {
    values.iter().all(|value| value == &values[0])
}

/// Gives the rank correlation of two maps of one size, -1 to 1; none where one of them is constant or holds a
/// value that is not a number.
pub(super) fn rank_correlation(one: &[f32], other: &[f32]) -> Option<f64> {
    let undefined = |values: &[f32]| is_constant(values) || values.iter().any(|v| v.is_nan());
    if one.len() != other.len() || undefined(one) || undefined(other) {
        return None;
    }
    let (one, other) = (centred_ranks(one), centred_ranks(other));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    Some(product(&one, &other) / (product(&one, &one) * product(&other, &other)).sqrt())
}

/// Gives the ranks less their mean.
#[expect(clippy::cast_precision_loss, reason = "ranks of the cells of a map")]
fn centred_ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mean = (values.len() as f64 - 1.0) / 2.0;
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (equal.len() as f64 - 1.0) / 2.0;
        equal.iter().for_each(|&index| ranks[index] = rank - mean);
        first += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_scipy() {
        // scipy.stats.spearmanr 1.17.1 of the same values.
        for (one, other, expected) in [
            (vec![1.0, 2.0, 3.0, 4.0], vec![1.0, 8.0, 27.0, 64.0], 1.0),
            (vec![1.0, 2.0, 3.0, 4.0], vec![4.0, 3.0, 2.0, 1.0], -1.0),
            (vec![1.0, 2.0, 2.0, 4.0, 0.5], vec![3.0, 1.0, 2.0, 2.0, 7.0], -0.763_157_894_7),
        ] {
            let found = rank_correlation(&one, &other).unwrap();
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
        assert_eq!(rank_correlation(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(rank_correlation(&[1.0, f32::NAN], &[1.0, 2.0]), None);
    }
}
