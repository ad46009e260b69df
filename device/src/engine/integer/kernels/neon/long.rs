//! Without `SDOT`: `SMULL` and `SMLAL2` multiply int8 to int16, two products together, and `SADALP` adds pairs of them to
//! int32: sixteen products in three instructions.
//!
//! Where the weights are small enough, which is found out when they are packed, four products are added before that: thirty-two in
//! five. Two fit int16 unless all four factors are -128. So layers with such a weight take each product alone, by `SADALP`
//! behind each multiplication. Weights are packed as `[group of 4 outputs][16 of depth][output][16 of depth]`; each sum is
//! four partial ones in a register until the end.

use std::arch::aarch64::{int32x4_t, vaddq_s32, vpaddq_s32};

use super::super::{Kernels, Packed, Rows, Sink, Window};
use super::depthwise;
use super::store::{LANES, Target};
use crate::engine::integer::steps::Rescale;
use steps::{steps_alone, steps_four, steps_together};
use sums::{sum_alone, sum_together};

/// Adds the products of one row with the weights of outputs, two products together: sums, weights and memory by number.
/// `$add` adds to sums (`sadalp`) or begins them (`saddlp`).
macro_rules! together {
    ($add:literal, $row:literal, $($sum:literal $weights:literal $memory:literal),*) => {
        concat!(
            $("smull v", $memory, ".8h, v", $row, ".8b, v", $weights, ".8b\n",)*
            $("smlal2 v", $memory, ".8h, v", $row, ".16b, v", $weights, ".16b\n",)*
            $($add, " v", $sum, ".4s, v", $memory, ".8h\n",)*
        )
    };
}

/// Does the same with each product alone.
macro_rules! alone {
    ($add:literal, $row:literal, $($sum:literal $weights:literal $memory:literal),*) => {
        concat!(
            $("smull v", $memory, ".8h, v", $row, ".8b, v", $weights, ".8b\n",)*
            $($add, " v", $sum, ".4s, v", $memory, ".8h\n",)*
            $("smull2 v", $memory, ".8h, v", $row, ".16b, v", $weights, ".16b\n",)*
            $("sadalp v", $sum, ".4s, v", $memory, ".8h\n",)*
        )
    };
}

mod steps;
mod sums;

/// What every 64-bit ARM processor has.
#[derive(Debug)]
pub(super) struct Long;

/// Rows that are multiplied at once.
const ROWS: usize = 4;
/// Depth that one load covers.
const LOAD: usize = 16;

impl Kernels for Long {
    fn name(&self) -> &'static str {
        "NEON"
    }

    fn block(&self, depth: usize) -> usize {
        // Rows that stay in the first cache, 16 KiB, while weights pass by.
        (16_384 / depth.max(1) / 12).clamp(5, 40) * 12
    }

    fn pack(&self, weights: &[i8], outputs: usize) -> Packed {
        let depth = weights.len() / outputs.max(1);
        let mut packed = Packed::new(&[], [outputs, depth]);
        packed.has_least = weights.contains(&i8::MIN);
        for first in (0..outputs).step_by(LANES) {
            let start = packed.bytes.len();
            for k in (0..depth.next_multiple_of(LOAD)).step_by(LOAD) {
                for output in first..first + LANES {
                    for k in k..k + LOAD {
                        let inside = output < outputs && k < depth;
                        packed.bytes.push(if inside { weights[output * depth + k] } else { 0 });
                    }
                }
            }
            packed.small.push(fit_four(&packed.bytes[start..]));
        }
        packed
    }

    fn pack_depthwise(&self, weights: &[i8], channels: usize) -> Packed {
        depthwise::pack(weights, channels)
    }

    fn multiply_unchecked(
        &self,
        rows: Rows<'_>,
        packed: &Packed,
        mut sink: Sink<'_>,
        _scratch: &mut Vec<i16>,
    ) {
        let loads = packed.depth.div_ceil(LOAD);
        let groups = packed.bytes.chunks_exact(loads * LANES * LOAD);
        for ((weights, &four), first) in groups.zip(&packed.small).zip((0..).step_by(LANES)) {
            let weights = weights.as_ptr();
            // SAFETY: the caller has checked rows and sink, and the weights are those of `pack`.
            unsafe {
                let mut target = Target::new(&mut sink, packed.outputs, first);
                target.narrow(LANES);
                let alone = packed.has_least;
                let steps = target.steps(LANES);
                // Each loop is compiled for itself: a call for four rows would cost as much as some of them.
                if let Some((rounding, to, stride)) = steps {
                    let make = (weights, rounding);
                    if alone {
                        each(rows, to, stride, |from, to| steps_alone(from, loads, make, &to));
                    } else if four {
                        each(rows, to, stride, |from, to| steps_four(from, loads, make, &to));
                    } else {
                        each(rows, to, stride, |from, to| steps_together(from, loads, make, &to));
                    }
                } else if alone {
                    run(rows, &mut target, |rows| sum_alone(rows, loads, weights));
                } else {
                    run(rows, &mut target, |rows| sum_together(rows, loads, weights));
                }
            }
        }
    }

    fn depthwise_unchecked(
        &self,
        window: Window<'_>,
        packed: &Packed,
        rescale: &Rescale,
        output: &mut [i8],
    ) {
        // SAFETY: the caller has checked the slices.
        unsafe { depthwise::run(window, packed, rescale, output) }
    }
}

/// The most that the amounts of four weights may come to: with steps of at most 128 their products then fit int16.
const MOST_OF_FOUR: u32 = 255;

/// Tells whether products of a group's packed weights may be added four at a time, as `steps_four` does: two times sixteen of
/// depth together, behind the odd one.
fn fit_four(group: &[i8]) -> bool {
    let block = LANES * LOAD;
    let pairs = group[group.len() / block % 2 * block..].chunks_exact(2 * block);
    let fits = |pair: &[i8], place: usize| {
        let amounts =
            [0, LOAD / 2, block, block + LOAD / 2].map(|at| pair[place + at].unsigned_abs());
        amounts.into_iter().map(u32::from).sum::<u32>() <= MOST_OF_FOUR
    };
    let places = || (0..block).filter(|place| place % LOAD < LOAD / 2);
    pairs.into_iter().all(|pair| places().all(|place| fits(pair, place)))
}

/// Gives four rows from one on. In place of rows that are not there it is the last one again.
#[inline]
fn sources(rows: Rows<'_>, row: usize) -> [*const i8; ROWS] {
    let last = rows.count - 1 - row;
    let first = rows.data[row * rows.stride..].as_ptr();
    [0, 1, 2, 3].map(|r: usize| first.wrapping_add(r.min(last) * rows.stride))
}

/// Where the steps of four rows go.
type Places = [*mut i8; ROWS];

/// Hands on four rows after the other, with where their steps go. What is computed of the last row again goes there again.
#[inline(always)]
fn each(rows: Rows<'_>, to: *mut i8, stride: usize, take: impl Fn([*const i8; ROWS], Places)) {
    let (mut from, mut to) = (rows.data.as_ptr(), to);
    let mut left = rows.count;
    while left >= ROWS {
        take(
            [0, 1, 2, 3].map(|r| from.wrapping_add(r * rows.stride)),
            [0, 1, 2, 3].map(|r| to.wrapping_add(r * stride)),
        );
        (from, to) = (from.wrapping_add(ROWS * rows.stride), to.wrapping_add(ROWS * stride));
        left -= ROWS;
    }
    if left > 0 {
        let place = |r: usize| to.wrapping_add(r.min(left - 1) * stride);
        take(sources(rows, rows.count - left), [0, 1, 2, 3].map(place));
    }
}

/// Four partial sums of each row and output.
type Partial = [[int32x4_t; LANES]; ROWS];

/// Sums up all rows of a group, four at once.
///
/// # Safety
/// The target has the rows.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn run(rows: Rows<'_>, target: &mut Target<'_>, sum: impl Fn([*const i8; ROWS]) -> Partial) {
    let bias = target.biases()[0];
    for row in (0..rows.count).step_by(ROWS) {
        let left = ROWS.min(rows.count - row);
        let sums = sum(sources(rows, row))
            .map(|[a, b, c, d]| vaddq_s32(vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)), bias));
        // SAFETY: no row is beyond the count.
        unsafe {
            for (r, &sum) in sums[..left].iter().enumerate() {
                target.put(row + r, [sum]);
            }
        }
    }
}
