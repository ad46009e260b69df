//! The file of all figures.

use serde::Serialize;

use crate::evaluate::{Digests, Family, Method, Outcome, Pairs, Protocol, Sanity, Summary, Time};

/// The file of all figures. But for `times`, the same settings give the same file on a CPU.
#[derive(Serialize)]
pub(super) struct Figures<'a> {
    pub(super) tool: &'a str,
    pub(super) settings: Settings<'a>,
    pub(super) digests: &'a Digests,
    pub(super) pictures: usize,
    pub(super) methods: &'a [Summary],
    pub(super) times: &'a [Time],
    pub(super) unreadable: Vec<String>,
    pub(super) unusable_masks: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sanity: Option<&'a Sanity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pairs: Option<&'a Pairs>,
    pub(super) outcomes: &'a [Outcome],
}

/// What was asked for, and the fixed parts of the protocol.
#[derive(Serialize)]
pub(super) struct Settings<'a> {
    pub(super) model: String,
    pub(super) images: String,
    pub(super) masks: bool,
    pub(super) methods: &'a [Method],
    pub(super) metrics: &'a [Family],
    pub(super) kept: [f64; 3],
    pub(super) removed: [f64; 4],
    pub(super) protocol: Protocol,
    pub(super) limit: Option<usize>,
    pub(super) seed: u64,
}
