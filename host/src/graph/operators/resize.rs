//! Resampling, one axis after the other.
//!
//! Each output cell is a weighted sum of input cells along an axis; the weights follow from the
//! coordinate rule and the mode exactly as the ONNX operator `Resize` defines them.

use tch::Tensor;

use super::{Entry, entry};
use crate::graph::OperatorError;
use crate::graph::attributes::Attributes;
use crate::graph::operator::{Inputs, Parsed, axis, one};

pub(super) const ENTRIES: &[Entry] = &[entry("Resize", resize)
    .limits("no antialiasing, no tf_crop_and_resize, no aspect-ratio policy")];

#[derive(Clone, Copy)]
enum Mode {
    Nearest(Rounding),
    Linear,
    /// The coefficient `a` of the cubic kernel, and whether weights outside of the picture are dropped.
    Cubic {
        a: f64,
        exclude_outside: bool,
    },
}

#[derive(Clone, Copy)]
enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

#[derive(Clone, Copy)]
enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
}

#[derive(Clone, Copy)]
struct Rule {
    mode: Mode,
    coordinates: Coordinates,
}

fn resize(attributes: &Attributes<'_>) -> Parsed {
    let rule = Rule { mode: mode(attributes)?, coordinates: coordinates(attributes)? };
    if attributes.flag("antialias") {
        return Err(attributes.wrong("antialias", "is on, which is not supported"));
    }
    if attributes.text_or("keep_aspect_ratio_policy", "stretch") != "stretch" {
        return Err(attributes.wrong("keep_aspect_ratio_policy", "is not supported"));
    }
    let axes = attributes.ints("axes");
    one(move |inputs| {
        let scales = inputs.floats(2)?.filter(|scales| !scales.is_empty());
        apply(inputs, rule, axes.as_deref(), scales, inputs.ints(3)?)
    })
}

fn mode(attributes: &Attributes<'_>) -> Result<Mode, crate::graph::NodeError> {
    Ok(match attributes.text_or("mode", "nearest") {
        "nearest" => {
            Mode::Nearest(match attributes.text_or("nearest_mode", "round_prefer_floor") {
                "round_prefer_floor" => Rounding::PreferFloor,
                "round_prefer_ceil" => Rounding::PreferCeil,
                "floor" => Rounding::Floor,
                "ceil" => Rounding::Ceil,
                other => {
                    return Err(
                        attributes.wrong("nearest_mode", format!("is the unknown {other:?}"))
                    );
                }
            })
        }
        "linear" => Mode::Linear,
        "cubic" => Mode::Cubic {
            a: attributes.float_or("cubic_coeff_a", -0.75),
            exclude_outside: attributes.flag("exclude_outside"),
        },
        other => return Err(attributes.wrong("mode", format!("is the unknown {other:?}"))),
    })
}

fn coordinates(attributes: &Attributes<'_>) -> Result<Coordinates, crate::graph::NodeError> {
    let name = "coordinate_transformation_mode";
    Ok(match attributes.text_or(name, "half_pixel") {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        other => return Err(attributes.wrong(name, format!("has the unsupported value {other:?}"))),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "sides of pictures are far below 2^52"
)]
fn apply(
    inputs: &Inputs<'_>,
    rule: Rule,
    axes: Option<&[i64]>,
    scales: Option<Vec<f64>>,
    sizes: Option<Vec<i64>>,
) -> Result<Tensor, OperatorError> {
    let x = inputs.get(0)?;
    let axes: Vec<i64> = axes.map_or_else(|| (0..).take(x.dim()).collect(), <[i64]>::to_vec);
    let mut result = x.shallow_clone();
    for (i, &along) in axes.iter().enumerate() {
        let along = axis(along, x.dim())?;
        let input = x.size()[usize::try_from(along).unwrap_or(0)];
        let (output, scale) = match (&scales, &sizes) {
            (_, Some(sizes)) if sizes.len() == axes.len() => {
                (sizes[i], sizes[i] as f64 / input as f64)
            }
            (Some(scales), _) if scales.len() == axes.len() => {
                ((input as f64 * scales[i]).floor() as i64, scales[i])
            }
            _ => {
                return Err(OperatorError::Input(
                    "neither scales nor sizes fit the input".to_owned(),
                ));
            }
        };
        if output < 1 {
            return Err(OperatorError::Input(format!("axis {along} would have {output} cells")));
        }
        if output != input || (scale - 1.0).abs() > 0.0 {
            let samples: Vec<_> = (0..output).map(|cell| rule.taps(cell, input, scale)).collect();
            result = mix(&result, along, &samples)?;
        }
    }
    Ok(result)
}

/// The input cells that make an output cell, with their weights.
type Taps = Vec<(i64, f64)>;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "sides of pictures are far below 2^52"
)]
impl Rule {
    fn taps(self, cell: i64, input: i64, scale: f64) -> Taps {
        let position = self.coordinates.source(cell as f64, input as f64, scale);
        let inside = |index: f64| (index as i64).clamp(0, input - 1);
        let floor = position.floor();
        match self.mode {
            Mode::Nearest(rounding) => vec![(inside(rounding.apply(position)), 1.0)],
            Mode::Linear => {
                let weight = position.clamp(0.0, input as f64 - 1.0) - inside(floor) as f64;
                vec![(inside(floor), 1.0 - weight), (inside(floor) + 1, weight)]
                    .into_iter()
                    .map(|(index, weight)| (index.min(input - 1), weight))
                    .collect()
            }
            Mode::Cubic { a, exclude_outside } => {
                let taps = (-1..=2).map(|offset| {
                    let index = floor + f64::from(offset);
                    let outside = index < 0.0 || index > input as f64 - 1.0;
                    let weight =
                        if exclude_outside && outside { 0.0 } else { cubic(position - index, a) };
                    (inside(index), weight)
                });
                let taps: Taps = taps.collect();
                let sum: f64 = taps.iter().map(|tap| tap.1).sum();
                taps.into_iter().map(|(index, weight)| (index, weight / sum)).collect()
            }
        }
    }
}

impl Coordinates {
    fn source(self, cell: f64, input: f64, scale: f64) -> f64 {
        // Where scales are given, the operator's definition does not round the output's length here.
        let output = input * scale;
        match self {
            Self::HalfPixel => (cell + 0.5) / scale - 0.5,
            Self::HalfPixelSymmetric => {
                let adjustment = output.floor() / output;
                input / 2.0 * (1.0 - adjustment) + (cell + 0.5) / scale - 0.5
            }
            Self::PytorchHalfPixel if output > 1.0 => (cell + 0.5) / scale - 0.5,
            Self::AlignCorners if output > 1.0 => cell * (input - 1.0) / (output - 1.0),
            Self::PytorchHalfPixel | Self::AlignCorners => 0.0,
            Self::Asymmetric => cell / scale,
        }
    }
}

impl Rounding {
    fn apply(self, position: f64) -> f64 {
        match self {
            Self::PreferFloor => (position - 0.5).ceil(),
            Self::PreferCeil => (position + 0.5).floor(),
            Self::Floor => position.floor(),
            Self::Ceil => position.ceil(),
        }
    }
}

/// The cubic convolution kernel of Keys (1981).
fn cubic(distance: f64, a: f64) -> f64 {
    let x = distance.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

/// Sums the taps along one axis.
fn mix(x: &Tensor, along: i64, samples: &[Taps]) -> Result<Tensor, OperatorError> {
    let mut shape = vec![1; x.dim()];
    shape[usize::try_from(along).unwrap_or(0)] = -1;
    let mut sum: Option<Tensor> = None;
    for tap in 0..samples.first().map_or(0, Vec::len) {
        let indices: Vec<i64> = samples.iter().map(|taps| taps[tap].0).collect();
        let weights: Vec<f64> = samples.iter().map(|taps| taps[tap].1).collect();
        let picked =
            x.f_index_select(along, &Tensor::from_slice(&indices).f_to_device(x.device())?)?;
        if samples[0].len() == 1 {
            return Ok(picked);
        }
        let weights = Tensor::from_slice(&weights)
            .f_to_kind(x.kind())?
            .f_to_device(x.device())?
            .f_reshape(&shape)?;
        let part = picked.f_mul(&weights)?;
        sum = Some(match sum {
            Some(sum) => sum.f_add(&part)?,
            None => part,
        });
    }
    sum.ok_or_else(|| OperatorError::Input("an axis has no cells".to_owned()))
}
