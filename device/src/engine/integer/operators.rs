//! The integer operators, one file a family.
//!
//! Each reads and writes steps, [row][column][channel], and rounds once.

pub(in crate::engine) mod average;
pub(in crate::engine) mod boundary;
pub(in crate::engine) mod concat;
pub(in crate::engine) mod convolution;
pub(in crate::engine) mod depthwise;
pub(in crate::engine) mod elementwise;
pub(in crate::engine) mod maximum;
pub(in crate::engine) mod table;

use std::fmt;

use super::workers::Workers;

/// What computes one tensor of others.
///
/// Inputs hold `SLACK` bytes more than their values; the output does not.
pub(in crate::engine) trait Operator: fmt::Debug + Send + Sync {
    /// Computes the output.
    fn run(&self, workers: &Workers, inputs: &[&[i8]], output: &mut [i8]);
}
