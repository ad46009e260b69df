//! Turns image classifiers into explained models: trains, measures and exports attention mechanisms.

pub mod graph;
