//! Whether a map points at the object, where a mask tells where that is.

use lcam_models::map::ExplanationMap;

/// Tells whether the map's highest pixel, the first of equal ones, lies in the mask (pointing game, Zhang et
/// al. 2018, without tolerance).
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

/// Gives the share of the map's sum that lies in the mask, 0 to 1; 0 for a map that is 0 everywhere (energy,
/// Wang et al. 2020).
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

    use super::*;

    #[test]
    fn reads_off_where_the_map_points() {
        let map = |values: &[f32]| {
            let size = GridSize { height: 1, width: values.len() };
            ClassMap::new(size, values.to_vec()).unwrap().min_max()
        };
        let points = map(&[0.0, 1.0, 1.0, 0.5]);
        assert!(lies_in(&points, &[false, true, false, false]));
        assert!(!lies_in(&points, &[true, false, true, true]));
        assert!((share_in(&points, &[true, false, true, true]) - 0.6).abs() < 1e-6);
        assert!(share_in(&map(&[2.0, 2.0]), &[true, true]) < 1e-12);
    }
}
