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

    /// Makes a tensor, whose values are written over; `None` where that cannot be.
    fn make(&mut self, name: &str, shape: &[usize]) -> Option<&mut [f32]>;
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

/// An action with what a benchmark calls it.
#[derive(Debug)]
pub(in crate::engine) struct Step {
    pub(super) title: String,
    pub(super) action: Action,
}

/// Is told the title of each operator that has been computed.
pub(in crate::engine) type Done<'a> = &'a mut (dyn FnMut(&str) + Send);

/// The integer part of a network.
#[derive(Debug)]
pub(in crate::engine) struct Program {
    workers: Workers,
    body: Body,
}

#[derive(Debug)]
struct Body {
    parts: Vec<Vec<Step>>,
    /// Tensor -> buffer.
    places: Vec<usize>,
    buffers: Vec<Vec<i8>>,
    sizes: Vec<usize>,
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
    /// Takes the steps of all parts, in order.
    pub(in crate::engine) fn new(workers: Workers, parts: Vec<Vec<Step>>) -> Self {
        let memory = memory::assign(parts.iter().flatten().map(|step| &step.action));
        let sizes: Vec<usize> = memory.bytes.iter().map(|&bytes| bytes + SLACK).collect();
        let buffers = sizes.iter().map(|&size| vec![0; size]).collect();
        let body = Body { parts, places: memory.places, buffers, sizes, sums: Vec::new() };
        Self { workers, body }
    }

    /// Runs one part, and tells the titles of its steps as they are done.
    ///
    /// # Errors
    /// Returns [`Missing`] where a tensor in floating point is not as it was said to be.
    pub(in crate::engine) fn run(
        &mut self,
        part: usize,
        exchange: &mut dyn Exchange,
        done: Done<'_>,
    ) -> Result<(), Missing> {
        let Self { workers, body } = self;
        workers.within(|workers| body.run(part, workers, exchange, done))
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
        workers: &Workers,
        exchange: &mut dyn Exchange,
        done: Done<'_>,
    ) -> Result<(), Missing> {
        let Self { parts, places, buffers, sums, .. } = self;
        for Step { title, action } in parts.get(part).into_iter().flatten() {
            match action {
                Action::Quantize { name, grid, output } => {
                    let elements = output.extent.elements();
                    let values = exchange.values(name).filter(|values| values.len() == elements);
                    let missing = || Missing { name: name.clone(), elements };
                    let input = (values.ok_or_else(missing)?, output.extent);
                    let buffer = &mut buffers[places[output.tensor]][..elements];
                    boundary::quantize(workers, input, grid, buffer);
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
                    let values = make(exchange, name, input.extent)?;
                    boundary::dequantize(workers, steps, input.extent, grid, values);
                }
                Action::Sum { layer, input, name } => {
                    let elements = layer.output.elements();
                    sums.resize(elements.max(sums.len()), 0);
                    let sums = &mut sums[..elements];
                    layer.sum(workers, &buffers[places[input.tensor]], sums);
                    let scales = &layer.groups[0].rescale.scale;
                    let values = make(exchange, name, layer.output)?;
                    boundary::widen(workers, sums, layer.output, scales, values);
                }
            }
            done(title);
        }
        Ok(())
    }
}

/// Makes a tensor in floating point.
fn make<'e>(
    exchange: &'e mut dyn Exchange,
    name: &str,
    extent: Extent,
) -> Result<&'e mut [f32], Missing> {
    let elements = extent.elements();
    let values = exchange.make(name, &extent.shape()).filter(|values| values.len() == elements);
    values.ok_or_else(|| Missing { name: name.to_owned(), elements })
}
