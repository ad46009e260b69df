//! Rounds the weights layer by layer, each with the inputs that it will have.
//!
//! Two copies of the network look at the same pictures, node by node: the one as it is, the other with weights and tensors
//! rounded so far. What rounding adds to a layer's mean, channel by channel, is taken off its bias (bias correction;
//! Nagel et al. 2019, section 4.2, with the means measured), so that a layer starts from the errors of those before it.

use std::collections::{BTreeMap, HashMap, HashSet};

use indicatif::ProgressBar;
use lcam_models::explained::IMAGE;
use lcam_models::onnx::{GraphProto, NodeProto};
use serde::Serialize;
use tch::{Device, Kind, TchError, Tensor};

use super::QuantizeError;
use super::compensate::Moments;
use super::grid::Grid;
use super::pairs;
use super::plan::{Plan, Role, data};
use super::wiring::{Wiring, given};
use crate::export::values;
use crate::graph::{Graph, ValueId};
use crate::rounding::{Rows, round_above};

/// The largest bias in steps of its scale: room below 2^31 for the sums that it is added to.
const LARGEST_BIAS: f64 = (1u64 << 30) as f64;

/// The pictures that a layer's noise is measured with.
const NOISE_WITH: i64 = 32;

/// The grids of a plan's tensors, by the grids' numbers.
pub(super) type Grids = BTreeMap<usize, Grid>;

/// The weights of a layer as they are stored.
#[derive(Clone, Debug)]
pub(super) struct LayerWeights {
    /// Int8, with one scale an output channel.
    pub(super) rows: Rows,
    /// The axis of the output channels.
    pub(super) axis: usize,
    /// In steps of the input's scale times the channel's; none for a product without bias.
    pub(super) bias: Option<Vec<i32>>,
}

/// How large the error of a layer is beside its output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerNoise {
    /// The node's name, or its output's where it has none.
    pub node: String,
    /// The operator.
    pub operator: String,
    /// The signal-to-noise ratio of the output, in decibels, when the layer alone is quantised.
    pub alone_db: f64,
    /// The same when all layers before it are, too.
    pub so_far_db: f64,
}

/// A network's layers, rounded.
#[derive(Clone, Debug, Default)]
pub(super) struct Fit {
    /// Place of the node -> its weights.
    pub(super) weights: BTreeMap<usize, LayerWeights>,
    /// One entry a layer with weights.
    pub(super) noise: Vec<LayerNoise>,
}

/// What a network is fitted with.
pub(super) struct Fitter<'a> {
    pub(super) graph: &'a GraphProto,
    /// The network as it is.
    pub(super) float: &'a Graph,
    /// A second copy of it, whose weights are replaced.
    pub(super) rounded: Graph,
    pub(super) plan: &'a Plan,
    pub(super) grids: &'a Grids,
    pub(super) rounding: Rounding,
    pub(super) progress: ProgressBar,
}

/// How weights are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// Each to the nearest step.
    Nearest,
    /// For the least error of the outputs, see [`super::compensate`].
    Compensated,
}

/// A tensor in both networks.
struct Twin {
    exact: Tensor,
    rounded: Tensor,
}

impl Fitter<'_> {
    /// Fits the layers on pictures `[B, 3, H, W]`.
    ///
    /// # Errors
    /// Returns [`QuantizeError`] when a node fails or a weight is not finite.
    pub(super) fn fit(mut self, images: &Tensor) -> Result<Fit, QuantizeError> {
        let _no_gradients = tch::no_grad_guard();
        let wiring = Wiring::new(&self.graph.node);
        let needed = self.needed(&wiring);
        let mut fit = Fit::default();
        let mut values: HashMap<String, Twin> = HashMap::new();
        values.insert(
            IMAGE.to_owned(),
            Twin { exact: images.shallow_clone(), rounded: images.shallow_clone() },
        );
        self.put_on_grid(IMAGE, &mut values)?;
        self.progress.set_length(self.graph.node.len() as u64);
        for (index, node) in self.graph.node.iter().enumerate() {
            self.progress.inc(1);
            if !needed.contains(&index) {
                continue;
            }
            if self.plan.roles[index] == Some(Role::Weighted) {
                let layer = self.fit_layer(node, &mut values, &mut fit.noise)?;
                fit.weights.insert(index, layer);
            } else {
                self.pass(node, &mut values)?;
            }
            for output in given(&node.output) {
                self.put_on_grid(output, &mut values)?;
            }
            // What nobody reads any more goes.
            let is_done = |name: &String| {
                wiring
                    .readers(name)
                    .iter()
                    .all(|&reader| reader <= index || !needed.contains(&reader))
            };
            for name in node.input.iter().chain(&node.output).filter(|name| is_done(name)) {
                values.remove(name);
            }
        }
        Ok(fit)
    }

    /// Collects the nodes that those in int8 depend on, and these.
    fn needed(&self, wiring: &Wiring) -> HashSet<usize> {
        let mut needed = HashSet::new();
        for (index, node) in self.graph.node.iter().enumerate().rev() {
            let heard = node
                .output
                .iter()
                .flat_map(|output| wiring.readers(output))
                .any(|reader| needed.contains(reader));
            if heard || self.plan.roles[index].is_some() {
                needed.insert(index);
            }
        }
        needed
    }

    fn value(&self, name: &str) -> Result<ValueId, QuantizeError> {
        self.float.value(name).ok_or_else(|| QuantizeError::Missing { tensor: name.to_owned() })
    }

    fn put_on_grid(
        &self,
        name: &str,
        values: &mut HashMap<String, Twin>,
    ) -> Result<(), QuantizeError> {
        let grid = self.plan.grids.get(name).and_then(|number| self.grids.get(number));
        if let (Some(grid), Some(twin)) = (grid, values.get_mut(name)) {
            twin.rounded = grid.round_trip(&twin.rounded)?;
        }
        Ok(())
    }

    /// Runs a node in one of the networks.
    fn run(
        &self,
        network: &Graph,
        node: &NodeProto,
        inputs: &[(&String, &Tensor)],
    ) -> Result<Vec<Tensor>, QuantizeError> {
        let feed = |(name, tensor): &(&String, &Tensor)| {
            Ok::<_, QuantizeError>((self.value(name)?, tensor.shallow_clone()))
        };
        let feeds: Vec<(ValueId, Tensor)> = inputs.iter().map(feed).collect::<Result<_, _>>()?;
        let feeds: Vec<(ValueId, &Tensor)> =
            feeds.iter().map(|(id, tensor)| (*id, tensor)).collect();
        let wanted =
            given(&node.output).map(|name| self.value(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(network.run(&feeds, &wanted)?)
    }

    fn both(
        &self,
        node: &NodeProto,
        values: &HashMap<String, Twin>,
    ) -> Result<Vec<Twin>, QuantizeError> {
        let twins: Vec<(&String, &Twin)> =
            data(self.graph, node).filter_map(|name| Some((name, values.get(name)?))).collect();
        let exact: Vec<_> = twins.iter().map(|(name, twin)| (*name, &twin.exact)).collect();
        let rounded: Vec<_> = twins.iter().map(|(name, twin)| (*name, &twin.rounded)).collect();
        let pairs = self.run(self.float, node, &exact)?.into_iter().zip(self.run(
            &self.rounded,
            node,
            &rounded,
        )?);
        Ok(pairs.map(|(exact, rounded)| Twin { exact, rounded }).collect())
    }

    fn pass(
        &self,
        node: &NodeProto,
        values: &mut HashMap<String, Twin>,
    ) -> Result<(), QuantizeError> {
        let twins = self.both(node, values)?;
        values.extend(given(&node.output).cloned().zip(twins));
        Ok(())
    }

    /// Rounds the weights of a layer, and corrects its bias.
    fn fit_layer(
        &mut self,
        node: &NodeProto,
        values: &mut HashMap<String, Twin>,
        noise: &mut Vec<LayerNoise>,
    ) -> Result<LayerWeights, QuantizeError> {
        let [kernel, bias] =
            [1, 2].map(|place| node.input.get(place).map(|name| self.value(name)).transpose());
        let (kernel, bias) = (kernel?.ok_or(QuantizeError::NoImage)?, bias?);
        let weights = self.constant(kernel)?;
        let axis = output_axis(node);
        let input = &node.input[0];
        let step = self.step_of(input)?;
        let own_bias = bias.map(|bias| self.constant(bias)).transpose()?;
        let rows =
            self.round_layer(node, &weights, own_bias.as_ref(), &values[input].rounded, step)?;
        let widened = Tensor::from_slice(&rows.widened(stride(&weights, axis)))
            .f_reshape(weights.size())?
            .f_to_device(weights.device())?;
        self.rounded.set_constant(kernel, widened);
        let mut twin = self.both(node, values)?.remove(0);
        let layer_bias = match (bias, own_bias) {
            (Some(id), Some(bias)) => {
                let error = channel_means(&twin.exact.f_sub(&twin.rounded)?, node)?;
                let corrected = bias.f_add(&error)?;
                let (steps, values) = bias_steps(&corrected, &rows, step)?;
                let change = values.f_to_device(bias.device())?.f_sub(&bias)?;
                twin.rounded =
                    twin.rounded.f_add(&along_channels(&change, &twin.rounded, node)?)?;
                self.rounded.set_constant(id, bias.f_add(&change)?);
                Some(steps)
            }
            _ => None,
        };
        noise.push(LayerNoise {
            node: node_name(node).to_owned(),
            operator: node.op_type().to_owned(),
            alone_db: self.alone(node, &few(&values[input].exact)?, &few(&twin.exact)?)?,
            so_far_db: decibels(&few(&twin.exact)?, &few(&twin.rounded)?)?,
        });
        values.insert(node.output[0].clone(), twin);
        Ok(LayerWeights { rows, axis, bias: layer_bias })
    }

    /// Rounds the weights of a layer for what it reads in the rounded network.
    fn round_layer(
        &self,
        node: &NodeProto,
        weights: &Tensor,
        bias: Option<&Tensor>,
        input: &Tensor,
        step: f64,
    ) -> Result<Rows, QuantizeError> {
        let axis = output_axis(node);
        let mut rows = round_rows(node, weights, bias, axis, step)?;
        if self.rounding == Rounding::Nearest {
            return Ok(rows);
        }
        if let Some(moments) = Moments::new(node, weights, input, bias.is_some())? {
            let whole = moments.round(node, weights, &rows.scales)?.f_to_kind(Kind::Int8)?;
            let whole = whole.f_to_device(Device::Cpu)?.f_reshape([-1i64])?;
            rows.values = Vec::<i8>::try_from(&whole)?;
        }
        Ok(rows)
    }

    fn constant(&self, id: ValueId) -> Result<Tensor, QuantizeError> {
        let constant = self.float.constant(id).map(Tensor::shallow_clone);
        constant.ok_or_else(|| QuantizeError::Missing { tensor: self.float.name(id).to_owned() })
    }

    /// Gives the width of the steps of a tensor on a grid.
    fn step_of(&self, name: &str) -> Result<f64, QuantizeError> {
        let grid = self.plan.grids.get(name).and_then(|number| self.grids.get(number));
        grid.map(|grid| f64::from(grid.scale))
            .ok_or_else(|| QuantizeError::Missing { tensor: name.to_owned() })
    }

    /// Measures a layer's error where its input alone was rounded, and its weights.
    fn alone(
        &self,
        node: &NodeProto,
        input: &Tensor,
        exact: &Tensor,
    ) -> Result<f64, QuantizeError> {
        let name = &node.input[0];
        let grid = self.plan.grids.get(name).and_then(|number| self.grids.get(number));
        let rounded =
            grid.map_or_else(|| Ok(input.shallow_clone()), |grid| grid.round_trip(input))?;
        let output = self.run(&self.rounded, node, &[(name, &rounded)])?.remove(0);
        // The correction of the bias is for the errors of the layers before it.
        let error = channel_means(&exact.f_sub(&output)?, node)?;
        let output = output.f_add(&along_channels(&error, &output, node)?)?;
        decibels(exact, &output)
    }
}

/// Takes the first pictures of a batch: enough to tell which layers are noisy.
fn few(batch: &Tensor) -> Result<Tensor, TchError> {
    let count = batch.size().first().copied().unwrap_or(0);
    batch.f_narrow(0, 0, count.min(NOISE_WITH))
}

/// Gives what a report calls a node.
pub(super) fn node_name(node: &NodeProto) -> &str {
    if node.name().is_empty() {
        node.output.first().map_or("", String::as_str)
    } else {
        node.name()
    }
}

/// Gives the axis of the output channels in a layer's weights.
fn output_axis(node: &NodeProto) -> usize {
    let transposed = node.attribute.iter().any(|a| a.name() == "transB" && a.i() == 1);
    match node.op_type() {
        "Conv" => 0,
        "Gemm" if transposed => 0,
        _ => 1,
    }
}

fn stride(weights: &Tensor, axis: usize) -> usize {
    weights.size()[axis + 1..].iter().map(|&side| usize::try_from(side).unwrap_or(1)).product()
}

/// Rounds weights channel by channel. A channel whose weights are so small that its bias would not fit in 32 bits gets wider
/// steps, and so does one whose neighbours' products would not fit in 16 (see [`pairs`]).
fn round_rows(
    node: &NodeProto,
    weights: &Tensor,
    bias: Option<&Tensor>,
    axis: usize,
    step: f64,
) -> Result<Rows, QuantizeError> {
    let weights_flat = values(weights)?;
    let not_finite = || QuantizeError::NotFinite { tensor: node.input[1].clone() };
    let mut least = pairs::least_steps(node, weights, axis)?;
    if let Some(bias) = bias {
        for (least, bias) in least.iter_mut().zip(values(bias)?) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rounding to f32 is what is asked for"
            )]
            {
                *least = least.max((f64::from(bias.abs()) / (step * LARGEST_BIAS)) as f32);
            }
        }
    }
    round_above(&weights_flat, stride(weights, axis), &least).ok_or_else(not_finite)
}

/// Gives a bias in whole steps, and what these stand for.
fn bias_steps(bias: &Tensor, rows: &Rows, step: f64) -> Result<(Vec<i32>, Tensor), QuantizeError> {
    let mut steps = Vec::with_capacity(rows.scales.len());
    let mut kept = Vec::with_capacity(rows.scales.len());
    for (bias, scale) in values(bias)?.into_iter().zip(&rows.scales) {
        // The product as a file holds it.
        #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is asked for")]
        let width = f64::from((step * f64::from(*scale)) as f32);
        let whole = (f64::from(bias) / width)
            .round_ties_even()
            .clamp(f64::from(i32::MIN), f64::from(i32::MAX));
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number within the type's range"
        )]
        steps.push(whole as i32);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to f32 is what is asked for"
        )]
        kept.push((whole * width) as f32);
    }
    Ok((steps, Tensor::from_slice(&kept)))
}

/// Gives the mean of each output channel.
fn channel_means(values: &Tensor, node: &NodeProto) -> Result<Tensor, QuantizeError> {
    let channel = channel_axis(values, node);
    let others: Vec<i64> =
        (0..i64::try_from(values.dim()).unwrap_or(0)).filter(|&axis| axis != channel).collect();
    Ok(values.f_mean_dim(others, false, Kind::Float)?)
}

/// Gives one value a channel the shape that broadcasts along the channels of a layer's output.
fn along_channels(
    values: &Tensor,
    output: &Tensor,
    node: &NodeProto,
) -> Result<Tensor, QuantizeError> {
    let mut shape = vec![1; output.dim()];
    shape[usize::try_from(channel_axis(output, node)).unwrap_or(0)] = -1;
    Ok(values.f_reshape(&shape)?)
}

fn channel_axis(output: &Tensor, node: &NodeProto) -> i64 {
    if node.op_type() == "Conv" { 1 } else { i64::try_from(output.dim()).unwrap_or(1) - 1 }
}

/// Gives the signal-to-noise ratio, `10 log10(sum exact^2 / sum (exact - other)^2)`; at most 120 dB.
pub(super) fn decibels(exact: &Tensor, other: &Tensor) -> Result<f64, QuantizeError> {
    const MOST: f64 = 120.0;
    let power = |values: &Tensor| {
        Ok::<_, QuantizeError>(values.f_square()?.f_sum(Kind::Double)?.double_value(&[]))
    };
    let (signal, noise) = (power(exact)?, power(&exact.f_sub(other)?)?);
    Ok(if signal > 0.0 { (10.0 * (signal / noise).log10()).min(MOST) } else { MOST })
}
