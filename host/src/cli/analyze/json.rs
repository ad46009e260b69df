//! An analysis for programs: labels and paths in place of numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::analyze::classes::{ClassSummary, Confusion};
use crate::analyze::compare::Change;
use crate::analyze::fields::Field;
use crate::analyze::finding::{Effect, Finding, Kind};
use crate::analyze::regions::{Region, SIDE};
use crate::analyze::slices::Slice;
use crate::analyze::{Cause, Record};
use crate::report::AnalysisReport;

/// The version of the document: fields may be added to it; others would make it 2.
const FORMAT: u32 = 1;

/// The whole document.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    format: u32,
    tool: &'a str,
    model: String,
    against: Option<String>,
    images: String,
    pictures: usize,
    /// Cells to a side of the grid that regions and attention are told in.
    grid: usize,
    labels: Vec<&'a str>,
    findings: Vec<FoundFault<'a>>,
    errors: Vec<Mistake<'a>>,
    confusions: &'a [Confusion],
    classes: &'a [ClassSummary],
    slices: &'a [Slice],
    field: Option<&'a Field>,
    comparison: Option<Compared<'a>>,
    unreadable: Vec<String>,
    unusable_masks: Vec<String>,
    unlabelled: usize,
}

#[derive(Serialize)]
struct FoundFault<'a> {
    kind: Kind,
    classes: Vec<&'a str>,
    sentence: &'a str,
    effect: &'a Effect,
    numbers: BTreeMap<&'a str, &'a str>,
    place: Option<&'static str>,
    region: Option<Region>,
    pictures: Vec<String>,
}

#[derive(Serialize)]
struct Mistake<'a> {
    picture: String,
    named: &'a str,
    confidence: f64,
    label: &'a str,
    label_confidence: f64,
    cause: Cause,
    /// The share of the two classes' regions that is the same.
    overlap: f64,
    spread: f64,
}

#[derive(Serialize)]
struct Compared<'a> {
    whole: &'a Change,
    classes: BTreeMap<&'a str, &'a Change>,
    findings: Vec<(&'static str, FoundFault<'a>)>,
}

impl<'a> Document<'a> {
    pub(super) fn new(report: &AnalysisReport<'a>) -> Self {
        let (analysis, labels) = (report.analysis, &report.metadata.labels);
        let audit = &analysis.audit;
        let label = |class: usize| labels.iter().nth(class).unwrap_or("?");
        let picture =
            |record: &Record| analysis.pictures.paths[record.picture].display().to_string();
        let fault = |found: &'a Finding, records: &[Record]| FoundFault {
            kind: found.kind,
            classes: found.classes.iter().map(|&class| label(class)).collect(),
            sentence: &found.sentence,
            effect: &found.effect,
            numbers: found.numbers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect(),
            place: found.region.map(Region::place),
            region: found.region,
            pictures: found.records.iter().filter_map(|&i| records.get(i)).map(picture).collect(),
        };
        let mistake = |case: &crate::analyze::causes::Case| {
            let record = &audit.records[case.record];
            Mistake {
                picture: picture(record),
                named: label(record.named),
                confidence: record.confidence,
                label: record.truth.map_or("?", label),
                label_confidence: record.truth_confidence,
                cause: case.cause,
                overlap: record.overlap,
                spread: record.attention.spread,
            }
        };
        Self {
            format: FORMAT,
            tool: report.tool,
            model: report.model.display().to_string(),
            against: report.against.map(|path| path.display().to_string()),
            images: report.options.images.display().to_string(),
            pictures: audit.records.len(),
            grid: SIDE,
            labels: labels.iter().collect(),
            findings: audit.findings.iter().map(|found| fault(found, &audit.records)).collect(),
            errors: audit.cases.iter().map(mistake).collect(),
            confusions: &audit.confusions,
            classes: &audit.classes,
            slices: &audit.slices,
            field: analysis.field.as_ref(),
            comparison: analysis.comparison.as_ref().map(|compared| Compared {
                whole: &compared.whole,
                classes: compared.classes.iter().map(|(c, change)| (label(*c), change)).collect(),
                // New ones are told with the other model's records, which are of the same pictures in the same order
                // unless one could not be read.
                findings: compared
                    .findings
                    .iter()
                    .map(|(fate, found)| {
                        let own = *fate != crate::analyze::compare::Fate::New;
                        let records = if own { &audit.records } else { &compared.other.records };
                        (fate.title(), fault(found, records))
                    })
                    .collect(),
            }),
            unreadable: audit.unreadable.iter().map(ToString::to_string).collect(),
            unusable_masks: audit.unusable_masks.iter().map(ToString::to_string).collect(),
            unlabelled: analysis.unlabelled,
        }
    }
}
