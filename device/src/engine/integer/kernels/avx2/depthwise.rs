//! Depthwise convolutions: 16 channels at once, two values of the window together.
//!
//! Two values of each channel are interleaved and multiplied by `vpmaddwd` with two weights. Weights are packed as
//! `[block of 16 channels][pair of values][channels 0-3, 8-11, then 4-7, 12-15][2]`, the order in which AVX2 interleaves.
//! The last block ends with the last channel and may share channels with the one before.

use std::arch::x86_64::{
    __m256, __m256i, _mm_loadu_ps, _mm_loadu_si128, _mm_storeu_si128, _mm256_add_epi32,
    _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_packs_epi32, _mm256_set_m128, _mm256_set_m128i, _mm256_setzero_si256,
    _mm256_unpackhi_epi16, _mm256_unpacklo_epi16,
};

use super::super::reference::Reference;
use super::super::{Kernels, Packed, Window};
use super::store::{Limits, round};
use crate::engine::integer::steps::Rescale;

/// Channels of a block.
const BLOCK: usize = 16;
/// Windows with more values than this are left to the plain loops.
const MOST_TAPS: usize = 64;

/// Packs weights, [channel][tap].
pub(super) fn pack(weights: &[i8], channels: usize) -> Packed {
    let taps = weights.len() / channels.max(1);
    let mut packed = Packed::new(weights, [channels, taps]);
    if channels < BLOCK || taps > MOST_TAPS {
        return packed;
    }
    for first in blocks(channels) {
        for pair in 0..taps.div_ceil(2) {
            for channel in [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15] {
                for tap in [2 * pair, 2 * pair + 1] {
                    let row = &weights[(first + channel) * taps..][..taps];
                    packed.words.push(row.get(tap).copied().unwrap_or(0).into());
                }
            }
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
/// The processor has AVX2; the slices hold what `Window::check` asks for.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn run(
    window: Window<'_>,
    packed: &Packed,
    rescale: &Rescale,
    output: &mut [i8],
) {
    if packed.words.is_empty() {
        Reference.depthwise_unchecked(window, packed, rescale, output);
        return;
    }
    let mut offsets = [0; MOST_TAPS];
    for (tap, offset) in offsets[..window.taps()].iter_mut().enumerate() {
        *offset = window.offset(tap);
    }
    // SAFETY: as the function's.
    unsafe {
        match window.taps() {
            9 => run_taps::<9>(window, packed, rescale, (&offsets, output)),
            25 => run_taps::<25>(window, packed, rescale, (&offsets, output)),
            _ => run_taps::<0>(window, packed, rescale, (&offsets, output)),
        }
    }
}

/// Runs a window of `TAPS` values, or with 0 of any number.
///
/// # Safety
/// As [`run`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn run_taps<const TAPS: usize>(
    window: Window<'_>,
    packed: &Packed,
    rescale: &Rescale,
    (offsets, output): (&[usize; MOST_TAPS], &mut [i8]),
) {
    let taps = if TAPS == 0 { window.taps() } else { TAPS };
    let [rows, columns] = window.places;
    let channels = window.channels;
    let limits = Limits::new(rescale.steps);
    let words = taps.div_ceil(2) * 2 * BLOCK;
    for row in 0..rows {
        for (block, first) in blocks(channels).enumerate() {
            // SAFETY: `check` has found all places within the data, with slack for a block's loads.
            unsafe {
                let weights = packed.words.as_ptr().add(block * words);
                let (bias, scale) = channel_values(rescale, first);
                let mut from =
                    window.data.as_ptr().add(row * window.stride[0] * window.row_stride + first);
                let mut to = output.as_mut_ptr().add(row * columns * channels + first);
                for _ in 0..columns {
                    let [low, high] = sum::<TAPS>(from, &offsets[..taps], weights);
                    let low = round(low, bias[0], scale[0]);
                    let half = _mm256_packs_epi32(low, round(high, bias[1], scale[1]));
                    let (low, high) =
                        (_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
                    _mm_storeu_si128(to.cast(), limits.narrow(low, high));
                    from = from.wrapping_add(window.stride[1] * channels);
                    to = to.wrapping_add(channels);
                }
            }
        }
    }
}

/// Sums up the products of one place, in the order in which weights are packed.
///
/// # Safety
/// The processor has AVX2; the pointers hold a block at each offset, and the block's weights.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sum<const TAPS: usize>(
    from: *const i8,
    offsets: &[usize],
    mut weights: *const i16,
) -> [__m256i; 2] {
    let taps = if TAPS == 0 { offsets.len() } else { TAPS };
    let mut sums = [_mm256_setzero_si256(); 2];
    let mut tap = 0;
    while tap < taps {
        // SAFETY: as the function's.
        unsafe {
            let one = load(from.add(offsets[tap]));
            let pair = tap + 1 < taps;
            let other =
                if pair { load(from.add(offsets[tap + 1])) } else { _mm256_setzero_si256() };
            let first = _mm256_loadu_si256(weights.cast());
            let second = _mm256_loadu_si256(weights.add(BLOCK).cast());
            let low = _mm256_madd_epi16(_mm256_unpacklo_epi16(one, other), first);
            let high = _mm256_madd_epi16(_mm256_unpackhi_epi16(one, other), second);
            sums = [_mm256_add_epi32(sums[0], low), _mm256_add_epi32(sums[1], high)];
            weights = weights.add(2 * BLOCK);
        }
        tap += 2;
    }
    sums
}

/// # Safety
/// The processor has AVX2, and 16 bytes are there.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(from: *const i8) -> __m256i {
    // SAFETY: as the function's.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(from.cast()) })
}

/// Loads bias and scale of a block in the order of its sums.
#[inline]
#[target_feature(enable = "avx2")]
fn channel_values(rescale: &Rescale, first: usize) -> ([__m256i; 2], [__m256; 2]) {
    let (bias, scale) = (&rescale.bias[first..][..BLOCK], &rescale.scale[first..][..BLOCK]);
    // SAFETY: four values are there at each of 0, 4, 8 and 12.
    unsafe {
        let whole = |at: usize| _mm_loadu_si128(bias[at..at + 4].as_ptr().cast());
        let real = |at: usize| _mm_loadu_ps(scale[at..at + 4].as_ptr());
        (
            [_mm256_set_m128i(whole(8), whole(0)), _mm256_set_m128i(whole(12), whole(4))],
            [_mm256_set_m128(real(8), real(0)), _mm256_set_m128(real(12), real(4))],
        )
    }
}
