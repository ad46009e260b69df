//! `lcam-device run`.

mod assemble;
mod options;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::console::Console;
use crate::pipeline;
use crate::service::Service;
use crate::status::Status;
use crate::timing::{Quantiles, Stage};
pub(in crate::cli) use options::Options;

/// Names and explains what a camera sees, on displays, until it is told to stop.
///
/// A camera or a display that fails is opened anew once a second, and the others go on. A changed model file, or
/// SIGHUP, puts the new model in place of the old once it has passed a trial. SIGTERM and Ctrl-C end the program.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// A TOML file of options; those on the command line go before it.
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

impl Run {
    pub(super) fn run(self, console: &mut Console) -> Result<()> {
        let file = self.config.as_deref().map(Options::read).transpose()?.unwrap_or_default();
        let options = self.options.or(file);
        options.check()?;
        let service = Service::new()?;
        let parts = assemble::assemble(&options)?;
        let status = parts.status.clone();
        pipeline::run(parts, &service)?;
        if options.frames.is_some() {
            console.print(&summary(&status.lock()))?;
        }
        Ok(())
    }
}

/// Tells how long the stages took.
fn summary(status: &Status) -> String {
    let mut lines = vec![format!(
        "{} pictures, {} passes, {} screens, {} faults",
        status.frames, status.passes, status.screens, status.faults_since_start
    )];
    let line = |(stage, times): (&Stage, &Quantiles)| {
        format!("{stage:<16}{:10.2} {:10.2} ms (median and 95th percentile)", times.p50, times.p95)
    };
    lines.extend(status.latency_ms.iter().map(line));
    lines.join("\n")
}
