//! What a method costs: passes through the network, and time.

use std::time::Duration;

use serde::Serialize;

use super::{Explained, Method, Options, Passes};

/// What one method costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Time {
    /// The method.
    pub method: Method,
    /// Its passes.
    pub passes: Passes,
    /// Seconds a picture for the pass that names the class, which all methods share: the median of the batches.
    pub clean_seconds: f64,
    /// Seconds a picture for the map, beyond that pass: the median of the batches.
    pub map_seconds: f64,
}

/// Seconds a picture, batch by batch.
#[derive(Debug)]
pub(super) struct Clock {
    clean: Vec<f64>,
    maps: Vec<Vec<f64>>,
}

impl Clock {
    pub(super) fn new(methods: &[Method]) -> Self {
        Self { clean: Vec::new(), maps: vec![Vec::new(); methods.len()] }
    }

    /// Notes the time of a batch's clean pass.
    pub(super) fn note_clean(&mut self, time: Duration, pictures: usize) {
        self.clean.push(each(time, pictures));
    }

    /// Notes the time of a batch's maps by the method at `place`.
    pub(super) fn note(&mut self, place: usize, time: Duration, pictures: usize) {
        self.maps[place].push(each(time, pictures));
    }

    pub(super) fn times(mut self, model: &Explained, options: &Options) -> Vec<Time> {
        let clean_seconds = median(&mut self.clean);
        let time = |(&method, seconds): (&Method, &mut Vec<f64>)| Time {
            method,
            passes: method.passes(model, options.rise_masks),
            clean_seconds,
            map_seconds: median(seconds),
        };
        options.methods.iter().zip(&mut self.maps).map(time).collect()
    }
}

fn each(time: Duration, pictures: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most a batch")]
    let pictures = pictures.max(1) as f64;
    time.as_secs_f64() / pictures
}

/// Gives the middle value, the upper one of two; 0 for none.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
