//! What is wrong with this machine for `lcam-device run`, and how to mend it.
//!
//! [`examine`] looks at what the kernel and the system tell of themselves, in files alone: nothing is opened that a
//! running program could need, and nothing is changed. What is looked at depends on what is wanted: the devices that the
//! options of `run` name, the model and the folders.
//!
//! Not found out: whether a wire is loose, and whether a display shows what it is sent.

mod config_txt;
mod devices;
mod displays;
mod files;
mod health;
mod machine;
mod service;

use std::path::PathBuf;

use serde::Serialize;

use crate::camera::CameraAddress;
use crate::panel::PanelAddress;
pub use machine::{Machine, NoSuchUser, User};

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Worth knowing; the program runs all the same.
    Note,
    /// It keeps the program from running as it should.
    Problem,
}

/// What was found out about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The thing.
    pub check: String,
    /// How it is.
    pub state: State,
    /// What was seen.
    pub found: String,
    /// What to do; none where all is well.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Ok, found: found.into(), remedy: None }
    }

    fn note(check: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { check: check.into(), state: State::Note, found: found.into(), remedy }
    }

    pub(crate) fn problem(
        check: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { state: State::Problem, ..Self::note(check, found, remedy) }
    }
}

/// A folder that is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedFolder {
    /// What it is for, in a word or two.
    pub purpose: &'static str,
    /// The folder; it need not be there yet.
    pub path: PathBuf,
    /// The bytes that must be free.
    pub free_bytes: u64,
}

/// What the program is to do here. Independent fields; the default looks at what every board needs.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Where pictures come from; any camera when none is given.
    pub input: Option<CameraAddress>,
    /// Where screens go.
    pub outputs: Vec<PanelAddress>,
    /// The model.
    pub model: Option<PathBuf>,
    /// Files with secrets that must be readable.
    pub secrets: Vec<PathBuf>,
    /// What is written to.
    pub folders: Vec<WantedFolder>,
}

/// Looks at everything that is wanted, in the order in which a person would.
#[must_use]
pub fn examine(machine: &Machine, wanted: &Wanted) -> Vec<Finding> {
    let mut findings = health::examine(machine);
    findings.extend(devices::camera(machine, wanted.input.as_ref()));
    for output in &wanted.outputs {
        findings.extend(displays::examine(machine, output));
    }
    findings.extend(wanted.model.iter().map(|model| files::model(machine, model)));
    findings.extend(wanted.secrets.iter().map(|secret| files::secret(machine, secret)));
    findings.extend(wanted.folders.iter().map(|folder| files::folder(machine, folder)));
    findings.extend(service::examine(machine));
    findings
}

#[cfg(test)]
mod tests;
