//! What is kept of a picture after its pass: some two kilobytes, whatever its size and the number of classes.

use lcam_models::map::ExplanationMap;
use lcam_models::preprocess::ImageSize;

use super::appearance::Appearance;
use super::edits::attended;
use super::observe::ATTENDED;
use super::regions::Cells;
use super::statistics::number;

/// What is known of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its place in the list of pictures.
    pub picture: usize,
    /// The class that the network names.
    pub named: usize,
    /// The confidence in it, 0 to 1.
    pub confidence: f64,
    /// What it truly shows.
    pub truth: Option<usize>,
    /// The confidence in that.
    pub truth_confidence: f64,
    /// The map of the named class.
    pub attention: Attention,
    /// The map of the true class, where that is another one.
    pub truth_attention: Option<Attention>,
    /// The share of one map's attended region that is the other's, too, 0 to 1; 1 where there is no other map.
    pub overlap: f64,
    /// Where attention lies beside the object, where a mask tells.
    pub object: Option<ObjectAttention>,
    /// What the network names once the attended region is filled in.
    pub without_attended: Answer,
    /// What it names once the object is filled in, where a mask tells.
    pub without_object: Option<Answer>,
    /// What the picture looks like.
    pub appearance: Appearance,
    /// The pooled feature maps, projected: alike where the network sees alike.
    pub features: Vec<f32>,
}

/// How a map looks.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Its shares of the grid's cells.
    pub cells: Cells,
    /// How much of the picture it is spread over, 0 to 1: the exponential of its entropy, per cell of its own grid. Of
    /// a map that is even over a part and 0 elsewhere, that part.
    pub spread: f64,
}

/// Where attention lies beside the object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObjectAttention {
    /// The share of the map's sum in the object.
    pub inside: f64,
    /// The object's share of the picture.
    pub area: f64,
    /// Whether the map's highest pixel lies in the object, or within a cell of the grid beside it.
    pub points_at_it: bool,
}

impl ObjectAttention {
    /// Tells whether the network looked elsewhere: the map's peak is beside the object, and less of the map in the object
    /// than chance puts there.
    #[must_use]
    pub fn is_missed(&self) -> bool {
        !self.points_at_it && self.inside < self.area
    }
}

/// What the network names on a changed picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// The class.
    pub class: usize,
    /// The confidence in the class that was named on the picture as it was.
    pub confidence_left: f64,
}

impl Record {
    /// Tells whether the network names another class than the true one.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.truth.is_some_and(|truth| truth != self.named)
    }

    /// Gives the class that the picture belongs to: the true one, or the named one where that is not known.
    #[must_use]
    pub fn class(&self) -> usize {
        self.truth.unwrap_or(self.named)
    }
}

impl Attention {
    /// Describes a map.
    #[must_use]
    pub fn of(map: &ExplanationMap) -> Self {
        Self { cells: Cells::of(map), spread: spread(map) }
    }
}

fn spread(map: &ExplanationMap) -> f64 {
    let total: f64 = map.values().iter().map(|&value| f64::from(value)).sum();
    if total <= 0.0 {
        return 1.0;
    }
    let shares = map.values().iter().map(|&value| f64::from(value) / total);
    let entropy: f64 = shares.filter(|&share| share > 0.0).map(|share| -share * share.ln()).sum();
    (entropy.exp() / number(map.values().len())).min(1.0)
}

/// Gives the share of one map's attended region that is the other's, too.
#[must_use]
pub fn overlap(first: &ExplanationMap, second: &ExplanationMap) -> f64 {
    // Fine enough for 15 % of it to be a count of hundreds.
    let size = ImageSize { width: 64, height: 64 };
    let [first, second] = [first, second].map(|map| attended(map, size, ATTENDED));
    let both = first.iter().zip(&second).filter(|(a, b)| **a && **b).count();
    number(both) / number(first.iter().filter(|inside| **inside).count().max(1))
}

#[cfg(test)]
mod tests {
    use lcam_models::map::{ClassMap, GridSize};

    use super::*;

    fn map(values: &[f32]) -> ExplanationMap {
        let size = GridSize { height: 1, width: values.len() };
        ClassMap::new(size, values.to_vec()).unwrap().min_max()
    }

    #[test]
    fn the_spread_of_a_map_is_the_part_that_it_covers() {
        for (values, expected) in
            [(&[0.0, 1.0, 0.0, 0.0][..], 0.25), (&[0.0, 1.0, 1.0, 0.0], 0.5), (&[2.0; 4], 1.0)]
        {
            assert!((spread(&map(values)) - expected).abs() < 1e-9, "{values:?}");
        }
    }

    #[test]
    fn maps_overlap_where_both_are_high() {
        let [left, right] = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]].map(|values| map(&values));
        assert!((overlap(&left, &left) - 1.0).abs() < 1e-9);
        assert!(overlap(&left, &right) < 1e-9);
    }
}
