//! Quantised networks in integers: int8 activations and weights, int32 sums, one rounding an operator.
//!
//! A quantised file (QDQ) is a float graph with `DequantizeLinear` before and `QuantizeLinear` behind each operator. What
//! lies between two such nodes is computed here as one integer operator, with the result that the file describes: see
//! [`steps`] for the arithmetic to the bit. It does not depend on processor, kernel or number of threads.
//!
//! - [`plan`] finds the operators, and what is left to the runtime in floating point;
//! - [`program`] runs them, on memory that is allocated once;
//! - [`operators`] compute one tensor each, by [`kernels`] for each kind of processor.
//!
//! **Not computed here**: weights that are not symmetric around 0 (uint8 with 128 as the zero point are), 16 bits, scales of
//! activations along an axis, transposed layers. These stay in floating point.

mod extent;
mod grid;
mod kernels;
mod operators;
mod plan;
mod program;
mod steps;
mod wiring;
mod workers;

pub(super) use kernels::{Kernels, families};
pub(super) use plan::{Builder, Levels, Rest, Unfit, recognize, sort};
pub(super) use program::{Done, Exchange, Program};
pub(super) use wiring::Wiring;
pub(super) use workers::Workers;
