//! Progress bars on the terminal, with the time that is left; nothing is drawn where there is no terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Starts a bar over `length` steps.
pub fn bar(length: usize, prefix: &str) -> ProgressBar {
    let template = "{prefix} [{bar:30}] {pos}/{len} {msg} {elapsed}<{eta}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length as u64)
        .with_style(style.progress_chars("=> "))
        .with_prefix(prefix.to_owned())
}
