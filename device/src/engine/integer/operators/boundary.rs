//! From floating point to steps and back. The graph's tensors are [channel][row][column], those of steps [row][column]
//! [channel].

use super::super::extent::Extent;
use super::super::grid::Grid;
use super::super::kernels::Kernels;

/// Makes steps of a tensor of the graph (ONNX operator `QuantizeLinear`); `planes` is memory to work in.
pub(in crate::engine) fn quantize(
    kernels: &dyn Kernels,
    (values, extent): (&[f32], Extent),
    grid: &Grid,
    planes: &mut Vec<i8>,
    output: &mut [i8],
) {
    let (channels, places) = (extent.channels, extent.places());
    planes.resize((channels * extent.width).max(planes.len()), 0);
    for row in 0..extent.height {
        let planes = &mut planes[..channels * extent.width];
        for (channel, plane) in planes.chunks_exact_mut(extent.width).enumerate() {
            let start = channel * places + row * extent.width;
            kernels.quantize(&values[start..][..extent.width], grid.scale, grid.steps, plane);
        }
        let output = &mut output[row * extent.width * channels..][..extent.width * channels];
        interleave(planes, extent, output);
    }
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
pub(in crate::engine) fn dequantize(steps: &[i8], extent: Extent, grid: &Grid) -> Vec<f32> {
    let zero = i16::from(grid.steps.zero);
    reorder(&steps[..extent.elements()], extent, |step, _| {
        f32::from(i16::from(step) - zero) * grid.scale
    })
}

/// Gives the values that sums of products stand for, in the graph's order.
pub(in crate::engine) fn widen(sums: &[i32], extent: Extent, scales: &[f32]) -> Vec<f32> {
    #[expect(clippy::cast_precision_loss, reason = "the definition's own rounding")]
    reorder(sums, extent, |sum, channel| sum as f32 * scales[channel])
}

fn reorder<T: Copy>(from: &[T], extent: Extent, value: impl Fn(T, usize) -> f32) -> Vec<f32> {
    let mut output = Vec::with_capacity(extent.elements());
    for channel in 0..extent.channels {
        let column = from[channel..].iter().step_by(extent.channels);
        output.extend(column.map(|&x| value(x, channel)));
    }
    output
}
