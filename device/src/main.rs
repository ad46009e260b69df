//! Starts `lcam-device`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lcam_device::cli::run_arguments()
}
