//! Class maps and explanation maps.
//!
//! A [`ClassMap`] holds the raw evidence of one class over the cells of a grid, as the network gives it.
//! Scaled to 0..=1 it is an [`ExplanationMap`]. The order is fixed by the method: first min-max at the
//! native grid, then bilinear upsampling.

use crate::metadata::Activation;

/// Height and width of a map in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GridSize {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl GridSize {
    /// Counts the cells.
    #[must_use]
    pub fn cells(self) -> usize {
        self.height * self.width
    }
}

/// A map whose values cannot be what they should be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The number of values is not height times width, or there is none.
    #[error("a map of {height}x{width} cells cannot hold {values} values")]
    Shape {
        /// Rows asked for.
        height: usize,
        /// Columns asked for.
        width: usize,
        /// Values given.
        values: usize,
    },
    /// A value is infinite or not a number.
    #[error("the map holds a value that is not finite; the network's weights may be damaged")]
    NotFinite,
}

/// The raw evidence for one class, row by row; any finite value.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassMap(Grid);

/// A class map scaled to 0..=1 and, as a rule, upsampled to a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplanationMap(Grid);

#[derive(Clone, Debug, PartialEq)]
struct Grid {
    size: GridSize,
    values: Vec<f32>,
}

impl ClassMap {
    /// Takes the values of a map row by row.
    ///
    /// # Errors
    /// Returns [`MapError`] when the number of values does not fit or one of them is not finite.
    pub fn new(size: GridSize, values: Vec<f32>) -> Result<Self, MapError> {
        let GridSize { height, width } = size;
        if values.is_empty() || height.checked_mul(width) != Some(values.len()) {
            return Err(MapError::Shape { height, width, values: values.len() });
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(MapError::NotFinite);
        }
        Ok(Self(Grid { size, values }))
    }

    /// Gives the size of the grid.
    #[must_use]
    pub fn size(&self) -> GridSize {
        self.0.size
    }

    /// Gives the values row by row.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.0.values
    }

    /// Scales to 0..=1: `(x - min) / (max - min)`. A constant map holds no evidence and becomes all 0.
    #[must_use]
    pub fn min_max(&self) -> ExplanationMap {
        let values = &self.0.values;
        let low = values.iter().copied().fold(f32::INFINITY, f32::min);
        let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // In f64, where the difference of two finite f32 cannot overflow.
        let range = f64::from(high) - f64::from(low);
        let scale = |value: f32| {
            let scaled =
                if range > 0.0 { (f64::from(value) - f64::from(low)) / range } else { 0.0 };
            #[expect(clippy::cast_possible_truncation, reason = "the value lies in 0..=1")]
            {
                scaled as f32
            }
        };
        ExplanationMap(Grid {
            size: self.0.size,
            values: values.iter().map(|&value| scale(value)).collect(),
        })
    }

    /// Upsamples bilinearly, as [`ExplanationMap::upsample`] does.
    #[must_use]
    pub fn upsample(&self, size: GridSize) -> Self {
        Self(self.0.upsample(size))
    }

    /// Applies an activation to each value.
    #[must_use]
    pub fn activate(mut self, activation: Activation) -> Self {
        match activation {
            Activation::None => {}
            Activation::Sigmoid => {
                let sigmoid = |value: &mut f32| *value = 1.0 / (1.0 + (-*value).exp());
                self.0.values.iter_mut().for_each(sigmoid);
            }
        }
        self
    }

    /// Adds another map of the same size, cell by cell.
    ///
    /// # Errors
    /// Returns [`MapError::Shape`] when the sizes differ.
    pub fn add(&mut self, other: &Self) -> Result<(), MapError> {
        if self.size() != other.size() {
            let GridSize { height, width } = self.size();
            return Err(MapError::Shape { height, width, values: other.values().len() });
        }
        for (sum, value) in self.0.values.iter_mut().zip(&other.0.values) {
            *sum += value;
        }
        Ok(())
    }
}

impl ExplanationMap {
    /// Gives the size of the grid.
    #[must_use]
    pub fn size(&self) -> GridSize {
        self.0.size
    }

    /// Gives the values row by row, each 0 to 1.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.0.values
    }

    /// Resamples bilinearly with half-pixel centres and clamped borders, as ONNX `Resize`
    /// (`linear`, `half_pixel`) and PyTorch's `interpolate(mode="bilinear", align_corners=False)` do.
    /// For a size of 0 rows or columns the result is empty.
    #[must_use]
    pub fn upsample(&self, size: GridSize) -> Self {
        Self(self.0.upsample(size))
    }
}

impl Grid {
    fn upsample(&self, size: GridSize) -> Self {
        let columns: Vec<Tap> =
            (0..size.width).map(|x| Tap::new(x, size.width, self.size.width)).collect();
        let mut values = Vec::with_capacity(size.cells());
        for y in 0..size.height {
            let row = Tap::new(y, size.height, self.size.height);
            let upper = &self.values[row.first * self.size.width..][..self.size.width];
            let lower = &self.values[row.second * self.size.width..][..self.size.width];
            values.extend(
                columns.iter().map(|column| row.mix(column.sample(upper), column.sample(lower))),
            );
        }
        Self { size, values }
    }
}

/// The two neighbours of a sample along one axis, and the weight of the second.
#[derive(Clone, Copy)]
struct Tap {
    first: usize,
    second: usize,
    weight: f32,
}

impl Tap {
    /// Locates output cell `index` of `outputs` among `inputs` cells: `(index + 0.5) * inputs / outputs - 0.5`.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positions are clamped to 0..inputs, and grids are far smaller than 2^53"
    )]
    fn new(index: usize, outputs: usize, inputs: usize) -> Self {
        let last = inputs - 1;
        let position = (index as f64 + 0.5) * inputs as f64 / outputs as f64 - 0.5;
        let position = position.clamp(0.0, last as f64);
        let first = (position.floor() as usize).min(last);
        let weight = (position - first as f64) as f32;
        Self { first, second: (first + 1).min(last), weight }
    }

    fn sample(self, line: &[f32]) -> f32 {
        self.mix(line[self.first], line[self.second])
    }

    /// Written so that between equal values there is no other: the outer half cells of a map stay level, and
    /// the order of their pixels is not one of rounding.
    fn mix(self, first: f32, second: f32) -> f32 {
        first + (second - first) * self.weight
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    fn grid(height: usize, width: usize) -> GridSize {
        GridSize { height, width }
    }

    #[test]
    fn scales_to_the_unit_interval() {
        let map = ClassMap::new(grid(1, 3), vec![-2.0, 0.0, 6.0]).unwrap().min_max();
        assert_eq!(map.values(), [0.0, 0.25, 1.0]);
        let wide = ClassMap::new(grid(1, 2), vec![f32::MIN, f32::MAX]).unwrap().min_max();
        assert_eq!(wide.values(), [0.0, 1.0]);
    }

    #[test]
    fn activates_each_value() {
        let map = ClassMap::new(grid(1, 3), vec![-200.0, 0.0, 2.0]).unwrap();
        assert_eq!(map.clone().activate(Activation::None), map);
        let expected = [0.0, 0.5, 0.880_797_1];
        let found = map.activate(Activation::Sigmoid);
        assert!(
            found.values().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
            "{found:?}"
        );
    }

    #[test]
    fn beyond_the_outer_centres_a_map_is_level() {
        let map = ClassMap::new(grid(2, 2), vec![0.1, 0.7, 0.3, 0.9]).unwrap().min_max();
        let large = map.upsample(grid(14, 14));
        let corner: Vec<f32> =
            (0..3).flat_map(|y| large.values()[y * 14 + 11..][..3].to_vec()).collect();
        assert!(corner.iter().all(|value| value.to_bits() == corner[0].to_bits()), "{corner:?}");
    }

    #[test]
    fn a_constant_map_shows_no_evidence() {
        let map = ClassMap::new(grid(2, 2), vec![3.0; 4]).unwrap().min_max();
        assert_eq!(map.values(), [0.0; 4]);
    }

    #[test]
    fn rejects_values_that_do_not_fit() {
        assert!(ClassMap::new(grid(2, 2), vec![0.0; 3]).is_err());
        assert!(ClassMap::new(grid(0, 0), vec![]).is_err());
        assert_eq!(ClassMap::new(grid(1, 1), vec![f32::NAN]), Err(MapError::NotFinite));
    }

    proptest! {
        #[test]
        fn stays_in_the_unit_interval(
            values in proptest::collection::vec(-1e6f32..1e6, 12),
            height in 1usize..40, width in 1usize..40,
        ) {
            let map = ClassMap::new(grid(3, 4), values).unwrap().min_max();
            let large = map.upsample(grid(height, width));
            prop_assert!(large.values().iter().all(|v| (0.0..=1.0).contains(v)));
            let same = map.upsample(map.size());
            prop_assert!(same == map);
        }
    }
}
