//! Convolutions.

use lcam_models::onnx::NodeProto;
use tch::Tensor;

use super::{Entry, entry};
use crate::graph::attributes::Attributes;
use crate::graph::operator::{Parsed, one};
use crate::graph::{NodeError, OperatorError, RunError};

pub(super) const ENTRIES: &[Entry] = &[entry("Conv", conv), entry("ConvTranspose", conv_transpose)];

/// How a window moves over the spatial dimensions: what convolutions and pools share.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// The window's size; of a convolution taken from the weights.
    pub(super) kernel: Option<Vec<i64>>,
    strides: Option<Vec<i64>>,
    dilations: Option<Vec<i64>>,
    pads: Pads,
}

#[derive(Clone, Debug)]
enum Pads {
    /// All beginnings, then all ends.
    Explicit(Option<Vec<i64>>),
    /// The output has `ceil(input / stride)` cells; the odd one goes to the end, or to the beginning.
    Same { odd_at_end: bool },
}

/// A window fitted to an input.
#[derive(Debug)]
pub(super) struct Fitted {
    pub(super) kernel: Vec<i64>,
    pub(super) strides: Vec<i64>,
    pub(super) dilations: Vec<i64>,
    pub(super) begins: Vec<i64>,
    pub(super) ends: Vec<i64>,
}

impl Window {
    pub(super) fn parse(attributes: &Attributes<'_>) -> Result<Self, NodeError> {
        let pads = match attributes.text_or("auto_pad", "NOTSET") {
            "NOTSET" => Pads::Explicit(attributes.ints("pads")),
            "VALID" => Pads::Explicit(None),
            "SAME_UPPER" => Pads::Same { odd_at_end: true },
            "SAME_LOWER" => Pads::Same { odd_at_end: false },
            other => {
                return Err(
                    attributes.wrong("auto_pad", format!("has the unknown value {other:?}"))
                );
            }
        };
        let positive = |name: &str| match attributes.ints(name) {
            Some(values) if values.iter().any(|&value| value < 1) => {
                Err(attributes.wrong(name, format!("is {values:?}; every value must be above 0")))
            }
            values => Ok(values),
        };
        Ok(Self {
            kernel: positive("kernel_shape")?,
            strides: positive("strides")?,
            dilations: positive("dilations")?,
            pads,
        })
    }

    pub(super) fn fit(&self, input: &[i64], kernel: &[i64]) -> Result<Fitted, OperatorError> {
        let rank = input.len();
        let or_ones = |values: &Option<Vec<i64>>| values.clone().unwrap_or_else(|| vec![1; rank]);
        let (strides, dilations) = (or_ones(&self.strides), or_ones(&self.dilations));
        let (begins, ends) = match &self.pads {
            Pads::Explicit(None) => (vec![0; rank], vec![0; rank]),
            Pads::Explicit(Some(pads)) if pads.len() == 2 * rank => {
                (pads[..rank].to_vec(), pads[rank..].to_vec())
            }
            Pads::Explicit(Some(pads)) => {
                return Err(OperatorError::Input(format!(
                    "pads {pads:?} do not fit {rank} dimensions"
                )));
            }
            Pads::Same { odd_at_end } => {
                let total = |i: usize| {
                    let cells = (input[i] + strides[i] - 1) / strides[i];
                    ((cells - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - input[i])
                        .max(0)
                };
                let small: Vec<i64> = (0..rank).map(|i| total(i) / 2).collect();
                let large: Vec<i64> = (0..rank).map(|i| total(i) - total(i) / 2).collect();
                if *odd_at_end { (small, large) } else { (large, small) }
            }
        };
        if [kernel.len(), strides.len(), dilations.len()] != [rank; 3] {
            return Err(OperatorError::Input(format!("the window does not fit {rank} dimensions")));
        }
        Ok(Fitted { kernel: kernel.to_vec(), strides, dilations, begins, ends })
    }
}

impl Fitted {
    /// Gives the padding in the order libtorch's `pad` wants: the last dimension first.
    pub(super) fn pads_reversed(&self) -> Vec<i64> {
        self.begins.iter().zip(&self.ends).rev().flat_map(|(&begin, &end)| [begin, end]).collect()
    }

    /// Gives how many places the window has on each axis of an input that is padded.
    fn places(&self, padded: &[i64]) -> Vec<i64> {
        let axes = padded.iter().zip(&self.kernel).zip(&self.dilations).zip(&self.strides);
        axes.map(|(((side, kernel), dilation), stride)| {
            ((side - (kernel - 1) * dilation - 1) / stride + 1).max(0)
        })
        .collect()
    }

    pub(super) fn is_symmetric(&self) -> bool {
        self.begins == self.ends
    }
}

/// Gives patches that the windows of a convolution in the plane see, `[B, C kh kw, N]`, zeros beyond the borders: of rows
/// and columns evenly spread, at least `wanted` of each picture, or all where it has fewer.
///
/// # Errors
/// Returns [`RunError`] when the convolution does not fit the input.
pub(crate) fn patches(
    node: &NodeProto,
    input: &Tensor,
    kernel: &[i64],
    wanted: i64,
) -> Result<Tensor, RunError> {
    let unroll = || {
        let window = Window::parse(&Attributes::new(node, 0))
            .map_err(|problem| OperatorError::Input(problem.to_string()))?;
        let fitted = window.fit(&spatial(input)?, kernel)?;
        let padded = input.f_constant_pad_nd(fitted.pads_reversed())?;
        let spread = spread(fitted.places(&spatial(&padded)?).iter().product(), wanted);
        let strides: Vec<i64> = fitted.strides.iter().map(|stride| stride * spread).collect();
        Ok(padded.f_im2col(&fitted.kernel, &fitted.dilations, [0, 0], &strides)?)
    };
    unroll().map_err(|problem| RunError::new(&node.title(), problem))
}

/// Gives which of the rows and columns of places are enough: each, each second, and so on.
fn spread(places: i64, wanted: i64) -> i64 {
    let is_enough = |spread: &i64| wanted.saturating_mul(spread * spread) <= places;
    (2..).take_while(is_enough).last().unwrap_or(1)
}

/// Gives the spatial dimensions of a tensor.
pub(super) fn spatial(tensor: &Tensor) -> Result<Vec<i64>, OperatorError> {
    match tensor.size().get(2..) {
        Some(sides) if !sides.is_empty() => Ok(sides.to_vec()),
        _ => {
            Err(OperatorError::Input(format!("shape {:?} has no spatial dimension", tensor.size())))
        }
    }
}

fn conv(attributes: &Attributes<'_>) -> Parsed {
    let window = Window::parse(attributes)?;
    let groups = attributes.int_or("group", 1);
    one(move |inputs| {
        let (x, weight) = (inputs.get(0)?, inputs.get(1)?);
        let fitted = window.fit(&spatial(x)?, &spatial(weight)?)?;
        let no_output_padding = vec![0; fitted.strides.len()];
        let (x, padding) = if fitted.is_symmetric() {
            (x.shallow_clone(), fitted.begins.clone())
        } else {
            (x.f_constant_pad_nd(fitted.pads_reversed())?, no_output_padding.clone())
        };
        Ok(x.f_convolution(
            weight,
            inputs.opt(2),
            &fitted.strides,
            &padding,
            &fitted.dilations,
            false,
            &no_output_padding,
            groups,
        )?)
    })
}

/// Computed without padding, then extended by the output padding and cut by the pads.
fn conv_transpose(attributes: &Attributes<'_>) -> Parsed {
    let window = Window::parse(attributes)?;
    let groups = attributes.int_or("group", 1);
    let output_padding = attributes.ints("output_padding");
    let output_shape = attributes.ints("output_shape");
    let auto_pad = attributes.text_or("auto_pad", "NOTSET").to_owned();
    one(move |inputs| {
        let (x, weight) = (inputs.get(0)?, inputs.get(1)?);
        let input = spatial(x)?;
        let explicit = Window {
            pads: if auto_pad == "NOTSET" { window.pads.clone() } else { Pads::Explicit(None) },
            ..window.clone()
        };
        let fitted = explicit.fit(&input, &spatial(weight)?)?;
        let rank = input.len();
        let zeros = vec![0; rank];
        let extra = output_padding.clone().unwrap_or_else(|| zeros.clone());
        let whole = x.f_convolution(
            weight,
            inputs.opt(2),
            &fitted.strides,
            &zeros,
            &fitted.dilations,
            true,
            &zeros,
            groups,
        )?;
        let full = spatial(&whole)?;
        let mut pads = Vec::new();
        for i in (0..rank).rev() {
            let target = match (&output_shape, auto_pad.as_str()) {
                (Some(shape), _) => Some(shape[shape.len() - rank + i]),
                (None, "SAME_UPPER" | "SAME_LOWER") => Some(input[i] * fitted.strides[i]),
                _ => None,
            };
            let (begin, end) = match target {
                None => (fitted.begins[i], fitted.ends[i] - extra[i]),
                Some(target) => {
                    let total = full[i] + extra[i] - target;
                    let small = total.div_euclid(2);
                    let (begin, end) = if auto_pad == "SAME_UPPER" {
                        (small, total - small)
                    } else {
                        (total - small, small)
                    };
                    (begin, end - extra[i])
                }
            };
            pads.extend([-begin, -end]);
        }
        // The bias belongs on the cells that output padding adds, too.
        let padded = whole.f_constant_pad_nd(&pads)?;
        if extra.iter().all(|&e| e == 0) || inputs.opt(2).is_none() {
            return Ok(padded);
        }
        let touched = whole.f_ones_like()?.f_constant_pad_nd(&pads)?;
        let mut shape = vec![1; rank + 2];
        shape[1] = -1;
        let bias = inputs.get(2)?.f_reshape(&shape)?;
        Ok(padded.f_add(&touched.f_neg()?.f_add_scalar(1.0)?.f_mul(&bias)?)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::nodes::{ints, node};

    #[test]
    fn patches_are_all_or_enough_of_them() {
        let image = Tensor::arange(60, (tch::Kind::Float, tch::Device::Cpu)).reshape([1, 1, 6, 10]);
        let mut layer = node("Conv", &["x", "w"], "y");
        layer.attribute = vec![ints("pads", &[1, 1, 1, 1])];
        let seen = |wanted| {
            let patches = patches(&layer, &image, &[3, 3], wanted).unwrap();
            // The middle of a window says where it is.
            Vec::<f32>::try_from(&patches.select(1, 4).reshape([-1])).unwrap()
        };
        assert_eq!(seen(1000).len(), 60);
        assert_eq!(seen(16).len(), 60);
        assert_eq!(
            seen(15),
            [0, 2, 4, 6, 8, 20, 22, 24, 26, 28, 40, 42, 44, 46, 48].map(|x| x as f32)
        );
        assert_eq!(seen(1), [0.0, 7.0]);
    }
}
