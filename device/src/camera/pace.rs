//! When the next picture is due, of sources that have no pace of their own.

use std::thread;
use std::time::{Duration, Instant};

/// Counts pictures by the time that has passed: whoever comes late gets the newest, and misses those before it.
#[derive(Debug)]
pub(super) struct Clock {
    interval: Duration,
    /// When picture 0 was given.
    start: Option<Instant>,
    next: u64,
}

impl Clock {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval: interval.max(Duration::from_nanos(1)), start: None, next: 0 }
    }

    /// Gives pictures a second, rounded as people write it.
    pub(super) fn rate(&self) -> f64 {
        (1e3 / self.interval.as_secs_f64()).round() / 1e3
    }

    /// Waits for a picture that was not given before and gives the newest one's number; `None` if `patience` ends
    /// first.
    pub(super) fn wait(&mut self, patience: Duration) -> Option<u64> {
        let start = *self.start.get_or_insert_with(Instant::now);
        let seconds = Duration::from_secs_f64(self.interval.as_secs_f64() * to_f64(self.next));
        if !sleep_until(start + seconds, patience) {
            return None;
        }
        let elapsed = start.elapsed().as_secs_f64() / self.interval.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts pictures"
        )]
        let newest = elapsed as u64;
        let number = newest.max(self.next);
        self.next = number + 1;
        Some(number)
    }
}

/// Leaves time between pictures, and drops none: whoever comes late gets the rest later.
#[derive(Debug)]
pub(super) struct Gaps {
    interval: Duration,
    due: Option<Instant>,
}

impl Gaps {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, due: None }
    }

    /// Waits until a picture is due; gives whether it is before `patience` ends.
    pub(super) fn wait(&mut self, patience: Duration) -> bool {
        let due = self.due.unwrap_or_else(Instant::now);
        sleep_until(due, patience)
    }

    /// Notes that a picture was given.
    pub(super) fn given(&mut self) {
        let now = Instant::now();
        // Kept to the grid while it is kept up with, so that small delays do not add up.
        let due = self.due.filter(|&due| now < due + self.interval).unwrap_or(now);
        self.due = Some(due + self.interval);
    }
}

/// Sleeps, at most for `patience`; gives whether the time has come.
fn sleep_until(due: Instant, patience: Duration) -> bool {
    let wait = due.saturating_duration_since(Instant::now());
    thread::sleep(wait.min(patience));
    wait <= patience
}

fn to_f64(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "2^53 pictures are never reached")]
    {
        count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_reader_gets_the_newest() {
        let mut clock = Clock::new(Duration::from_millis(5));
        assert_eq!(clock.wait(Duration::ZERO), Some(0));
        assert_eq!(clock.wait(Duration::ZERO), None);
        thread::sleep(Duration::from_millis(52));
        let late = clock.wait(Duration::ZERO).unwrap();
        assert!(late >= 10, "{late}");
        // A busy machine may miss one more.
        let next = clock.wait(Duration::from_secs(5)).unwrap();
        assert!(next > late, "{next} after {late}");
    }

    #[test]
    fn gaps_drop_nothing() {
        let mut gaps = Gaps::new(Duration::from_millis(20));
        assert!(gaps.wait(Duration::ZERO));
        gaps.given();
        assert!(!gaps.wait(Duration::from_millis(1)));
        let start = Instant::now();
        assert!(gaps.wait(Duration::from_secs(5)));
        assert!(start.elapsed() >= Duration::from_millis(10));
    }
}
