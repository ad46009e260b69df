//! Beside something else: the other model, or what a device said of the same pictures.

use maud::{Markup, html};

use super::super::ReportError;
use super::super::gallery::percent;
use super::findings::p_value;
use super::overview::words;
use super::{AnalysisReport, CHANGED, pictures};
use crate::analyze::compare::{Change, Comparison};

pub(super) fn comparison(report: &AnalysisReport<'_>) -> Result<Markup, ReportError> {
    let Some(comparison) = &report.analysis.comparison else { return Ok(html! {}) };
    let name = report.against.and_then(|path| path.file_name()).unwrap_or_default();
    let changed =
        comparison.changed.iter().take(CHANGED).map(|&pair| changed(report, comparison, pair));
    let changed: Vec<Markup> = changed.collect::<Result<_, _>>()?;
    Ok(html! {
        section {
            h2 { "Beside " (name.to_string_lossy()) }
            (whole(&comparison.whole))
            @if !comparison.findings.is_empty() {
                h3 { "What became of the findings" }
                ul.tally { @for (fate, finding) in &comparison.findings {
                    li { span.kind { (fate.title()) } (finding.sentence) }
                } }
            }
            (classes(report, comparison))
            @if !changed.is_empty() {
                h3 { "Named differently" }
                p.note { (comparison.changed.len()) " pictures; those whose maps are least alike come first." }
                @for row in &changed { (row) }
            }
        }
    })
}

fn whole(change: &Change) -> Markup {
    html! {
        p {
            "Both name " (percent(change.agreement)) " of " (change.pictures) " pictures alike. "
            @if let Some([first, other]) = change.accuracy {
                "Named rightly: " (percent(first)) " by this model, " (percent(other)) " by the other, which gains " (change.gained)
                " and loses " (change.lost) " (McNemar’s exact test, p " (p_value(change.p)) "). "
            }
            "Their maps correlate by " (format!("{:.2}", change.map_correlation)) "."
        }
        dl.facts {
            dt { "the other’s confidence less this one’s" } dd { (words(change.confidence)) }
            dt { "its attention in the corners less this one’s" } dd { (words(change.corners)) }
            @if change.inside.is_some() { dt { "its attention in the object less this one’s" } dd { (words(change.inside)) } }
        }
    }
}

fn classes(report: &AnalysisReport<'_>, comparison: &Comparison) -> Markup {
    let mut changes: Vec<&(usize, Change)> = comparison.classes.iter().collect();
    changes.sort_by(|a, b| a.1.map_correlation.total_cmp(&b.1.map_correlation));
    changes.truncate(30);
    html! {
        h3 { "Class by class" }
        div.scroll tabindex="0" role="region" aria-label="Changes of classes" { table.figures {
            thead { tr {
                th scope="col" { "class" } th scope="col" { "pictures" } th scope="col" { "gained" } th scope="col" { "lost" }
                th scope="col" { "maps correlate" } th scope="col" { "corners" } th scope="col" { "in the object" }
            } }
            tbody { @for (class, change) in changes { tr {
                th scope="row" { (report.label(*class)) }
                td { (change.pictures) } td { (change.gained) } td { (change.lost) }
                td { (format!("{:.2}", change.map_correlation)) }
                @for interval in [change.corners, change.inside] {
                    td { @match interval {
                        Some(found) => { span.mean { (format!("{:+.0} %", 100.0 * found.mean)) } span.interval { (format!("{:+.0} – {:+.0}", 100.0 * found.low, 100.0 * found.high)) } }
                        None => "–",
                    } }
                }
            } } }
        } }
    }
}

fn changed(
    report: &AnalysisReport<'_>,
    comparison: &Comparison,
    [first, other]: [usize; 2],
) -> Result<Markup, ReportError> {
    let (Some(before), Some(after)) = (report.record(first), comparison.other.records.get(other))
    else {
        return Ok(html! {});
    };
    let shown = (report.shown.get(&first), report.shown_of_other.get(&other));
    let (Some(shown), Some(shown_after)) = shown else { return Ok(html! {}) };
    let name = report.name(before);
    let right = before.truth.map(|truth| report.label(truth));
    let figures = [
        pictures::figure(
            &shown.picture,
            &name,
            &html! { (name) @if let Some(right) = right { br; "labelled " (right) } },
        )?,
        pictures::figure(
            &pictures::heat(&shown.picture, &shown.named),
            &format!("Heat map of this model for {}", report.label(before.named)),
            &html! { "this model: " b { (report.label(before.named)) } " " (percent(before.confidence)) },
        )?,
        pictures::figure(
            &pictures::heat(&shown_after.picture, &shown_after.named),
            &format!("Heat map of the other model for {}", report.label(after.named)),
            &html! { "the other: " b { (report.label(after.named)) } " " (percent(after.confidence)) },
        )?,
    ];
    Ok(html! { div.row.example { @for figure in &figures { (figure) } } })
}

pub(super) fn field(report: &AnalysisReport<'_>) -> Result<Markup, ReportError> {
    let Some(field) = &report.analysis.field else { return Ok(html! {}) };
    let mut figures = Vec::new();
    for &index in field.changed.iter().take(CHANGED) {
        let (Some(record), Some(shown)) = (report.record(index), report.shown.get(&index)) else {
            continue;
        };
        let event = &report.analysis.pictures.events[record.picture];
        let caption = html! {
            "device: " b { (event.label.split(',').next().unwrap_or_default()) } " " (percent(event.confidence))
            br; "now: " b { (report.label(record.named)) } " " (percent(record.confidence))
            br; (event.time_utc)
        };
        let alt = format!("Event of {}", event.time_utc);
        figures.push(pictures::figure(
            &pictures::heat(&shown.picture, &shown.named),
            &alt,
            &caption,
        )?);
    }
    let [first, last] = &field.between;
    Ok(html! {
        section {
            h2 { "From the field" }
            p {
                (field.events) " events that a device recorded between " (first) " and " (last) ", with "
                (field.models.join(" and ")) ". This model names " (words(Some(field.same_class))) " of them as the device did"
                @if let Some(correlation) = field.map_correlation { "; the maps of those correlate by " (format!("{correlation:.2}")) }
                ". Mean confidence: " (percent(field.confidence[0])) " on the device, " (percent(field.confidence[1])) " now."
            }
            @if !figures.is_empty() { div.row { @for figure in &figures { (figure) } } }
        }
    })
}
