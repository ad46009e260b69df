//! How much of a map is gathered in how few of its pixels.

use lcam_models::map::ExplanationMap;

/// Gives the Gini index of a map's values, 0 (all equal) to nearly 1 (one pixel holds everything); 0 for a map
/// that is 0 everywhere.
///
/// With the values in rising order, `G = 1 - 2 * sum_k (v_k / sum v) * (N - k + 1/2) / N`, k from 1 (Hurley and
/// Rickard 2009; for explanations: Chalasani et al. 2020).
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "pixels are far fewer than 2^53")]
pub fn gini(map: &ExplanationMap) -> f64 {
    let mut values = map.values().to_vec();
    values.sort_unstable_by(f32::total_cmp);
    let total: f64 = values.iter().map(|&value| f64::from(value)).sum();
    if total <= 0.0 {
        return 0.0;
    }
    let count = values.len() as f64;
    let weighted = |(index, &value): (usize, &f32)| f64::from(value) * (count - index as f64 - 0.5);
    let weighted: f64 = values.iter().enumerate().map(weighted).sum();
    1.0 - 2.0 * weighted / (total * count)
}

#[cfg(test)]
mod tests {
    use lcam_models::map::{ClassMap, GridSize};

    use super::*;

    #[test]
    fn rises_with_concentration() {
        let of = |values: &[f32]| {
            let size = GridSize { height: 1, width: values.len() };
            gini(&ClassMap::new(size, values.to_vec()).unwrap().min_max())
        };
        // One of n holds everything: 1 - 1 / n.
        assert!((of(&[0.0, 0.0, 0.0, 1.0]) - 0.75).abs() < 1e-9);
        // Half of them share it.
        assert!((of(&[0.0, 1.0, 0.0, 1.0]) - 0.5).abs() < 1e-9);
        assert!(of(&[3.0; 4]).abs() < 1e-9, "no evidence at all");
    }
}
