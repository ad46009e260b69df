//! The inner loops of integer operators, one family for each kind of processor.
//!
//! [`Reference`] defines the arithmetic; the others compute the same bits, which `tests` holds them to. Each family has its
//! own order of weights, so what one has packed is for it alone. All slices are checked here, before a family's unsafe code
//! sees them.

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vectors of AVX2, in slices that are checked here")]
mod avx2;
#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "vectors of NEON, in slices that are checked here")]
mod neon;
mod portable;
mod reference;
#[cfg(test)]
mod tests;

use std::fmt;

use super::steps::{Rescale, Steps};
use reference::Reference;

/// Bytes behind the end of a tensor that kernels may read, but not use.
pub(in crate::engine) const SLACK: usize = 64;

/// The most products of a sum: more could leave int32.
pub(in crate::engine) const MOST_DEPTH: usize = 65_536;

/// A matrix of int8, row by row, which a kernel reads from any memory that holds [`SLACK`] bytes more.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Rows<'a> {
    /// The values.
    pub(in crate::engine) data: &'a [i8],
    /// From one row to the next.
    pub(in crate::engine) stride: usize,
    /// How many rows there are.
    pub(in crate::engine) count: usize,
    /// How many values of a row count.
    pub(in crate::engine) depth: usize,
}

/// Weights in a family's own order.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Packed {
    outputs: usize,
    depth: usize,
    /// Whether a weight is -128.
    #[cfg_attr(not(target_arch = "aarch64"), expect(dead_code, reason = "NEON's kernels ask"))]
    has_least: bool,
    /// For each group of outputs, whether its weights are so small that some of their products may be added in int16.
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        expect(dead_code, reason = "AVX2's and NEON's kernels ask")
    )]
    small: Vec<bool>,
    /// For each output, by how much its sums are greater where rows are held without a sign.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "AVX2's kernels ask"))]
    excess: Vec<i32>,
    bytes: Vec<i8>,
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "AVX2's kernels read them")
    )]
    words: Vec<i16>,
}

/// What becomes of sums of products.
#[derive(Debug)]
pub(in crate::engine) enum Sink<'a> {
    /// Steps: row `r` begins at `r * stride` and is as long as there are outputs.
    Steps {
        /// Where they go.
        output: &'a mut [i8],
        /// From one row to the next.
        stride: usize,
        /// What makes them.
        rescale: &'a Rescale,
    },
    /// The sums themselves with the bias, row by row.
    Sums {
        /// Where they go.
        output: &'a mut [i32],
        /// Added to each.
        bias: &'a [i32],
    },
}

/// A window that moves over padded rows of an image, [row][column][channel].
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Window<'a> {
    /// The rows, padded on all sides, with [`SLACK`].
    pub(in crate::engine) data: &'a [i8],
    /// From one row to the next.
    pub(in crate::engine) row_stride: usize,
    /// How many channels there are.
    pub(in crate::engine) channels: usize,
    /// Rows and columns of the window.
    pub(in crate::engine) kernel: [usize; 2],
    /// Rows and columns from one place to the next.
    pub(in crate::engine) stride: [usize; 2],
    /// Rows and columns between two values of the window.
    pub(in crate::engine) dilation: [usize; 2],
    /// Rows and columns of places.
    pub(in crate::engine) places: [usize; 2],
}

impl Window<'_> {
    /// Gives where a value of the window lies, from the window's first.
    fn offset(&self, tap: usize) -> usize {
        let (row, column) = (tap / self.kernel[1], tap % self.kernel[1]);
        row * self.dilation[0] * self.row_stride + column * self.dilation[1] * self.channels
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Panics where the data do not hold all places.
    fn check(&self, output: &[i8], packed: &Packed, rescale: &Rescale) {
        let [rows, columns] = self.places;
        let [channels, taps] = [self.channels, self.taps()];
        assert!(taps > 0 && packed.depth == taps && packed.outputs == channels, "weights");
        assert!(rescale.bias.len() == channels && rescale.scale.len() == channels, "scales");
        assert_eq!(output.len(), rows * columns * channels, "places");
        if output.is_empty() {
            return;
        }
        let last = (rows - 1) * self.stride[0] * self.row_stride
            + (columns - 1) * self.stride[1] * channels
            + self.offset(taps - 1)
            + channels;
        assert!(self.data.len() >= last + SLACK, "the rows end too early");
    }
}

/// The sum of two tensors, each operation rounded as the file's are: `round((a (x - x.zero) + b (y - y.zero)) / c)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::engine) struct Addition {
    /// Zero points of both.
    pub(in crate::engine) zeros: [i8; 2],
    /// The width of a step of each.
    pub(in crate::engine) scales: [f32; 2],
    /// The width of a step of the sum.
    pub(in crate::engine) scale: f32,
    /// The sum's steps.
    pub(in crate::engine) steps: Steps,
}

/// The product of two tensors: `round(a (x - x.zero) (y - y.zero))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::engine) struct Multiplication {
    /// Zero points of both.
    pub(in crate::engine) zeros: [i8; 2],
    /// Steps of the product for a product of steps.
    pub(in crate::engine) scale: f32,
    /// The product's steps.
    pub(in crate::engine) steps: Steps,
}

/// A family of kernels.
///
/// The `*_unchecked` methods are what a family implements; callers use the others.
pub(in crate::engine) trait Kernels: Sync + fmt::Debug {
    /// Names the family for people.
    fn name(&self) -> &'static str;

    /// How many rows are best multiplied at once: a multiple of what the kernel holds in registers.
    fn block(&self, depth: usize) -> usize;

    /// Packs `outputs` rows of `depth` weights.
    fn pack(&self, weights: &[i8], outputs: usize) -> Packed;

    /// Packs the weights of a depthwise convolution, [channel][tap].
    fn pack_depthwise(&self, weights: &[i8], channels: usize) -> Packed;

    /// Does what [`multiply`] does with slices that are long enough.
    fn multiply_unchecked(
        &self,
        rows: Rows<'_>,
        packed: &Packed,
        sink: Sink<'_>,
        scratch: &mut Vec<i16>,
    );

    /// Does what [`depthwise`] does with slices that are long enough.
    fn depthwise_unchecked(
        &self,
        window: Window<'_>,
        packed: &Packed,
        rescale: &Rescale,
        output: &mut [i8],
    );

    /// Adds two tensors.
    fn add(&self, addition: &Addition, inputs: [&[i8]; 2], output: &mut [i8]) {
        portable::add(addition, inputs, output);
    }

    /// Multiplies two tensors.
    fn product(&self, product: &Multiplication, inputs: [&[i8]; 2], output: &mut [i8]) {
        portable::product(product, inputs, output);
    }

    /// Adds rows of steps to sums of as many channels.
    fn accumulate(&self, rows: &[i8], sums: &mut [i32]) {
        portable::accumulate(rows, sums);
    }

    /// Takes the greater of each two values.
    fn maximum(&self, input: &[i8], output: &mut [i8]) {
        portable::maximum(input, output);
    }

    /// Makes steps of values, one scale for all: `round(x / scale)`.
    fn quantize(&self, input: &[f32], scale: f32, steps: Steps, output: &mut [i8]) {
        portable::quantize(input, scale, steps, output);
    }
}

/// Multiplies rows with weights, sums up, adds the bias, and gives the sums to the sink.
///
/// # Panics
/// Panics where the slices do not hold what is asked for.
pub(in crate::engine) fn multiply(
    kernels: &dyn Kernels,
    rows: Rows<'_>,
    packed: &Packed,
    sink: Sink<'_>,
    scratch: &mut Vec<i16>,
) {
    if rows.count == 0 {
        return;
    }
    assert_eq!(rows.depth, packed.depth, "depth");
    let needed = (rows.count - 1) * rows.stride + rows.depth + SLACK;
    assert!(rows.data.len() >= needed, "the rows end too early");
    let outputs = packed.outputs;
    match &sink {
        Sink::Steps { output, stride, rescale } => {
            assert!(rescale.bias.len() == outputs && rescale.scale.len() == outputs, "scales");
            assert!(output.len() >= (rows.count - 1) * stride + outputs, "output");
        }
        Sink::Sums { output, bias } => {
            assert!(bias.len() == outputs && output.len() == rows.count * outputs, "sums");
        }
    }
    kernels.multiply_unchecked(rows, packed, sink, scratch);
}

/// Multiplies each channel's window with the channel's weights, at each place.
///
/// # Panics
/// Panics where the slices do not hold what is asked for.
pub(in crate::engine) fn depthwise(
    kernels: &dyn Kernels,
    window: Window<'_>,
    packed: &Packed,
    rescale: &Rescale,
    output: &mut [i8],
) {
    window.check(output, packed, rescale);
    if !output.is_empty() {
        kernels.depthwise_unchecked(window, packed, rescale, output);
    }
}

/// Lists the families that this processor can run, the best first; the last is always [`Reference`].
pub(in crate::engine) fn families() -> Vec<&'static dyn Kernels> {
    let mut families: Vec<&'static dyn Kernels> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    families.extend(avx2::family());
    #[cfg(target_arch = "aarch64")]
    families.extend(neon::families());
    families.push(&Reference);
    families
}
