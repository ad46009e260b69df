//! The arithmetic of 8-bit steps, which every kernel computes to the bit.
//!
//! A tensor `x` is held as int8 steps `q` with `x = (q - zero) * scale` (ONNX operator `DequantizeLinear`). Files of uint8
//! are held as int8, too: with 128 taken from the steps and from the zero point nothing else changes.
//!
//! Sums of products are exact: int32 that wraps around, as in ONNX's integer operators. What follows is one multiplication
//! in float32, rounded to the nearest step (of two as near, to the even one), and cut to a range of steps:
//!
//! ```text
//! q = clamp(round(f32(sum) * scale) + zero, low, high)
//! ```

/// Where the steps of a tensor lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Steps {
    /// The step that stands for 0.
    pub(in crate::engine) zero: i8,
    /// The least step that is made.
    pub(in crate::engine) low: i8,
    /// The greatest step that is made.
    pub(in crate::engine) high: i8,
}

/// 1.5 * 2^23: a float32 near it has no fraction, so adding it to a number below 2^22 rounds, half to even.
const ROUNDER: f32 = 12_582_912.0;

impl Steps {
    /// Gives the step that is nearest to a number of steps from 0; values beyond int16 count as its ends.
    #[inline(always)]
    #[expect(clippy::manual_clamp, reason = "what is not a number is to become the least")]
    pub(in crate::engine) fn round(self, steps: f32) -> i8 {
        // In this order, what is not a number counts as the least.
        let rounded = steps.max(-32_768.0).min(32_767.0) + ROUNDER;
        #[expect(clippy::cast_possible_wrap, reason = "the difference of two bit patterns")]
        let whole = rounded.to_bits().wrapping_sub(ROUNDER.to_bits()) as i32;
        let step = (whole + i32::from(self.zero)).clamp(self.low.into(), self.high.into());
        #[expect(clippy::cast_possible_truncation, reason = "between two int8")]
        {
            step as i8
        }
    }
}

/// How the sums of an operator become steps: a bias and a scale for each channel.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Rescale {
    /// Added to each sum; zero points of the input are in it.
    pub(in crate::engine) bias: Vec<i32>,
    /// Steps of the output for one of the sum; finite and above 0.
    pub(in crate::engine) scale: Vec<f32>,
    /// The output's steps.
    pub(in crate::engine) steps: Steps,
}

impl Rescale {
    /// Gives the step for a channel's sum of products.
    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "the definition's own rounding")]
    pub(in crate::engine) fn apply(&self, channel: usize, sum: i32) -> i8 {
        self.steps.round(sum.wrapping_add(self.bias[channel]) as f32 * self.scale[channel])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Steps = Steps { zero: 0, low: i8::MIN, high: i8::MAX };

    #[test]
    fn rounds_half_to_even() {
        for (steps, expected) in [
            (0.5, 0),
            (1.5, 2),
            (2.5, 2),
            (-0.5, 0),
            (-1.5, -2),
            (-2.5, -2),
            (0.500_001, 1),
            (126.5, 126),
            (-127.6, -128),
        ] {
            assert_eq!(ALL.round(steps), expected, "{steps}");
        }
    }

    #[test]
    fn agrees_with_the_standard_librarys_rounding() {
        for index in -400_000..400_000 {
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let steps = index as f32 * 0.001_25;
            let expected = steps.round_ties_even().clamp(-128.0, 127.0);
            assert!((f32::from(ALL.round(steps)) - expected).abs() < 0.1, "{steps}");
        }
    }

    #[test]
    fn cuts_what_lies_outside() {
        let steps = Steps { zero: -128, low: -128, high: 50 };
        for (value, expected) in [
            (-7.0, -128),
            (1e30, 50),
            (f32::INFINITY, 50),
            (f32::NEG_INFINITY, -128),
            (178.0, 50),
            (100.4, -28),
        ] {
            assert_eq!(steps.round(value), expected, "{value}");
        }
    }
}
