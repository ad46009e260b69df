//! Progress bars, with the time that is left: drawn on a terminal; a line every half minute where there is none.

mod log;

use std::io::{IsTerminal, stderr};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use log::{Clock, Log};

static LAST_LINE: LazyLock<Clock> = LazyLock::new(|| Arc::new(Mutex::new(Instant::now())));

/// Starts a bar over `length` steps.
pub fn bar(length: usize, prefix: &str) -> ProgressBar {
    let template = if stderr().is_terminal() {
        "{prefix} [{bar:30}] {pos}/{len} {msg} {elapsed}<{eta}"
    } else {
        "{prefix} {pos}/{len} {msg} {elapsed}<{eta}"
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(length as u64);
    if !stderr().is_terminal() {
        let log = Log::new(stderr(), Arc::clone(&LAST_LINE));
        bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(log), 1));
    }
    bar.with_style(style.progress_chars("=> ")).with_prefix(prefix.to_owned())
}
