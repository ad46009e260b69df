//! What an explained model says about itself, in the `metadata_props` of its ONNX file.
//!
//! One key each, so that any viewer of ONNX files shows them: `lcam.format` (a number), `lcam.variant` and
//! `lcam.quantization` (words), and as JSON `lcam.preprocess`, `lcam.labels`, `lcam.attention` and
//! `lcam.provenance`. No second file is needed beside the model.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::class::Labels;
use crate::map::GridSize;
use crate::onnx::ModelProto;
use crate::preprocess::Preprocess;

/// The version of the file format that is written, and the newest that is read.
pub const FORMAT: u32 = 1;

const FORMAT_KEY: &str = "lcam.format";
const VARIANT_KEY: &str = "lcam.variant";
const QUANTIZATION_KEY: &str = "lcam.quantization";
const PREPROCESS_KEY: &str = "lcam.preprocess";
const LABELS_KEY: &str = "lcam.labels";
const ATTENTION_KEY: &str = "lcam.attention";
const PROVENANCE_KEY: &str = "lcam.provenance";

/// All that a device needs to know about a model beside its graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    /// How the attention mechanism was trained.
    pub variant: Variant,
    /// In which numbers it is stored.
    pub quantization: Quantization,
    /// How a picture becomes the network's input.
    pub preprocess: Preprocess,
    /// The names of the classes.
    pub labels: Labels,
    /// Where the attention mechanism sits in the graph.
    pub attention: AttentionLayout,
    /// Where the model comes from.
    pub provenance: Provenance,
}

/// What the mask was applied to in training. The exported graph is the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// L-CAM-Fm: the feature maps.
    Fm,
    /// L-CAM-Img: the picture.
    Img,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fm => "L-CAM-Fm",
            Self::Img => "L-CAM-Img",
        })
    }
}

/// In which numbers a network is stored and meant to be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantization {
    /// 32-bit floating point.
    None,
    /// Weights as int8 with one scale a channel, arithmetic in floating point.
    WeightsInt8,
    /// Weights as int8 with one scale a channel, activations as int8 with one scale a tensor, written with pairs of
    /// `QuantizeLinear` and `DequantizeLinear` (QDQ).
    Int8,
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "float32",
            Self::WeightsInt8 => "int8 weights, float32 arithmetic",
            Self::Int8 => "int8 weights and activations (QDQ)",
        })
    }
}

/// Where the attention mechanism sits in the graph: the names of its tensors.
///
/// The map of class `r` is `activation(sum over layers of upsample(W_l[r] * A_l) + b[r])`, with `A_l` a layer's
/// adapted feature maps and `W_l` its weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttentionLayout {
    /// The layers; all maps are upsampled to the finest grid among them.
    pub layers: Vec<AttentionLayer>,
    /// The initializer with one bias a class, `[R]` f32.
    pub bias: String,
    /// What makes the map of the sum.
    #[serde(default, skip_serializing_if = "Activation::is_none")]
    pub activation: Activation,
}

/// What is applied to each value of a class map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Nothing, as in the paper: the map is the raw evidence.
    #[default]
    None,
    /// `1 / (1 + exp(-x))`: strong evidence is shown in full, and what speaks against the class not at all.
    Sigmoid,
}

impl Activation {
    /// Tells whether nothing is applied.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// One layer that the attention mechanism looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttentionLayer {
    /// The classifier's feature maps, `[1, C', h, w]`.
    pub feature_maps: String,
    /// The adapted feature maps that are weighted, `[1, C, h*w]`.
    pub adapter: String,
    /// The initializer with the weights, `[R, C]` f32 or int8; `[1, C]` where all classes share one row.
    pub weights: String,
    /// The initializer with one scale a row of int8 weights, `[R, 1]` f32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scales: Option<String>,
    /// The layer's grid.
    pub grid: GridSize,
}

/// Where a model comes from; for people, not for programs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The program that wrote the file, with its version.
    pub tool: String,
    /// The classifier's file name.
    pub classifier: String,
    /// SHA-256 of the classifier's file, in hexadecimal.
    pub classifier_sha256: String,
    /// How the attention mechanism was trained: setting -> value.
    pub training: BTreeMap<String, String>,
    /// What was measured: score -> value.
    pub scores: BTreeMap<String, f64>,
}

/// Metadata that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The file is a plain ONNX model.
    #[error(
        "it is not an explained model (no `{FORMAT_KEY}` in its metadata); make one with `lcam-host train`"
    )]
    NotExplained,
    /// The file was written by a newer program.
    #[error("it has format {found}, and this program reads up to {FORMAT}; update the program")]
    TooNew {
        /// The file's format.
        found: u32,
    },
    /// A key is missing or holds what it should not.
    #[error("its metadata `{key}` is unusable ({reason}); export the model again")]
    Unusable {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Metadata {
    /// Reads the metadata of a model.
    ///
    /// # Errors
    /// Returns [`MetadataError`] when the model is none of ours, too new, or its metadata are damaged.
    pub fn read(model: &ModelProto) -> Result<Self, MetadataError> {
        let format = model.metadata(FORMAT_KEY).ok_or(MetadataError::NotExplained)?;
        match format.parse::<u32>() {
            Ok(1..=FORMAT) => {}
            Ok(found) if found > FORMAT => return Err(MetadataError::TooNew { found }),
            _ => return Err(unusable(FORMAT_KEY, format!("{format:?} is no version"))),
        }
        let metadata = Self {
            variant: word(model, VARIANT_KEY)?,
            quantization: word(model, QUANTIZATION_KEY)?,
            preprocess: json(model, PREPROCESS_KEY)?,
            labels: json(model, LABELS_KEY)?,
            attention: json(model, ATTENTION_KEY)?,
            provenance: json(model, PROVENANCE_KEY)?,
        };
        metadata.preprocess.check().map_err(|error| unusable(PREPROCESS_KEY, error.to_string()))?;
        Ok(metadata)
    }

    /// Writes the metadata into a model, in place of older ones.
    pub fn write(&self, model: &mut ModelProto) {
        let quoted = |text: String| text.trim_matches('"').to_owned();
        model.set_metadata(FORMAT_KEY, &FORMAT.to_string());
        model.set_metadata(VARIANT_KEY, &quoted(to_json(&self.variant)));
        model.set_metadata(QUANTIZATION_KEY, &quoted(to_json(&self.quantization)));
        model.set_metadata(PREPROCESS_KEY, &to_json(&self.preprocess));
        model.set_metadata(LABELS_KEY, &to_json(&self.labels));
        model.set_metadata(ATTENTION_KEY, &to_json(&self.attention));
        model.set_metadata(PROVENANCE_KEY, &to_json(&self.provenance));
    }
}

fn to_json(value: &impl Serialize) -> String {
    // None of these types has a map with keys that are no strings, the one thing JSON cannot hold.
    serde_json::to_string(value).unwrap_or_default()
}

fn json<T: DeserializeOwned>(model: &ModelProto, key: &'static str) -> Result<T, MetadataError> {
    let text = model.metadata(key).ok_or_else(|| unusable(key, "it is missing".to_owned()))?;
    serde_json::from_str(text).map_err(|error| unusable(key, error.to_string()))
}

fn word<T: DeserializeOwned>(model: &ModelProto, key: &'static str) -> Result<T, MetadataError> {
    let text = model.metadata(key).ok_or_else(|| unusable(key, "it is missing".to_owned()))?;
    serde_json::from_value(text.into()).map_err(|error| unusable(key, error.to_string()))
}

fn unusable(key: &'static str, reason: String) -> MetadataError {
    MetadataError::Unusable { key, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::{ImageSize, Normalization};

    fn metadata() -> Metadata {
        let layer = AttentionLayer {
            feature_maps: "relu".to_owned(),
            adapter: "lcam.adapter".to_owned(),
            weights: "lcam.weights".to_owned(),
            scales: Some("lcam.scales".to_owned()),
            grid: GridSize { height: 7, width: 7 },
        };
        Metadata {
            variant: Variant::Fm,
            quantization: Quantization::WeightsInt8,
            preprocess: Preprocess::usual(
                ImageSize { width: 224, height: 224 },
                Normalization::IMAGENET,
            ),
            labels: Labels::from_lines("cat\ndog"),
            attention: AttentionLayout {
                layers: vec![layer],
                bias: "lcam.bias".to_owned(),
                activation: Activation::Sigmoid,
            },
            provenance: Provenance { tool: "test".to_owned(), ..Provenance::default() },
        }
    }

    #[test]
    fn reads_what_it_wrote() {
        let mut model = ModelProto::default();
        metadata().write(&mut model);
        assert_eq!(model.metadata("lcam.quantization"), Some("weights-int8"));
        assert_eq!(Metadata::read(&model), Ok(metadata()));
    }

    #[test]
    fn tells_apart_foreign_new_and_damaged_files() {
        assert_eq!(Metadata::read(&ModelProto::default()), Err(MetadataError::NotExplained));
        let mut model = ModelProto::default();
        metadata().write(&mut model);
        for (key, value) in [
            ("lcam.format", "x"),
            ("lcam.format", "0"),
            ("lcam.variant", "zebra"),
            ("lcam.labels", "[1,2]"),
            ("lcam.preprocess", r#"{"input":{"width":0,"height":1},"resize":1}"#),
            ("lcam.attention", ""),
        ] {
            let mut damaged = model.clone();
            damaged.set_metadata(key, value);
            let error = Metadata::read(&damaged).unwrap_err();
            assert!(matches!(error, MetadataError::Unusable { .. }), "{key}={value}: {error}");
        }
        model.set_metadata("lcam.format", "2");
        let message = Metadata::read(&model).unwrap_err().to_string();
        assert_eq!(message, "it has format 2, and this program reads up to 1; update the program");
    }
}
