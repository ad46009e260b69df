//! How two answers to one question differ.

/// What was found and what was expected: logits, or a map's values.
#[derive(Debug)]
pub struct Pair {
    found: Vec<f64>,
    expected: Vec<f64>,
}

impl Pair {
    /// Puts two answers side by side.
    ///
    /// # Panics
    /// Panics when one has more values than the other.
    #[must_use]
    pub fn new(found: &[f32], expected: &[f32]) -> Self {
        assert_eq!(found.len(), expected.len(), "one answer is longer");
        let widen = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
        Self { found: widen(found), expected: widen(expected) }
    }

    /// Gives the largest difference, as a share of the largest expected magnitude.
    #[must_use]
    pub fn difference(&self) -> f64 {
        let largest = self.expected.iter().fold(0f64, |largest, value| largest.max(value.abs()));
        let differences = self.found.iter().zip(&self.expected).map(|(a, b)| (a - b).abs());
        differences.fold(0f64, f64::max) / largest
    }

    /// Gives Pearson's correlation, -1 to 1; not a number where one answer is constant.
    #[must_use]
    pub fn correlation(&self) -> f64 {
        let (found, expected) = (centered(&self.found), centered(&self.expected));
        dot(&found, &expected) / (dot(&found, &found) * dot(&expected, &expected)).sqrt()
    }
}

fn centered(values: &[f64]) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "classes and cells")]
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| value - mean).collect()
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_scale_from_shape() {
        let pair = Pair::new(&[1.0, 2.0, 4.5], &[2.0, 4.0, 9.0]);
        assert!((pair.correlation() - 1.0).abs() < 1e-12);
        assert!((pair.difference() - 0.5).abs() < 1e-12);
        assert!(Pair::new(&[1.0, -1.0], &[-2.0, 2.0]).correlation() < -0.999);
    }
}
