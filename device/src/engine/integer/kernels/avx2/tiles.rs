//! Sums of products of some rows with some vectors of outputs, which stay in registers.
//!
//! There are two forms, after how values are held. [`Words`] widens both sides to int16: `vpmaddwd` multiplies and adds
//! neighbours in int32, whatever the values. [`Bytes`] multiplies eight bits by `vpmaddubsw`, which adds neighbours in int16
//! and so is for small weights alone ([`fits`]): half as many vectors for as many products. It takes rows without a sign;
//! with 128 more in each value, sums are greater by [`excess`].

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256, _mm256_xor_si256,
};

use super::super::Rows;
use super::store::Target;

/// Bytes of a vector.
const VECTOR: usize = 32;

/// The most that neighbouring weights of one sign may come to: with values of at most 255 their products then fit int16.
const MOST_OF_TWO: i16 = 128;

/// Tells whether products of these weights, one output's, may be added in int16: each two of depth together.
pub(super) fn fits(weights: &[i8]) -> bool {
    weights.chunks(2).all(|pair| {
        let sum = |sign: i16| pair.iter().map(|&weight| (sign * i16::from(weight)).max(0)).sum();
        let (above, below): (i16, i16) = (sum(1), sum(-1));
        above.max(below) <= MOST_OF_TWO
    })
}

/// Gives by how much a sum of products is greater for values that are 128 too great.
pub(super) fn excess(weights: &[i8]) -> i32 {
    // At most 2^7 * 2^7 * 2^16, the depth's limit.
    weights.iter().map(|&weight| i32::from(weight) * 128).sum()
}

/// How values are held.
pub(super) trait Form {
    /// Values of depth that lie together, for each output.
    const STEP: usize;

    /// Writes rows as they are read, `stride` bytes from one to the next, with whatever lies behind them.
    ///
    /// # Safety
    /// The processor has AVX2; each row has 31 values behind it; `to` holds all rows; the stride is a multiple of 32 and
    /// holds a row.
    unsafe fn prepare(rows: Rows<'_>, to: *mut u8, stride: usize);

    /// Adds the products of four bytes of a row, in all lanes, and of a vector of weights.
    ///
    /// # Safety
    /// The processor has AVX2.
    unsafe fn add(sum: __m256i, row: __m256i, weights: __m256i) -> __m256i;
}

/// int16 on both sides.
pub(super) struct Words;

impl Form for Words {
    const STEP: usize = 2;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn prepare(rows: Rows<'_>, to: *mut u8, stride: usize) {
        for row in 0..rows.count {
            for at in (0..stride).step_by(VECTOR) {
                // SAFETY: as the function's; int16 take twice as much.
                unsafe {
                    let from = rows.data.as_ptr().add(row * rows.stride + at / 2);
                    let wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast()));
                    _mm256_storeu_si256(to.add(row * stride + at).cast(), wide);
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add(sum: __m256i, row: __m256i, weights: __m256i) -> __m256i {
        _mm256_add_epi32(sum, _mm256_madd_epi16(row, weights))
    }
}

/// Values without a sign, and weights of eight bits.
pub(super) struct Bytes;

impl Form for Bytes {
    const STEP: usize = 4;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn prepare(rows: Rows<'_>, to: *mut u8, stride: usize) {
        let half = _mm256_set1_epi8(i8::MIN);
        for row in 0..rows.count {
            for at in (0..stride).step_by(VECTOR) {
                // SAFETY: as the function's.
                unsafe {
                    let from = rows.data.as_ptr().add(row * rows.stride + at);
                    let more = _mm256_xor_si256(_mm256_loadu_si256(from.cast()), half);
                    _mm256_storeu_si256(to.add(row * stride + at).cast(), more);
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add(sum: __m256i, row: __m256i, weights: __m256i) -> __m256i {
        let pairs = _mm256_maddubs_epi16(row, weights);
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
}

/// Rows to multiply with one group of weights, `[step of depth][vector][output][value]`.
pub(super) struct Job {
    pub(super) rows: *const u8,
    /// Bytes from one row to the next.
    pub(super) stride: usize,
    pub(super) count: usize,
    pub(super) steps: usize,
    pub(super) weights: *const u8,
}

impl Job {
    /// Multiplies all rows, `R` at once.
    ///
    /// # Safety
    /// The processor has AVX2; the pointers hold `count` rows and a group of `V` vectors.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn run<F: Form, const R: usize, const V: usize>(
        &self,
        target: &mut Target<'_, '_>,
    ) {
        let mut row = 0;
        // SAFETY: no row is beyond the count.
        unsafe {
            while row + R <= self.count {
                target.put(row, &self.tile::<F, R, V>(row));
                row += R;
            }
            while row + 2 <= self.count {
                target.put(row, &self.tile::<F, 2, V>(row));
                row += 2;
            }
            if row < self.count {
                target.put(row, &self.tile::<F, 1, V>(row));
            }
        }
    }

    /// Sums up the products of `R` rows with `V` vectors of outputs.
    ///
    /// # Safety
    /// The processor has AVX2; the pointers hold the rows and the group.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn tile<F: Form, const R: usize, const V: usize>(
        &self,
        row: usize,
    ) -> [[__m256i; V]; R] {
        let mut sums = [[_mm256_setzero_si256(); V]; R];
        // SAFETY: `steps` steps of depth are within rows and weights.
        unsafe {
            let rows = self.rows.add(row * self.stride);
            let mut weights = self.weights;
            for step in 0..self.steps {
                let group: [__m256i; V] =
                    std::array::from_fn(|v| _mm256_loadu_si256(weights.add(v * VECTOR).cast()));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let four = rows.add(r * self.stride + 4 * step).cast::<i32>().read_unaligned();
                    let four = _mm256_set1_epi32(four);
                    for (sum, &weights) in sums.iter_mut().zip(&group) {
                        *sum = F::add(*sum, four, weights);
                    }
                }
                weights = weights.add(V * VECTOR);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_fit_up_to_where_products_leave_int16() {
        for (weights, expected) in [
            (&[64, 64, 127, -128][..], true),
            (&[65, 64], false),
            (&[-64, -64], true),
            (&[-65, -64], false),
            (&[0, 127, 127, 0], true),
            (&[0, 0, 127, 2], false),
            (&[127], true),
        ] {
            assert_eq!(fits(weights), expected, "{weights:?}");
        }
        assert_eq!(excess(&[1, -3]), -256);
    }
}
