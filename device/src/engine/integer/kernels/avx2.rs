//! x86-64 with AVX2.
//!
//! No sum saturates. Products of small weights are made in eight bits, those of others in int16, as each group of outputs
//! allows: [`tiles`]. Rows are brought into that form first, once for all outputs; weights are packed so, too:
//! `[group of vectors][step of depth][vector][8 outputs][values of a step]`.

mod depthwise;
mod store;
mod tiles;

use super::{Addition, Kernels, Multiplication, Packed, Rows, Sink, Window, portable};
use crate::engine::integer::steps::{Rescale, Steps};
use store::Target;
use tiles::{Bytes, Form, Job, Words, excess, fits};

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
        let rows = || weights.chunks_exact(depth.max(1));
        packed.excess = rows().map(excess).collect();
        for (first, vectors) in groups(outputs) {
            let (lanes, group) =
                (vectors * LANES, weights.get(first * depth..).unwrap_or_default());
            let small = rows().skip(first).take(lanes).all(fits);
            if small {
                packed.bytes.extend(ordered(group, depth, lanes, Bytes::STEP));
            } else {
                let values = ordered(group, depth, lanes, Words::STEP);
                packed.words.extend(values.map(i16::from));
            }
            packed.small.push(small);
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
        let stride = rows.depth.next_multiple_of(32);
        // Words take twice the bytes, and lie behind them.
        let (bytes, words) = (packed.small.contains(&true), packed.small.contains(&false));
        let places = [rows.count * stride / 2, rows.count * stride];
        let needed = usize::from(bytes) * places[0] + usize::from(words) * places[1];
        scratch.resize(scratch.len().max(needed), 0);
        // SAFETY: the processor has AVX2; `rows` hold `SLACK` more than their depth; `scratch` holds the rows of both forms;
        // the weights are those of `pack`.
        unsafe {
            let narrow = scratch.as_mut_ptr().cast::<u8>();
            let wide = narrow.add(if bytes { rows.count * stride } else { 0 });
            if bytes {
                Bytes::prepare(rows, narrow, stride);
            }
            if words {
                Words::prepare(rows, wide, 2 * stride);
            }
            let (mut bytes, mut words) = (packed.bytes.as_ptr(), packed.words.as_ptr());
            for ((first, vectors), &small) in groups(packed.outputs).zip(&packed.small) {
                let excess = if small { &packed.excess[..] } else { &[] };
                let mut target = Target::new(&mut sink, (packed.outputs, excess), first, vectors);
                let count = rows.count;
                if small {
                    let steps = rows.depth.div_ceil(Bytes::STEP);
                    let weights = bytes.cast();
                    run::<Bytes>(
                        Job { rows: narrow, stride, count, steps, weights },
                        vectors,
                        &mut target,
                    );
                    bytes = bytes.add(steps * vectors * LANES * Bytes::STEP);
                } else {
                    let steps = rows.depth.div_ceil(Words::STEP);
                    let weights = words.cast();
                    run::<Words>(
                        Job { rows: wide, stride: 2 * stride, count, steps, weights },
                        vectors,
                        &mut target,
                    );
                    words = words.add(steps * vectors * LANES * Words::STEP);
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

/// Orders the weights of a group of outputs; behind the last output and the last of depth they are 0.
fn ordered(group: &[i8], depth: usize, lanes: usize, step: usize) -> impl Iterator<Item = i8> {
    let within = move |start: usize| {
        (0..lanes).flat_map(move |lane| (start..start + step).map(move |k| (lane, k)))
    };
    let places = (0..depth).step_by(step).flat_map(within);
    places.map(move |(lane, k)| {
        let inside = k < depth;
        if inside { group.get(lane * depth + k).copied().unwrap_or(0) } else { 0 }
    })
}

/// Multiplies with a group of so many vectors, as many rows at once as the registers hold.
///
/// # Safety
/// The processor has AVX2; the job's pointers hold its rows and the group.
#[target_feature(enable = "avx2")]
unsafe fn run<F: Form>(job: Job, vectors: usize, target: &mut Target<'_, '_>) {
    // SAFETY: as the function's.
    unsafe {
        match vectors {
            MOST_VECTORS => job.run::<F, 3, MOST_VECTORS>(target),
            2 => job.run::<F, 6, 2>(target),
            _ => job.run::<F, 8, 1>(target),
        }
    }
}
