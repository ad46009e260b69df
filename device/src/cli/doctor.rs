//! `lcam-device doctor`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Result, ensure};
use clap::Args;

use super::console::{Console, one_line};
use super::run::Options;
use crate::browser::BrowserAddress;
use crate::camera::CameraAddress;
use crate::doctor::{Finding, Machine, State, User, Wanted, WantedFolder, examine};
use crate::panel::PanelAddress;

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
        let wanted = wanted(&self.options.or(file))?;
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
        let findings = examine(&machine, &wanted);
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

fn wanted(options: &Options) -> Result<Wanted> {
    options.check()?;
    let input: Option<CameraAddress> = options.input.as_deref().map(str::parse).transpose()?;
    let (mut outputs, mut secrets, mut folders) = (Vec::new(), Vec::new(), Vec::new());
    for output in &options.outputs {
        if output.starts_with("http:") {
            let page: BrowserAddress = output.parse()?;
            secrets.extend(page.token_file().map(Path::to_owned));
        } else {
            outputs.push(output.parse::<PanelAddress>()?);
        }
    }
    if let Some(path) = options.state.clone() {
        folders.push(WantedFolder { purpose: "state", path, free_bytes: STATE_BYTES });
    }
    if let Some(path) = options.record.clone() {
        let free_bytes = options.record_min_free_mb.map_or(RECORD_BYTES, |mb| mb * 1_000_000);
        folders.push(WantedFolder { purpose: "events", path, free_bytes });
    }
    Ok(Wanted { input, outputs, model: options.model.clone(), secrets, folders })
}
