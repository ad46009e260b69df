//! Starts `lcam-device`.

use std::process::ExitCode;

use clap::Parser;
use lcam_device::cli::Cli;

fn main() -> ExitCode {
    lcam_device::cli::run(Cli::parse())
}
