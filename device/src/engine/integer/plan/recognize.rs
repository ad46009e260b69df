//! From the nodes of a graph to units.

use std::collections::{HashMap, HashSet};

use lcam_models::onnx::NodeProto;

use super::super::grid::Grid;
use super::super::wiring::Wiring;
use super::weights::has_weights;
use super::{Kind, Made, Unit};
use crate::engine::dequantize::cut_by;

/// Finds the units of a graph; nodes of these indices are left to floating point.
pub(in crate::engine) fn recognize(wiring: &Wiring<'_>, left_out: &HashSet<usize>) -> Vec<Unit> {
    let mut finder =
        Finder { wiring, grids: HashMap::new(), units: Vec::new(), quantizers: HashSet::new() };
    for (index, node) in wiring.nodes.iter().enumerate() {
        if !left_out.contains(&index) {
            finder.take(index, node);
        }
    }
    finder.units
}

struct Finder<'a> {
    wiring: &'a Wiring<'a>,
    /// Steps, by the name that `QuantizeLinear` gives them.
    grids: HashMap<&'a str, Grid>,
    units: Vec<Unit>,
    /// The `QuantizeLinear` nodes that are a part of other units.
    quantizers: HashSet<usize>,
}

impl<'a> Finder<'a> {
    fn take(&mut self, index: usize, node: &'a NodeProto) {
        let unit = match node.op_type() {
            "QuantizeLinear" if self.quantizers.contains(&index) => None,
            "QuantizeLinear" => self.quantizer(index, node),
            "DequantizeLinear" => self.dequantizer(index, node),
            _ => self.operator(index, node),
        };
        self.units.extend(unit);
    }

    fn quantizer(&mut self, index: usize, node: &'a NodeProto) -> Option<Unit> {
        let grid = Grid::read(node, self.wiring)?;
        let (input, output) = (node.input.first()?, node.output.first()?);
        self.grids.insert(output, grid);
        let made = Made::Steps(output.clone(), grid);
        Some(Unit { node: index, kind: Kind::Quantize, inputs: vec![(input.clone(), grid)], made })
    }

    fn dequantizer(&self, index: usize, node: &NodeProto) -> Option<Unit> {
        let steps = self.steps_behind(node)?;
        let made = Made::Values(node.output.first()?.clone());
        Some(Unit { node: index, kind: Kind::Dequantize, inputs: vec![steps], made })
    }

    /// Gives the steps that a `DequantizeLinear` reads, if they are known and both mean the same grid.
    fn steps_behind(&self, dequantizer: &NodeProto) -> Option<(String, Grid)> {
        let name = dequantizer.input.first()?;
        let grid = *self.grids.get(name.as_str())?;
        (Grid::read(dequantizer, self.wiring)? == grid).then(|| (name.clone(), grid))
    }

    /// Gives the steps whose values an operator reads.
    fn steps(&self, tensor: &str) -> Option<(String, Grid)> {
        let maker = self.wiring.maker(tensor)?;
        if maker.op_type() == "DequantizeLinear" { self.steps_behind(maker) } else { None }
    }

    fn operator(&mut self, index: usize, node: &'a NodeProto) -> Option<Unit> {
        let kind = kind(node)?;
        let data = match kind {
            Kind::Add | Kind::Multiply if node.input.len() == 2 => &node.input[..],
            Kind::Concat => &node.input[..],
            Kind::Add | Kind::Multiply => return None,
            _ => node.input.get(..1)?,
        };
        let inputs = data.iter().map(|name| self.steps(name)).collect::<Option<Vec<_>>>()?;
        let [output] = &node.output[..] else { return None };
        if kind == Kind::Weighted && !has_weights(node, self.wiring) {
            return None;
        }
        let made = match self.follow(output, kind) {
            Some((quantizer, grid)) => {
                let name = self.wiring.nodes[quantizer].output.first()?;
                // What reads the steps knows the whole grid; what makes them, the part that is made.
                let whole = Grid::read(&self.wiring.nodes[quantizer], self.wiring)?;
                self.quantizers.insert(quantizer);
                self.grids.insert(name, whole);
                Made::Steps(name.clone(), grid)
            }
            None if kind == Kind::Weighted => Made::Values(output.clone()),
            None => return None,
        };
        Some(Unit { node: index, kind, inputs, made })
    }

    /// Goes on from what an operator makes to the `QuantizeLinear` that reads it, past what cuts it to a range.
    fn follow(&self, output: &str, kind: Kind) -> Option<(usize, Grid)> {
        let (mut low, mut high) = (f32::NEG_INFINITY, f32::INFINITY);
        let (mut index, mut node) = self.wiring.only_reader(output)?;
        while let Some(range) = cut_by(node, self.wiring.constants()) {
            // These move steps and make none.
            if matches!(kind, Kind::Reshape | Kind::Concat | Kind::Maximum) {
                return None;
            }
            (low, high) = (low.clamp(range.low, range.high), high.clamp(range.low, range.high));
            (index, node) = self.wiring.only_reader(node.output.first()?)?;
        }
        if node.op_type() != "QuantizeLinear" || node.input.first()?.is_empty() {
            return None;
        }
        let mut grid = Grid::read(node, self.wiring)?;
        grid.steps = grid.cut(low, high);
        Some((index, grid))
    }
}

fn kind(node: &NodeProto) -> Option<Kind> {
    Some(match node.op_type() {
        "Conv" | "Gemm" | "MatMul" => Kind::Weighted,
        "Add" => Kind::Add,
        "Mul" => Kind::Multiply,
        "AveragePool" | "GlobalAveragePool" | "ReduceMean" => Kind::Average,
        "GlobalMaxPool" | "MaxPool" => Kind::Maximum,
        "Clip" | "HardSigmoid" | "HardSwish" | "LeakyRelu" | "Relu" | "Sigmoid" => Kind::Function,
        "Flatten" | "Reshape" | "Squeeze" => Kind::Reshape,
        "Concat" => Kind::Concat,
        _ => return None,
    })
}
