//! What the tests of the whole work with: the shipped model, the sample photographs, and how answers are compared.

mod both;
mod pair;

use std::path::{Path, PathBuf};

use image::RgbImage;
use lcam_models::picture::{PictureError, read_picture};

pub use both::run_both;
pub use pair::Pair;

/// A sample photograph and what a person sees on it.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its file in models/samples.
    pub file: &'static str,
    /// The ImageNet classes that are right, 0-based.
    pub classes: &'static [usize],
    /// The box around the object, as shares of the picture's width and height: left, top, right, bottom.
    pub object: [f64; 4],
}

/// The photographs that come with the project.
pub const SAMPLES: [Sample; 3] = [
    // Tabby, tiger cat or Egyptian cat; its head.
    Sample { file: "chelsea.jpg", classes: &[281, 282, 285], object: [0.10, 0.0, 0.85, 1.0] },
    // Espresso; the cup.
    Sample { file: "coffee.jpg", classes: &[967], object: [0.25, 0.10, 0.85, 0.85] },
    // Tripod.
    Sample { file: "camera.jpg", classes: &[872], object: [0.30, 0.40, 0.75, 1.0] },
];

/// Gives the path of the shipped model.
#[must_use]
pub fn shipped_model() -> PathBuf {
    models().join("efficientnet-lite0/efficientnet-lite0.onnx")
}

/// Gives the path of the classifier that the shipped model is made from; `tests/run` makes it.
#[must_use]
pub fn plain_classifier() -> PathBuf {
    models().join("../target/efficientnet-lite0-classifier.onnx")
}

/// Gives the folder of the sample photographs.
#[must_use]
pub fn samples() -> PathBuf {
    models().join("samples")
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

impl Sample {
    /// Reads the photograph.
    ///
    /// # Errors
    /// Returns [`PictureError`] when it cannot be read.
    pub fn read(&self) -> Result<RgbImage, PictureError> {
        read_picture(&samples().join(self.file))
    }
}
