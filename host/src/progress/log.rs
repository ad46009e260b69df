//! What a progress bar draws on where there is no terminal, such as a file or the log of a service.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::TermLike;

/// How often a line is written: short work stays silent, and a night's log can be read.
const PAUSE: Duration = Duration::from_secs(30);

/// When the last line was written, by any bar: bars that follow one another are one log.
pub(super) type Clock = Arc<Mutex<Instant>>;

/// Writes what is drawn as a line of its own, at most once in [`PAUSE`].
pub(super) struct Log<W> {
    state: Mutex<State<W>>,
    last: Clock,
}

struct State<W> {
    output: W,
    /// What was drawn since the last flush.
    drawn: String,
}

impl<W: Write> Log<W> {
    pub(super) fn new(output: W, last: Clock) -> Self {
        Self { state: Mutex::new(State { output, drawn: String::new() }), last }
    }

    fn draw(&self, text: &str) {
        locked(&self.state).drawn.push_str(text);
    }
}

/// A bar that panicked has nothing to say about the next.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<W> fmt::Debug for Log<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl<W: Write + Send> TermLike for Log<W> {
    fn width(&self) -> u16 {
        // Long enough that nothing is cut.
        400
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.draw(text);
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.draw(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let (mut state, mut last) = (locked(&self.state), locked(&self.last));
        let drawn = std::mem::take(&mut state.drawn);
        let line = drawn.trim_end();
        if line.is_empty() || last.elapsed() < PAUSE {
            return Ok(());
        }
        *last = Instant::now();
        writeln!(state.output, "{line}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use indicatif::{ProgressBar, ProgressDrawTarget};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn drawn(last: &Clock) -> String {
        let kept = Kept::default();
        let log = Log::new(kept.clone(), Arc::clone(last));
        let bar = ProgressBar::new(3);
        bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(log), 1));
        bar.set_style(indicatif::ProgressStyle::with_template("{pos}/{len}").unwrap());
        bar.inc(1);
        bar.tick();
        bar.inc(1);
        bar.tick();
        bar.finish_and_clear();
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_is_written_after_a_while_and_not_before() {
        let last = Arc::new(Mutex::new(Instant::now()));
        assert_eq!(drawn(&last), "");
        *last.lock().unwrap() = Instant::now().checked_sub(PAUSE).unwrap();
        assert_eq!(drawn(&last), "1/3\n");
        assert_eq!(drawn(&last), "", "another bar waits its turn");
    }
}
