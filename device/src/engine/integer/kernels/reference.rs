//! The definition of the kernels, without any assumption about the processor.

use super::{Kernels, Packed, Rows, Sink, Window};
use crate::engine::integer::steps::Rescale;

/// Plain loops.
#[derive(Debug)]
pub(super) struct Reference;

impl Kernels for Reference {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn block(&self, _depth: usize) -> usize {
        16
    }

    fn pack(&self, weights: &[i8], outputs: usize) -> Packed {
        let depth = weights.len() / outputs.max(1);
        Packed::new(weights, [outputs, depth])
    }

    fn pack_depthwise(&self, weights: &[i8], channels: usize) -> Packed {
        self.pack(weights, channels)
    }

    fn multiply_unchecked(
        &self,
        rows: Rows<'_>,
        packed: &Packed,
        mut sink: Sink<'_>,
        _scratch: &mut Vec<i16>,
    ) {
        for row in 0..rows.count {
            let values = &rows.data[row * rows.stride..][..rows.depth];
            for output in 0..packed.outputs {
                let weights = &packed.bytes[output * rows.depth..][..rows.depth];
                sink.put(row, output, dot(values, weights));
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
        let (channels, columns) = (window.channels, window.places[1]);
        for (index, step) in output.iter_mut().enumerate() {
            let (place, channel) = (index / channels, index % channels);
            let first = place / columns * window.stride[0] * window.row_stride
                + place % columns * window.stride[1] * channels
                + channel;
            let mut sum = 0_i32;
            for tap in 0..window.taps() {
                let value = i32::from(window.data[first + window.offset(tap)]);
                let weight = i32::from(packed.bytes[channel * window.taps() + tap]);
                sum = sum.wrapping_add(value * weight);
            }
            *step = rescale.apply(channel, sum);
        }
    }
}

fn dot(values: &[i8], weights: &[i8]) -> i32 {
    let products = values.iter().zip(weights).map(|(&x, &w)| i32::from(x) * i32::from(w));
    products.fold(0, i32::wrapping_add)
}

impl Sink<'_> {
    /// Takes one sum of products.
    pub(super) fn put(&mut self, row: usize, column: usize, sum: i32) {
        match self {
            Self::Steps { output, stride, rescale } => {
                output[row * *stride + column] = rescale.apply(column, sum);
            }
            Self::Sums { output, bias } => {
                output[row * bias.len() + column] = sum.wrapping_add(bias[column]);
            }
        }
    }
}

impl Packed {
    /// Keeps weights, [output][depth], as they are.
    pub(super) fn new(weights: &[i8], [outputs, depth]: [usize; 2]) -> Self {
        let has_least = weights.contains(&i8::MIN);
        Self {
            outputs,
            depth,
            has_least,
            small: Vec::new(),
            excess: Vec::new(),
            bytes: weights.to_vec(),
            words: Vec::new(),
        }
    }
}
