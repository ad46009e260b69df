//! The report of a quantisation: what it cost, and which layers it cost it.

use std::fmt::Write;
use std::path::Path;

use lcam_models::metadata::Metadata;
use maud::{Markup, html};

use super::{ReportError, folder, page};
use crate::evaluate::KEPT;
use crate::quantize::{Comparison, LayerNoise, Options, Quantized, SURE};

/// What the report of a quantisation tells of.
#[derive(Debug)]
pub struct QuantizationReport<'a> {
    /// The program and its version.
    pub tool: &'a str,
    /// The float model's file.
    pub model: &'a Path,
    /// The quantised model's file.
    pub output: &'a Path,
    /// The folder of pictures.
    pub images: &'a Path,
    /// What the float model says about itself.
    pub metadata: &'a Metadata,
    /// What was asked for.
    pub options: &'a Options,
    /// What was found out.
    pub quantized: &'a Quantized,
    /// The sizes of both files.
    pub megabytes: [f64; 2],
}

impl QuantizationReport<'_> {
    /// Writes the folder; an earlier report there is replaced.
    ///
    /// # Errors
    /// Returns [`ReportError`] when the folder holds other files or cannot be written.
    pub fn write(&self, output: &Path) -> Result<(), ReportError> {
        let page = self.page().into_string();
        folder::write(output, &[(folder::PAGE, &page), (folder::TABLE, &self.markdown())])
    }

    fn page(&self) -> Markup {
        let name = self.output.file_name().unwrap_or_default().to_string_lossy();
        let comparison = &self.quantized.comparison;
        let header = html! {
            p.lead {
                (format!("{:.1}", self.megabytes[1])) " MB from " (format!("{:.1}", self.megabytes[0])) " MB. Of the pictures that the float \
                model is sure of, " (format!("{:.1}", 100.0 - comparison.drop())) " % keep their class."
            }
        };
        let main = html! {
            section { h2 { "Beside the float model" } (table(&self.figures())) }
            section { h2 { "Average drop and increase in confidence" } (self.faithfulness()) }
            section { h2 { "Layers" } (self.layers()) }
            (page::settings_table(&self.settings()))
            (self.left_out())
        };
        page::document(&format!("What int8 costs {name}"), &header, &main, self.tool)
    }

    /// Lists the figures, each with what it means.
    fn figures(&self) -> Vec<[String; 2]> {
        let c: &Comparison = &self.quantized.comparison;
        let row = |name: &str, value: String| [name.to_owned(), value];
        vec![
            row("pictures that had no part in it", c.pictures.to_string()),
            row("of them, keep their class", c.same_class.to_string()),
            row(&format!("above {:.0} % confidence", 100.0 * SURE), c.sure.to_string()),
            row(
                "of them, keep their class",
                format!("{}, {:.1} %", c.sure_same_class, 100.0 - c.drop()),
            ),
            row("signal-to-noise ratio of the logits", format!("{:.1} dB", c.logits_db)),
            row(
                "mean correlation of the maps of the float model's class",
                format!("{:.4}", c.map_correlation),
            ),
            row(
                "mean overlap of the 15 % highest cells (intersection over union)",
                format!("{:.3}", c.map_overlap),
            ),
        ]
    }

    fn faithfulness(&self) -> Markup {
        let Some(maps) = &self.quantized.comparison.maps else { return html! {} };
        let models = [("float", &maps.float), ("int8", &maps.int8)];
        html! {
            div.scroll tabindex="0" { table.figures {
                thead { tr { th { "of the model's own maps, percent" } @for share in KEPT { th { (format!("{:.0} %", 100.0 * share)) } } } }
                tbody { @for (name, figures) in models { tr {
                    th scope="row" { (name) }
                    @for [drop, increase] in figures { td { (format!("{drop:.1} / {increase:.1}")) } }
                } } }
            } }
            p.note { "Average drop (better low) / increase in confidence (better high) on " (maps.pictures) " pictures when this share of the pixels is kept, on black." }
        }
    }

    fn layers(&self) -> Markup {
        let noise = &self.quantized.noise;
        html! {
            p {
                "How far the output of each layer lies above its error, in decibels: when the layer alone is quantised, and when \
                all layers before it are, too. The bars are of the first; what is short is what the network suffers from."
            }
            div.scroll tabindex="0" { table.figures {
                thead { tr { th { "layer" } th { "operator" } th { "alone" } th { "so far" } th {} } }
                tbody { @for layer in noise { tr {
                    th scope="row" { (layer.node) }
                    td { (layer.operator) }
                    td { (format!("{:.1}", layer.alone_db)) }
                    td { (format!("{:.1}", layer.so_far_db)) }
                    td { (bar(layer)) @if self.quantized.fallback.contains(&layer.node) { " in floating point" } }
                } } }
            } }
        }
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let (options, quantized) = (self.options, self.quantized);
        let tried = quantized.tried.iter().map(|trial| {
            let form = if trial.equalized { "equalised, " } else { "" };
            format!(
                "{form}{} {:.1} dB, {:.4}",
                trial.method, trial.logits_db, trial.map_correlation
            )
        });
        let list = |names: &mut dyn Iterator<Item = &String>| {
            let names: Vec<&str> = names.map(String::as_str).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        vec![
            ("float model", self.model.display().to_string()),
            ("classes", self.metadata.labels.len().to_string()),
            ("pictures", self.images.display().to_string()),
            ("calibrated with", quantized.calibrated_with.to_string()),
            ("choice of ranges", quantized.method.to_string()),
            ("channels", if quantized.equalized { "equalised" } else { "as they are" }.to_owned()),
            ("tried on other pictures: logits, maps", tried.collect::<Vec<_>>().join("; ")),
            ("zero points", if options.symmetric { "0" } else { "free" }.to_owned()),
            ("kept in floating point", list(&mut options.keep_float.iter())),
            ("left in floating point for their noise", list(&mut quantized.fallback.iter())),
            ("allowed to change their class", format!("{} %", options.max_drop)),
        ]
    }

    fn left_out(&self) -> Markup {
        html! {
            @if !self.quantized.unreadable.is_empty() {
                section { h2 { "Left out" } ul { @for problem in &self.quantized.unreadable { li { (problem) } } } }
            }
        }
    }

    fn markdown(&self) -> String {
        let mut text = "| figure | value |\n| --- | ---: |\n".to_owned();
        // Writing to a string cannot fail.
        for [name, value] in self.figures() {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        if let Some(maps) = &self.quantized.comparison.maps {
            for (index, share) in KEPT.iter().enumerate() {
                let pair = |figures: &[[f64; 2]]| {
                    figures
                        .get(index)
                        .map_or(String::new(), |[drop, rise]| format!("{drop:.1}/{rise:.1}"))
                };
                let _ = writeln!(
                    text,
                    "| average drop/increase at {:.0} %, float | {} |",
                    100.0 * share,
                    pair(&maps.float)
                );
                let _ = writeln!(text, "| the same, int8 | {} |", pair(&maps.int8));
            }
        }
        text.push_str(
            "\n| layer | operator | alone, dB | so far, dB |\n| --- | --- | ---: | ---: |\n",
        );
        for layer in &self.quantized.noise {
            let LayerNoise { node, operator, alone_db, so_far_db } = layer;
            let _ = writeln!(text, "| {node} | {operator} | {alone_db:.1} | {so_far_db:.1} |");
        }
        text
    }
}

fn table(rows: &[[String; 2]]) -> Markup {
    html! {
        div.scroll tabindex="0" { table.settings { tbody { @for [name, value] in rows { tr { th scope="row" { (name) } td { (value) } } } } } }
    }
}

/// Draws a layer's ratio as a bar; 40 dB, an error of 1 %, is full.
fn bar(layer: &LayerNoise) -> Markup {
    const FULL_DB: f64 = 40.0;
    let width = (layer.alone_db / FULL_DB).clamp(0.0, 1.0) * 120.0;
    html! {
        svg viewBox="0 0 120 9" width="120" height="9" role="img" aria-label=(format!("{:.1} dB", layer.alone_db)) {
            rect width="120" height="9" fill="var(--shade)" {}
            rect width=(format!("{width:.1}")) height="9" fill="#0072b2" {}
        }
    }
}
