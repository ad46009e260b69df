//! What each operator of a pass takes.

use std::time::Duration;

use serde::Serialize;

use crate::timing::Quantiles;

/// An operator, and its milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct OperatorTime {
    /// ONNX operator and tensor; `float32` for all that the runtime computes at one place.
    operator: String,
    #[serde(flatten)]
    times_ms: Quantiles,
}

/// The times of the frames so far, in the order of the pass.
#[derive(Debug, Default)]
pub(super) struct Operators(Vec<(String, Vec<f64>)>);

impl Operators {
    /// Adds those of a frame; every pass has the same operators.
    pub(super) fn add(&mut self, laps: Vec<(String, Duration)>) {
        if self.0.is_empty() {
            self.0 = laps.iter().map(|(operator, _)| (operator.clone(), Vec::new())).collect();
        }
        for ((_, times), (_, lap)) in self.0.iter_mut().zip(laps) {
            times.push(lap.as_secs_f64() * 1e3);
        }
    }

    pub(super) fn times(self) -> Vec<OperatorTime> {
        let time =
            |(operator, times)| Some(OperatorTime { operator, times_ms: Quantiles::of(times)? });
        self.0.into_iter().filter_map(time).collect()
    }
}

impl OperatorTime {
    /// Gives a line of text.
    pub(super) fn line(&self) -> String {
        format!("{:10.3} {:10.3}  {}", self.times_ms.p50, self.times_ms.p95, self.operator)
    }
}
