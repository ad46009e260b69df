//! Which parts of a quantised graph are computed in steps.
//!
//! A *unit* is one integer operator: a node of the graph that reads `DequantizeLinear` and whose result, behind `Relu` or
//! `Clip`, goes to `QuantizeLinear` and nowhere else. At the borders, `QuantizeLinear` and `DequantizeLinear` are units of
//! their own, and a layer with weights may give its sums to floating point (the logits).
//!
//! Everything else is left to the runtime in floating point. Units and the rest take turns: part 0 of the units, then what
//! the runtime computes of it, part 1, and so on; almost always one part is all.

mod levels;
mod recognize;
mod weights;

mod build;

use lcam_models::onnx::GraphProto;

use super::grid::Grid;

pub(in crate::engine) use build::{Builder, Unfit};
pub(in crate::engine) use levels::{Levels, Rest, sort};
pub(in crate::engine) use recognize::recognize;

/// What a unit computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Quantize,
    Dequantize,
    /// A convolution or a fully connected layer, depthwise or not.
    Weighted,
    Add,
    Multiply,
    Average,
    Maximum,
    /// A function of one value.
    Function,
    /// Another shape of the same steps.
    Reshape,
    Concat,
}

/// What a unit gives.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Made {
    /// Steps, called as `QuantizeLinear` calls them, on a grid and cut to a range of steps.
    Steps(String, Grid),
    /// A tensor in floating point.
    Values(String),
}

impl Made {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Steps(name, _) | Self::Values(name) => name,
        }
    }
}

/// An integer operator of the plan.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Unit {
    /// The node that gives it its sense.
    pub(super) node: usize,
    pub(super) kind: Kind,
    /// Steps by name with their grids; for `Quantize` a tensor in floating point, with the grid it is brought to.
    pub(super) inputs: Vec<(String, Grid)>,
    pub(super) made: Made,
}

impl Unit {
    /// Names the operator; `None` for the borders.
    pub(in crate::engine) fn title<'a>(&self, graph: &'a GraphProto) -> Option<&'a str> {
        let is_border = matches!(self.kind, Kind::Quantize | Kind::Dequantize);
        (!is_border).then(|| graph.node[self.node].op_type())
    }
}
