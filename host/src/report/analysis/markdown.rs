//! The findings, causes and confusions as tables in GitHub's Markdown.

use std::fmt::Write;

use super::AnalysisReport;
use super::findings::p_value;
use crate::analyze::causes::Cause;
use crate::analyze::finding::with_interval;

pub(super) fn table(report: &AnalysisReport<'_>) -> String {
    let audit = &report.analysis.audit;
    let mut text =
        "| | finding | effect | p, corrected |\n| ---: | --- | ---: | ---: |\n".to_owned();
    // Writing to a string cannot fail.
    for (rank, finding) in audit.findings.iter().enumerate() {
        let (interval, p) =
            (with_interval(finding.effect.interval), p_value(finding.effect.adjusted_p));
        let sentence = finding.sentence.replace('|', "\\|");
        let _ = writeln!(
            text,
            "| {} | {}: {sentence} | {interval} | {p} |",
            rank + 1,
            finding.kind.title()
        );
    }
    let _ = write!(
        text,
        "\n{} pictures, {} findings; {}.\n",
        audit.records.len(),
        audit.findings.len(),
        report.tool
    );
    if report.has_truth() {
        text.push_str("\n| cause of the error | pictures |\n| --- | ---: |\n");
        for cause in Cause::ALL {
            let count = audit.cases.iter().filter(|case| case.cause == cause).count();
            let _ = writeln!(text, "| {} | {count} |", cause.title());
        }
    }
    if !audit.confusions.is_empty() {
        text.push_str("\n| label | named | pictures | argues for it | against it |\n| --- | --- | ---: | --- | --- |\n");
        for pair in &audit.confusions {
            let (truth, named) = (report.label(pair.truth), report.label(pair.named));
            let (with, against) = (pair.for_named.place(), pair.for_truth.place());
            let _ =
                writeln!(text, "| {truth} | {named} | {} | {with} | {against} |", pair.pictures);
        }
    }
    text
}
