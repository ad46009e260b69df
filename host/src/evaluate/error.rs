//! Why an evaluation fails.

use std::path::PathBuf;

use lcam_models::atomic_file::WriteError;
use lcam_models::explained::ExplainedError;
use lcam_models::map::MapError;
use tch::TchError;

use super::Method;
use crate::classifier::ClassifierError;
use crate::dataset::DatasetError;
use crate::graph::RunError;

/// A model or pictures that cannot be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The file is no explained model.
    #[error(transparent)]
    Model(#[from] ExplainedError),
    /// The file is no classifier that can be run.
    #[error(transparent)]
    Classifier(#[from] ClassifierError),
    /// A tensor that the file's metadata name is missing.
    #[error("the model has no tensor {name:?}; export it again")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// The folder holds no pictures.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// No mask could be used.
    #[error("none of the {count} pictures has a usable mask; the first: {first}")]
    NoMasks {
        /// How many pictures there are.
        count: usize,
        /// What is wrong with the first mask.
        first: String,
    },
    /// The network failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TchError),
    /// The folder for the maps holds something.
    #[error("{path} already exists and is not empty; choose another --maps or remove it")]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// Two pictures differ in nothing but their ending.
    #[error("two pictures would have the same map {path}; rename one of them")]
    SameMap {
        /// The map.
        path: PathBuf,
    },
    /// The folder for a map cannot be made.
    #[error("cannot write {path}: {problem}; check that the folder is writable and has room")]
    Maps {
        /// The map.
        path: PathBuf,
        /// What the operating system said.
        problem: std::io::Error,
    },
    /// A map cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A method cannot make its map.
    #[error("{method} has no map: {problem}")]
    ClassMap {
        /// The method.
        method: Method,
        /// What is wrong with it.
        problem: MapError,
    },
    /// A method's map cannot be used.
    #[error("the map of {method} for {picture} cannot be used: {problem}")]
    Map {
        /// The method.
        method: Method,
        /// The picture.
        picture: PathBuf,
        /// What is wrong with it.
        problem: MapError,
    },
}

impl EvaluateError {
    /// Tells whether the model is to blame, and not pictures, masks or where maps go.
    #[must_use]
    pub fn is_about_the_model(&self) -> bool {
        matches!(
            self,
            Self::Model(_)
                | Self::Classifier(_)
                | Self::Missing { .. }
                | Self::Run(_)
                | Self::Torch(_)
        )
    }
}
