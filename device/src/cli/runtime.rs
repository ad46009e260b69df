//! How this machine runs a model, as the commands tell it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::{Network, RUNTIME, instruction_sets};

/// How this machine runs the model.
#[derive(Debug, Serialize)]
pub(super) struct Runtime {
    engine: &'static str,
    /// float or int8.
    precision: &'static str,
    arithmetic: String,
    threads: usize,
    instruction_sets: Vec<String>,
    /// The runtime's matrix kernels -> how many operators use them.
    kernels: BTreeMap<String, usize>,
}

impl Runtime {
    pub(super) fn new(network: &Network) -> Self {
        Self {
            engine: RUNTIME,
            precision: network.arithmetic().precision(),
            arithmetic: network.arithmetic().to_string(),
            threads: network.threads().get(),
            instruction_sets: instruction_sets(),
            kernels: network.kernels(),
        }
    }

    /// Gives a line of text for each, with its name.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("runtime", format!("{}, {} threads", self.engine, self.threads)),
            ("precision", self.precision.to_owned()),
            ("arithmetic", self.arithmetic.clone()),
            ("instructions", self.instruction_sets.join(" ")),
            ("kernels", counted(&self.kernels)),
        ]
    }
}

/// Lists names with how often each occurs.
pub(super) fn counted(counts: &BTreeMap<String, usize>) -> String {
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

/// Gives a file's size in MB, a million bytes each.
pub(super) fn megabytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "to one decimal")]
    {
        bytes as f64 / 1e6
    }
}
