//! Starts `lcam-host`.

use std::process::ExitCode;

use clap::Parser;
use lcam_host::cli::Cli;

fn main() -> ExitCode {
    lcam_host::cli::run(Cli::parse())
}
