//! Curves as SVG within the page, each line labelled where it ends.
//!
//! Colours are those of Okabe and Ito (2008), which colour-blind eyes tell apart; beyond seven methods they come
//! again, dashed. The labels are in the text's colour, so that they can be read in any.

use maud::{Markup, html};

use super::Report;
use crate::evaluate::{Figure, Fill, KEPT, Scores};

/// Vermillion, blue, bluish green, reddish purple, orange, sky blue, and grey in place of black. Yellow is too
/// pale on white.
const COLORS: [&str; 7] =
    ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a"];

// The drawing, in its own units.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 352.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 226.0;
/// Between two labels: the height of their letters and a little.
const LINE: f64 = 14.5;

/// A chart of one line a method; both axes run from 0 to 1.
struct Chart {
    title: &'static str,
    caption: &'static str,
    across: &'static str,
    /// Places on the axis across, with their names.
    ticks: Vec<(f64, String)>,
    lines: Vec<Line>,
}

struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Draws what was measured: insertion, deletion, average drop by the share that is kept.
pub(super) fn charts(report: &Report<'_>) -> Vec<Markup> {
    let curves = [
        (
            "Insertion",
            "Confidence while pixels appear on the blurred picture. High early is good.",
            mean_curve as MeanCurve,
            insertion as Curve,
        ),
        (
            "Deletion",
            "Confidence while pixels turn black. Low early is good.",
            mean_curve,
            deletion,
        ),
    ];
    let charts = curves.into_iter().map(|(title, caption, mean, curve)| Chart {
        title,
        caption,
        across: "share of pixels, the highest of the map first",
        ticks: [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| (share, percent(share))).to_vec(),
        lines: lines(report, |method| mean(report, method, curve)),
    });
    let drop = Chart {
        title: "Average drop",
        caption: "Loss of confidence when only the highest pixels of the map are kept, on black. Low is good.",
        across: "share of pixels that is kept",
        ticks: KEPT
            .iter()
            .enumerate()
            .map(|(kept, &share)| (place(kept), percent(share)))
            .collect(),
        lines: lines(report, |method| drops(report, method)),
    };
    charts.chain([drop]).filter(|chart| !chart.lines.is_empty()).map(|chart| draw(&chart)).collect()
}

type Curve = fn(&Scores) -> &[f64];
type MeanCurve = fn(&Report<'_>, usize, Curve) -> Vec<(f64, f64)>;

fn insertion(scores: &Scores) -> &[f64] {
    &scores.insertion
}

fn deletion(scores: &Scores) -> &[f64] {
    &scores.deletion
}

fn lines(report: &Report<'_>, points: impl Fn(usize) -> Vec<(f64, f64)>) -> Vec<Line> {
    let line = |(index, summary): (usize, &crate::evaluate::Summary)| {
        let points = points(index);
        (points.len() > 1).then(|| Line { name: summary.method.to_string(), points })
    };
    report.summaries.iter().enumerate().filter_map(line).collect()
}

/// Gives the mean of all pictures' curves of one method.
#[expect(clippy::cast_precision_loss, reason = "numbers of pictures and steps")]
fn mean_curve(report: &Report<'_>, method: usize, curve: Curve) -> Vec<(f64, f64)> {
    let curves: Vec<&[f64]> =
        report.evaluation.outcomes.iter().filter_map(|o| o.scores.get(method)).map(curve).collect();
    let steps = curves.first().map_or(0, |curve| curve.len().saturating_sub(1));
    if steps == 0 {
        return Vec::new();
    }
    let mean = |step: usize| {
        let sum: f64 = curves.iter().filter_map(|curve| curve.get(step)).sum();
        (step as f64 / steps as f64, sum / curves.len() as f64)
    };
    (0..=steps).map(mean).collect()
}

fn drops(report: &Report<'_>, method: usize) -> Vec<(f64, f64)> {
    let mean = |kept| {
        let figure = Figure::AverageDrop { fill: Fill::Black, kept };
        let estimate = report.summaries.get(method)?.get(figure)?;
        Some((place(kept), estimate.interval.mean / 100.0))
    };
    (0..KEPT.len()).filter_map(mean).collect()
}

/// Spaces the shares evenly: what matters is their order.
#[expect(clippy::cast_precision_loss, reason = "a handful of shares")]
fn place(kept: usize) -> f64 {
    kept as f64 / (KEPT.len() - 1) as f64
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn draw(chart: &Chart) -> Markup {
    let ends: Vec<f64> = chart
        .lines
        .iter()
        .map(|line| line.points.last().map_or(BOTTOM, |&(_, y)| down(y)))
        .collect();
    let labels = apart(&ends);
    html! {
        figure.chart {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(description(chart)) {
                (axes(chart))
                @for (index, line) in chart.lines.iter().enumerate() {
                    @let points = line.points.iter().map(|&(x, y)| format!("{:.1},{:.1}", along(x), down(y))).collect::<Vec<_>>().join(" ");
                    polyline.line points=(points) stroke=(COLORS[index % COLORS.len()]) stroke-dasharray=[dash(index)] stroke-width=(if index == 0 { "3" } else { "1.8" }) {}
                }
                @for (index, (line, label)) in chart.lines.iter().zip(&labels).enumerate() {
                    polyline.line points=(format!("{:.1},{:.1} {:.1},{label:.1} {:.1},{label:.1}", RIGHT, ends[index], RIGHT + 10.0, RIGHT + 22.0)) stroke=(COLORS[index % COLORS.len()]) stroke-dasharray=[dash(index)] stroke-width=(if index == 0 { "3" } else { "1.8" }) {}
                    text x=(RIGHT + 26.0) y=(format!("{:.1}", label + 4.0)) font-weight=[(index == 0).then_some("700")] { (line.name) }
                }
            }
            figcaption { b { (chart.title) } " " (chart.caption) }
        }
    }
}

/// Tells the chart in words, with where each line ends and its mean.
fn description(chart: &Chart) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a handful of points")]
    let mean =
        |line: &Line| line.points.iter().map(|p| p.1).sum::<f64>() / line.points.len() as f64;
    let line = |line: &Line| format!("{} {}", line.name, percent(mean(line)));
    let lines: Vec<String> = chart.lines.iter().map(line).collect();
    format!("{}: {} Means: {}.", chart.title, chart.caption, lines.join(", "))
}

fn axes(chart: &Chart) -> Markup {
    html! {
        @for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
            line.grid x1=(LEFT) x2=(RIGHT) y1=(down(share)) y2=(down(share)) {}
            text.tick x=(LEFT - 6.0) y=(down(share) + 4.0) text-anchor="end" { (format!("{:.0}", 100.0 * share)) }
        }
        @for (place, name) in &chart.ticks {
            text.tick x=(along(*place)) y=(BOTTOM + 17.0) text-anchor="middle" { (name) }
        }
        text.tick x=(f64::midpoint(LEFT, RIGHT)) y=(BOTTOM + 36.0) text-anchor="middle" { (chart.across) }
    }
}

fn dash(index: usize) -> Option<&'static str> {
    (index >= COLORS.len()).then_some("5 3")
}

fn along(share: f64) -> f64 {
    LEFT + share * (RIGHT - LEFT)
}

fn down(share: f64) -> f64 {
    BOTTOM - share * (BOTTOM - TOP)
}

/// Moves labels apart that would overlap, and back into the drawing: each stays as near to its place as the ones
/// above it allow.
fn apart(places: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|&a, &b| places[a].total_cmp(&places[b]));
    let mut labels = places.to_vec();
    let mut next = f64::NEG_INFINITY;
    for &index in &order {
        labels[index] = labels[index].max(next);
        next = labels[index] + LINE;
    }
    // Above the names of the axis.
    let mut most = BOTTOM + 4.0;
    for &index in order.iter().rev() {
        labels[index] = labels[index].min(most);
        most = labels[index] - LINE;
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_overlap() {
        let labels = apart(&[100.0, 101.0, 20.0, 225.0, 226.0, 99.0]);
        let mut sorted = labels.clone();
        sorted.sort_by(f64::total_cmp);
        let gap = sorted.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::MAX, f64::min);
        assert!(gap > LINE - 1e-9 && sorted[5] <= BOTTOM + 4.0, "{labels:?}");
        assert!((labels[2] - 20.0).abs() < 1e-9, "what is alone stays");
    }
}
