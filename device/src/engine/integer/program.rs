//! Integer operators one after the other, on memory that is theirs.
//!
//! Tensors of steps share a few buffers, which are allocated once: each is free again when the last operator that reads its
//! tensor is done.

mod memory;

use super::extent::Extent;
use super::grid::Grid;
use super::kernels::SLACK;
use super::operators::convolution::Convolution;
use super::operators::{Operator, boundary};
use super::workers::Workers;

/// Where tensors in floating point come from and go to, by name.
pub(in crate::engine) trait Exchange: Send {
    /// Gives the values of a tensor.
    fn values(&self, name: &str) -> Option<&[f32]>;

    /// Takes a tensor.
    fn give(&mut self, name: &str, shape: &[usize], values: Vec<f32>);
}

/// A tensor of steps: its number, and its shape.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Held {
    pub(super) tensor: usize,
    pub(super) extent: Extent,
}

/// One step of the program.
#[derive(Debug)]
pub(in crate::engine) enum Action {
    /// Makes steps of a tensor in floating point.
    Quantize { name: String, grid: Grid, output: Held },
    /// Makes steps of steps.
    Compute { operator: Box<dyn Operator>, inputs: Vec<Held>, output: Held },
    /// Makes values of steps.
    Dequantize { input: Held, grid: Grid, name: String },
    /// Makes values of a layer's sums, one scale a channel.
    Sum { layer: Convolution, input: Held, name: String },
}

impl Action {
    fn inputs(&self) -> &[Held] {
        match self {
            Self::Quantize { .. } => &[],
            Self::Compute { inputs, .. } => inputs,
            Self::Dequantize { input, .. } | Self::Sum { input, .. } => std::slice::from_ref(input),
        }
    }

    fn output(&self) -> Option<&Held> {
        match self {
            Self::Quantize { output, .. } | Self::Compute { output, .. } => Some(output),
            Self::Dequantize { .. } | Self::Sum { .. } => None,
        }
    }
}

/// The integer part of a network.
#[derive(Debug)]
pub(in crate::engine) struct Program {
    workers: Workers,
    body: Body,
}

#[derive(Debug)]
struct Body {
    parts: Vec<Vec<Action>>,
    /// Tensor -> buffer.
    places: Vec<usize>,
    buffers: Vec<Vec<i8>>,
    sizes: Vec<usize>,
    planes: Vec<i8>,
    sums: Vec<i32>,
}

/// A part of the program could not be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tensor {name:?} is not there, or not of {elements} values")]
pub(in crate::engine) struct Missing {
    name: String,
    elements: usize,
}

impl Program {
    /// Takes the actions of all parts, in order.
    pub(in crate::engine) fn new(workers: Workers, parts: Vec<Vec<Action>>) -> Self {
        let memory = memory::assign(parts.iter().flatten());
        let sizes: Vec<usize> = memory.bytes.iter().map(|&bytes| bytes + SLACK).collect();
        let buffers = sizes.iter().map(|&size| vec![0; size]).collect();
        let (planes, sums) = (Vec::new(), Vec::new());
        let body = Body { parts, places: memory.places, buffers, sizes, planes, sums };
        Self { workers, body }
    }

    /// Runs one part.
    ///
    /// # Errors
    /// Returns [`Missing`] where a tensor in floating point is not as it was said to be.
    pub(in crate::engine) fn run(
        &mut self,
        part: usize,
        exchange: &mut dyn Exchange,
    ) -> Result<(), Missing> {
        let Self { workers, body } = self;
        workers.within(|workers| body.run(part, workers, exchange))
    }

    /// Brings back the buffers that a run has lost which broke off.
    pub(in crate::engine) fn restore(&mut self) {
        let Body { buffers, sizes, .. } = &mut self.body;
        for (buffer, &size) in buffers.iter_mut().zip(&*sizes) {
            buffer.resize(size, 0);
        }
    }
}

impl Body {
    fn run(
        &mut self,
        part: usize,
        workers: &mut Workers,
        exchange: &mut dyn Exchange,
    ) -> Result<(), Missing> {
        let Self { parts, places, buffers, planes, sums, .. } = self;
        for action in parts.get(part).into_iter().flatten() {
            match action {
                Action::Quantize { name, grid, output } => {
                    let elements = output.extent.elements();
                    let values = exchange.values(name).filter(|values| values.len() == elements);
                    let missing = || Missing { name: name.clone(), elements };
                    let input = (values.ok_or_else(missing)?, output.extent);
                    let buffer = &mut buffers[places[output.tensor]][..elements];
                    boundary::quantize(workers.kernels, input, grid, planes, buffer);
                }
                Action::Compute { operator, inputs, output } => {
                    let place = places[output.tensor];
                    let mut buffer = std::mem::take(&mut buffers[place]);
                    let of = |input: &Held| &buffers[places[input.tensor]][..];
                    let result = &mut buffer[..output.extent.elements()];
                    match &inputs[..] {
                        [one] => operator.run(workers, &[of(one)], result),
                        [one, other] => operator.run(workers, &[of(one), of(other)], result),
                        all => {
                            operator.run(workers, &all.iter().map(of).collect::<Vec<_>>(), result)
                        }
                    }
                    buffers[place] = buffer;
                }
                Action::Dequantize { input, grid, name } => {
                    let steps = &buffers[places[input.tensor]];
                    let values = boundary::dequantize(steps, input.extent, grid);
                    exchange.give(name, &input.extent.shape(), values);
                }
                Action::Sum { layer, input, name } => {
                    sums.resize(layer.output.elements().max(sums.len()), 0);
                    let sums = &mut sums[..layer.output.elements()];
                    layer.sum(workers, &buffers[places[input.tensor]], sums);
                    let scales = &layer.groups[0].rescale.scale;
                    let values = boundary::widen(sums, layer.output, scales);
                    exchange.give(name, &layer.output.shape(), values);
                }
            }
        }
        Ok(())
    }
}
