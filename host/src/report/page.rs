//! The page: what was measured, in the order in which one wants to know it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::definitions::definitions;
use super::{Report, ReportError, charts, folder, gallery, table};
use crate::evaluate::{Choice, Family, Summary};

/// The style sheet, for screens of all widths, light and dark, and for paper.
const STYLE: &str = include_str!("style.css");

/// Lets the page load nothing but what is in it.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

pub(super) fn page(report: &Report<'_>) -> Result<Markup, ReportError> {
    let name = report.model.file_name().unwrap_or_default().to_string_lossy();
    let title = format!("How faithful are the maps of {name}?");
    let galleries: Vec<Markup> = [Choice::Spread, Choice::Best, Choice::Worst]
        .into_iter()
        .filter_map(|choice| gallery::section(report, choice).transpose())
        .collect::<Result<_, _>>()?;
    let header = html! { (lead(report)) (verdicts(report)) };
    let main = html! {
        section { h2 { "Figures" } (table::table(report)) }
        (curves(report))
        @for gallery in &galleries { (gallery) }
        @for section in &report.sections {
            section { h2 { (section.title) } (section.body) }
        }
        (meanings(report))
        (settings(report))
        (problems(report))
    };
    Ok(document(&title, &header, &main, report.tool))
}

/// Gives a page that stands alone.
pub(super) fn document(title: &str, header: &Markup, main: &Markup, tool: &str) -> Markup {
    html! {
        (DOCTYPE)
        (PreEscaped(folder::MARK))
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { h1 { (title) } (header) }
                main { (main) }
                footer { "Made by " (tool) "." }
            }
        }
    }
}

fn lead(report: &Report<'_>) -> Markup {
    let methods: Vec<String> = report.summaries.iter().map(|s| s.method.to_string()).collect();
    html! {
        p.lead {
            (report.evaluation.outcomes.len()) " pictures, " (methods.join(", ")) ". Each method says which places of a \
            picture spoke for the class that the network names; then the picture is changed after its map, and the \
            network is asked again."
        }
    }
}

/// Tells in a sentence a method how the first one fares against it.
fn verdicts(report: &Report<'_>) -> Markup {
    let Some((first, others)) = report.summaries.split_first() else { return html! {} };
    html! {
        ul.verdicts {
            @for other in others {
                @let (better, worse, open) = count(other);
                li {
                    b { (first.method) } " beside " b { (other.method) } ": clearly better in " (better)
                    ", clearly worse in " (worse) ", not told apart in " (open) " of " (better + worse + open) " figures."
                }
            }
        }
    }
}

/// Counts the figures in which the first method is clearly better, clearly worse, and neither.
fn count(other: &Summary) -> (usize, usize, usize) {
    let (mut better, mut worse, mut open) = (0, 0, 0);
    for estimate in &other.figures {
        let Some(difference) = estimate.against_first else { continue };
        let other_is_better = estimate.figure.better().prefers(difference.interval.mean, 0.0);
        *(match (estimate.clear_difference().is_some(), other_is_better) {
            (false, _) => &mut open,
            (true, true) => &mut worse,
            (true, false) => &mut better,
        }) += 1;
    }
    (better, worse, open)
}

fn curves(report: &Report<'_>) -> Markup {
    let charts = charts::charts(report);
    html! {
        @if !charts.is_empty() {
            section { h2 { "Curves" } div.charts { @for chart in &charts { (chart) } } }
        }
    }
}

fn meanings(report: &Report<'_>) -> Markup {
    let families =
        Family::ALL.into_iter().filter(|family| report.options.families.contains(family));
    html! {
        section {
            h2 { "What the figures mean" }
            p {
                "Confidence is the softmax probability of the class that the network names on the unchanged picture. Maps are \
                scaled to 0 to 1 at their own grid and enlarged bilinearly. All figures are in percent. Intervals are \
                percentile bootstraps of 1000 samples (Efron 1979); differences are taken over the same pictures."
            }
            dl {
                @for definition in families.flat_map(definitions) {
                    dt { (definition.term) }
                    dd { (definition.meaning) " " span.source { (definition.source) } }
                }
            }
        }
    }
}

fn settings(report: &Report<'_>) -> Markup {
    let (options, metadata, digests) =
        (report.options, report.metadata, &report.evaluation.digests);
    let input = metadata.preprocess.input;
    let rows = [
        ("model", report.model.display().to_string()),
        ("SHA-256 of the model", digests.model.clone().unwrap_or_default()),
        ("variant, weights", format!("{}, {}", metadata.variant, metadata.quantization)),
        (
            "classes, input",
            format!("{}, {} × {}", metadata.labels.len(), input.width, input.height),
        ),
        ("pictures", options.images.display().to_string()),
        ("SHA-256 of the pictures", digests.pictures.clone()),
        ("limit", options.limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())),
        ("masks", if options.masks.is_some() { "yes" } else { "no" }.to_owned()),
        ("seed", options.seed.to_string()),
        ("steps of insertion and deletion", options.protocol.steps.to_string()),
        ("noise of ROAD", options.protocol.road_noise.to_string()),
    ];
    settings_table(&rows)
}

/// Lists what was asked for.
pub(super) fn settings_table(rows: &[(&str, String)]) -> Markup {
    html! {
        section {
            h2 { "Settings" }
            div.scroll {
                table.settings { tbody { @for (name, value) in rows { tr { th scope="row" { (name) } td { (value) } } } } }
            }
        }
    }
}

fn problems(report: &Report<'_>) -> Markup {
    let (unreadable, masks) = (&report.evaluation.unreadable, &report.evaluation.unusable_masks);
    html! {
        @if !unreadable.is_empty() || !masks.is_empty() {
            section {
                h2 { "Left out" }
                ul {
                    @for problem in unreadable { li { (problem) } }
                    @for problem in masks { li { "without mask: " (problem) } }
                }
            }
        }
    }
}
