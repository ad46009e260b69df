//! The report of an evaluation: a folder with `index.html`, to be read, and `table.md`, to be quoted.
//!
//! The page stands alone: style, curves and pictures are in it, nothing is loaded from elsewhere and nothing is
//! executed. The folder appears whole or not at all, and replaces nothing but an earlier report.

mod analysis;
mod charts;
mod definitions;
mod extra;
mod folder;
mod gallery;
mod markdown;
mod page;
mod quantization;
mod table;

use std::path::{Path, PathBuf};

use lcam_models::metadata::Metadata;
use maud::Markup;

use crate::evaluate::{Evaluation, Options, Summary};
pub use analysis::AnalysisReport;
pub use quantization::QuantizationReport;

/// What a report tells of.
#[derive(Debug)]
pub struct Report<'a> {
    /// The program and its version.
    pub tool: &'a str,
    /// The model's file.
    pub model: &'a Path,
    /// What the file says about itself.
    pub metadata: &'a Metadata,
    /// What was asked for.
    pub options: &'a Options,
    /// What was measured.
    pub evaluation: &'a Evaluation,
    /// Its figures.
    pub summaries: &'a [Summary],
    /// Further sections, in order: what else was found out about the methods.
    pub sections: Vec<Section>,
}

/// A section of its own between the gallery and the settings.
#[derive(Debug)]
pub struct Section {
    /// What is above it.
    pub title: String,
    /// What is in it on the page.
    pub body: Markup,
    /// The same in plain text, for the file of the table.
    pub text: String,
}

/// A folder that cannot become a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// It holds files that are no report's.
    #[error("{path} holds {found}, which is no part of a report; choose another --output")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The first such file.
        found: String,
    },
    /// It is a file.
    #[error("{path} is no folder; choose another --output")]
    NoFolder {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error(
        "cannot write the report {path}: {problem}; check that the folder is writable and has room"
    )]
    Write {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        problem: std::io::Error,
    },
    /// A picture cannot be encoded.
    #[error("a picture of the report cannot be encoded: {0}")]
    Picture(#[from] image::ImageError),
}

impl Report<'_> {
    /// Writes the folder; an earlier report there is replaced.
    ///
    /// # Errors
    /// Returns [`ReportError`] when the folder holds other files or cannot be written.
    pub fn write(&self, output: &Path) -> Result<(), ReportError> {
        let page = page::page(self)?.into_string();
        let table = markdown::table(self);
        folder::write(output, &[(folder::PAGE, &page), (folder::TABLE, &table)])
    }
}

/// Refuses a folder that a report must not replace; to be asked before anything is measured.
///
/// # Errors
/// Returns [`ReportError`] when it holds other files than a report's, or is a file.
pub fn check_output(output: &Path) -> Result<(), ReportError> {
    folder::check(output)
}
