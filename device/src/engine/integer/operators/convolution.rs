//! Convolutions and fully connected layers: rows of input values times weights.
//!
//! Where the window is one place, the rows are the input itself; else patches of the input are gathered, [row][column]
//! [channel], some rows at a time. Around the image lies the zero point, which stands for 0.

use std::ops::Range;

use super::super::extent::{Extent, Geometry};
use super::super::kernels::{Kernels, Packed, Rows, SLACK, Sink, multiply};
use super::super::steps::Rescale;
use super::super::workers::{Scratch, Shared, Workers};
use super::Operator;

/// A convolution.
#[derive(Debug)]
pub(in crate::engine) struct Convolution {
    pub(in crate::engine) input: Extent,
    pub(in crate::engine) output: Extent,
    pub(in crate::engine) geometry: Geometry,
    /// The input's zero point.
    pub(in crate::engine) zero: i8,
    /// Channels in groups that do not see each other; usually one.
    pub(in crate::engine) groups: Vec<Group>,
}

/// The weights of a group of channels.
#[derive(Debug)]
pub(in crate::engine) struct Group {
    pub(in crate::engine) packed: Packed,
    pub(in crate::engine) rescale: Rescale,
}

impl Operator for Convolution {
    fn run(&self, workers: &Workers, inputs: &[&[i8]], output: &mut [i8]) {
        let kernels = workers.kernels;
        let row = self.output.channels;
        let work = self.output.places() * self.depth() * row;
        let shared = Shared { output, row, together: kernels.block(1).min(12), work };
        workers.share(shared, |places, part, scratch| {
            let first = places.start;
            self.each_block(kernels, inputs[0], places, scratch, |block, number, rows, wide| {
                let group = &self.groups[number];
                let start = (block.start - first) * row + number * self.outputs();
                let sink = Sink::Steps {
                    output: &mut part[start..],
                    stride: row,
                    rescale: &group.rescale,
                };
                multiply(kernels, rows, &group.packed, sink, wide);
            });
        });
    }
}

impl Convolution {
    /// Computes the sums themselves with their biases, [row][column][channel], for what goes on in floating point. There
    /// must be one group.
    pub(in crate::engine) fn sum(&self, workers: &Workers, input: &[i8], output: &mut [i32]) {
        let kernels = workers.kernels;
        let row = self.output.channels;
        let work = self.output.places() * self.depth() * row;
        let shared = Shared { output, row, together: kernels.block(1).min(12), work };
        workers.share(shared, |places, part, scratch| {
            let first = places.start;
            self.each_block(kernels, input, places, scratch, |block, number, rows, wide| {
                let Group { packed, rescale } = &self.groups[number];
                let output = &mut part[(block.start - first) * row..(block.end - first) * row];
                multiply(kernels, rows, packed, Sink::Sums { output, bias: &rescale.bias }, wide);
            });
        });
    }

    /// Gives how many products make a sum.
    fn depth(&self) -> usize {
        self.geometry.cells() * self.input.channels / self.groups.len()
    }

    /// Gives how many outputs a group has.
    fn outputs(&self) -> usize {
        self.output.channels / self.groups.len()
    }

    /// Hands on the rows of some places, block by block and group by group.
    fn each_block(
        &self,
        kernels: &dyn Kernels,
        input: &[i8],
        places: Range<usize>,
        scratch: &mut Scratch,
        mut take: impl FnMut(Range<usize>, usize, Rows<'_>, &mut Vec<i16>),
    ) {
        let depth = self.depth();
        let mut start = places.start;
        while start < places.end {
            let block = start..places.end.min(start + kernels.block(depth));
            for number in 0..self.groups.len() {
                let count = block.len();
                if self.geometry.is_point() && self.groups.len() == 1 {
                    let data = &input[start * depth..];
                    let rows = Rows { data, stride: depth, count, depth };
                    take(block.clone(), number, rows, &mut scratch.wide);
                } else {
                    self.gather(input, block.clone(), number, &mut scratch.patch);
                    let rows = Rows { data: &scratch.patch, stride: depth, count, depth };
                    take(block.clone(), number, rows, &mut scratch.wide);
                }
            }
            start = block.end;
        }
    }

    /// Copies what the windows at some places see of a group's channels.
    fn gather(&self, input: &[i8], places: Range<usize>, group: usize, patch: &mut Vec<i8>) {
        let depth = self.depth();
        patch.resize((places.len() * depth + SLACK).max(patch.len()), 0);
        let columns = self.output.width;
        let (mut row, mut column) = (places.start / columns, places.start % columns);
        for to in patch.chunks_exact_mut(depth).take(places.len()) {
            self.gather_place(input, [row, column], group, to);
            column += 1;
            if column == columns {
                (row, column) = (row + 1, 0);
            }
        }
    }

    fn gather_place(&self, input: &[i8], place: [usize; 2], group: usize, to: &mut [i8]) {
        let Geometry { kernel, stride, dilation, before, .. } = self.geometry;
        let Extent { height, width, channels, .. } = self.input;
        let seen = channels / self.groups.len();
        let top = place[0] * stride[0];
        let left = place[1] * stride[1];
        let line = kernel[1] * seen;
        let whole_lines = dilation[1] == 1
            && seen == channels
            && left >= before[1]
            && left - before[1] + kernel[1] <= width;
        for (ky, to) in to.chunks_exact_mut(line).enumerate() {
            let row = (top + ky * dilation[0]).wrapping_sub(before[0]);
            if row >= height {
                to.fill(self.zero);
            } else if whole_lines {
                copy(to, &input[(row * width + left - before[1]) * channels..][..line]);
            } else {
                for (kx, to) in to.chunks_exact_mut(seen).enumerate() {
                    let column = (left + kx * dilation[1]).wrapping_sub(before[1]);
                    if column >= width {
                        to.fill(self.zero);
                    } else {
                        let start = (row * width + column) * channels + group * seen;
                        to.copy_from_slice(&input[start..][..seen]);
                    }
                }
            }
        }
    }
}

/// Copies a few values; nine, of three pixels, without a call.
#[inline]
fn copy(to: &mut [i8], from: &[i8]) {
    match (<&mut [i8; 9]>::try_from(&mut *to), <&[i8; 9]>::try_from(from)) {
        (Ok(to), Ok(from)) => *to = *from,
        _ => to.copy_from_slice(from),
    }
}
