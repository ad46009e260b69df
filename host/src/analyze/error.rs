//! Why an analysis fails.

use std::path::PathBuf;

use lcam_models::map::MapError;
use tch::TchError;

use crate::dataset::DatasetError;
use crate::evaluate::EvaluateError;
use crate::graph::RunError;

/// Pictures, labels or a model that cannot be analysed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnalyzeError {
    /// The model cannot be used.
    #[error(transparent)]
    Model(#[from] EvaluateError),
    /// The folder holds no usable pictures.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The network failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TchError),
    /// A map cannot be used.
    #[error("the map of {picture} cannot be used: {problem}")]
    Map {
        /// The picture.
        picture: PathBuf,
        /// What is wrong with it.
        problem: MapError,
    },
    /// The file of labels cannot be read.
    #[error("cannot read {path}: {problem}; give a CSV file of path,label")]
    Truth {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A line of the file of labels is wrong.
    #[error("line {line} of {path}: {problem}")]
    TruthLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A folder is not called as a class.
    #[error("the folder {folder} does not name a class: {problem}")]
    TruthFolder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with its name.
        problem: String,
    },
    /// None of the pictures has a label.
    #[error("{path} names none of the {count} pictures; give paths relative to --images")]
    NoTruth {
        /// The file.
        path: PathBuf,
        /// How many pictures there are.
        count: usize,
    },
    /// An event of a device cannot be read.
    #[error("cannot read the event {path}: {problem}")]
    Event {
        /// Its JSON file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Masks with a device's events.
    #[error("a device's events have no masks; leave out --masks")]
    EventMasks,
    /// No mask could be used.
    #[error("none of the {count} pictures has a usable mask; the first: {first}")]
    NoMasks {
        /// How many pictures there are.
        count: usize,
        /// What is wrong with the first mask.
        first: String,
    },
    /// The two models do not know the same classes.
    #[error(
        "the other model has {found}, this one {expected}; compare models of the same classes in the same order"
    )]
    Classes {
        /// This model's classes.
        expected: String,
        /// The other one's.
        found: String,
    },
}
