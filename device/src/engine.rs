//! The engine: an explained model, loaded and ready to name and explain pictures in one pass.
//!
//! # What is promised of any file
//! A file that came from anywhere may be loaded and run. It ends in an answer or in one [`LoadError`] or
//! [`RunError`]:
//! - **no panic escapes**: what panics in the runtime becomes an error;
//! - **memory is bounded** (see [`Limits`]): before anything is computed, the shapes of all tensors are
//!   known and their elements are counted. Constant parts of a graph, which a runtime evaluates while it
//!   loads, are measured before they are evaluated;
//! - **work is bounded**: multiply-adds are counted, and operators that loop or branch are refused, so that
//!   each node runs once;
//! - a damaged network that answers with values that are not finite is an error and not an answer.
//!
//! Not promised: that a model is right, or that loading is fast.

mod arithmetic;
mod dequantize;
mod guard;
mod integer;
mod limits;
mod network;
mod precision;
mod reduce;
mod translate;

use std::path::{Path, PathBuf};
use std::time::Duration;

use image::RgbImage;
use lcam_models::class::ClassIndex;
use lcam_models::explained::{Attention, EXPLANATION, ExplainedError, ExplainedModel, LOGITS};
use lcam_models::map::{ClassMap, MapError};
use lcam_models::metadata::Metadata;
use lcam_models::scores::{Ranked, softmax, top_k};

pub use arithmetic::Arithmetic;
pub use guard::{GuardError, OPERATORS};
pub use limits::{LimitError, Limits};
pub use network::{Network, NetworkError, instruction_sets};
pub use precision::{Execution, Precision};

/// The runtime and its version.
pub const RUNTIME: &str = "tract 0.23.9";

/// A model could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file is no usable explained model.
    #[error(transparent)]
    Explained(#[from] ExplainedError),
    /// The file keeps the contract, but its network cannot be run.
    #[error("{path}: {problem}")]
    Network {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: NetworkError,
    },
}

/// A loaded model could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The network failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A logit is infinite or not a number.
    #[error("a logit is not finite; the network's weights may be damaged")]
    LogitNotFinite,
    /// The map of a class cannot be used.
    #[error(transparent)]
    Map(#[from] MapError),
}

/// What one pass found out about one picture.
#[derive(Clone, Debug)]
pub struct Answer {
    logits: Vec<f32>,
    explanation: ClassMap,
    adapters: Vec<Vec<f32>>,
}

impl Answer {
    /// Gives the raw scores, one a class; all finite.
    #[must_use]
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Gives the class with the largest logit; of equal ones the first.
    #[must_use]
    pub fn predicted(&self) -> ClassIndex {
        top_k(&self.logits, 1).first().map_or(ClassIndex(0), |best| best.class)
    }

    /// Ranks the `k` most probable classes, best first, with their softmax probabilities.
    #[must_use]
    pub fn ranking(&self, k: usize) -> Vec<Ranked> {
        let confidences = softmax(&self.logits);
        let confident = |best: Ranked| Ranked { confidence: confidences[best.class.0], ..best };
        // By logit: near 1, different logits may share a probability.
        top_k(&self.logits, k).into_iter().map(confident).collect()
    }

    /// Gives the raw map of the predicted class, as the graph computed it.
    #[must_use]
    pub fn explanation(&self) -> &ClassMap {
        &self.explanation
    }
}

/// A loaded model.
#[derive(Debug)]
pub struct Engine {
    network: Network,
    metadata: Metadata,
    attention: Attention,
}

impl Engine {
    /// Loads a model file.
    ///
    /// # Errors
    /// Returns [`LoadError`] for a file that is no usable explained model.
    pub fn load(path: &Path, execution: impl Into<Execution>) -> Result<Self, LoadError> {
        let model = ExplainedModel::read(path)?;
        Self::new(model, execution)
            .map_err(|problem| LoadError::Network { path: path.to_owned(), problem })
    }

    /// Prepares a checked model to run on so many threads, in such numbers.
    ///
    /// # Errors
    /// Returns [`NetworkError`] when the network is beyond the [`Limits`] or cannot be run.
    pub fn new(
        model: ExplainedModel,
        execution: impl Into<Execution>,
    ) -> Result<Self, NetworkError> {
        let (proto, metadata, attention) = model.into_parts();
        let mut outputs = vec![LOGITS, EXPLANATION];
        outputs.extend(attention.adapters());
        let network = Network::new(proto, &outputs, execution)?;
        Ok(Self { network, metadata, attention })
    }

    /// Gives what the model says about itself.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Gives the network that runs.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Names and explains a picture in one pass.
    ///
    /// # Errors
    /// Returns [`RunError`] when the network fails or gives values that are not finite.
    ///
    /// # Panics
    /// Panics if the picture is empty.
    pub fn explain(&mut self, picture: &RgbImage) -> Result<Answer, RunError> {
        self.explain_prepared(&self.metadata.preprocess.prepare(picture))
    }

    /// Does as [`Engine::explain`] does for a picture that is prepared: 3 x height x width values.
    ///
    /// # Errors
    /// As [`Engine::explain`]; also when the number of values does not fit.
    pub fn explain_prepared(&mut self, image: &[f32]) -> Result<Answer, RunError> {
        let mut outputs = self.network.run(image)?.into_iter();
        let logits = outputs.next().unwrap_or_default();
        let explanation = outputs.next().unwrap_or_default();
        if logits.len() != self.metadata.labels.len() || logits.iter().any(|x| !x.is_finite()) {
            return Err(RunError::LogitNotFinite);
        }
        let explanation = ClassMap::new(self.attention.grid(), explanation)?;
        Ok(Answer { logits, explanation, adapters: outputs.collect() })
    }

    /// Runs the network on a prepared picture, and tells what each operator took: [`Network::profile`].
    ///
    /// # Errors
    /// Returns [`RunError`] when the network fails or the number of values does not fit.
    pub fn profile(&mut self, image: &[f32]) -> Result<Vec<(String, Duration)>, RunError> {
        Ok(self.network.profile(image)?)
    }

    /// Computes the raw map of any class from the same pass.
    ///
    /// # Errors
    /// Returns [`RunError::Map`] when the network's feature maps are not finite.
    ///
    /// # Panics
    /// Panics if the class does not exist: take it from the model's labels.
    pub fn class_map(&self, answer: &Answer, class: ClassIndex) -> Result<ClassMap, RunError> {
        if class == answer.predicted() {
            return Ok(answer.explanation.clone());
        }
        Ok(self.computed_map(answer, class)?)
    }

    /// Computes a map as for a class that was not predicted.
    fn computed_map(&self, answer: &Answer, class: ClassIndex) -> Result<ClassMap, MapError> {
        let adapters: Vec<&[f32]> = answer.adapters.iter().map(Vec::as_slice).collect();
        self.attention.class_map(class, &adapters)
    }
}

#[cfg(test)]
mod tests;
