//! Standard output and standard error.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};
use lcam_models::messages::with_causes;

use crate::journal;

/// Standard output, which may be closed before we are done: a reader that has seen enough is no failure,
/// and what else there is to do is still done.
#[derive(Debug, Default)]
pub(super) struct Console {
    is_closed: bool,
}

impl Console {
    /// Prints a line.
    pub(super) fn print(&mut self, line: &str) -> Result<()> {
        if self.is_closed {
            return Ok(());
        }
        let mut output = io::stdout().lock();
        match writeln!(output, "{line}").and_then(|()| output.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.is_closed = true,
            result => result.context("cannot write to standard output")?,
        }
        Ok(())
    }
}

/// Reports a failure as one line on standard error, if there still is one.
pub(super) fn report(error: &anyhow::Error) {
    journal::note(&with_causes(error.as_ref()));
}

/// Replaces what would move a terminal's cursor or colours: names come from files.
pub(super) fn one_line(text: &dyn Display) -> String {
    journal::printable(&text.to_string())
}
