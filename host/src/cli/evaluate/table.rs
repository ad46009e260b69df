//! The figures on the terminal: one row a figure, one column a method.

use std::fmt::Write;

use crate::evaluate::{Estimate, Evaluation, Figure, Summary};

/// The width of the figures' names, the longest and an arrow.
const NAME: usize = 44;
/// The width of a method's column: `-12.3 *` and a name like `recipro-cam`.
const COLUMN: usize = 13;

/// Lays the figures out for reading.
pub(super) fn table(evaluation: &Evaluation, summaries: &[Summary]) -> String {
    let mut text =
        format!("{} pictures, figures in percent\n{:NAME$}", evaluation.outcomes.len(), "");
    // Writing to a string cannot fail.
    for summary in summaries {
        let _ = write!(text, "{:>COLUMN$}", summary.method.to_string());
    }
    text.push('\n');
    for figure in Figure::all() {
        let row: Vec<&Estimate> =
            summaries.iter().filter_map(|summary| summary.get(figure)).collect();
        if row.is_empty() {
            continue;
        }
        let _ = write!(text, "{:<1$}{2}", figure.title(), NAME - 1, figure.better().arrow());
        for estimate in row {
            let _ = write!(text, "{:>COLUMN$}", cell(estimate));
        }
        text.push('\n');
    }
    text.push_str(&times(evaluation));
    if let Some(estimate) = summaries.first().and_then(|summary| summary.figures.first()) {
        let interval = estimate.interval;
        let _ = writeln!(
            text,
            "↓ is better low, ↑ better high; +h: passes of the network's head alone; * differs from the first \
             method: the 95 % interval of the paired difference leaves 0 out. Of other pictures like these, \
             95 % of samples lie within, for example, {:.1} to {:.1} where {:.1} stands first.",
            interval.low, interval.high, interval.mean
        );
    }
    text + &problems(evaluation)
}

/// Gives a mean with one decimal, and a star where it clearly differs from the first method's.
fn cell(estimate: &Estimate) -> String {
    let star = if estimate.clear_difference().is_some() { " *" } else { "  " };
    format!("{:.1}{star}", estimate.interval.mean)
}

fn times(evaluation: &Evaluation) -> String {
    let mut text = format!("{:<NAME$}", "passes a picture");
    for time in &evaluation.times {
        let passes = time.passes;
        let backward = if passes.backward { "+back" } else { "" };
        let head = if passes.backward || passes.head == 0 {
            String::new()
        } else {
            format!("+{}h", passes.head)
        };
        let _ = write!(text, "{:>COLUMN$}", format!("{}{head}{backward}  ", passes.network));
    }
    let _ = write!(text, "\n{:<NAME$}", "milliseconds a picture");
    for time in &evaluation.times {
        let milliseconds = 1000.0 * (time.clean_seconds + time.map_seconds);
        let _ = write!(text, "{:>COLUMN$}", format!("{milliseconds:.1}  "));
    }
    text.push('\n');
    text
}

fn problems(evaluation: &Evaluation) -> String {
    let mut text = String::new();
    for problem in &evaluation.unreadable {
        let _ = writeln!(text, "left out: {problem}");
    }
    for problem in &evaluation.unusable_masks {
        let _ = writeln!(text, "without mask: {problem}");
    }
    text
}
