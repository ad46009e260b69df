//! The table of figures: a row a figure, a column a method.

use maud::{Markup, html};

use super::Report;
use crate::evaluate::{Estimate, Family, Figure, Summary};

/// Figures that are this close, in percent, are both the best: what is printed is the same.
const SAME: f64 = 0.05;

/// Gives for each figure that was measured its estimates, in the order of the methods.
pub(super) fn rows(summaries: &[Summary]) -> Vec<(Figure, Vec<&Estimate>)> {
    let row = |figure| {
        let estimates: Vec<&Estimate> = summaries.iter().filter_map(|s| s.get(figure)).collect();
        (!estimates.is_empty()).then_some((figure, estimates))
    };
    Figure::all().into_iter().filter_map(row).collect()
}

/// Gives the places of the best estimates; none where all are alike.
pub(super) fn best(figure: Figure, estimates: &[&Estimate]) -> Vec<usize> {
    let means: Vec<f64> = estimates.iter().map(|estimate| estimate.interval.mean).collect();
    let better = |a: f64, b: f64| if figure.better().prefers(a, b) { a } else { b };
    let Some(best) = means.iter().copied().reduce(better) else { return Vec::new() };
    let close = |mean: &f64| (mean - best).abs() < SAME;
    if means.iter().all(close) {
        return Vec::new();
    }
    (0..means.len()).filter(|&index| close(&means[index])).collect()
}

/// Lays out all figures, family by family.
pub(super) fn table(report: &Report<'_>) -> Markup {
    let rows = rows(report.summaries);
    html! {
        div.scroll tabindex="0" role="region" aria-label="All figures" {
            table.figures {
                thead {
                    tr {
                        th scope="col" { "percent" }
                        @for summary in report.summaries { th scope="col" { (summary.method) } }
                    }
                }
                @for family in Family::ALL {
                    @let rows = rows.iter().filter(|(figure, _)| figure.family() == family);
                    @if rows.clone().next().is_some() {
                        tbody {
                            tr.family { th colspan=(report.summaries.len() + 1) scope="rowgroup" { (family.title()) } }
                            @for (figure, estimates) in rows { (row(*figure, estimates)) }
                        }
                    }
                }
                (costs(report))
            }
        }
        p.note {
            "↓ is better low, ↑ better high; the best of each row is bold. An asterisk: over the same pictures the figure differs clearly from "
            (report.summaries.first().map(|summary| summary.method.to_string()).unwrap_or_default())
            "’s, the 95 % interval of the paired difference leaves 0 out. Small print: 95 % of samples of as many pictures have their mean there."
        }
    }
}

fn row(figure: Figure, estimates: &[&Estimate]) -> Markup {
    let best = best(figure, estimates);
    html! {
        tr {
            th scope="row" { (unbroken(&figure.title())) "\u{a0}" span.arrow { (figure.better().arrow()) } }
            @for (index, estimate) in estimates.iter().enumerate() {
                td.best[best.contains(&index)] title=(explanation(estimate)) {
                    span.mean {
                        (format!("{:.1}", estimate.interval.mean))
                        @if estimate.clear_difference().is_some() { sup { "*" } }
                    }
                    span.interval { (format!("{:.1} – {:.1}", estimate.interval.low, estimate.interval.high)) }
                }
            }
        }
    }
}

/// Keeps numbers and their percent signs on one line.
fn unbroken(title: &str) -> String {
    title.replace(" %", "\u{a0}%")
}

/// Tells an estimate in words, for who points at it.
fn explanation(estimate: &Estimate) -> String {
    let interval = estimate.interval;
    let own = format!(
        "{:.2} over {} pictures, 95 % interval {:.2} to {:.2}",
        interval.mean, estimate.pictures, interval.low, interval.high
    );
    let Some(difference) = estimate.against_first else { return own };
    format!(
        "{own}; less the first method’s on the same pictures: {:+.2}, 95 % interval {:+.2} to {:+.2}; better in {:.0} % of samples",
        difference.interval.mean,
        difference.interval.low,
        difference.interval.high,
        100.0 * difference.better
    )
}

fn costs(report: &Report<'_>) -> Markup {
    let times = &report.evaluation.times;
    html! {
        tbody {
            tr.family { th colspan=(times.len() + 1) scope="rowgroup" { "cost" } }
            tr {
                th scope="row" { "passes a picture" }
                @for time in times {
                    td { (time.passes) }
                }
            }
            tr {
                th scope="row" { "milliseconds a picture" }
                @for time in times {
                    td title=(format!("{:.1} for the class, {:.1} for the map", 1000.0 * time.clean_seconds, 1000.0 * time.map_seconds)) {
                        (format!("{:.1}", 1000.0 * (time.clean_seconds + time.map_seconds)))
                    }
                }
            }
        }
    }
}
