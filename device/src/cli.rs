//! The commands of `lcam-device`.

mod bench;
mod console;
mod display_address;
mod doctor;
mod drawing;
mod explain;
mod info;
mod outputs;
#[cfg(test)]
mod pi_page;
mod probe;
mod run;
mod runtime;
mod try_model;

use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use lcam_models::messages::in_plain_words;

use crate::engine::{Execution, Precision};

use console::Console;

/// Names what a picture shows and draws why, in one pass.
#[derive(Debug, Parser)]
#[command(name = "lcam-device", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Names pictures and draws where the evidence lies, one PNG a picture.
    Explain(explain::Explain),
    /// Names and explains what a camera sees, on displays, until it is told to stop.
    Run(Box<run::Run>),
    /// Lists the cameras, displays, buses and lines of this machine.
    Probe(probe::Probe),
    /// Looks for what keeps `run` from running here, and says how to mend it.
    Doctor(Box<doctor::Doctor>),
    /// Shows what a model file holds and how this machine would run it.
    Info(info::Info),
    /// Measures how long each stage of a frame takes, and what the explanation costs.
    Bench(bench::Bench),
    /// Loads a model and runs it once, in limited memory.
    #[command(hide = true)]
    TryModel(try_model::TryModel),
}

/// How a model is run.
#[derive(Debug, Args)]
struct Running {
    /// Threads to run the network on [default: all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// The numbers to compute in: auto, float or int8; auto is int8 for a quantised file on a processor that has kernels
    /// for it.
    #[arg(long, value_name = "NAME", default_value_t)]
    precision: Precision,
}

impl Running {
    fn execution(&self) -> Execution {
        let all = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let threads = self.threads.and_then(|threads| NonZeroUsize::new(threads.into()));
        Execution { threads: threads.unwrap_or_else(all), precision: self.precision }
    }
}

/// What a command that was given something unusable ends with.
const BAD_INPUT: u8 = 2;

/// What clap calls it when not even a command is given; its help is of more use then than a line.
const NO_COMMAND: ErrorKind = ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;

/// Runs the command that the program's arguments ask for. Wrong arguments are one line on standard error and
/// exit code 2, too.
#[must_use]
pub fn run_arguments() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) if error.use_stderr() && error.kind() != NO_COMMAND => {
            let message = anyhow::anyhow!("{}; try --help", problem(&error));
            console::report(&message);
            ExitCode::from(BAD_INPUT)
        }
        // Help and version; a reader that has seen enough is no failure.
        Err(error) => {
            let _ = error.print();
            u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}

/// Gives what is wrong with the arguments, without the hints below it, in one line.
fn problem(error: &clap::Error) -> String {
    let text = error.to_string();
    let problem = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = problem.split_whitespace().collect();
    in_plain_words(words.join(" ").trim_start_matches("error: "))
}

/// Runs a command. A failure is one line on standard error and exit code 2.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let mut console = Console::default();
    let result = match cli.command {
        Command::Explain(command) => command.run(&mut console),
        Command::Run(command) => command.run(&mut console),
        Command::Probe(command) => command.run(&mut console),
        Command::Doctor(command) => command.run(&mut console),
        Command::TryModel(command) => command.run(),
        Command::Info(command) => command.run(&mut console),
        Command::Bench(command) => command.run(&mut console),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::report(&error);
            ExitCode::from(BAD_INPUT)
        }
    }
}
