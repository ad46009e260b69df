//! The journal: one line on standard error for what happens, which systemd keeps with its time.

use std::io::{self, Write};

/// Writes a line. What would move a terminal's cursor or colours is replaced: names come from files.
pub(crate) fn note(line: &str) {
    // Nobody may be there to read it.
    let _ = writeln!(io::stderr().lock(), "lcam-device: {}", printable(line));
}

/// Replaces what would move a terminal's cursor or colours.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
