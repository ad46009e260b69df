//! An explained model, ready to be measured.

use std::path::Path;

use lcam_models::explained::{Attention, EXPLANATION, ExplainedModel};
use lcam_models::metadata::Metadata;
use lcam_models::preprocess::Preprocess;
use tch::{Device, Tensor};

use super::EvaluateError;
use crate::classifier::Classifier;
use crate::graph::{RunError, ValueId};

/// An explained model on a device: the classifier, its feature maps and the file's own explanation.
#[derive(Debug)]
pub struct Explained {
    classifier: Classifier,
    metadata: Metadata,
    attention: Attention,
    adapters: Vec<ValueId>,
    layers: Vec<ValueId>,
    feature_maps: ValueId,
    explanation: ValueId,
}

impl Explained {
    /// Reads a model file.
    ///
    /// # Errors
    /// Returns [`EvaluateError`] when it is no explained model or cannot be run.
    pub fn read(path: &Path, device: Device) -> Result<Self, EvaluateError> {
        Self::new(ExplainedModel::read(path)?, device)
    }

    /// Takes a model.
    ///
    /// # Errors
    /// Returns [`EvaluateError`] when it cannot be run.
    pub fn new(model: ExplainedModel, device: Device) -> Result<Self, EvaluateError> {
        let (proto, metadata, attention) = model.into_parts();
        let mut classifier = Classifier::new(&proto, None)?;
        classifier.to_device(device)?;
        let value = |name: &str| {
            let found = classifier.graph().value(name);
            found.ok_or_else(|| EvaluateError::Missing { name: name.to_owned() })
        };
        // With several layers, the deepest one is what methods on feature maps work with: it comes last.
        let layers = metadata.attention.layers.iter().map(|layer| value(&layer.feature_maps));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let adapters = attention.adapters().map(value).collect::<Result<_, _>>()?;
        let explanation = value(EXPLANATION)?;
        // The contract has at least one layer.
        let feature_maps = layers.last().copied().unwrap_or(explanation);
        Ok(Self { classifier, metadata, attention, adapters, layers, feature_maps, explanation })
    }

    /// Gives the classifier.
    #[must_use]
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// Gives what the file says about itself.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Gives how pictures are prepared.
    #[must_use]
    pub fn preprocess(&self) -> &Preprocess {
        &self.metadata.preprocess
    }

    /// Gives the feature maps of the explained layer.
    #[must_use]
    pub fn feature_maps(&self) -> ValueId {
        self.feature_maps
    }

    /// Gives the raw map of the named class, `[B, 1, h, w]`.
    #[must_use]
    pub fn explanation(&self) -> ValueId {
        self.explanation
    }

    /// Gives the file's attention mechanism, for the maps of classes that were not named.
    #[must_use]
    pub fn attention(&self) -> &Attention {
        &self.attention
    }

    /// Gives the adapted feature maps that the attention mechanism weights, `[B, C, h*w]` each.
    #[must_use]
    pub fn adapters(&self) -> &[ValueId] {
        &self.adapters
    }

    /// Gives the feature maps of all layers that the attention mechanism looks at, the deepest last.
    #[must_use]
    pub fn layers(&self) -> &[ValueId] {
        &self.layers
    }

    pub(super) fn classifier_mut(&mut self) -> &mut Classifier {
        &mut self.classifier
    }

    /// Runs the network on normalised pictures `[B, 3, H, W]`.
    ///
    /// # Errors
    /// Returns [`RunError`] when a node fails.
    pub fn run(&self, images: &Tensor, wanted: &[ValueId]) -> Result<Vec<Tensor>, RunError> {
        self.classifier.graph().run(&[(self.classifier.image(), images)], wanted)
    }
}
