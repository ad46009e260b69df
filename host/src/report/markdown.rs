//! The figures as a table in GitHub's Markdown.

use std::fmt::Write;

use super::Report;
use super::table::{best, rows};

/// Gives the table: a row a method, the best of each column bold, a star where it clearly differs from the first.
pub(super) fn table(report: &Report<'_>) -> String {
    let rows = rows(report.summaries);
    let mut text = String::from("| figure, in percent |");
    // Writing to a string cannot fail.
    for summary in report.summaries {
        let _ = write!(text, " {} |", summary.method);
    }
    text.push_str("\n| --- |");
    text.push_str(&" ---: |".repeat(report.summaries.len()));
    for (figure, estimates) in &rows {
        let _ = write!(text, "\n| {} {} |", figure.title(), figure.better().arrow());
        let best = best(*figure, estimates);
        for (index, estimate) in estimates.iter().enumerate() {
            let star = if estimate.clear_difference().is_some() { "\\*" } else { "" };
            let mean = format!("{:.1}{star}", estimate.interval.mean);
            let _ = if best.contains(&index) {
                write!(text, " **{mean}** |")
            } else {
                write!(text, " {mean} |")
            };
        }
    }
    text.push_str("\n| passes a picture |");
    for time in &report.evaluation.times {
        let _ = write!(text, " {} |", time.passes);
    }
    let _ = write!(
        text,
        "\n\n{} pictures; {}. ↓ is better low, ↑ better high; \\* the 95 % interval of the paired difference from \
         {} leaves 0 out.\n",
        report.evaluation.outcomes.len(),
        report.tool,
        report.summaries.first().map(|summary| summary.method.to_string()).unwrap_or_default()
    );
    for problem in &report.evaluation.unreadable {
        let _ = writeln!(text, "\nLeft out: {problem}");
    }
    for problem in &report.evaluation.unusable_masks {
        let _ = writeln!(text, "\nWithout mask: {problem}");
    }
    for section in &report.sections {
        let _ = writeln!(text, "\n{}:\n\n```text\n{}\n```", section.title, section.text.trim_end());
    }
    text
}
