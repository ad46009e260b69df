//! The parts without pictures: the lead, classes, slices, rules, settings.

use maud::{Markup, html};

use super::super::gallery::percent;
use super::{AnalysisReport, pictures};
use crate::analyze::Truth;
use crate::analyze::classes::ClassSummary;
use crate::analyze::finding::{LEAST_PICTURES, SIGNIFICANT, with_interval};
use crate::analyze::slices::{Axis, accuracy};
use crate::analyze::{backgrounds, causes, labels, norms, shortcuts, slices};
use crate::evaluate::Interval;

/// Classes that the table lists: the ones with the most pictures.
const CLASSES: usize = 100;

pub(super) fn lead(report: &AnalysisReport<'_>) -> Markup {
    let audit = &report.analysis.audit;
    let all: Vec<usize> = (0..audit.records.len()).collect();
    let right = accuracy(&audit.records, &all);
    let count = audit.findings.len();
    html! {
        p.lead {
            (all.len()) " pictures"
            @if right.of > 0 { ", " (percent(right.value())) " named as their label says" }
            ". " @match count { 0 => (none_found(all.len())), 1 => { "One finding." }, _ => { (count) " findings." } }
        }
        @if count > 0 {
            ul.verdicts { @for finding in audit.findings.iter().take(5) {
                li { span.kind { (finding.kind.title()) } (finding.sentence) }
            } }
        }
    }
}

/// Says that there is no finding, and where there can be none.
fn none_found(pictures: usize) -> String {
    if pictures < 2 * LEAST_PICTURES {
        format!(
            "These are too few to find a fault: it takes {LEAST_PICTURES} pictures of a class beside {LEAST_PICTURES} others."
        )
    } else {
        "No fault was found.".to_owned()
    }
}

pub(super) fn classes(report: &AnalysisReport<'_>) -> Markup {
    let mut classes: Vec<&ClassSummary> = report.analysis.audit.classes.iter().collect();
    classes.sort_by_key(|class| std::cmp::Reverse(class.named.max(class.labelled)));
    let left_out = classes.len().saturating_sub(CLASSES);
    classes.truncate(CLASSES);
    let has_truth = report.has_truth();
    let has_masks = classes.iter().any(|class| class.outside.is_some());
    html! {
        section {
            h2 { "Classes" }
            p.note {
                "Named rightly is of the pictures that are labelled so, all else of those that are named so: where attention \
                falls on average, how much of it lies in the corners (25 % of an even map) and at the border \
                (44 %), and how often the class changes once the most attended 15 % are filled in."
            }
            div.scroll tabindex="0" role="region" aria-label="Classes" { table.figures {
                thead { tr {
                    th scope="col" { "class" } th scope="col" { "attention" } th scope="col" { "pictures" }
                    @if has_truth { th scope="col" { "named rightly" } }
                    th scope="col" { "confidence" } th scope="col" { "corners" } th scope="col" { "border" } th scope="col" { "flips" }
                    @if has_masks { th scope="col" { "outside the object" } th scope="col" { "named without it" } }
                } }
                tbody { @for class in &classes { tr {
                    th scope="row" { (report.label(class.class)) }
                    td { (pictures::cells(&class.attention.0, "mean attention")) }
                    td { (class.named) }
                    @if has_truth { (interval(class.accuracy)) }
                    td { @if class.named > 0 { (percent(class.confidence)) } @else { "–" } }
                    (interval(class.corners)) (interval(class.border))
                    (interval((class.named > 0).then_some(class.flips)))
                    @if has_masks { (interval(class.outside)) (interval(class.without_object)) }
                } } }
            } }
            @if left_out > 0 { p.note { (left_out) " classes of fewer pictures are in the JSON file." } }
        }
    }
}

fn interval(interval: Option<Interval>) -> Markup {
    html! {
        td { @match interval {
            Some(found) => {
                span.mean { (percent(found.mean)) }
                span.interval { (format!("{:.0} – {:.0}", 100.0 * found.low, 100.0 * found.high)) }
            }
            None => "–",
        } }
    }
}

pub(super) fn slices(report: &AnalysisReport<'_>) -> Markup {
    let slices = &report.analysis.audit.slices;
    html! {
        @if !slices.is_empty() {
            section {
                h2 { "Slices" }
                p.note { "A quarter of the pictures each, from the lowest to the highest values." }
                div.scroll tabindex="0" role="region" aria-label="Slices" { table.figures {
                    thead { tr {
                        th scope="col" { "from, to" } th scope="col" { "pictures" } th scope="col" { "named rightly" }
                        th scope="col" { "confidence" } th scope="col" { "spread of the map" }
                    } }
                    @for axis in Axis::ALL {
                        @let of_axis = slices.iter().filter(|slice| slice.axis == axis);
                        @if of_axis.clone().next().is_some() {
                            tbody {
                                tr.family { th colspan="5" scope="rowgroup" { (axis.title()) } }
                                @for slice in of_axis { tr {
                                    th scope="row" { (axis.format(slice.from)) " – " (axis.format(slice.to)) }
                                    td { (slice.pictures) }
                                    (interval(slice.accuracy))
                                    td { (percent(slice.confidence)) }
                                    td { (percent(slice.spread)) }
                                } }
                            }
                        }
                    }
                } }
            }
        }
    }
}

/// Tells every rule with its threshold.
pub(super) fn rules() -> Markup {
    let share = |value: f64| percent(value);
    let entries = [
        (
            "shortcut",
            format!(
                "A place of at most {} of the picture, which attention or colour sets apart, is put into pictures of other classes, the objects left out. It carries over at least {} more of what tells the class apart than an equally large place elsewhere, and where masks do not tell of objects at least {} times its share of the area.",
                share(shortcuts::largest_place()),
                share(shortcuts::LEAST_SHARE),
                shortcuts::LEAST_LIFT,
            ),
        ),
        (
            "background",
            format!(
                "Of the five pictures with the most alike surroundings, at least {} more than by chance are of the same class.",
                share(backgrounds::LEAST_EXCESS)
            ),
        ),
        (
            "context",
            format!(
                "With its object and another’s filled in, the class is named in its own surroundings at least {} more often than in the other’s.",
                share(backgrounds::LEAST_CONTEXT)
            ),
        ),
        (
            "labels",
            format!(
                "The network is surer of another class than of the least sure {} of that class’s rightly named pictures, {} of the five nearest pictures bear that class’s label, and the map is gathered and not elsewhere than on the object where a mask tells. More than {} of the labels are so.",
                share(norms::UNUSUAL),
                labels::AGREEING,
                share(labels::TOLERATED)
            ),
        ),
        (
            "slice",
            format!(
                "The accuracy is at least {} lower than elsewhere; without labels, Cliff’s delta of the confidence is at least {}.",
                share(slices::LEAST_DIFFERENCE),
                slices::LEAST_DELTA
            ),
        ),
        (
            "errors",
            format!(
                "Regions are the highest 15 % of a map; they are apart when they share less than {} of it. A map is diffuse when it is spread wider than {} of those of the class’s rightly named pictures.",
                share(causes::APART_BELOW),
                share(1.0 - norms::UNUSUAL)
            ),
        ),
    ];
    html! {
        section {
            h2 { "Rules" }
            p {
                "A finding is large and, with its p-value corrected, at most " (share(SIGNIFICANT)) " likely where there is none. \
                The thresholds are the program’s own, the same for every data set."
            }
            dl { @for (term, meaning) in &entries { dt { (term) } dd { (meaning) } } }
        }
    }
}

pub(super) fn settings(report: &AnalysisReport<'_>) -> Vec<(&'static str, String)> {
    let (options, metadata) = (report.options, report.metadata);
    let truth = match &options.truth {
        None => "none".to_owned(),
        Some(Truth::Folders) => "the pictures’ folders".to_owned(),
        Some(Truth::Csv(path)) => path.display().to_string(),
    };
    let mut rows = vec![
        ("model", report.model.display().to_string()),
        ("variant, weights", format!("{}, {}", metadata.variant, metadata.quantization)),
        ("classes", metadata.labels.len().to_string()),
        ("pictures", options.images.display().to_string()),
        ("labels", truth),
        ("masks", if options.masks.is_some() { "yes" } else { "no" }.to_owned()),
        ("limit", options.limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())),
        ("seed", options.seed.to_string()),
    ];
    if let Some(other) = report.against {
        rows.insert(1, ("the other model", other.display().to_string()));
    }
    rows
}

pub(super) fn left_out(report: &AnalysisReport<'_>) -> Markup {
    let (audit, unlabelled) = (&report.analysis.audit, report.analysis.unlabelled);
    html! {
        @if !audit.unreadable.is_empty() || !audit.unusable_masks.is_empty() || unlabelled > 0 {
            section {
                h2 { "Left out" }
                ul {
                    @if unlabelled > 0 { li { (unlabelled) " pictures have no label; they count wherever none is needed" } }
                    @for problem in &audit.unreadable { li { (problem) } }
                    @for problem in &audit.unusable_masks { li { "without mask: " (problem) } }
                }
            }
        }
    }
}

/// Writes an optional interval in words.
pub(super) fn words(interval: Option<Interval>) -> String {
    interval.map_or_else(|| "–".to_owned(), with_interval)
}
