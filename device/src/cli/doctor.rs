//! `lcam-device doctor`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Result, ensure};
use clap::Args;
use lcam_models::messages::with_causes;

use super::console::{Console, one_line};
use super::display_address::DisplayAddress;
use super::run::Options;
use crate::camera::CameraAddress;
use crate::doctor::{Finding, Machine, State, User, Wanted, WantedFolder, examine};

/// What a copy of a model and the files beside it take.
const STATE_BYTES: u64 = 100_000_000;
/// What the recorder leaves free when nothing else is said.
const RECORD_BYTES: u64 = 200_000_000;

/// Looks for what keeps `run` from running here, and says how to mend it. Nothing is changed or taken.
///
/// Takes the options of `run`: what they name is looked at. Ends with 2 when there is a problem.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// A TOML file of options, as `run` takes it.
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Looks what this user may do, as the one of the service: lcam.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Looks at the files of a machine below this folder, as those of a memory card.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Prints one JSON object a thing instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: Options,
}

impl Doctor {
    pub(super) fn run(self, console: &mut Console) -> Result<()> {
        let file = self.config.as_deref().map(Options::read).transpose()?.unwrap_or_default();
        let options = self.options.or(file);
        options.check()?;
        let (wanted, unreadable) = wanted(&options);
        let root = self.root.as_deref().unwrap_or(Path::new("/"));
        ensure!(
            root.is_dir(),
            "{} is no folder; give the root of a machine's files",
            root.display()
        );
        let mut machine = Machine::at(root, User::This, SystemTime::now());
        if let Some(name) = &self.user {
            machine = machine.with_user(name)?;
        }
        let mut findings = unreadable;
        findings.extend(examine(&machine, &wanted));
        for finding in &findings {
            let line = if self.json { serde_json::to_string(finding)? } else { text(finding) };
            console.print(&line)?;
        }
        let problems = findings.iter().filter(|finding| finding.state == State::Problem).count();
        ensure!(problems == 0, "{problems} of {} things need mending", findings.len());
        Ok(())
    }
}

fn text(finding: &Finding) -> String {
    let state = match finding.state {
        State::Ok => "ok",
        State::Note => "note",
        State::Problem => "PROBLEM",
    };
    let remedy = finding.remedy.iter().map(|remedy| format!("\n        -> {}", one_line(remedy)));
    let head = format!("{state:<8}{}: {}", one_line(&finding.check), one_line(&finding.found));
    head + &remedy.collect::<String>()
}

/// Gives what is to be looked at, and what is wrong with addresses that name nothing.
fn wanted(options: &Options) -> (Wanted, Vec<Finding>) {
    let mut unreadable = Vec::new();
    let mut note = |address: &str, error: anyhow::Error| {
        let remedy = "mend the address";
        unreadable.push(Finding::problem(address, with_causes(error.as_ref()), remedy));
    };
    let mut wanted = Wanted { model: options.model.clone(), ..Wanted::default() };
    if let Some(input) = &options.input {
        match input.parse::<CameraAddress>() {
            Ok(camera) => wanted.input = Some(camera),
            Err(error) => note(input, error.into()),
        }
    }
    for output in &options.outputs {
        match output.parse() {
            Ok(DisplayAddress::Page(page)) => {
                wanted.secrets.extend(page.token_file().map(Path::to_owned));
            }
            Ok(DisplayAddress::Panel(panel)) => wanted.outputs.push(panel),
            Ok(DisplayAddress::Window(_)) => {}
            Err(error) => note(output, error),
        }
    }
    if let Some(path) = options.state.clone() {
        wanted.folders.push(WantedFolder { purpose: "state", path, free_bytes: STATE_BYTES });
    }
    if let Some(path) = options.record.clone() {
        let free_bytes = options.record_min_free_mb.map_or(RECORD_BYTES, |mb| mb * 1_000_000);
        wanted.folders.push(WantedFolder { purpose: "events", path, free_bytes });
    }
    (wanted, unreadable)
}
