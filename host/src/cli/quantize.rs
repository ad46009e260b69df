//! `lcam-host quantize`: from a float explained model to int8.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use lcam_models::explained::ExplainedModel;
use lcam_models::metadata::Metadata;
use lcam_models::onnx::{encode_model, write_model};
use tch::Device;

use super::device::parse_device;
use super::{TOOL, outputs};
use crate::dataset::list_pictures;
use crate::evaluate::KEPT;
use crate::quantize::{Comparison, Options, Quantized, RangeMethod, SURE, quantize};
use crate::report::QuantizationReport;

/// Turns a float explained model into one of int8 weights and uint8 activations.
///
/// At most half of the pictures are calibrated with; on the others the result is compared with the float model.
#[derive(Debug, Args)]
pub(super) struct Quantize {
    /// The explained model, with float weights.
    model: PathBuf,
    /// A folder of pictures such as the model will see; labels are not needed.
    #[arg(long)]
    images: PathBuf,
    /// Where the quantised model is written.
    #[arg(long)]
    output: PathBuf,
    /// The most pictures that the ranges of the activations are taken from.
    #[arg(long, value_name = "N", default_value_t = Options::default().calibration as u64, value_parser = clap::value_parser!(u64).range(1..))]
    calibration: u64,
    /// How ranges are chosen [default: the one that errs least].
    #[arg(long, value_enum)]
    method: Option<RangeMethod>,
    /// A node that stays in floating point; may be given again.
    #[arg(long, value_name = "NODE")]
    keep_float: Vec<String>,
    /// How many of the pictures that the float model is sure of may change their class, in percent: layers stay in
    /// floating point until no more do, and nothing is written if that does not help.
    #[arg(long, value_name = "POINTS", default_value_t = Options::default().max_drop, value_parser = parse_points)]
    max_drop: f64,
    /// Gives every activation int8 with the zero point 0, as TensorRT wants it, in place of uint8; costs half of the
    /// steps of activations that are never negative, and ONNX Runtime's integer kernels on x86-64.
    #[arg(long)]
    symmetric_activations: bool,
    /// A folder for the report: a page and a table of the layers' noise. An earlier report there is replaced.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Where to compute: auto, cpu or cuda:N.
    #[arg(long, default_value = "auto", value_parser = parse_device)]
    device: Device,
}

impl Quantize {
    pub(super) fn run(self) -> anyhow::Result<String> {
        let model = ExplainedModel::read(&self.model)?;
        let pictures = list_pictures(&self.images)?;
        self.check_outputs()?;
        let options = self.options();
        let quantized = quantize(&model, &self.images, pictures, &options)
            .with_context(|| self.model.display().to_string())?;
        let proto = self.recorded(&quantized);
        let size = |bytes: usize| {
            #[expect(clippy::cast_precision_loss, reason = "to one decimal")]
            {
                bytes as f64 / 1e6
            }
        };
        let sizes = [encode_model(model.proto()).len(), encode_model(&proto).len()].map(size);
        let text = self.text(&quantized, sizes);
        write_model(&self.output, &proto)?;
        if let Some(folder) = &self.report {
            let report = QuantizationReport {
                tool: TOOL,
                model: &self.model,
                output: &self.output,
                images: &self.images,
                metadata: model.metadata(),
                options: &options,
                quantized: &quantized,
                megabytes: sizes,
            };
            report.write(folder)?;
        }
        Ok(text)
    }

    fn options(&self) -> Options {
        Options {
            calibration: usize::try_from(self.calibration).unwrap_or(usize::MAX),
            method: self.method,
            keep_float: self.keep_float.iter().cloned().collect::<BTreeSet<_>>(),
            max_drop: self.max_drop,
            symmetric: self.symmetric_activations,
            device: self.device,
        }
    }

    /// Refuses outputs that cannot be written, before anything is computed.
    fn check_outputs(&self) -> anyhow::Result<()> {
        outputs::check_model(&self.output)?;
        outputs::check_place(&self.output, false)?;
        if same_file(&self.output, &self.model) {
            bail!("--output is the float model itself; choose another name");
        }
        if let Some(folder) = &self.report {
            outputs::check_apart(&[("--output", Some(&self.output)), ("--report", Some(folder))])?;
            crate::report::check_output(folder)?;
            outputs::check_place(folder, true)?;
        }
        Ok(())
    }

    /// Gives the model with what was measured in its metadata.
    fn recorded(&self, quantized: &Quantized) -> lcam_models::onnx::ModelProto {
        let mut proto = quantized.model.proto().clone();
        let mut metadata: Metadata = quantized.model.metadata().clone();
        let Comparison { logits_db, map_correlation, .. } = quantized.comparison;
        let training = &mut metadata.provenance.training;
        training.insert("quantize_method".to_owned(), quantized.method.to_string());
        training.insert("quantize_pictures".to_owned(), quantized.calibrated_with.to_string());
        let scores = &mut metadata.provenance.scores;
        let rounded =
            |value: f64, digits: i32| (value * 10f64.powi(digits)).round() / 10f64.powi(digits);
        scores.insert("int8-agreement".to_owned(), rounded(100.0 - quantized.comparison.drop(), 1));
        scores.insert("int8-logits-db".to_owned(), rounded(logits_db, 1));
        scores.insert("int8-map-correlation".to_owned(), rounded(map_correlation, 4));
        metadata.write(&mut proto);
        proto
    }

    fn text(&self, quantized: &Quantized, [float, int8]: [f64; 2]) -> String {
        let mut text = String::new();
        let c = &quantized.comparison;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}: {int8:.1} MB from {float:.1} MB; ranges by {} on {} pictures, channels {}",
            self.output.display(),
            quantized.method,
            quantized.calibrated_with,
            if quantized.equalized { "equalised" } else { "as they are" }
        );
        let _ = writeln!(
            text,
            "on {} other pictures: {} keep their class; of {} above {:.0} % confidence, {} ({:.1} %)",
            c.pictures,
            c.same_class,
            c.sure,
            100.0 * SURE,
            c.sure_same_class,
            100.0 - c.drop()
        );
        let _ = writeln!(
            text,
            "logits {:.1} dB above their noise; maps: correlation {:.4}, overlap of the top 15 % {:.3}",
            c.logits_db, c.map_correlation, c.map_overlap
        );
        if let Some(maps) = &c.maps {
            let row = |figures: &[[f64; 2]]| {
                let pair = |(share, [drop, increase]): (&f64, &[f64; 2])| {
                    format!("{drop:.1}/{increase:.1} at {:.0} %", 100.0 * share)
                };
                KEPT.iter().zip(figures).map(pair).collect::<Vec<_>>().join(", ")
            };
            let _ =
                writeln!(text, "average drop/increase in confidence on {} pictures", maps.pictures);
            let _ = writeln!(text, "  float  {}\n  int8   {}", row(&maps.float), row(&maps.int8));
        }
        if !quantized.fallback.is_empty() {
            let _ = writeln!(
                text,
                "left in floating point for their noise: {}",
                quantized.fallback.join(", ")
            );
        }
        for problem in &quantized.unreadable {
            let _ = writeln!(text, "left out: {problem}");
        }
        text
    }
}

fn same_file(one: &std::path::Path, other: &std::path::Path) -> bool {
    let real = |path: &std::path::Path| path.canonicalize().ok();
    real(one).is_some() && real(one) == real(other)
}

fn parse_points(text: &str) -> Result<f64, String> {
    let points = text.parse().ok().filter(|points| (0.0..=100.0).contains(points));
    points.ok_or_else(|| "expected 0 to 100 percent".to_owned())
}
