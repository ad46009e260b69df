//! The 256 steps of 8 bits: `x` is stored as `q = clamp(round half to even(x / scale) + zero_point, least, most)` and
//! stands for `(q - zero_point) scale` (ONNX operators `QuantizeLinear` and `DequantizeLinear`).

use tch::{TchError, Tensor};

use super::range::Range;

/// The steps of a grid, by how it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steps {
    /// uint8, with the place of 0. ONNX Runtime has integer kernels for it on all processors; on x86-64 it leaves a part of
    /// a network with int8 tensors in floating point.
    Uint8 {
        /// Which step 0 is.
        zero_point: u8,
    },
    /// int8, with 0 in the middle, as TensorRT wants it.
    Int8,
}

impl Steps {
    /// Gives the least and the largest step, counted from 0's.
    fn ends(self) -> (f64, f64) {
        match self {
            Self::Uint8 { zero_point } => {
                (-f64::from(zero_point), f64::from(u8::MAX) - f64::from(zero_point))
            }
            Self::Int8 => (f64::from(i8::MIN), f64::from(i8::MAX)),
        }
    }
}

/// The grid of a tensor. 0 lies on it, so that padding is exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grid {
    /// The width of a step; above 0.
    pub(super) scale: f32,
    /// How steps are counted.
    pub(super) steps: Steps,
}

impl Grid {
    /// Lays the grid over a range: all of the 256 steps, or as many on both sides of 0, the 255 from -127 to 127.
    pub(super) fn over(range: Range, symmetric: bool) -> Self {
        let (low, high) = (range.low.min(0.0), range.high.max(0.0));
        let width = if symmetric {
            low.abs().max(high) / f64::from(i8::MAX)
        } else {
            (high - low) / f64::from(u8::MAX)
        };
        #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is asked for")]
        let scale = match width as f32 {
            scale if scale.is_normal() => scale,
            // A tensor of zeros.
            _ => 1.0,
        };
        if symmetric {
            return Self { scale, steps: Steps::Int8 };
        }
        let below = (-low / f64::from(scale)).round_ties_even().min(f64::from(u8::MAX));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number in 0..=255"
        )]
        let zero_point = below as u8;
        Self { scale, steps: Steps::Uint8 { zero_point } }
    }

    /// Gives what is left of values on the grid.
    ///
    /// # Errors
    /// Returns [`TchError`] when libtorch refuses.
    pub(super) fn round_trip(self, values: &Tensor) -> Result<Tensor, TchError> {
        let (least, most) = self.steps.ends();
        let mut steps = values.f_div_scalar(f64::from(self.scale))?;
        let _ = steps.f_round_()?.f_clamp_(least, most)?;
        steps.f_mul_scalar_(f64::from(self.scale))
    }

    /// Gives what is left of one value.
    pub(super) fn round_trip_one(self, value: f64) -> f64 {
        let (scale, (least, most)) = (f64::from(self.scale), self.steps.ends());
        (value / scale).round_ties_even().clamp(least, most) * scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(low: f64, high: f64) -> Range {
        Range { low, high }
    }

    #[test]
    fn covers_the_range_with_zero_on_a_step() {
        for (low, high, zero) in [
            (0.0, 6.0, 0),
            (-1.01, 1.0, 128),
            (-127.0 / 128.0, 1.0, 127),
            (2.0, 5.1, 0),
            (-3.0, -1.0, 255),
        ] {
            let grid = Grid::over(range(low, high), false);
            assert_eq!(grid.steps, Steps::Uint8 { zero_point: zero }, "{low}..{high}");
            for end in [low, high, 0.0] {
                let error = (grid.round_trip_one(end) - end).abs();
                assert!(
                    error <= 0.501 * f64::from(grid.scale),
                    "{low}..{high}: {end} is off by {error}"
                );
            }
            assert!(grid.round_trip_one(0.0).abs() < 1e-12);
        }
    }

    #[test]
    fn pixels_are_exact() {
        let normalized = |pixel: u8| (f64::from(pixel) / 255.0 - 127.0 / 255.0) / (128.0 / 255.0);
        let grid = Grid::over(range(normalized(0), normalized(255)), false);
        for pixel in 0..=255 {
            let error = (grid.round_trip_one(normalized(pixel)) - normalized(pixel)).abs();
            assert!(error < 1e-6, "{pixel}: {error}");
        }
    }

    #[test]
    fn symmetric_grids_have_zero_in_the_middle() {
        let grid = Grid::over(range(-0.5, 2.0), true);
        assert_eq!(grid.steps, Steps::Int8);
        assert!((grid.round_trip_one(9.0) - 2.0).abs() < 1e-6, "{}", grid.round_trip_one(9.0));
        assert!((f64::from(grid.scale) - 2.0 / 127.0).abs() < 1e-9);
    }

    #[test]
    fn a_tensor_of_zeros_has_a_grid() {
        let steps = Steps::Uint8 { zero_point: 0 };
        assert_eq!(Grid::over(range(0.0, 0.0), false), Grid { scale: 1.0, steps });
    }

    #[test]
    fn tensors_are_rounded_as_numbers_are() {
        let grid = Grid::over(range(-1.3, 2.9), false);
        let values: Vec<f32> = (-40..80).map(|step| 0.05 * step as f32).collect();
        let rounded =
            Vec::<f32>::try_from(&grid.round_trip(&Tensor::from_slice(&values)).unwrap()).unwrap();
        for (value, rounded) in values.iter().zip(rounded) {
            assert!(
                (f64::from(rounded) - grid.round_trip_one(f64::from(*value))).abs() < 1e-6,
                "{value}"
            );
        }
    }
}
