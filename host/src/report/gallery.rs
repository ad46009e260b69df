//! Pictures beside every method's heat map of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use lcam_models::class::ClassIndex;
use lcam_models::heat::HeatTable;
use lcam_models::map::{ExplanationMap, GridSize};
use maud::{Markup, html};

use super::{Report, ReportError};
use crate::evaluate::{Choice, Example, Fill, Outcome};

/// The quality of the pictures: at 192 pixels some 8 kB each.
const QUALITY: u8 = 82;

/// What stands above the pictures of a choice.
struct Heading {
    title: &'static str,
    reason: String,
}

/// Lays out the pictures that were kept for one reason; nothing where there are none.
pub(super) fn section(report: &Report<'_>, choice: Choice) -> Result<Option<Markup>, ReportError> {
    let examples: Vec<&Example> =
        report.evaluation.examples.iter().filter(|example| example.choice == choice).collect();
    if examples.is_empty() {
        return Ok(None);
    }
    let rows: Vec<Markup> =
        examples.into_iter().map(|example| row(report, example)).collect::<Result<_, _>>()?;
    let Heading { title, reason } = heading(report, choice);
    Ok(Some(html! {
        section {
            h2 { (title) }
            p { (reason) }
            @for row in &rows { (row) }
        }
    }))
}

fn heading(report: &Report<'_>, choice: Choice) -> Heading {
    let first =
        report.summaries.first().map(|summary| summary.method.to_string()).unwrap_or_default();
    match choice {
        Choice::Spread => Heading {
            title: "Pictures",
            reason: "Taken evenly from all pictures, not chosen. The brighter the colour, the more a place spoke for the class; where there is none, the photograph shows as it is.".to_owned(),
        },
        Choice::Best => Heading {
            title: "Best cases",
            reason: format!("Here the confidence rises most, or falls least, when the picture is darkened by the map of {first}: what it keeps is what the network needs."),
        },
        Choice::Worst => Heading {
            title: "Worst cases",
            reason: format!("Here the confidence falls most when the picture is darkened by the map of {first}: it misses what the network needs, or the network needs the whole picture."),
        },
    }
}

fn row(report: &Report<'_>, example: &Example) -> Result<Markup, ReportError> {
    let Some(outcome) = report.evaluation.outcomes.get(example.outcome) else {
        return Ok(html! {});
    };
    let label = report.metadata.labels.short_label(ClassIndex(outcome.class));
    let name = outcome.picture.file_name().unwrap_or_default().to_string_lossy();
    let table = HeatTable::get();
    let overlays: Vec<String> = example
        .maps
        .iter()
        .map(|map| data_uri(&overlay(&example.picture, map, table)))
        .collect::<Result<_, _>>()?;
    let (width, height) = example.picture.dimensions();
    Ok(html! {
        article.example {
            h3 { (label) " " span.confidence { (percent(outcome.confidence)) } }
            div.row {
                figure {
                    img src=(data_uri(&example.picture)?) width=(width) height=(height) alt=(format!("The picture {name}"));
                    figcaption { (name) }
                }
                @for (index, (overlay, summary)) in overlays.iter().zip(report.summaries).enumerate() {
                    figure {
                        img src=(overlay) width=(width) height=(height) alt=(format!("Heat map of {} for {label}", summary.method));
                        figcaption { b { (summary.method) } @if let Some(left) = left(outcome, index) { " " (left) } }
                    }
                }
            }
        }
    })
}

/// Tells the confidence on the darkened picture.
fn left(outcome: &Outcome, method: usize) -> Option<String> {
    let masked = outcome.scores.get(method)?.masked.get(&Fill::Black)?.first()?;
    Some(format!("{} when darkened", percent(*masked)))
}

/// Rounds to whole percent, but a share that is not 0 or 1 does not look as if it were.
pub(super) fn percent(share: f64) -> String {
    match 100.0 * share {
        low if low > 0.0 && low < 1.0 => "< 1 %".to_owned(),
        high if high > 99.0 && high < 100.0 => "> 99 %".to_owned(),
        other => format!("{other:.0} %"),
    }
}

/// Lays a map's heat over a picture.
pub(super) fn overlay(picture: &RgbImage, map: &ExplanationMap, table: &HeatTable) -> RgbImage {
    let (width, height) = picture.dimensions();
    let large = map.upsample(GridSize { height: height as usize, width: width as usize });
    let mut overlay = picture.clone();
    for (pixel, value) in overlay.pixels_mut().zip(large.values()) {
        pixel.0 = table.over(pixel.0, *value);
    }
    overlay
}

/// Writes a picture as an address that holds it.
pub(super) fn data_uri(picture: &RgbImage) -> Result<String, ReportError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(picture)?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_never_round_to_certainty() {
        let shares = [0.0, 0.004, 0.42, 0.994, 1.0].map(percent);
        assert_eq!(shares, ["0 %", "< 1 %", "42 %", "> 99 %", "100 %"]);
    }
}
