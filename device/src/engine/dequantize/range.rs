//! What is known of the values of tensors from the operators that make them.

use std::collections::HashMap;

use lcam_models::onnx::{NodeProto, TensorProto};

/// A range of values, its ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::engine) struct Range {
    pub(in crate::engine) low: f32,
    pub(in crate::engine) high: f32,
}

impl Range {
    /// What is said of a tensor of which nothing is known.
    pub(super) const ALL: Self = Self { low: f32::NEG_INFINITY, high: f32::INFINITY };
    const POSITIVE: Self = Self { low: 0.0, high: f32::INFINITY };

    /// Gives what lies in both; `None` where nothing does.
    pub(super) fn and(self, other: Self) -> Option<Self> {
        let both = Self { low: self.low.max(other.low), high: self.high.min(other.high) };
        (both.low <= both.high).then_some(both)
    }

    fn or(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// Tells whether no value of another range is further out than `slack`.
    pub(super) fn holds(self, other: Self, slack: f32) -> bool {
        other.low >= self.low - slack && other.high <= self.high + slack
    }
}

/// Gives the range to which a node cuts its first input: a `Clip` between constants, or a `Relu`.
pub(in crate::engine) fn cut_by(
    node: &NodeProto,
    constants: &HashMap<&str, &TensorProto>,
) -> Option<Range> {
    let bound = |index: usize, none: f32| match node.input.get(index) {
        Some(name) if !name.is_empty() => match constants.get(name.as_str())?.to_f32().ok()?[..] {
            [bound] if !bound.is_nan() => Some(bound),
            _ => None,
        },
        _ => Some(none),
    };
    match node.op_type() {
        "Relu" => Some(Range::POSITIVE),
        "Clip" => Range { low: bound(1, f32::NEG_INFINITY)?, high: bound(2, f32::INFINITY)? }
            .and(Range::ALL),
        _ => None,
    }
}

/// The ranges of the tensors of a graph, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Ranges(HashMap<String, Range>);

impl Ranges {
    pub(super) fn get(&self, tensor: &str) -> Range {
        self.0.get(tensor).copied().unwrap_or(Range::ALL)
    }

    /// Learns about what a node makes; `cut` is the range that it cuts to, if it does.
    pub(super) fn insert(&mut self, node: &NodeProto, cut: Option<Range>) {
        let Some(first) = node.input.first() else { return };
        let input = self.get(first);
        let range = match node.op_type() {
            "Clip" | "Relu" => {
                cut.and_then(|cut| cut.and(input)).unwrap_or(cut.unwrap_or(Range::ALL))
            }
            "HardSigmoid" | "Sigmoid" | "Softmax" => Range { low: 0.0, high: 1.0 },
            "Softsign" | "Tanh" => Range { low: -1.0, high: 1.0 },
            "Concat" => {
                let all = node.input.iter().map(|name| self.get(name));
                all.reduce(Range::or).unwrap_or(Range::ALL)
            }
            // Padding may count as zeros.
            "AveragePool" => input.or(Range { low: 0.0, high: 0.0 }),
            "Dropout" | "Flatten" | "Gather" | "GlobalAveragePool" | "GlobalMaxPool"
            | "Identity" | "MaxPool" | "ReduceMax" | "ReduceMean" | "Reshape" | "Slice"
            | "Split" | "Squeeze" | "Transpose" | "Unsqueeze" => input,
            _ => return,
        };
        self.0.extend(node.output.iter().map(|output| (output.clone(), range)));
    }
}
