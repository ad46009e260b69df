//! The real EfficientNet-Lite0, which `tests/run` makes by models/efficientnet-lite0/export.py.

use std::path::{Path, PathBuf};

use lcam_host::attention::Attention;
use lcam_host::classifier::Classifier;
use lcam_host::export::attach;
use lcam_host::layers::{self, Layers};
use lcam_models::class::Labels;
use lcam_models::explained::ExplainedModel;
use lcam_models::metadata::{AttentionLayout, Metadata, Provenance, Quantization, Variant};
use lcam_models::onnx::{ModelProto, read_model};
use lcam_models::preprocess::{Normalization, Preprocess};

pub(crate) fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/efficientnet-lite0-classifier.onnx")
}

pub(crate) fn model() -> ModelProto {
    read_model(&path()).expect("tests/run makes the classifier")
}

/// Gives the classifier and the layer that the paper's method looks at.
pub(crate) fn classifier() -> (Classifier, Layers) {
    let classifier = Classifier::new(&model(), None).expect("a classifier");
    let maps = layers::choose(&classifier).expect("it has feature maps");
    (classifier, Layers::single(maps))
}

/// Finds the layers that the default recipe looks at.
pub(crate) fn layers() -> Layers {
    let (classifier, Layers { deepest, .. }) = classifier();
    Layers { finer: layers::finer(&classifier, &deepest, 2), deepest }
}

pub(crate) fn explained(attention: &Attention, quantization: Quantization) -> ExplainedModel {
    let (classifier, single) = classifier();
    let layers = if attention.layers.len() > 1 { layers() } else { single };
    let metadata = Metadata {
        variant: Variant::Fm,
        quantization,
        preprocess: Preprocess::usual(classifier.input_size(), Normalization::TF),
        labels: Labels::numbered(1000),
        attention: AttentionLayout::default(),
        provenance: Provenance::default(),
    };
    attach(&model(), &classifier, &layers, attention, metadata).expect("an explained model")
}
