//! Pooling over two spatial dimensions, and over all of them.

use tch::Tensor;

use super::conv::{Fitted, Window, spatial};
use super::{Entry, entry};
use crate::graph::attributes::Attributes;
use crate::graph::operator::{Parsed, one};
use crate::graph::{NodeError, OperatorError};

pub(super) const ENTRIES: &[Entry] = &[
    entry("AveragePool", average_pool).limits("two spatial dimensions, no dilation"),
    entry("GlobalAveragePool", |_| {
        one(|inputs| {
            let x = inputs.get(0)?;
            Ok(x.f_mean_dim(spatial_axes(x)?, true, x.kind())?)
        })
    }),
    entry("GlobalMaxPool", |_| {
        one(|inputs| {
            let x = inputs.get(0)?;
            Ok(x.f_amax(spatial_axes(x)?, true)?)
        })
    }),
    entry("MaxPool", max_pool).limits("two spatial dimensions, no indices"),
];

fn spatial_axes(x: &Tensor) -> Result<Vec<i64>, OperatorError> {
    Ok((2..).take(spatial(x)?.len()).collect())
}

/// A pool's window and its rounding.
struct Pool {
    window: Window,
    kernel: Vec<i64>,
    ceil_mode: bool,
}

impl Pool {
    fn parse(attributes: &Attributes<'_>) -> Result<Self, NodeError> {
        if attributes.outputs() > 1 {
            return Err(attributes.wrong(
                "storage_order",
                "is asked for by a second output, which is not supported",
            ));
        }
        let window = Window::parse(attributes)?;
        let kernel = attributes.require("kernel_shape", window.kernel.clone())?;
        if kernel.len() != 2 {
            return Err(attributes
                .wrong("kernel_shape", format!("is {kernel:?}; two dimensions are supported")));
        }
        Ok(Self { window, kernel, ceil_mode: attributes.flag("ceil_mode") })
    }

    fn fit(&self, x: &Tensor) -> Result<Fitted, OperatorError> {
        self.window.fit(&spatial(x)?, &self.kernel)
    }
}

/// libtorch takes a padding that is symmetric and at most half of the window; others are put on first.
fn fits_torch(fitted: &Fitted) -> bool {
    fitted.is_symmetric() && fitted.begins.iter().zip(&fitted.kernel).all(|(&p, &k)| p <= k / 2)
}

fn max_pool(attributes: &Attributes<'_>) -> Parsed {
    let pool = Pool::parse(attributes)?;
    one(move |inputs| {
        let x = inputs.get(0)?;
        let fitted = pool.fit(x)?;
        let (x, padding) = if fits_torch(&fitted) {
            (x.shallow_clone(), fitted.begins.clone())
        } else {
            (x.f_pad(fitted.pads_reversed(), "constant", f64::NEG_INFINITY)?, vec![0, 0])
        };
        Ok(x.f_max_pool2d(
            &fitted.kernel,
            &fitted.strides,
            &padding,
            &fitted.dilations,
            pool.ceil_mode,
        )?)
    })
}

fn average_pool(attributes: &Attributes<'_>) -> Parsed {
    let pool = Pool::parse(attributes)?;
    if attributes.ints("dilations").is_some_and(|dilations| dilations.iter().any(|&d| d != 1)) {
        return Err(attributes.wrong("dilations", "is not supported"));
    }
    let count_padding = attributes.flag("count_include_pad");
    one(move |inputs| {
        let x = inputs.get(0)?;
        let fitted = pool.fit(x)?;
        let average = |x: &Tensor, padding: &[i64], count: bool| {
            x.f_avg_pool2d(&fitted.kernel, &fitted.strides, padding, pool.ceil_mode, count, None)
        };
        if fits_torch(&fitted) {
            return Ok(average(x, &fitted.begins, count_padding)?);
        }
        let pads = fitted.pads_reversed();
        let sum = average(&x.f_constant_pad_nd(&pads)?, &[0, 0], true)?;
        if count_padding {
            return Ok(sum);
        }
        let share = average(&x.f_ones_like()?.f_constant_pad_nd(&pads)?, &[0, 0], true)?;
        Ok(sum.f_div(&share)?)
    })
}
