//! The commands of `lcam-host`.

mod analyze;
mod compose;
mod device;
mod evaluate;
mod inspect;
mod normalization;
mod outputs;
mod preprocess;
mod quantize;
mod train;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lcam_models::messages::{in_plain_words, with_causes};

use crate::graph::{Support, supported_operators};

/// Turns image classifiers into explained models.
#[derive(Debug, Parser)]
#[command(name = "lcam-host", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows a classifier's input, size and feature maps, and with photographs its normalisation.
    Inspect(inspect::Inspect),
    /// Trains the attention mechanism of a classifier and writes the explained model.
    Train(Box<train::Train>),
    /// Puts object cut-outs on backgrounds: pictures to train on and to measure with.
    Compose(compose::Compose),
    /// Measures how faithful a model's explanation maps are, beside other methods.
    Evaluate(evaluate::Evaluate),
    /// Finds errors' causes, shortcuts, bias and wrong labels from where the model looks.
    Analyze(Box<analyze::Analyze>),
    /// Turns a float explained model into one of int8 weights and activations.
    Quantize(quantize::Quantize),
    /// Lists the ONNX operators that are supported, with their limits.
    Operators,
}

/// The program and its version.
const TOOL: &str = concat!("lcam-host ", env!("CARGO_PKG_VERSION"));

/// What a command that was given something unusable ends with.
const BAD_INPUT: u8 = 2;

/// What clap calls it when not even a command is given; its help is of more use then than a line.
const NO_COMMAND: clap::error::ErrorKind =
    clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;

/// Runs the command that the program's arguments ask for. Wrong arguments are one line on standard error and
/// exit code 2, too.
#[must_use]
pub fn run_arguments() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) if error.use_stderr() && error.kind() != NO_COMMAND => {
            report(&anyhow::anyhow!("{}; try --help", problem(&error)))
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
    let result = match cli.command {
        Command::Inspect(command) => command.run(),
        Command::Train(command) => command.run(),
        Command::Compose(command) => command.run(),
        Command::Evaluate(command) => command.run(),
        Command::Analyze(command) => command.run(),
        Command::Quantize(command) => command.run(),
        Command::Operators => Ok(operators()),
    };
    match result.and_then(|text| Ok(print(&text)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

fn report(error: &anyhow::Error) -> ExitCode {
    #[expect(clippy::print_stderr, reason = "the one place that reports failures")]
    {
        eprintln!("lcam-host: {}", with_causes(error.as_ref()));
    }
    ExitCode::from(BAD_INPUT)
}

/// Writes to standard output; a reader that has seen enough is no failure.
fn print(text: &str) -> std::io::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Gives a Markdown table: host/OPERATORS.md is this.
fn operators() -> String {
    let mut text = "| operator | limits |\n| --- | --- |\n".to_owned();
    for Support { name, limits } in supported_operators() {
        let limits = if limits.is_empty() { "-" } else { limits };
        // Writing to a string cannot fail.
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("| {name} | {limits} |\n"));
    }
    text
}
