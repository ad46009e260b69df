//! Means over windows, and over all places.

use super::super::extent::{Extent, Geometry};
use super::super::steps::Steps;
use super::super::workers::{Scratch, Shared, Workers};
use super::Operator;

/// The mean of each channel over a window.
#[derive(Debug)]
pub(in crate::engine) struct Average {
    pub(in crate::engine) input: Extent,
    pub(in crate::engine) output: Extent,
    pub(in crate::engine) geometry: Geometry,
    /// Whether what lies around the image counts, as zeros.
    pub(in crate::engine) counts_padding: bool,
    /// The input's zero point.
    pub(in crate::engine) zero: i8,
    /// Steps of the output for a step of the input.
    pub(in crate::engine) scale: f32,
    pub(in crate::engine) steps: Steps,
}

impl Operator for Average {
    fn run(&self, workers: &Workers, inputs: &[&[i8]], output: &mut [i8]) {
        let kernels = workers.kernels;
        let channels = self.output.channels;
        let work = output.len() * self.geometry.cells();
        workers.share(
            Shared { output, row: channels, together: 1, work },
            |places, part, scratch| {
                for (place, output) in places.zip(part.chunks_exact_mut(channels)) {
                    let add = |rows: &[i8], sums: &mut [i32]| kernels.accumulate(rows, sums);
                    let count = self.sum(inputs[0], place, scratch, add);
                    self.divide(&scratch.sums[..channels], count, output);
                }
            },
        );
    }
}

impl Average {
    /// Sums up what the window at a place sees, and gives the number of values.
    fn sum(
        &self,
        input: &[i8],
        place: usize,
        scratch: &mut Scratch,
        add: impl Fn(&[i8], &mut [i32]),
    ) -> usize {
        let Geometry { kernel, stride, before, .. } = self.geometry;
        let Extent { height, width, channels, .. } = self.input;
        scratch.sums.resize(channels.max(scratch.sums.len()), 0);
        let sums = &mut scratch.sums[..channels];
        sums.fill(0);
        let [top, left] =
            [place / self.output.width * stride[0], place % self.output.width * stride[1]];
        let end = (left + kernel[1]).saturating_sub(before[1]).min(width);
        let columns = left.saturating_sub(before[1])..end;
        let mut count = 0;
        for ky in 0..kernel[0] {
            let row = (top + ky).wrapping_sub(before[0]);
            if row < height && !columns.is_empty() {
                let start = row * width;
                add(
                    &input[(start + columns.start) * channels..(start + columns.end) * channels],
                    sums,
                );
                count += columns.len();
            }
        }
        count
    }

    #[expect(clippy::cast_precision_loss, reason = "the definition's own rounding")]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "places of an image"
    )]
    fn divide(&self, sums: &[i32], count: usize, output: &mut [i8]) {
        let zeros = (count as i32).wrapping_mul(self.zero.into());
        let of = if self.counts_padding { self.geometry.cells() } else { count.max(1) };
        let scale = self.scale / of as f32;
        for (step, &sum) in output.iter_mut().zip(sums) {
            *step = self.steps.round(sum.wrapping_sub(zeros) as f32 * scale);
        }
    }
}
