//! The findings, ranked, each with its evidence.

use maud::{Markup, html};

use super::super::ReportError;
use super::super::gallery::percent;
use super::{AnalysisReport, ILLUSTRATED, PICTURES, pictures};
use crate::analyze::finding::{Effect, Finding, Kind, with_interval};

pub(super) fn section(report: &AnalysisReport<'_>) -> Result<Markup, ReportError> {
    let findings = &report.analysis.audit.findings;
    let rows = findings.iter().enumerate().map(|(rank, finding)| one(report, rank, finding));
    let rows: Vec<Markup> = rows.collect::<Result<_, _>>()?;
    Ok(html! {
        section {
            h2 { "Findings" }
            @if rows.is_empty() {
                p { "Nothing was found that is both large and more than chance." }
            } @else {
                p.note {
                    "The largest effect comes first, slices come last. Effects of all kinds lie between 0 and 1; each is tested, and the test \
                    corrected for all that was tested beside it."
                }
            }
            @for row in &rows { (row) }
        }
    })
}

fn one(report: &AnalysisReport<'_>, rank: usize, finding: &Finding) -> Result<Markup, ReportError> {
    let illustrated = rank < ILLUSTRATED;
    let examples = finding.records.iter().take(if illustrated { PICTURES } else { 0 });
    let examples: Vec<Markup> =
        examples.map(|&index| example(report, finding, index)).collect::<Result<_, _>>()?;
    Ok(html! {
        article.finding {
            h3 { span.rank { (rank + 1) } span.kind { (finding.kind.title()) } (finding.sentence) }
            div.evidence {
                (effect(&finding.effect))
                @if let Some(region) = finding.region { (pictures::place(region)) }
            }
            dl.facts {
                @for (name, value) in &finding.numbers { dt { (name) } dd { (value) } }
                dt { "test" } dd { (test(&finding.effect)) }
            }
            @if !examples.is_empty() {
                div.row { @for example in &examples { (example) } }
                @if finding.records.len() > examples.len() {
                    p.note { (examples.len()) " of " (finding.records.len()) " pictures." }
                }
            }
            p.remedy { (finding.remedy) }
        }
    })
}

/// Draws the effect on a line from 0 to 1 with its interval.
fn effect(effect: &Effect) -> Markup {
    let along = |value: f64| format!("{:.1}", 10.0 + 300.0 * value.clamp(0.0, 1.0));
    let interval = effect.interval;
    html! {
        figure.effect {
            svg viewBox="0 0 320 26" role="img" aria-label=(format!("effect {}", with_interval(interval))) {
                line x1="10" x2="310" y1="13" y2="13" stroke="var(--rule)" stroke-width="2" {}
                @for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
                    line x1=(along(tick)) x2=(along(tick)) y1="9" y2="17" stroke="var(--rule)" stroke-width="2" {}
                }
                line x1=(along(interval.low)) x2=(along(interval.high)) y1="13" y2="13" stroke="#d55e00" stroke-width="5" {}
                circle cx=(along(interval.mean)) cy="13" r="7" fill="#d55e00" {}
            }
            figcaption { b { (with_interval(interval)) } ": " (effect.name) }
        }
    }
}

/// Tells how sure an effect is.
pub(super) fn test(effect: &Effect) -> String {
    let Effect { p, adjusted_p, tests, test, .. } = effect;
    format!("{test}: p {}, {} for {tests} tests", p_value(*p), p_value(*adjusted_p))
}

/// Writes a p-value.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.0001 { "below 0.0001".to_owned() } else { format!("{p:.4}") }
}

fn example(
    report: &AnalysisReport<'_>,
    finding: &Finding,
    index: usize,
) -> Result<Markup, ReportError> {
    let (Some(record), Some(shown)) = (report.record(index), report.shown.get(&index)) else {
        return Ok(html! {});
    };
    let named = report.label(record.named);
    let picture = match (finding.kind, finding.region) {
        (Kind::Background | Kind::Slice, _) => shown.picture.clone(),
        (_, Some(region)) => pictures::marked(pictures::heat(&shown.picture, &shown.named), region),
        _ => pictures::heat(&shown.picture, &shown.named),
    };
    let name = report.name(record);
    let caption = html! {
        b { (named) } " " (percent(record.confidence))
        @if let Some(truth) = record.truth.filter(|&truth| truth != record.named) {
            br; "labelled " (report.label(truth))
        }
        br; (name)
    };
    pictures::figure(&picture, &format!("{name}, named {named}"), &caption)
}
