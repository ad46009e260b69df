//! Loops over values one by one, in a form that compilers make vectors of.
//!
//! They are the definition and the implementation in one: a family that runs them with other instructions compiles the same
//! lines anew.

use super::{Addition, Multiplication};
use crate::engine::integer::steps::Steps;

/// Adds two tensors of one shape.
#[inline(always)]
pub(super) fn add(addition: &Addition, inputs: [&[i8]; 2], output: &mut [i8]) {
    let Addition { zeros, scales, scale, steps } = *addition;
    let value = |q: i8, zero: i8| f32::from(i16::from(q) - i16::from(zero));
    let [one, other] = inputs;
    for ((q, &x), &y) in output.iter_mut().zip(one).zip(other) {
        let sum = value(x, zeros[0]) * scales[0] + value(y, zeros[1]) * scales[1];
        *q = steps.round(sum / scale);
    }
}

/// Multiplies two tensors of one shape.
#[inline(always)]
pub(super) fn product(product: &Multiplication, inputs: [&[i8]; 2], output: &mut [i8]) {
    let Multiplication { zeros, scale, steps } = *product;
    let [one, other] = inputs;
    for ((q, &x), &y) in output.iter_mut().zip(one).zip(other) {
        let sum = (i32::from(x) - i32::from(zeros[0])) * (i32::from(y) - i32::from(zeros[1]));
        #[expect(clippy::cast_precision_loss, reason = "at most 2^16")]
        {
            *q = steps.round(sum as f32 * scale);
        }
    }
}

/// Adds rows of steps to sums of as many channels.
#[inline(always)]
pub(super) fn accumulate(rows: &[i8], sums: &mut [i32]) {
    for row in rows.chunks_exact(sums.len()) {
        for (sum, &step) in sums.iter_mut().zip(row) {
            *sum = sum.wrapping_add(step.into());
        }
    }
}

/// Takes the greater of each two values.
#[inline(always)]
pub(super) fn maximum(input: &[i8], output: &mut [i8]) {
    for (greatest, &step) in output.iter_mut().zip(input) {
        *greatest = (*greatest).max(step);
    }
}

/// Makes steps of values.
#[inline(always)]
pub(super) fn quantize(input: &[f32], scale: f32, steps: Steps, output: &mut [i8]) {
    for (step, &value) in output.iter_mut().zip(input) {
        *step = steps.round(value / scale);
    }
}
