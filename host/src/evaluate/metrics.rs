//! What is read off one explanation map.

use lcam_models::map::ExplanationMap;

/// Keeps the values of the highest `share` (0 to 1) of the pixels and sets the rest to 0. Exactly that share
/// stays, rounded to whole pixels: of equal values the first ones, row by row.
#[must_use]
pub fn keep_highest(map: &ExplanationMap, share: f64) -> Vec<f32> {
    let values = map.values();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a number of pixels"
    )]
    let count = ((values.len() as f64 * share).round() as usize).min(values.len());
    if count == values.len() {
        return values.to_vec();
    }
    let mut order: Vec<usize> = (0..values.len()).collect();
    if count > 0 {
        let higher = |&a: &usize, &b: &usize| values[b].total_cmp(&values[a]).then(a.cmp(&b));
        order.select_nth_unstable_by(count - 1, higher);
    }
    let mut kept = vec![0.0; values.len()];
    for &index in &order[..count] {
        kept[index] = values[index];
    }
    kept
}

/// Tells whether the map's highest pixel, the first of equal ones, lies in the mask.
///
/// # Panics
/// Panics if the mask is not of the map's size.
#[must_use]
pub fn lies_in(map: &ExplanationMap, mask: &[bool]) -> bool {
    let mut highest = 0;
    for (index, value) in map.values().iter().enumerate() {
        if *value > map.values()[highest] {
            highest = index;
        }
    }
    mask[highest]
}

/// Gives the share of the map's sum that lies in the mask, 0 to 1; 0 for a map that is 0 everywhere.
///
/// # Panics
/// Panics if the mask is not of the map's size.
#[must_use]
pub fn share_in(map: &ExplanationMap, mask: &[bool]) -> f64 {
    assert_eq!(map.values().len(), mask.len(), "the mask is not of the map's size");
    let total: f64 = map.values().iter().map(|&value| f64::from(value)).sum();
    let inside = map.values().iter().zip(mask).filter(|(_, inside)| **inside);
    let inside: f64 = inside.map(|(&value, _)| f64::from(value)).sum();
    if total > 0.0 { inside / total } else { 0.0 }
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
    fn kept_values_stay_as_they_are() {
        let map = map(&[0.0, 0.5, 1.0, 0.75]);
        assert_eq!(keep_highest(&map, 1.0), [0.0, 0.5, 1.0, 0.75]);
        assert_eq!(keep_highest(&map, 0.5), [0.0, 0.0, 1.0, 0.75]);
        assert_eq!(keep_highest(&map, 0.0), [0.0; 4]);
    }

    #[test]
    fn ties_are_cut_at_the_share() {
        let map = map(&[1.0, 1.0, 0.0, 1.0, 1.0]);
        assert_eq!(keep_highest(&map, 0.6), [1.0, 1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn reads_off_where_the_map_points() {
        let map = map(&[0.0, 1.0, 1.0, 0.5]);
        assert!(lies_in(&map, &[false, true, false, false]));
        assert!(!lies_in(&map, &[true, false, true, true]));
        assert!((share_in(&map, &[true, false, true, true]) - 0.6).abs() < 1e-6);
        let nothing = self::map(&[2.0, 2.0]);
        assert!(share_in(&nothing, &[true, true]) < 1e-12);
    }

    proptest! {
        #[test]
        fn exactly_the_share_stays(
            values in proptest::collection::vec(0.5f32..2.0, 2..300), percent in 0u32..=100,
        ) {
            // The lowest value becomes 0 whether it is kept or not.
            let share = f64::from(percent) / 100.0;
            let map = map(&values);
            let positive = map.values().iter().filter(|value| **value > 0.0).count();
            let kept = keep_highest(&map, share).iter().filter(|value| **value > 0.0).count();
            #[expect(clippy::cast_precision_loss, reason = "at most 300")]
            let asked = (values.len() as f64 * share).round();
            #[expect(clippy::cast_precision_loss, reason = "at most 300")]
            let expected = asked.min(positive as f64);
            #[expect(clippy::cast_precision_loss, reason = "at most 300")]
            let kept = kept as f64;
            prop_assert!((kept - expected).abs() < 0.5, "{kept} of {asked}");
        }
    }
}
