//! Depthwise convolutions: each channel has a window of its own.
//!
//! Some rows of the input at a time are copied with the zero point around them; over these the kernel moves the window.

use std::ops::Range;

use super::super::extent::{Extent, Geometry};
use super::super::kernels::{Packed, SLACK, Window, depthwise};
use super::super::steps::Rescale;
use super::super::workers::{Shared, Workers};
use super::Operator;

/// A depthwise convolution; there are as many channels behind it as before.
#[derive(Debug)]
pub(in crate::engine) struct Depthwise {
    pub(in crate::engine) input: Extent,
    pub(in crate::engine) output: Extent,
    pub(in crate::engine) geometry: Geometry,
    /// The input's zero point.
    pub(in crate::engine) zero: i8,
    pub(in crate::engine) packed: Packed,
    pub(in crate::engine) rescale: Rescale,
}

/// The bytes of padded rows that are worked on at a time: a part of the first cache and of the second.
const PADDED_BYTES: usize = 65_536;
/// The most rows of places that are worked on at a time.
const MOST_ROWS: usize = 16;
/// The most bytes of padded rows: windows that are spread far over a large image see more.
const MOST_PADDED_BYTES: usize = 1 << 24;

impl Operator for Depthwise {
    fn run(&self, workers: &Workers, inputs: &[&[i8]], output: &mut [i8]) {
        let kernels = workers.kernels;
        let row = self.output.width * self.output.channels;
        let work = self.output.elements() * self.geometry.cells();
        let shared = Shared { output, row, together: 1, work };
        let at_once = self.rows_at_once();
        workers.share(shared, |rows, part, scratch| {
            let mut start = rows.start;
            for part in part.chunks_mut(at_once * row) {
                let some = start..start + part.len() / row;
                start = some.end;
                self.pad(inputs[0], &some, &mut scratch.patch);
                let window = Window {
                    data: &scratch.patch,
                    row_stride: self.padded_width() * self.input.channels,
                    channels: self.input.channels,
                    kernel: self.geometry.kernel,
                    stride: self.geometry.stride,
                    dilation: self.geometry.dilation,
                    places: [some.len(), self.output.width],
                };
                depthwise(kernels, window, &self.packed, &self.rescale, part);
            }
        });
    }
}

impl Depthwise {
    /// Tells whether the rows that are worked on at a time are of no more than [`MOST_PADDED_BYTES`].
    pub(in crate::engine) fn fits(&self) -> bool {
        let seen = |axis: usize, places: usize| {
            let between = (places - 1).checked_mul(self.geometry.stride[axis])?;
            between.checked_add(self.geometry.reach(axis)?)
        };
        let bytes = || {
            let line = seen(1, self.output.width)?.checked_mul(self.input.channels)?;
            line.checked_mul(seen(0, self.output.height.min(MOST_ROWS))?)
        };
        bytes().is_some_and(|bytes| bytes <= MOST_PADDED_BYTES)
    }

    /// Gives how many columns the windows of a row of places see.
    fn padded_width(&self) -> usize {
        let Geometry { kernel, stride, dilation, .. } = self.geometry;
        (self.output.width - 1) * stride[1] + (kernel[1] - 1) * dilation[1] + 1
    }

    fn rows_at_once(&self) -> usize {
        let line = self.padded_width() * self.input.channels * self.geometry.stride[0];
        (PADDED_BYTES / line).clamp(2, MOST_ROWS)
    }

    /// Copies what the windows of some rows of places see.
    fn pad(&self, input: &[i8], rows: &Range<usize>, padded: &mut Vec<i8>) {
        let Geometry { kernel, stride, dilation, before, .. } = self.geometry;
        let Extent { height, width, channels, .. } = self.input;
        let line = self.padded_width() * channels;
        let count = (rows.len() - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1;
        padded.resize((count * line + SLACK).max(padded.len()), 0);
        let left = (before[1] * channels).min(line);
        let inside = (width * channels).min(line - left);
        for (index, to) in padded.chunks_exact_mut(line).take(count).enumerate() {
            let row = (rows.start * stride[0] + index).wrapping_sub(before[0]);
            if row >= height {
                to.fill(self.zero);
                continue;
            }
            to[..left].fill(self.zero);
            to[left..left + inside].copy_from_slice(&input[row * width * channels..][..inside]);
            to[left + inside..].fill(self.zero);
        }
    }
}
