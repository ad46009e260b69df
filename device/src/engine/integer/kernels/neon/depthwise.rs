//! Depthwise convolutions: 16 channels at once.
//!
//! Values are multiplied to int16, two products together where no weight is -128 (two such products may not fit), and
//! added to int32. Weights are packed as `[block of 16 channels][tap][channel]`; the last block ends with the last channel
//! and may share channels with the one before.

use std::arch::aarch64::{
    int8x16_t, int16x8_t, int32x4_t, vaddw_high_s16, vaddw_s16, vget_low_s8, vget_low_s16,
    vld1q_s8, vmlal_high_s8, vmlal_s8, vmull_high_s8, vmull_s8, vst1q_s8,
};

use super::super::reference::Reference;
use super::super::{Kernels, Packed, Window};
use super::store::{Channels, Limits};
use crate::engine::integer::steps::Rescale;

/// Channels of a block.
const BLOCK: usize = 16;
/// Windows with more values than this are left to the plain loops.
const MOST_TAPS: usize = 64;

/// Packs weights, [channel][tap].
pub(super) fn pack(weights: &[i8], channels: usize) -> Packed {
    let taps = weights.len() / channels.max(1);
    if channels < BLOCK || taps > MOST_TAPS {
        return Reference.pack_depthwise(weights, channels);
    }
    let mut packed = Packed::new(&[], [channels, taps]);
    packed.has_least = weights.contains(&i8::MIN);
    for first in blocks(channels) {
        for tap in 0..taps {
            packed
                .bytes
                .extend((first..first + BLOCK).map(|channel| weights[channel * taps + tap]));
        }
    }
    packed
}

/// Lists the first channel of each block.
fn blocks(channels: usize) -> impl Iterator<Item = usize> {
    (0..channels.div_ceil(BLOCK)).map(move |block| (block * BLOCK).min(channels - BLOCK))
}

/// Runs a window over all places.
///
/// # Safety
/// The slices hold what `Window::check` asks for.
#[target_feature(enable = "neon")]
pub(super) unsafe fn run(
    window: Window<'_>,
    packed: &Packed,
    rescale: &Rescale,
    output: &mut [i8],
) {
    if window.channels < BLOCK || window.taps() > MOST_TAPS {
        Reference.depthwise_unchecked(window, packed, rescale, output);
        return;
    }
    let mut offsets = [0; MOST_TAPS];
    for (tap, offset) in offsets[..window.taps()].iter_mut().enumerate() {
        *offset = window.offset(tap);
    }
    let job = Job { window, packed, rescale, offsets: &offsets };
    // SAFETY: as the function's.
    unsafe {
        match (packed.has_least, window.kernel) {
            (true, _) => job.run(output, sum_any::<true>),
            (false, [3, 3]) => job.run(output, sum_3x3),
            (false, [5, 5]) => job.run(output, sum_5x5),
            (false, _) => job.run(output, sum_any::<false>),
        }
    }
}

struct Job<'a> {
    window: Window<'a>,
    packed: &'a Packed,
    rescale: &'a Rescale,
    offsets: &'a [usize; MOST_TAPS],
}

/// The window of one place and one block.
#[derive(Clone, Copy)]
struct View<'a> {
    from: *const i8,
    weights: *const i8,
    offsets: &'a [usize],
    /// From one row of the window to the next, and from one column to the next.
    strides: [usize; 2],
}

impl Job<'_> {
    /// Runs a window over all places; `sum` adds the products of one to four registers of sums.
    ///
    /// # Safety
    /// As [`run`].
    #[inline(always)]
    unsafe fn run(
        &self,
        output: &mut [i8],
        sum: impl Fn(View<'_>, [int32x4_t; 4]) -> [int32x4_t; 4],
    ) {
        let window = &self.window;
        let [rows, columns] = window.places;
        let channels = window.channels;
        let strides = [window.dilation[0] * window.row_stride, window.dilation[1] * channels];
        for row in 0..rows {
            for (block, first) in blocks(channels).enumerate() {
                let (mut bias, mut scale) = ([0; BLOCK], [0.0; BLOCK]);
                bias.copy_from_slice(&self.rescale.bias[first..first + BLOCK]);
                scale.copy_from_slice(&self.rescale.scale[first..first + BLOCK]);
                // SAFETY: `check` has found all places within the data, with slack for a block's loads.
                unsafe {
                    let limits = Limits::new(self.rescale.steps);
                    let values = Channels::load(&bias, &scale);
                    let weights = self.packed.bytes.as_ptr().add(block * window.taps() * BLOCK);
                    let start = row * window.stride[0] * window.row_stride + first;
                    let mut from = window.data.as_ptr().add(start);
                    let mut to = output.as_mut_ptr().add(row * columns * channels + first);
                    for _ in 0..columns {
                        let offsets = &self.offsets[..window.taps()];
                        let view = View { from, weights, offsets, strides };
                        let sums = sum(view, values.biases());
                        vst1q_s8(to, limits.round(sums, &values));
                        from = from.wrapping_add(window.stride[1] * channels);
                        to = to.wrapping_add(channels);
                    }
                }
            }
        }
    }
}

/// Adds the products of a window of any shape; `ALONE` where two products may not fit int16.
#[inline(always)]
fn sum_any<const ALONE: bool>(view: View<'_>, mut sums: [int32x4_t; 4]) -> [int32x4_t; 4] {
    let mut tap = 0;
    while tap < view.offsets.len() {
        // SAFETY: the view holds a block at each offset, and the weights of each.
        unsafe {
            let load = |tap: usize| {
                let weights = vld1q_s8(view.weights.add(tap * BLOCK));
                (vld1q_s8(view.from.add(view.offsets[tap])), weights)
            };
            let mut products = multiply(load(tap));
            tap += 1;
            if !ALONE && tap < view.offsets.len() {
                products = multiply_more(products, load(tap));
                tap += 1;
            }
            sums = widen(sums, products);
        }
    }
    sums
}

/// Adds the products of nine values without a weight of -128.
#[inline(always)]
fn sum_3x3(view: View<'_>, sums: [int32x4_t; 4]) -> [int32x4_t; 4] {
    let sums = add_two::<3, 0>(view, add_two::<3, 2>(view, sums));
    add_two::<3, 4>(view, add_two::<3, 6>(view, add_two::<3, 8>(view, sums)))
}

/// Adds the products of 25 values without a weight of -128.
#[inline(always)]
fn sum_5x5(view: View<'_>, sums: [int32x4_t; 4]) -> [int32x4_t; 4] {
    let sums = add_two::<5, 0>(view, add_two::<5, 2>(view, add_two::<5, 4>(view, sums)));
    let sums = add_two::<5, 6>(view, add_two::<5, 8>(view, add_two::<5, 10>(view, sums)));
    let sums = add_two::<5, 12>(view, add_two::<5, 14>(view, add_two::<5, 16>(view, sums)));
    let sums = add_two::<5, 18>(view, add_two::<5, 20>(view, add_two::<5, 22>(view, sums)));
    add_two::<5, 24>(view, sums)
}

/// Adds the products of two neighbours in a window of `SIDE` rows and columns, or of the last one alone.
#[inline(always)]
fn add_two<const SIDE: usize, const TAP: usize>(
    view: View<'_>,
    sums: [int32x4_t; 4],
) -> [int32x4_t; 4] {
    let [row_stride, stride] = view.strides;
    // SAFETY: the view holds a block at each place of the window, and the weights of each.
    unsafe {
        let load = |tap: usize| {
            let from = view.from.add(tap / SIDE * row_stride).add(tap % SIDE * stride);
            (vld1q_s8(from), vld1q_s8(view.weights.add(tap * BLOCK)))
        };
        let mut products = multiply(load(TAP));
        if TAP + 1 < SIDE * SIDE {
            products = multiply_more(products, load(TAP + 1));
        }
        widen(sums, products)
    }
}

/// Multiplies values with weights.
#[inline]
#[target_feature(enable = "neon")]
fn multiply((values, weights): (int8x16_t, int8x16_t)) -> [int16x8_t; 2] {
    [vmull_s8(vget_low_s8(values), vget_low_s8(weights)), vmull_high_s8(values, weights)]
}

/// Adds the products of values with weights.
#[inline]
#[target_feature(enable = "neon")]
fn multiply_more(
    [low, high]: [int16x8_t; 2],
    (values, weights): (int8x16_t, int8x16_t),
) -> [int16x8_t; 2] {
    [vmlal_s8(low, vget_low_s8(values), vget_low_s8(weights)), vmlal_high_s8(high, values, weights)]
}

/// Adds products to sums.
#[inline]
#[target_feature(enable = "neon")]
fn widen(sums: [int32x4_t; 4], [low, high]: [int16x8_t; 2]) -> [int32x4_t; 4] {
    [
        vaddw_s16(sums[0], vget_low_s16(low)),
        vaddw_high_s16(sums[1], low),
        vaddw_s16(sums[2], vget_low_s16(high)),
        vaddw_high_s16(sums[3], high),
    ]
}
