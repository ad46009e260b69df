//! `SDOT`: four products with one activation's four neighbours in depth, for each of four outputs.
//!
//! Weights are packed as `[group of 16 or 8 outputs][4 of depth][register of 4 outputs][output][4 of depth]`. Rows are read
//! where they lie, six at once; behind the depth, weights are 0. With 16 outputs the sums fill 24 of the 32 registers,
//! which is why the loop is written by hand: compilers were seen to keep copies of them in memory.

use std::arch::aarch64::int32x4_t;

use super::super::{Kernels, Packed, Rows, Sink, Window};
use super::depthwise;
use super::store::{LANES, Target};
use crate::engine::integer::steps::Rescale;
use steps::{steps_8, steps_16};
use sums::{sum_8, sum_16};

/// Loads the next values of each row.
macro_rules! loads {
    ($kind:literal, $bytes:literal) => {
        concat!(
            "ldr ",
            $kind,
            "0, [{row0}], #",
            $bytes,
            "\n",
            "ldr ",
            $kind,
            "1, [{row1}], #",
            $bytes,
            "\n",
            "ldr ",
            $kind,
            "2, [{row2}], #",
            $bytes,
            "\n",
            "ldr ",
            $kind,
            "3, [{row3}], #",
            $bytes,
            "\n",
            "ldr ",
            $kind,
            "4, [{row4}], #",
            $bytes,
            "\n",
            "ldr ",
            $kind,
            "5, [{row5}], #",
            $bytes,
            "\n",
        )
    };
}

/// Adds the products of one register of weights with one lane of all rows: sums and rows by number.
macro_rules! products {
    ($weights:literal, $lane:literal, $($sum:literal $row:literal),*) => {
        concat!($("sdot v", $sum, ".4s, v", $weights, ".16b, v", $row, ".4b[", $lane, "]\n"),*)
    };
}

/// Adds the products of one lane with sixteen outputs.
macro_rules! step_16 {
    ($lane:literal) => {
        concat!(
            "ldp q6, q7, [{weights}], #32\n",
            products!("6", $lane, "8" "0", "12" "1", "16" "2", "20" "3", "24" "4", "28" "5"),
            products!("7", $lane, "9" "0", "13" "1", "17" "2", "21" "3", "25" "4", "29" "5"),
            "ldp q6, q7, [{weights}], #32\n",
            products!("6", $lane, "10" "0", "14" "1", "18" "2", "22" "3", "26" "4", "30" "5"),
            products!("7", $lane, "11" "0", "15" "1", "19" "2", "23" "3", "27" "4", "31" "5"),
        )
    };
}

/// Adds the products of one lane with eight outputs.
macro_rules! step_8 {
    ($lane:literal) => {
        concat!(
            "ldp q6, q7, [{weights}], #32\n",
            products!("6", $lane, "8" "0", "10" "1", "12" "2", "14" "3", "16" "4", "18" "5"),
            products!("7", $lane, "9" "0", "11" "1", "13" "2", "15" "3", "17" "4", "19" "5"),
        )
    };
}

mod steps;
mod sums;

/// Made only where the processor has `SDOT`.
#[derive(Debug)]
pub(super) struct Dot;

/// Rows that are multiplied at once.
const ROWS: usize = 6;
/// Depth that one instruction sums up.
const STEP: usize = 4;

impl Kernels for Dot {
    fn name(&self) -> &'static str {
        "NEON SDOT"
    }

    fn block(&self, depth: usize) -> usize {
        // Rows that stay in the first cache, 16 KiB, while weights pass by.
        (16_384 / depth.max(1) / 12).clamp(5, 40) * 12
    }

    fn pack(&self, weights: &[i8], outputs: usize) -> Packed {
        let depth = weights.len() / outputs.max(1);
        let mut packed = Packed::new(&[], [outputs, depth]);
        for (first, vectors) in groups(outputs) {
            for k in (0..depth.next_multiple_of(STEP)).step_by(STEP) {
                for output in first..first + vectors * LANES {
                    for k in k..k + STEP {
                        let inside = output < outputs && k < depth;
                        packed.bytes.push(if inside { weights[output * depth + k] } else { 0 });
                    }
                }
            }
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
        let steps = rows.depth.div_ceil(STEP);
        let mut weights = packed.bytes.as_ptr();
        for (first, vectors) in groups(packed.outputs) {
            // SAFETY: the processor has `SDOT`; the caller has checked rows and sink, and the weights are those of `pack`.
            unsafe {
                let mut target = Target::new(&mut sink, packed.outputs, first);
                if let Some((rounding, to, stride)) = target.steps(16) {
                    each(rows, to, stride, |from, to| {
                        steps_16(from, steps, weights, &to, rounding)
                    });
                } else if let Some((rounding, to, stride)) = target.steps(8) {
                    each(rows, to, stride, |from, to| steps_8(from, steps, weights, &to, rounding));
                } else if vectors == 4 {
                    run(rows, &mut target, |rows, biases| sum_16(rows, steps, weights, biases));
                } else {
                    run(rows, &mut target, |rows, biases| sum_8(rows, steps, weights, biases));
                }
                weights = weights.add(steps * vectors * LANES * STEP);
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
        // SAFETY: all 64-bit ARM processors have NEON, and the caller has checked the slices.
        unsafe { depthwise::run(window, packed, rescale, output) }
    }
}

/// Splits outputs into groups of four registers or two: the first output and the registers of each.
fn groups(outputs: usize) -> impl Iterator<Item = (usize, usize)> {
    let vectors = outputs.div_ceil(2 * LANES) * 2;
    (0..vectors).step_by(4).map(move |first| (first * LANES, (vectors - first).min(4)))
}

/// Gives six rows from one on. In place of rows that are not there it is the last one again.
#[inline]
fn sources(rows: Rows<'_>, row: usize) -> [*const i8; ROWS] {
    let last = rows.count - 1 - row;
    let first = rows.data[row * rows.stride..].as_ptr();
    [0, 1, 2, 3, 4, 5].map(|r: usize| first.wrapping_add(r.min(last) * rows.stride))
}

/// Hands on six rows after the other, with where their steps go. What is computed of the last row again goes there again.
#[inline(always)]
fn each(
    rows: Rows<'_>,
    to: *mut i8,
    stride: usize,
    take: impl Fn([*const i8; ROWS], [*mut i8; ROWS]),
) {
    let (mut from, mut to) = (rows.data.as_ptr(), to);
    let mut left = rows.count;
    while left >= ROWS {
        take(
            [0, 1, 2, 3, 4, 5].map(|r| from.wrapping_add(r * rows.stride)),
            [0, 1, 2, 3, 4, 5].map(|r| to.wrapping_add(r * stride)),
        );
        (from, to) = (from.wrapping_add(ROWS * rows.stride), to.wrapping_add(ROWS * stride));
        left -= ROWS;
    }
    if left > 0 {
        let place = |r: usize| to.wrapping_add(r.min(left - 1) * stride);
        take(sources(rows, rows.count - left), [0, 1, 2, 3, 4, 5].map(place));
    }
}

/// Sums up all rows of a group, six at once.
///
/// # Safety
/// The processor has NEON, and the target has the rows.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn run<const V: usize>(
    rows: Rows<'_>,
    target: &mut Target<'_>,
    sum: impl Fn([*const i8; ROWS], [int32x4_t; 4]) -> [[int32x4_t; V]; ROWS],
) {
    let biases = target.biases();
    for row in (0..rows.count).step_by(ROWS) {
        let left = rows.count - row;
        let sums = sum(sources(rows, row), biases);
        // SAFETY: no row is beyond the count.
        unsafe {
            if left >= ROWS {
                target.put(row, sums[0]);
                target.put(row + 1, sums[1]);
                target.put(row + 2, sums[2]);
                target.put(row + 3, sums[3]);
                target.put(row + 4, sums[4]);
                target.put(row + 5, sums[5]);
            } else {
                for (r, &sums) in sums[..left].iter().enumerate() {
                    target.put(row + r, sums);
                }
            }
        }
    }
}
