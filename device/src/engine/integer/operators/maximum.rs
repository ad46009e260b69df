//! The greatest value of each channel in a window; values are moved, not changed.

use super::super::extent::{Extent, Geometry};
use super::super::workers::{Shared, Workers};
use super::Operator;

/// The maximum over a window. What lies around the image does not count.
#[derive(Debug)]
pub(in crate::engine) struct Maximum {
    pub(in crate::engine) input: Extent,
    pub(in crate::engine) output: Extent,
    pub(in crate::engine) geometry: Geometry,
}

impl Operator for Maximum {
    fn run(&self, workers: &Workers, inputs: &[&[i8]], output: &mut [i8]) {
        let kernels = workers.kernels;
        let Geometry { kernel, stride, dilation, before, .. } = self.geometry;
        let Extent { height, width, channels, .. } = self.input;
        let work = output.len() * self.geometry.cells();
        workers.share(Shared { output, row: channels, together: 1, work }, |places, part, _| {
            for (place, output) in places.zip(part.chunks_exact_mut(channels)) {
                let top = place / self.output.width * stride[0];
                let left = place % self.output.width * stride[1];
                output.fill(i8::MIN);
                for ky in 0..kernel[0] {
                    for kx in 0..kernel[1] {
                        let row = (top + ky * dilation[0]).wrapping_sub(before[0]);
                        let column = (left + kx * dilation[1]).wrapping_sub(before[1]);
                        if row < height && column < width {
                            let start = (row * width + column) * channels;
                            kernels.maximum(&inputs[0][start..start + channels], output);
                        }
                    }
                }
            }
        });
    }
}
