//! In which order units and the runtime take turns.
//!
//! A tensor's *level* is how often what it is computed from went from the runtime to units. Part `n` of the units and then
//! part `n` of the rest need nothing of a later part.

use std::collections::{BTreeSet, HashMap, HashSet};

use lcam_models::onnx::{GraphProto, NodeProto};

use super::super::wiring::Wiring;
use super::{Kind, Unit};

/// Units and the nodes that are left, by part.
#[derive(Debug, Default)]
pub(in crate::engine) struct Levels {
    /// The units of each part, in an order in which they can be run.
    pub(in crate::engine) units: Vec<Vec<Unit>>,
    /// The nodes that the runtime computes, by part.
    pub(in crate::engine) rest: Vec<Vec<usize>>,
    /// The nodes that it computes of constants alone.
    pub(in crate::engine) constant: Vec<usize>,
}

/// Sorts units into parts, and drops what the graph's outputs do not need. `given` are the graph's inputs.
pub(in crate::engine) fn sort(
    graph: &GraphProto,
    wiring: &Wiring<'_>,
    units: Vec<Unit>,
    given: &[&str],
) -> Levels {
    let needed = needed(graph, wiring, &units);
    let of_node: HashMap<usize, usize> =
        units.iter().enumerate().map(|(index, unit)| (unit.node, index)).collect();
    // Level, and whether the runtime made it.
    let mut levels: HashMap<&str, (usize, bool)> =
        given.iter().map(|&name| (name, (0, false))).collect();
    let mut sorted = Levels::default();
    let mut unit_levels = vec![None; units.len()];
    for (index, node) in wiring.nodes.iter().enumerate() {
        if let Some(&number) = of_node.get(&index) {
            let unit = &units[number];
            let inputs = unit.inputs.iter().filter_map(|(name, _)| levels.get(name.as_str()));
            let level = inputs.map(|&(level, by_runtime)| level + usize::from(by_runtime)).max();
            let level = level.unwrap_or(0);
            unit_levels[number] = Some(level);
            levels.insert(unit.made.name(), (level, false));
        } else if needed.nodes.contains(&index) {
            let inputs = node.input.iter().filter_map(|name| levels.get(name.as_str()));
            match inputs.map(|&(level, _)| level).max() {
                Some(level) => {
                    put(&mut sorted.rest, level, index);
                    levels.extend(outputs(node).map(|name| (name, (level, true))));
                }
                None => sorted.constant.push(index),
            }
        }
    }
    for (number, (unit, level)) in units.into_iter().zip(unit_levels).enumerate() {
        if let Some(level) = level.filter(|_| needed.units.contains(&number)) {
            put(&mut sorted.units, level, unit);
        }
    }
    let parts = sorted.units.len().max(sorted.rest.len());
    sorted.units.resize_with(parts, Vec::new);
    sorted.rest.resize_with(parts, Vec::new);
    sorted
}

fn put<T>(parts: &mut Vec<Vec<T>>, level: usize, item: T) {
    if parts.len() <= level {
        parts.resize_with(level + 1, Vec::new);
    }
    parts[level].push(item);
}

struct Needed {
    units: HashSet<usize>,
    nodes: HashSet<usize>,
}

/// Finds what the graph's outputs need: a tensor that a unit makes is taken from it.
fn needed(graph: &GraphProto, wiring: &Wiring<'_>, units: &[Unit]) -> Needed {
    let made: HashMap<&str, usize> =
        units.iter().enumerate().map(|(index, unit)| (unit.made.name(), index)).collect();
    let makers: HashMap<&str, usize> = wiring
        .nodes
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.output.iter().map(move |name| (name.as_str(), index)))
        .collect();
    let mut open: Vec<&str> = graph.output.iter().map(|output| output.name()).collect();
    let mut found = Needed { units: HashSet::new(), nodes: HashSet::new() };
    while let Some(name) = open.pop() {
        if let Some(&unit) = made.get(name) {
            if found.units.insert(unit) {
                open.extend(units[unit].inputs.iter().map(|(name, _)| name.as_str()));
            }
        } else if let Some(&node) = makers.get(name)
            && found.nodes.insert(node)
        {
            open.extend(wiring.nodes[node].input.iter().map(String::as_str));
        }
    }
    found
}

impl Levels {
    /// Tells whether integers are worth it: some unit has weights.
    pub(in crate::engine) fn has_weights(&self) -> bool {
        self.units.iter().flatten().any(|unit| unit.kind == Kind::Weighted)
    }

    /// Finds the `QuantizeLinear` nodes that are not worth a turn: those of parts without weights, and those whose steps
    /// nothing but `DequantizeLinear` reads.
    pub(in crate::engine) fn idle(&self) -> Vec<usize> {
        let units = || self.units.iter().flatten();
        let computed: HashSet<&str> = units()
            .filter(|unit| unit.kind != Kind::Dequantize)
            .flat_map(|unit| unit.inputs.iter().map(|(name, _)| name.as_str()))
            .collect();
        let mut idle = Vec::new();
        for part in &self.units {
            let weighted = part.iter().any(|unit| unit.kind == Kind::Weighted);
            let borders = part.iter().filter(|unit| unit.kind == Kind::Quantize);
            let of_no_use = |unit: &&Unit| !weighted || !computed.contains(unit.made.name());
            idle.extend(borders.filter(of_no_use).map(|unit| unit.node));
        }
        idle
    }
}

/// What the runtime computes between two parts.
#[derive(Debug)]
pub(in crate::engine) struct Rest {
    /// The nodes, with all constants; without inputs and outputs.
    pub(in crate::engine) graph: GraphProto,
    /// The tensors that it takes.
    pub(in crate::engine) takes: Vec<String>,
    /// The tensors that it gives.
    pub(in crate::engine) gives: Vec<String>,
}

impl Rest {
    /// Collects what is left to the runtime in one part.
    pub(in crate::engine) fn new(
        graph: &GraphProto,
        wiring: &Wiring<'_>,
        levels: &Levels,
        part: usize,
    ) -> Self {
        let of = |indices: &[usize]| -> Vec<&NodeProto> {
            indices.iter().map(|&index| &wiring.nodes[index]).collect()
        };
        let (own, constant) = (of(&levels.rest[part]), of(&levels.constant));
        let made: HashSet<&str> = own.iter().chain(&constant).flat_map(|n| outputs(n)).collect();
        let is_taken = |name: &&str| {
            !name.is_empty() && !made.contains(name) && wiring.constant(name).is_none()
        };
        let takes: BTreeSet<&str> =
            own.iter().flat_map(|node| inputs(node)).filter(is_taken).collect();
        let others = levels.rest.iter().enumerate().filter(|(other, _)| *other != part);
        let mut read: HashSet<&str> =
            others.flat_map(|(_, nodes)| of(nodes)).flat_map(inputs).collect();
        read.extend(graph.output.iter().map(|output| output.name()));
        let units = levels.units.iter().flatten();
        read.extend(units.flat_map(|unit| unit.inputs.iter().map(|(name, _)| name.as_str())));
        let given = own.iter().flat_map(|node| outputs(node)).filter(|name| read.contains(name));
        let gives = given.map(str::to_owned).collect();
        let takes = takes.into_iter().map(str::to_owned).collect();
        // In the graph's order, which is a topological one.
        let kept: BTreeSet<usize> =
            levels.rest[part].iter().chain(&levels.constant).copied().collect();
        let node = kept.iter().map(|&index| wiring.nodes[index].clone()).collect();
        let initializer = graph.initializer.clone();
        let name = graph.name.clone();
        let graph = GraphProto { name, node, initializer, ..GraphProto::default() };
        Self { graph, takes, gives }
    }
}

fn inputs(node: &NodeProto) -> impl Iterator<Item = &str> {
    node.input.iter().map(String::as_str)
}

fn outputs(node: &NodeProto) -> impl Iterator<Item = &str> {
    node.output.iter().map(String::as_str)
}
