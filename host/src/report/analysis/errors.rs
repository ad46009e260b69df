//! Errors: their causes, what argued for the wrong class against the right one, and which classes are confused.

use maud::{Markup, html};

use super::super::ReportError;
use super::super::gallery::percent;
use super::{AnalysisReport, CONFUSED, CONFUSIONS, ERRORS, pictures};
use crate::analyze::Analysis;
use crate::analyze::causes::{Case, Cause};
use crate::analyze::classes::Confusion;

/// Picks the errors that are shown, cause by cause: the surest.
pub(super) fn examples(analysis: &Analysis) -> Vec<Vec<Case>> {
    let audit = &analysis.audit;
    let of = |cause: Cause| {
        let mut cases: Vec<Case> =
            audit.cases.iter().copied().filter(|case| case.cause == cause).collect();
        let sure = |case: &Case| audit.records.get(case.record).map_or(0.0, |r| r.confidence);
        cases.sort_by(|a, b| sure(b).total_cmp(&sure(a)));
        cases.truncate(ERRORS);
        cases
    };
    Cause::ALL.into_iter().map(of).collect()
}

pub(super) fn section(report: &AnalysisReport<'_>) -> Result<Markup, ReportError> {
    if !report.has_truth() {
        return Ok(html! {});
    }
    let cases = &report.analysis.audit.cases;
    let count = |cause: Cause| cases.iter().filter(|case| case.cause == cause).count();
    let mut groups = Vec::new();
    for (cause, examples) in Cause::ALL.into_iter().zip(examples(report.analysis)) {
        let rows = examples.iter().map(|case| row(report, case.record));
        groups.push((cause, rows.collect::<Result<Vec<Markup>, _>>()?));
    }
    Ok(html! {
        section {
            h2 { "Errors" }
            @if cases.is_empty() {
                p { "Every labelled picture is named as its label says." }
            } @else {
                p { (cases.len()) " pictures are named otherwise than their label says. The first rule that holds is the cause." }
                ul.tally { @for cause in Cause::ALL {
                    li { b { (count(cause)) } " " (cause.title()) ". " span.note { (cause.meaning()) } }
                } }
            }
            @for (cause, rows) in groups.iter().filter(|(_, rows)| !rows.is_empty()) {
                h3 { (cause.title()) }
                @for row in rows { (row) }
            }
        }
    })
}

/// Lays out an error: the picture, the maps of both classes, and their difference.
fn row(report: &AnalysisReport<'_>, index: usize) -> Result<Markup, ReportError> {
    let (Some(record), Some(shown)) = (report.record(index), report.shown.get(&index)) else {
        return Ok(html! {});
    };
    let (Some(truth), Some(map)) = (record.truth, &shown.truth) else { return Ok(html! {}) };
    let (named, right) = (report.label(record.named), report.label(truth));
    let picture = &shown.picture;
    let name = report.name(record);
    let of = |label: &str, confidence: f64| html! { b { (label) } " " (percent(confidence)) };
    let against = html! {
        span style="color:#d55e00" { "for " (named) } br; span style="color:#0072b2" { "for " (right) }
    };
    let figures = [
        pictures::figure(picture, &name, &html! { (name) })?,
        pictures::figure(
            &pictures::heat(picture, &shown.named),
            &format!("Heat map for {named}, which is named"),
            &html! { "named " (of(named, record.confidence)) },
        )?,
        pictures::figure(
            &pictures::heat(picture, map),
            &format!("Heat map for {right}, the label"),
            &html! { "labelled " (of(right, record.truth_confidence)) },
        )?,
        pictures::figure(
            &pictures::difference(picture, &shown.named, map),
            &format!("What argues for {named}, and what for {right}"),
            &against,
        )?,
    ];
    Ok(html! { div.row.example { @for figure in &figures { (figure) } } })
}

pub(super) fn confusions(report: &AnalysisReport<'_>) -> Result<Markup, ReportError> {
    let confusions = &report.analysis.audit.confusions;
    if confusions.is_empty() {
        return Ok(html! {});
    }
    let shown = confusions.iter().take(CONFUSIONS);
    let shown: Vec<Markup> = shown.map(|pair| confusion(report, pair)).collect::<Result<_, _>>()?;
    Ok(html! {
        section {
            h2 { "Confusions" }
            p.note {
                "Which class is taken for which. The small square shows where, over all these pictures, the map of the named \
                class is above that of the label (orange) and where below (blue)."
            }
            @for pair in &shown { (pair) }
            @if confusions.len() > CONFUSIONS {
                p.note { (confusions.len() - CONFUSIONS) " more, rarer ones, are in table.md." }
            }
        }
    })
}

fn confusion(report: &AnalysisReport<'_>, pair: &Confusion) -> Result<Markup, ReportError> {
    let (truth, named) = (report.label(pair.truth), report.label(pair.named));
    let rows = pair.records.iter().take(CONFUSED).map(|&index| row(report, index));
    let rows: Vec<Markup> = rows.collect::<Result<_, _>>()?;
    Ok(html! {
        article.finding {
            h3 { (truth) " taken for " (named) " " span.confidence { (pair.pictures) @if pair.pictures == 1 { " picture" } @else { " pictures" } } }
            div.evidence {
                (pictures::cells(&pair.difference, &format!("where {named} is above {truth}")))
                p.note { "Typically, the " (pair.for_named.place()) " argues for " (named) ", the " (pair.for_truth.place()) " for " (truth) "." }
            }
            @for row in &rows { (row) }
        }
    })
}
