//! In which numbers a network computes, for people to read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lcam_models::onnx::GraphProto;

/// In which numbers a network computes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arithmetic {
    /// The integers that weights were widened from.
    pub(super) weights: BTreeSet<&'static str>,
    /// The integers to whose ranges activations are clipped.
    pub(super) activations: BTreeSet<&'static str>,
    /// How many tensors the runtime rounds to integers.
    pub(super) rounded: usize,
    integers: Option<Integers>,
    /// What the runtime computes beside integers, by operator.
    rest: BTreeMap<String, usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Integers {
    kernels: &'static str,
    operators: BTreeMap<String, usize>,
}

impl Arithmetic {
    /// Floating point, with weights that were widened from these integers.
    pub(super) fn widened(weights: BTreeSet<&'static str>) -> Self {
        Self { weights, ..Self::default() }
    }

    /// Names the kernels that integers are computed by; `None` where all is floating point.
    #[must_use]
    pub fn integer_kernels(&self) -> Option<&'static str> {
        self.integers.as_ref().map(|integers| integers.kernels)
    }

    /// Counts what is computed in integers, by operator.
    #[must_use]
    pub fn integer_operators(&self) -> BTreeMap<String, usize> {
        self.integers.as_ref().map(|integers| integers.operators.clone()).unwrap_or_default()
    }

    /// Names the precision in a word.
    #[must_use]
    pub fn precision(&self) -> &'static str {
        if self.integers.is_some() { "int8" } else { "float" }
    }

    pub(super) fn set_integers(
        &mut self,
        kernels: &'static str,
        operators: BTreeMap<String, usize>,
    ) {
        self.integers = Some(Integers { kernels, operators });
    }

    /// Notes what the runtime computes beside integers.
    pub(super) fn count_operators(&mut self, graph: &GraphProto) {
        for node in &graph.node {
            *self.rest.entry(node.op_type().to_owned()).or_insert(0) += 1;
        }
    }

    /// Adds what is known of another part of the network.
    pub(super) fn join(&mut self, other: Self) {
        self.weights.extend(other.weights);
        self.activations.extend(other.activations);
        self.rounded += other.rounded;
        for (name, count) in other.rest {
            *self.rest.entry(name).or_insert(0) += count;
        }
    }
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(" and ");
        let counted = |counts: &BTreeMap<String, usize>| {
            let counts = counts.iter().map(|(name, count)| format!("{count} {name}"));
            counts.collect::<Vec<_>>().join(", ")
        };
        if let Some(Integers { kernels, operators }) = &self.integers {
            write!(f, "int8 by {kernels} kernels: {}", counted(operators))?;
            if self.rest.is_empty() {
                return Ok(());
            }
            write!(f, "; float32: {}", counted(&self.rest))?;
        } else {
            f.write_str("float32")?;
        }
        if !self.weights.is_empty() {
            write!(f, ", weights widened from {}", list(&self.weights))?;
        }
        if !self.activations.is_empty() {
            write!(f, ", activations clipped to their {} ranges", list(&self.activations))?;
        }
        match self.rounded {
            0 => Ok(()),
            rounded => write!(f, ", {rounded} tensors rounded to integers"),
        }
    }
}
