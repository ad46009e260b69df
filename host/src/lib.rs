//! Turns image classifiers into explained models: trains, measures and exports attention mechanisms.

pub mod analyze;
pub mod attention;
pub mod classifier;
pub mod cli;
pub mod complexity;
pub mod compose;
pub mod dataset;
pub mod evaluate;
pub mod export;
pub mod graph;
pub mod layers;
pub mod normalization;
pub mod pictures;
pub mod progress;
pub mod quantize;
pub mod random;
pub mod report;
mod rounding;
pub mod train;
