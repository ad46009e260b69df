//! Starts `lcam-host`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lcam_host::cli::run_arguments()
}
