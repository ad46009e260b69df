//! Functions of one value, looked up: there are 256 steps.

use std::fmt;

use super::super::workers::{Shared, Workers};
use super::Operator;

/// The output's step for each of the input's, by its bits.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::engine) struct Table([i8; 256]);

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Table")
    }
}

impl Table {
    /// Computes the table.
    pub(in crate::engine) fn new(step: impl Fn(i8) -> i8) -> Self {
        Self(std::array::from_fn(|bits| {
            #[expect(clippy::cast_possible_truncation, reason = "below 256")]
            {
                step((bits as u8).cast_signed())
            }
        }))
    }

    /// Looks one step up.
    pub(in crate::engine) fn get(&self, step: i8) -> i8 {
        self.0[usize::from(step.cast_unsigned())]
    }

    /// Tells whether nothing changes.
    pub(in crate::engine) fn is_identity(&self) -> bool {
        (i8::MIN..=i8::MAX).all(|step| self.get(step) == step)
    }
}

impl Operator for Table {
    fn run(&self, workers: &Workers, inputs: &[&[i8]], output: &mut [i8]) {
        let work = output.len() * 2;
        workers.share(Shared { output, row: 1, together: 64, work }, |range, part, _| {
            for (to, &from) in part.iter_mut().zip(&inputs[0][range]) {
                *to = self.get(from);
            }
        });
    }
}
