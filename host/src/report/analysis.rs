//! The report of an analysis: findings first, each with its numbers and pictures, then errors, classes and slices.

mod changes;
mod errors;
mod findings;
mod markdown;
mod overview;
mod pictures;

use std::collections::BTreeMap;
use std::path::Path;

use lcam_models::class::{ClassIndex, Labels};
use lcam_models::metadata::Metadata;
use maud::html;

use super::{ReportError, folder, page};
use crate::analyze::shown::Shown;
use crate::analyze::{Analysis, Options, Record};

/// Findings whose pictures are shown; the rest is told in words.
const ILLUSTRATED: usize = 24;
/// Pictures of a finding.
const PICTURES: usize = 6;
/// Pictures of each cause of errors.
const ERRORS: usize = 4;
/// Confusions, and pictures of each.
const CONFUSIONS: usize = 6;
const CONFUSED: usize = 2;
/// Pictures that two models name differently.
const CHANGED: usize = 6;

/// What the report of an analysis tells of.
#[derive(Debug)]
pub struct AnalysisReport<'a> {
    /// The program and its version.
    pub tool: &'a str,
    /// The model's file.
    pub model: &'a Path,
    /// What the file says about itself.
    pub metadata: &'a Metadata,
    /// The other model's file.
    pub against: Option<&'a Path>,
    /// What was asked for.
    pub options: &'a Options,
    /// What was found out.
    pub analysis: &'a Analysis,
    /// The pictures of [`AnalysisReport::wanted`], by record.
    pub shown: BTreeMap<usize, Shown>,
    /// The same of [`AnalysisReport::wanted_of_other`].
    pub shown_of_other: BTreeMap<usize, Shown>,
}

impl<'a> AnalysisReport<'a> {
    /// Lists the records whose pictures the report shows.
    #[must_use]
    pub fn wanted(analysis: &Analysis) -> Vec<usize> {
        let audit = &analysis.audit;
        let findings = audit.findings.iter().take(ILLUSTRATED);
        let mut wanted: Vec<usize> =
            findings.flat_map(|found| found.records.iter().take(PICTURES).copied()).collect();
        wanted.extend(errors::examples(analysis).into_iter().flatten().map(|case| case.record));
        let confusions = audit.confusions.iter().take(CONFUSIONS);
        wanted.extend(confusions.flat_map(|pair| pair.records.iter().take(CONFUSED)).copied());
        wanted.extend(Self::changed(analysis).map(|[first, _]| first));
        let field = analysis.field.iter().flat_map(|field| &field.changed);
        wanted.extend(field.take(CHANGED).copied());
        wanted
    }

    /// Lists the other model's records whose pictures the report shows.
    #[must_use]
    pub fn wanted_of_other(analysis: &Analysis) -> Vec<usize> {
        Self::changed(analysis).map(|[_, other]| other).collect()
    }

    fn changed(analysis: &Analysis) -> impl Iterator<Item = [usize; 2]> {
        let comparison = analysis.comparison.iter();
        comparison.flat_map(|comparison| comparison.changed.iter().take(CHANGED)).copied()
    }

    /// Writes the folder; an earlier report there is replaced.
    ///
    /// # Errors
    /// Returns [`ReportError`] when the folder holds other files or cannot be written.
    pub fn write(&self, output: &Path) -> Result<(), ReportError> {
        let page = self.page()?;
        let table = markdown::table(self);
        folder::write(output, &[(folder::PAGE, &page), (folder::TABLE, &table)])
    }

    fn page(&self) -> Result<String, ReportError> {
        let name = self.model.file_name().unwrap_or_default().to_string_lossy();
        let title = format!("What is wrong with {name} and its pictures?");
        let header = overview::lead(self);
        let main = html! {
            (findings::section(self)?)
            (changes::field(self)?)
            (changes::comparison(self)?)
            (errors::section(self)?)
            (errors::confusions(self)?)
            (overview::classes(self))
            (overview::slices(self))
            (overview::rules())
            (page::settings_table(&overview::settings(self)))
            (overview::left_out(self))
        };
        Ok(page::document(&title, &header, &main, self.tool).into_string())
    }

    fn labels(&self) -> &'a Labels {
        &self.metadata.labels
    }

    fn label(&self, class: usize) -> &'a str {
        self.labels().short_label(ClassIndex(class))
    }

    fn record(&self, index: usize) -> Option<&'a Record> {
        self.analysis.audit.records.get(index)
    }

    /// Gives the file name of a record's picture.
    fn name(&self, record: &Record) -> String {
        let path = self.analysis.pictures.paths.get(record.picture);
        path.and_then(|path| path.file_name()).unwrap_or_default().to_string_lossy().into_owned()
    }

    fn has_truth(&self) -> bool {
        self.options.truth.is_some()
    }
}
