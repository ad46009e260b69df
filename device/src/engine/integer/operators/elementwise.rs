//! Sums and products of two tensors.

use super::super::kernels::{Addition, Multiplication};
use super::super::workers::{Shared, Workers};
use super::Operator;

/// Values that a thread gets together: whole vectors of any family.
const TOGETHER: usize = 64;
/// A step of a sum costs about as much as this many products in a matrix.
const COST: usize = 8;

/// The sum of two tensors of one shape.
#[derive(Debug)]
pub(in crate::engine) struct Add(pub(in crate::engine) Addition);

impl Operator for Add {
    fn run(&self, workers: &Workers, inputs: &[&[i8]], output: &mut [i8]) {
        let kernels = workers.kernels;
        let work = output.len() * COST;
        workers.share(Shared { output, row: 1, together: TOGETHER, work }, |range, part, _| {
            let [one, other] = [inputs[0], inputs[1]].map(|input| &input[range.clone()]);
            kernels.add(&self.0, [one, other], part);
        });
    }
}

/// The product of two tensors of one shape.
#[derive(Debug)]
pub(in crate::engine) struct Multiply(pub(in crate::engine) Multiplication);

impl Operator for Multiply {
    fn run(&self, workers: &Workers, inputs: &[&[i8]], output: &mut [i8]) {
        let kernels = workers.kernels;
        let work = output.len() * COST;
        workers.share(Shared { output, row: 1, together: TOGETHER, work }, |range, part, _| {
            let [one, other] = [inputs[0], inputs[1]].map(|input| &input[range.clone()]);
            kernels.product(&self.0, [one, other], part);
        });
    }
}

/// The product of a tensor with one value for each channel, the second input.
#[derive(Debug)]
pub(in crate::engine) struct ScaleChannels {
    pub(in crate::engine) product: Multiplication,
    pub(in crate::engine) channels: usize,
}

impl Operator for ScaleChannels {
    fn run(&self, workers: &Workers, inputs: &[&[i8]], output: &mut [i8]) {
        let (kernels, row) = (workers.kernels, self.channels);
        let work = output.len() * COST;
        let factors = &inputs[1][..row];
        workers.share(Shared { output, row, together: 1, work }, |range, part, _| {
            let input = inputs[0][range.start * row..range.end * row].chunks_exact(row);
            for (values, output) in input.zip(part.chunks_exact_mut(row)) {
                kernels.product(&self.product, [values, factors], output);
            }
        });
    }
}
