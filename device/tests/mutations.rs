//! A short slice of the fuzzing campaign (`examples/fuzz.rs` runs it at length).

#[path = "support/case.rs"]
mod case;
#[path = "support/mutate.rs"]
mod mutate;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use case::Outcome;
use fastrand::Rng;
use lcam_device::tiny_model::tiny_model;
use lcam_models::onnx::encode_model;

/// Runs cases and checks that none panics or takes long, and that they reach every depth.
fn run(cases: u64, damaged: impl Fn(&mut Rng) -> Vec<u8>) -> BTreeMap<Outcome, u64> {
    let mut outcomes = BTreeMap::new();
    for seed in 0..cases {
        let file = damaged(&mut Rng::with_seed(seed));
        let start = Instant::now();
        let outcome = case::model(file).unwrap_or_else(|panic| panic!("seed {seed}: {panic}"));
        assert!(start.elapsed() < Duration::from_secs(20), "seed {seed}: {:?}", start.elapsed());
        *outcomes.entry(outcome).or_insert(0) += 1;
    }
    outcomes
}

#[test]
fn damaged_bytes_are_refused_or_answered() {
    let file = encode_model(&tiny_model());
    let outcomes = run(4000, |rng| mutate::bytes(&file, rng));
    assert!(outcomes.len() >= 3, "{outcomes:?}");
}

#[test]
fn damaged_models_are_refused_or_answered() {
    let model = tiny_model();
    let outcomes = run(4000, |rng| encode_model(&mutate::model(&model, rng)));
    assert!(outcomes.len() == 4, "{outcomes:?}");
}
