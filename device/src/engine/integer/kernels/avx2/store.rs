//! What becomes of sums in AVX2's registers.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _mm_adds_epi16, _mm_max_epi8, _mm_min_epi8, _mm_packs_epi16,
    _mm_packs_epi32, _mm_set1_epi8, _mm_set1_epi16, _mm_storeu_si128, _mm256_add_epi32,
    _mm256_castsi256_si128, _mm256_cvtepi32_ps, _mm256_cvtps_epi32, _mm256_extracti128_si256,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_min_ps, _mm256_mul_ps, _mm256_set1_ps,
    _mm256_storeu_si256,
};

use super::super::Sink;
use super::{LANES, MOST_VECTORS};
use crate::engine::integer::steps::{Rescale, Steps};

/// Rounds sums with their bias to int16 steps from 0, as yet in int32. Sums beyond int16 stay beyond it.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn round(sums: __m256i, bias: __m256i, scale: __m256) -> __m256i {
    let values = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_add_epi32(sums, bias)), scale);
    // What is too large would be converted to the least int32; what is too small is so anyway.
    _mm256_cvtps_epi32(_mm256_min_ps(values, _mm256_set1_ps(32_767.0)))
}

/// The steps of an output in registers.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    zero: __m128i,
    low: __m128i,
    high: __m128i,
}

impl Limits {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(steps: Steps) -> Self {
        Self {
            zero: _mm_set1_epi16(steps.zero.into()),
            low: _mm_set1_epi8(steps.low),
            high: _mm_set1_epi8(steps.high),
        }
    }

    /// Makes int8 steps of two halves of int16 steps from 0.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn narrow(self, low: __m128i, high: __m128i) -> __m128i {
        let steps =
            _mm_packs_epi16(_mm_adds_epi16(low, self.zero), _mm_adds_epi16(high, self.zero));
        _mm_min_epi8(_mm_max_epi8(steps, self.low), self.high)
    }
}

/// Where the sums of one group of outputs go.
pub(super) struct Target<'t, 's> {
    sink: &'t mut Sink<'s>,
    outputs: usize,
    first: usize,
    /// Bias and scale of each vector; those behind the last output are 0.
    biases: [[i32; LANES]; MOST_VECTORS],
    scales: [[f32; LANES]; MOST_VECTORS],
}

impl<'t, 's> Target<'t, 's> {
    /// Takes a group of outputs of so many. From each sum its excess is taken, where there are some.
    pub(super) fn new(
        sink: &'t mut Sink<'s>,
        (outputs, excess): (usize, &[i32]),
        first: usize,
        vectors: usize,
    ) -> Self {
        let mut biases = [[0; LANES]; MOST_VECTORS];
        let mut scales = [[0.0; LANES]; MOST_VECTORS];
        for lane in first..outputs.min(first + vectors * LANES) {
            let (vector, place) = ((lane - first) / LANES, (lane - first) % LANES);
            match sink {
                Sink::Steps { rescale, .. } => {
                    biases[vector][place] = rescale.bias[lane];
                    scales[vector][place] = rescale.scale[lane];
                }
                Sink::Sums { bias, .. } => biases[vector][place] = bias[lane],
            }
            // Sums wrap around, so that the difference is exact.
            let excess = excess.get(lane).copied().unwrap_or(0);
            biases[vector][place] = biases[vector][place].wrapping_sub(excess);
        }
        Self { sink, outputs, first, biases, scales }
    }

    /// Takes the sums of `R` rows.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn put<const R: usize, const V: usize>(
        &mut self,
        row: usize,
        sums: &[[__m256i; V]; R],
    ) {
        // SAFETY: the arrays hold `LANES` values a vector.
        let biases: [__m256i; V] = std::array::from_fn(|vector| unsafe {
            _mm256_loadu_si256(self.biases[vector].as_ptr().cast())
        });
        // SAFETY: as above.
        let scales: [__m256; V] =
            std::array::from_fn(|vector| unsafe { _mm256_loadu_ps(self.scales[vector].as_ptr()) });
        let left = self.outputs - self.first;
        match self.sink {
            Sink::Steps { output, stride, rescale } => {
                let values = Values { biases, scales, left };
                let start = row * *stride + self.first;
                put_steps(&values, sums, rescale, &mut output[start..], *stride);
            }
            Sink::Sums { output, .. } => {
                for (r, sums) in sums.iter().enumerate() {
                    let start = (row + r) * self.outputs + self.first;
                    for vector in 0..V {
                        let mut values = [0; LANES];
                        let sum = _mm256_add_epi32(sums[vector], biases[vector]);
                        // SAFETY: the array has the vector's size.
                        unsafe { _mm256_storeu_si256(values.as_mut_ptr().cast(), sum) };
                        let left = LANES.min(left - vector * LANES);
                        output[start + vector * LANES..][..left].copy_from_slice(&values[..left]);
                    }
                }
            }
        }
    }
}

/// What is added to and multiplied with the sums of one group.
struct Values<const V: usize> {
    biases: [__m256i; V],
    scales: [__m256; V],
    /// Outputs from the group's first one on.
    left: usize,
}

#[inline]
#[target_feature(enable = "avx2")]
fn put_steps<const R: usize, const V: usize>(
    values: &Values<V>,
    sums: &[[__m256i; V]; R],
    rescale: &Rescale,
    output: &mut [i8],
    stride: usize,
) {
    let limits = Limits::new(rescale.steps);
    for (r, sums) in sums.iter().enumerate() {
        let half = |vector: usize| {
            let whole = round(sums[vector], values.biases[vector], values.scales[vector]);
            let low = _mm256_castsi256_si128(whole);
            _mm_packs_epi32(low, _mm256_extracti128_si256::<1>(whole))
        };
        let mut vector = 0;
        while vector + 2 <= V {
            let steps = limits.narrow(half(vector), half(vector + 1));
            let start = r * stride + vector * LANES;
            put_bytes::<16>(&mut output[start..], values.left - vector * LANES, steps);
            vector += 2;
        }
        if vector < V {
            let half = half(vector);
            let start = r * stride + vector * LANES;
            let steps = limits.narrow(half, half);
            put_bytes::<LANES>(&mut output[start..], values.left - vector * LANES, steps);
        }
    }
}

/// Writes the first `N` bytes, or as many as are left.
#[inline]
#[target_feature(enable = "avx2")]
fn put_bytes<const N: usize>(output: &mut [i8], left: usize, steps: __m128i) {
    let mut bytes = [0_i8; 16];
    // SAFETY: the array has the vector's size.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), steps) };
    if left >= N {
        output[..N].copy_from_slice(&bytes[..N]);
    } else {
        output[..left].copy_from_slice(&bytes[..left]);
    }
}
