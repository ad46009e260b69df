//! Training.

pub mod features;
pub mod loss;
pub mod optimizer;
