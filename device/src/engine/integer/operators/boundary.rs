//! From floating point to steps and back. The graph's tensors are [channel][row][column], those of steps [row][column]
//! [channel].

use super::super::extent::Extent;
use super::super::grid::Grid;
use super::super::workers::{Shared, Workers};

/// Makes steps of a tensor of the graph (ONNX operator `QuantizeLinear`).
pub(in crate::engine) fn quantize(
    workers: &Workers,
    (values, extent): (&[f32], Extent),
    grid: &Grid,
    output: &mut [i8],
) {
    let Extent { channels, width, .. } = extent;
    let work = extent.elements();
    workers.share(
        Shared { output, row: width * channels, together: 1, work },
        |rows, part, scratch| {
            let planes = &mut scratch.patch;
            planes.resize((channels * width).max(planes.len()), 0);
            let planes = &mut planes[..channels * width];
            for (row, output) in rows.zip(part.chunks_exact_mut(width * channels)) {
                for (channel, plane) in planes.chunks_exact_mut(width).enumerate() {
                    let start = channel * extent.places() + row * width;
                    workers.kernels.quantize(
                        &values[start..][..width],
                        grid.scale,
                        grid.steps,
                        plane,
                    );
                }
                interleave(planes, extent, output);
            }
        },
    );
}

fn interleave(planes: &[i8], extent: Extent, output: &mut [i8]) {
    let width = extent.width;
    if let (3, [red, green, blue]) =
        (extent.channels, [0, 1, 2].map(|c| planes.get(c * width..(c + 1) * width)))
        && let (Some(red), Some(green), Some(blue)) = (red, green, blue)
    {
        let pixels = output.as_chunks_mut::<3>().0.iter_mut();
        for (((pixel, &red), &green), &blue) in pixels.zip(red).zip(green).zip(blue) {
            *pixel = [red, green, blue];
        }
        return;
    }
    for (column, pixel) in output.chunks_exact_mut(extent.channels).enumerate() {
        for (channel, step) in pixel.iter_mut().enumerate() {
            *step = planes[channel * width + column];
        }
    }
}

/// Gives the values that steps stand for (ONNX operator `DequantizeLinear`), in the graph's order.
pub(in crate::engine) fn dequantize(
    workers: &Workers,
    steps: &[i8],
    extent: Extent,
    grid: &Grid,
    output: &mut [f32],
) {
    let zero = i16::from(grid.steps.zero);
    let value = |step, _| f32::from(i16::from(step) - zero) * grid.scale;
    reorder(workers, &steps[..extent.elements()], extent, value, output);
}

/// Gives the values that sums of products stand for, in the graph's order.
pub(in crate::engine) fn widen(
    workers: &Workers,
    sums: &[i32],
    extent: Extent,
    scales: &[f32],
    output: &mut [f32],
) {
    #[expect(clippy::cast_precision_loss, reason = "the definition's own rounding")]
    let value = |sum, channel: usize| sum as f32 * scales[channel];
    reorder(workers, sums, extent, value, output);
}

/// Channels that are read at once: neighbours in memory.
const TOGETHER: usize = 16;

fn reorder<T: Copy + Sync>(
    workers: &Workers,
    from: &[T],
    extent: Extent,
    value: impl Fn(T, usize) -> f32 + Sync,
    output: &mut [f32],
) {
    let (channels, places) = (extent.channels, extent.places());
    let shared = Shared { output, row: places, together: TOGETHER, work: extent.elements() };
    workers.share(shared, |mine, part, _| {
        for (first, part) in mine.step_by(TOGETHER).zip(part.chunks_mut(TOGETHER * places)) {
            for (index, plane) in part.chunks_exact_mut(places).enumerate() {
                let channel = first + index;
                let column = from[channel..].iter().step_by(channels);
                for (to, &from) in plane.iter_mut().zip(column) {
                    *to = value(from, channel);
                }
            }
        }
    });
}
