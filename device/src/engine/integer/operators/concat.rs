//! Tensors behind one another, channel by channel.

use super::super::workers::{Shared, Workers};
use super::Operator;
use super::table::Table;

/// The channels of several tensors as those of one.
#[derive(Debug)]
pub(in crate::engine) struct Concat {
    /// The channels of each input, and what brings its steps to the output's grid, where they differ.
    pub(in crate::engine) parts: Vec<(usize, Option<Table>)>,
}

impl Operator for Concat {
    fn run(&self, workers: &Workers, inputs: &[&[i8]], output: &mut [i8]) {
        let row: usize = self.parts.iter().map(|(channels, _)| channels).sum();
        let work = output.len();
        workers.share(Shared { output, row, together: 1, work }, |places, part, _| {
            for (place, mut output) in places.zip(part.chunks_exact_mut(row)) {
                for ((channels, table), input) in self.parts.iter().zip(inputs) {
                    let (to, rest) = output.split_at_mut(*channels);
                    let from = &input[place * channels..][..*channels];
                    match table {
                        Some(table) => {
                            to.iter_mut().zip(from).for_each(|(to, &from)| *to = table.get(from))
                        }
                        None => to.copy_from_slice(from),
                    }
                    output = rest;
                }
            }
        });
    }
}
