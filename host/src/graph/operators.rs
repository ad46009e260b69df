//! The supported operators: one table, grouped by family.

mod activation;
mod conv;
mod elementwise;
mod index;
mod matmul;
mod norm;
mod pool;
mod quantize;
mod reduce;
mod resize;
mod shape;

use lcam_models::onnx::NodeProto;

use super::attributes::Attributes;
use super::error::NodeError;
use super::operator::{Parsed, Run};
pub(crate) use conv::patches;
pub(super) use quantize::round_trip;

/// One supported operator.
pub(super) struct Entry {
    name: &'static str,
    parse: fn(&Attributes<'_>) -> Parsed,
    limits: &'static str,
}

/// What is supported of an operator, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support {
    /// The operator's name in `ai.onnx`.
    pub name: &'static str,
    /// What is not supported of it, or nothing.
    pub limits: &'static str,
}

const fn entry(name: &'static str, parse: fn(&Attributes<'_>) -> Parsed) -> Entry {
    Entry { name, parse, limits: "" }
}

impl Entry {
    const fn limits(self, limits: &'static str) -> Self {
        Self { limits, ..self }
    }
}

const FAMILIES: [&[Entry]; 11] = [
    activation::ENTRIES,
    conv::ENTRIES,
    elementwise::ENTRIES,
    index::ENTRIES,
    matmul::ENTRIES,
    norm::ENTRIES,
    pool::ENTRIES,
    quantize::ENTRIES,
    reduce::ENTRIES,
    resize::ENTRIES,
    shape::ENTRIES,
];

/// Turns a node into an operator.
pub(super) fn parse(node: &NodeProto, opset: i64) -> Result<Run, NodeError> {
    if !matches!(node.domain(), "" | "ai.onnx") {
        return Err(NodeError::Domain(node.domain().to_owned()));
    }
    let entry = FAMILIES.iter().flat_map(|family| family.iter()).find(|e| e.name == node.op_type());
    (entry.ok_or(NodeError::Unsupported)?.parse)(&Attributes::new(node, opset))
}

/// Lists the supported operators by name.
#[must_use]
pub fn supported_operators() -> Vec<Support> {
    let entries = FAMILIES.iter().flat_map(|family| family.iter());
    let mut list: Vec<_> = entries.map(|e| Support { name: e.name, limits: e.limits }).collect();
    list.sort_by_key(|support| support.name);
    list
}
