//! One damaged file, taken all the way.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lcam_device::engine::Engine;
use lcam_models::explained::ExplainedModel;
use lcam_models::onnx::decode_model;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Refused as no sound explained model.
    Refused,
    /// Refused by the engine.
    NotLoaded,
    /// Loaded, then failed in the pass.
    NotRun,
    /// Gave an answer.
    Answered,
}

/// Reads, checks, loads and runs a model file.
///
/// # Errors
/// Returns the message of a panic that escaped.
pub(crate) fn model(bytes: Vec<u8>) -> Result<Outcome, String> {
    escaped(|| {
        let Ok(proto) = decode_model(bytes) else { return Outcome::Refused };
        let Ok(model) = ExplainedModel::new(proto) else { return Outcome::Refused };
        let Ok(mut engine) = Engine::new(model, NonZeroUsize::MIN) else {
            return Outcome::NotLoaded;
        };
        let values = 3 * engine.metadata().preprocess.input.pixels();
        match engine.explain_prepared(&vec![0.25; values]) {
            Ok(_) => Outcome::Answered,
            Err(_) => Outcome::NotRun,
        }
    })
}

/// Runs a closure from which no panic may escape.
///
/// # Errors
/// Returns the message of a panic that did.
pub(crate) fn escaped<T>(closure: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(closure)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        text.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()))
            .unwrap_or_default()
    })
}
