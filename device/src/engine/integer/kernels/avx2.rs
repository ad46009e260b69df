//! x86-64 with AVX2.
//!
//! Products are made by `vpmaddwd`, which multiplies int16 and adds neighbours in int32, so that no sum saturates (as the
//! 8-bit form `vpmaddubsw` would let it). So rows are widened to int16 first, once for all outputs; weights are packed as
//! int16, pairs of depth together: `[group of vectors][pair of depth][vector][8 outputs][2]`.

mod depthwise;
mod store;

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
};

use super::{Addition, Kernels, Multiplication, Packed, Rows, Sink, Window, portable};
use crate::engine::integer::steps::{Rescale, Steps};
use store::Target;

/// The family, where the processor has it.
pub(super) fn family() -> Option<&'static dyn Kernels> {
    let there = is_x86_feature_detected!("avx2");
    there.then_some(&Avx2 as &dyn Kernels)
}

/// Outputs in a vector of sums.
const LANES: usize = 8;
/// The most vectors of outputs that are summed up at once.
const MOST_VECTORS: usize = 3;

/// Made only where the processor has AVX2.
#[derive(Debug)]
struct Avx2;

impl Kernels for Avx2 {
    fn name(&self) -> &'static str {
        "AVX2"
    }

    fn block(&self, depth: usize) -> usize {
        // Widened rows stay in the second cache, with room for weights: 96 KiB.
        (49_152 / depth.max(1) / 12).clamp(2, 32) * 12
    }

    fn pack(&self, weights: &[i8], outputs: usize) -> Packed {
        let depth = weights.len() / outputs.max(1);
        let mut packed = Packed::new(&[], [outputs, depth]);
        for (first, vectors) in groups(outputs) {
            for pair in 0..depth.div_ceil(2) {
                for lane in first..first + vectors * LANES {
                    for k in [2 * pair, 2 * pair + 1] {
                        let inside = lane < outputs && k < depth;
                        let weight = if inside { weights[lane * depth + k] } else { 0 };
                        packed.words.push(weight.into());
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
        scratch: &mut Vec<i16>,
    ) {
        let stride = rows.depth.next_multiple_of(16);
        scratch.resize(scratch.len().max(rows.count * stride), 0);
        // SAFETY: the processor has AVX2; `rows` hold `SLACK` more than their depth; `scratch` holds rows of `stride`; the
        // weights are those of `pack`.
        unsafe {
            widen(rows, stride, scratch);
            let mut weights = packed.words.as_ptr();
            for (first, vectors) in groups(packed.outputs) {
                let mut target = Target::new(&mut sink, packed.outputs, first, vectors);
                let job = Job {
                    rows: scratch.as_ptr(),
                    stride,
                    count: rows.count,
                    pairs: rows.depth.div_ceil(2),
                    weights,
                };
                match vectors {
                    MOST_VECTORS => run::<3, MOST_VECTORS>(&job, &mut target),
                    2 => run::<6, 2>(&job, &mut target),
                    _ => run::<8, 1>(&job, &mut target),
                }
                weights = weights.add(job.pairs * vectors * LANES * 2);
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
        // SAFETY: the processor has AVX2, and the caller has checked the slices.
        unsafe { depthwise::run(window, packed, rescale, output) }
    }

    fn add(&self, addition: &Addition, inputs: [&[i8]; 2], output: &mut [i8]) {
        #[target_feature(enable = "avx2")]
        fn vectors(addition: &Addition, inputs: [&[i8]; 2], output: &mut [i8]) {
            portable::add(addition, inputs, output);
        }
        // SAFETY: the processor has AVX2.
        unsafe { vectors(addition, inputs, output) }
    }

    fn product(&self, product: &Multiplication, inputs: [&[i8]; 2], output: &mut [i8]) {
        #[target_feature(enable = "avx2")]
        fn vectors(product: &Multiplication, inputs: [&[i8]; 2], output: &mut [i8]) {
            portable::product(product, inputs, output);
        }
        // SAFETY: the processor has AVX2.
        unsafe { vectors(product, inputs, output) }
    }

    fn accumulate(&self, rows: &[i8], sums: &mut [i32]) {
        #[target_feature(enable = "avx2")]
        fn vectors(rows: &[i8], sums: &mut [i32]) {
            portable::accumulate(rows, sums);
        }
        // SAFETY: the processor has AVX2.
        unsafe { vectors(rows, sums) }
    }

    fn maximum(&self, input: &[i8], output: &mut [i8]) {
        #[target_feature(enable = "avx2")]
        fn vectors(input: &[i8], output: &mut [i8]) {
            portable::maximum(input, output);
        }
        // SAFETY: the processor has AVX2.
        unsafe { vectors(input, output) }
    }

    fn quantize(&self, input: &[f32], scale: f32, steps: Steps, output: &mut [i8]) {
        #[target_feature(enable = "avx2")]
        fn vectors(input: &[f32], scale: f32, steps: Steps, output: &mut [i8]) {
            portable::quantize(input, scale, steps, output);
        }
        // SAFETY: the processor has AVX2.
        unsafe { vectors(input, scale, steps, output) }
    }
}

/// Splits outputs into groups of one to three vectors: the first output and the vectors of each. Two at once are best, with
/// sums of six rows in twelve of the sixteen registers.
fn groups(outputs: usize) -> impl Iterator<Item = (usize, usize)> {
    let vectors = outputs.div_ceil(LANES);
    let mut first = 0;
    std::iter::from_fn(move || {
        let count = match vectors - first {
            0 => return None,
            left @ (1 | MOST_VECTORS) => left,
            _ => 2,
        };
        first += count;
        Some(((first - count) * LANES, count))
    })
}

/// Widens rows to int16, with whatever lies behind them up to the stride.
///
/// # Safety
/// The processor has AVX2; each row has 15 values behind it; `wide` holds `count` rows of `stride`, a multiple of 16 that is
/// no less than the depth.
#[target_feature(enable = "avx2")]
unsafe fn widen(rows: Rows<'_>, stride: usize, wide: &mut [i16]) {
    for row in 0..rows.count {
        for k in (0..stride).step_by(16) {
            // SAFETY: as the function's.
            unsafe {
                let narrow = _mm_loadu_si128(rows.data.as_ptr().add(row * rows.stride + k).cast());
                let to = wide.as_mut_ptr().add(row * stride + k).cast();
                _mm256_storeu_si256(to, _mm256_cvtepi8_epi16(narrow));
            }
        }
    }
}

/// Rows to multiply with one group of weights.
struct Job {
    rows: *const i16,
    stride: usize,
    count: usize,
    pairs: usize,
    weights: *const i16,
}

/// Multiplies all rows, `R` at once.
///
/// # Safety
/// The processor has AVX2; the pointers hold `count` rows and a group of `V` vectors.
#[target_feature(enable = "avx2")]
unsafe fn run<const R: usize, const V: usize>(job: &Job, target: &mut Target<'_, '_>) {
    let mut row = 0;
    // SAFETY: no row is beyond the count.
    unsafe {
        while row + R <= job.count {
            let sums = tile::<R, V>(job, row);
            target.put(row, &sums);
            row += R;
        }
        while row + 2 <= job.count {
            let sums = tile::<2, V>(job, row);
            target.put(row, &sums);
            row += 2;
        }
        if row < job.count {
            let sums = tile::<1, V>(job, row);
            target.put(row, &sums);
        }
    }
}

/// Sums up the products of `R` rows with `V` vectors of outputs.
///
/// # Safety
/// The processor has AVX2; the pointers hold the rows and the group.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn tile<const R: usize, const V: usize>(job: &Job, row: usize) -> [[__m256i; V]; R] {
    let mut sums = [[_mm256_setzero_si256(); V]; R];
    // SAFETY: `pairs` pairs of depth are within rows and weights.
    unsafe {
        let rows = job.rows.add(row * job.stride);
        let mut weights = job.weights;
        for pair in 0..job.pairs {
            let group: [__m256i; V] =
                std::array::from_fn(|v| _mm256_loadu_si256(weights.add(v * 16).cast()));
            for (r, sums) in sums.iter_mut().enumerate() {
                let both = rows.add(r * job.stride + 2 * pair).cast::<i32>().read_unaligned();
                let both = _mm256_set1_epi32(both);
                for (sum, &weights) in sums.iter_mut().zip(&group) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(both, weights));
                }
            }
            weights = weights.add(V * 16);
        }
    }
    sums
}
