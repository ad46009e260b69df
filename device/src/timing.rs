//! Latencies: what they are told by, and the last of them.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

/// A part of a frame's way, in the order in which frames take it. Displays work beside the network, so that the stages
/// do not add up to an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Resizing, cropping and normalising.
    Preprocess,
    /// The network's pass.
    Infer,
    /// Softmax, ranking, naming.
    PostProcess,
    /// From a frame's arrival to the end of its pass: waiting for the pass before, and the stages above.
    Age,
    /// The screen in memory, of the largest display.
    Draw,
    /// The screen to that display, over its bus.
    Show,
}

impl Stage {
    /// Gives its name in data and on pages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Preprocess => "preprocess",
            Self::Infer => "infer",
            Self::PostProcess => "post-process",
            Self::Age => "age",
            Self::Draw => "draw",
            Self::Show => "show",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The median and the 95th percentile, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
}

impl Quantiles {
    /// Takes the values at these shares of the sorted ones, between two of them in proportion. `None` of nothing.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |share: f64| {
            #[expect(clippy::cast_precision_loss, reason = "a few thousand values")]
            let place = share * last as f64;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within")]
            let (below, above) = (place.floor() as usize, place.ceil() as usize);
            values[below] + (values[above] - values[below]) * place.fract()
        };
        Some(Self { p50: at(0.5), p95: at(0.95) })
    }
}

/// The latencies of the last frames.
#[derive(Clone, Debug, Default)]
pub struct Recent(VecDeque<f64>);

/// How many frames are remembered: at 15 a second the last quarter of a minute.
const REMEMBERED: usize = 256;

impl Recent {
    /// Adds one, and forgets the oldest of many.
    pub fn add(&mut self, latency: Duration) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(latency.as_secs_f64() * 1e3);
    }

    /// Gives their median and 95th percentile; `None` before the first.
    #[must_use]
    pub fn quantiles(&self) -> Option<Quantiles> {
        Quantiles::of(self.0.iter().copied().collect())
    }
}

/// How often something happens.
#[derive(Clone, Debug, Default)]
pub struct Rate(VecDeque<Instant>);

/// Over how long a rate is taken.
const RATE_WINDOW: Duration = Duration::from_secs(5);

impl Rate {
    /// Counts one event, now.
    pub fn count(&mut self) {
        self.count_at(Instant::now());
    }

    fn count_at(&mut self, now: Instant) {
        while self.0.front().is_some_and(|&first| now.duration_since(first) > RATE_WINDOW) {
            self.0.pop_front();
        }
        self.0.push_back(now);
    }

    /// Gives the events a second over the last seconds, as of now; 0 for fewer than two, and when nothing happened for
    /// long.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.per_second_at(Instant::now())
    }

    fn per_second_at(&self, now: Instant) -> f64 {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else { return 0.0 };
        let silence = now.saturating_duration_since(*last);
        if silence > RATE_WINDOW {
            return 0.0;
        }
        let seconds = last.duration_since(*first).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "events of a few seconds")]
        let intervals = self.0.len().saturating_sub(1) as f64;
        // The next event is late when the silence is longer than intervals are.
        let usual = seconds / intervals.max(1.0);
        let late = (silence.as_secs_f64() - 2.0 * usual).max(0.0);
        if seconds > 0.0 { intervals / (seconds + late) } else { 0.0 }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.per_second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_values() {
        let Quantiles { p50, p95 } = Quantiles::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert!((p50 - 2.0).abs() < 1e-12 && (p95 - 2.9).abs() < 1e-12, "{p50} {p95}");
        let Quantiles { p50, p95 } = Quantiles::of(vec![4.0]).unwrap();
        assert!((p50 - 4.0).abs() < 1e-12 && (p95 - 4.0).abs() < 1e-12, "{p50} {p95}");
        assert_eq!(Quantiles::of(Vec::new()), None);
    }

    #[test]
    fn only_the_last_frames_count() {
        let mut recent = Recent::default();
        recent.add(Duration::from_secs(100));
        for _ in 0..REMEMBERED {
            recent.add(Duration::from_millis(7));
        }
        assert_eq!(recent.quantiles(), Some(Quantiles { p50: 7.0, p95: 7.0 }));
    }

    #[test]
    fn a_rate_is_that_of_the_last_seconds() {
        let mut rate = Rate::default();
        let start = Instant::now();
        assert_eq!(rate.per_second(), 0.0);
        rate.count_at(start);
        for tenths in 100..=150 {
            rate.count_at(start + Duration::from_millis(tenths * 100));
        }
        // 51 events in 5 seconds, the last after 15; what is late lowers the rate until there is none.
        for (after_ms, expected) in
            [(15_000, 10.0), (15_200, 10.0), (16_200, 50.0 / 6.0), (20_001, 0.0)]
        {
            let found = rate.per_second_at(start + Duration::from_millis(after_ms));
            assert!((found - expected).abs() < 1e-6, "{after_ms}: {found}");
        }
    }
}
