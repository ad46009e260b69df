//! From units to actions of a program: shapes, packed weights, scales.

mod convolve;
mod window;

use std::collections::HashMap;

use lcam_models::onnx::NodeProto;

use super::super::extent::{Extent, Geometry};
use super::super::grid::Grid;
use super::super::kernels::{Addition, Kernels, Multiplication};
use super::super::operators::Operator;
use super::super::operators::average::Average;
use super::super::operators::concat::Concat;
use super::super::operators::elementwise::{Add, Multiply, ScaleChannels};
use super::super::operators::maximum::Maximum;
use super::super::operators::table::Table;
use super::super::program::{Action, Held, Step};
use super::super::wiring::Wiring;
use super::weights::attribute;
use super::{Kind, Made, Unit};
use crate::engine::limits::Limits;
use window::{average_window, maximum_window};

/// The unit of this node cannot be computed as planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Unfit {
    /// The node.
    pub(in crate::engine) node: usize,
}

/// Builds actions, part by part, as shapes become known.
#[derive(Debug)]
pub(in crate::engine) struct Builder<'a> {
    wiring: &'a Wiring<'a>,
    kernels: &'static dyn Kernels,
    /// Steps by name.
    tensors: HashMap<String, Held>,
    multiply_adds: u64,
    elements: u64,
}

impl<'a> Builder<'a> {
    pub(in crate::engine) fn new(wiring: &'a Wiring<'a>, kernels: &'static dyn Kernels) -> Self {
        Self { wiring, kernels, tensors: HashMap::new(), multiply_adds: 0, elements: 0 }
    }

    /// Gives the multiply-adds of what was built, and what pooling sums up or compares.
    pub(in crate::engine) fn multiply_adds(&self) -> u64 {
        self.multiply_adds
    }

    /// Gives the elements of all tensors together.
    pub(in crate::engine) fn elements(&self) -> u64 {
        self.elements
    }

    /// Builds the steps of a part; `shapes` holds those of tensors in floating point, and learns of new ones.
    ///
    /// # Errors
    /// Returns [`Unfit`] for the first unit that cannot be built.
    pub(in crate::engine) fn part(
        &mut self,
        units: &[Unit],
        shapes: &mut HashMap<String, Vec<usize>>,
    ) -> Result<Vec<Step>, Unfit> {
        let mut build = |unit: &Unit| {
            let action = self.unit(unit, shapes).ok_or(Unfit { node: unit.node })?;
            let title = format!("{} {}", self.wiring.nodes[unit.node].op_type(), unit.made.name());
            Ok(Step { title, action })
        };
        units.iter().map(&mut build).collect()
    }

    fn unit(&mut self, unit: &Unit, shapes: &mut HashMap<String, Vec<usize>>) -> Option<Action> {
        let node = &self.wiring.nodes[unit.node];
        match (unit.kind, &unit.made) {
            (Kind::Quantize, Made::Steps(output, _)) => {
                let (name, grid) = unit.inputs.first()?.clone();
                let output = self.hold(output, Extent::of(shapes.get(&name)?)?)?;
                Some(Action::Quantize { name, grid, output })
            }
            (Kind::Dequantize, Made::Values(name)) => {
                let (input, grid) = self.input(unit, 0)?;
                shapes.insert(name.clone(), input.extent.shape());
                Some(Action::Dequantize { input, grid, name: name.clone() })
            }
            (Kind::Weighted, Made::Values(name)) => {
                let (input, grid) = self.input(unit, 0)?;
                let layer = self.convolution(node, (input.extent, &grid), None)?;
                shapes.insert(name.clone(), layer.output.shape());
                self.elements += layer.output.elements() as u64;
                Some(Action::Sum { layer, input, name: name.clone() })
            }
            (_, Made::Steps(name, output)) => {
                let inputs: Option<Vec<(Held, Grid)>> =
                    (0..unit.inputs.len()).map(|index| self.input(unit, index)).collect();
                let inputs = inputs?;
                let Computed { operator, extent, order } = self.operator(unit, &inputs, output)?;
                let inputs = order.into_iter().map(|index| inputs[index].0).collect();
                Some(Action::Compute { operator, inputs, output: self.hold(name, extent)? })
            }
            _ => None,
        }
    }

    fn input(&self, unit: &Unit, index: usize) -> Option<(Held, Grid)> {
        let (name, grid) = unit.inputs.get(index)?;
        Some((*self.tensors.get(name)?, *grid))
    }

    /// Takes a new tensor, if it is not too large.
    fn hold(&mut self, name: &str, extent: Extent) -> Option<Held> {
        let Extent { height, width, channels, .. } = extent;
        let elements = height.checked_mul(width)?.checked_mul(channels)? as u64;
        if elements > Limits::DEFAULT.tensor_elements {
            return None;
        }
        let held = Held { tensor: self.tensors.len(), extent };
        self.tensors.insert(name.to_owned(), held);
        self.elements += elements;
        Some(held)
    }

    fn operator(
        &mut self,
        unit: &Unit,
        inputs: &[(Held, Grid)],
        output: &Grid,
    ) -> Option<Computed> {
        let node = &self.wiring.nodes[unit.node];
        let (first, grid) = inputs.first()?;
        let extent = first.extent;
        match unit.kind {
            Kind::Weighted => self.weighted(node, (extent, grid), output),
            Kind::Add => add(inputs, output),
            Kind::Multiply => multiply(inputs, output),
            Kind::Average => self.average(node, (extent, grid), output),
            Kind::Maximum => self.maximum(node, (extent, grid), output),
            Kind::Function => {
                let function = function(node, self.wiring)?;
                let table = Table::new(|step| output.step(function(grid.value(step))));
                Some(Computed::new(table, extent))
            }
            Kind::Reshape => {
                // Other shapes would put the channels elsewhere.
                let flat = Extent { is_flat: true, ..extent };
                (extent.places() == 1 && flattens(node, self.wiring, extent.channels))
                    .then(|| Computed::new(between(grid, output), flat))
            }
            Kind::Concat => concat(node, inputs, output),
            Kind::Quantize | Kind::Dequantize => None,
        }
    }

    fn average(
        &mut self,
        node: &NodeProto,
        (input, grid): (Extent, &Grid),
        output: &Grid,
    ) -> Option<Computed> {
        let (geometry, counts_padding, is_flat) = average_window(node, self.wiring, input)?;
        let [height, width] = geometry.places(input)?;
        let extent = Extent { height, width, is_flat, ..input };
        let scale = ratio(grid.scale, output.scale)?;
        let (zero, steps) = (grid.steps.zero, output.steps);
        self.count(extent, geometry.cells());
        let average =
            Average { input, output: extent, geometry, counts_padding, zero, scale, steps };
        Some(Computed::new(average, extent))
    }

    fn maximum(
        &mut self,
        node: &NodeProto,
        (input, grid): (Extent, &Grid),
        output: &Grid,
    ) -> Option<Computed> {
        let geometry: Geometry = maximum_window(node, input)?;
        let [height, width] = geometry.places(input)?;
        let extent = Extent { height, width, ..input };
        self.count(extent, geometry.cells());
        // Values are moved: another grid would be another rounding.
        (grid == output).then(|| Computed::new(Maximum { input, output: extent, geometry }, extent))
    }

    fn count(&mut self, output: Extent, products: usize) {
        let found = (output.elements() as u64).saturating_mul(products as u64);
        self.multiply_adds = self.multiply_adds.saturating_add(found);
    }
}

/// An operator, the shape of what it makes, and which of the unit's inputs it reads, in its order.
struct Computed {
    operator: Box<dyn Operator>,
    extent: Extent,
    order: Vec<usize>,
}

impl Computed {
    fn new(operator: impl Operator + 'static, extent: Extent) -> Self {
        Self { operator: Box::new(operator), extent, order: vec![0] }
    }
}

/// Divides scales; `None` where the result is of no use.
fn ratio(of: f32, by: f32) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is asked for")]
    let ratio = (f64::from(of) / f64::from(by)) as f32;
    ratio.is_finite().then_some(ratio)
}

/// Brings steps from one grid to another.
fn between(from: &Grid, to: &Grid) -> Table {
    Table::new(|step| to.step(from.value(step)))
}

fn add(inputs: &[(Held, Grid)], output: &Grid) -> Option<Computed> {
    let [(one, a), (other, b)] = inputs else { return None };
    let scales = [a.scale, b.scale];
    let zeros = [a.steps.zero, b.steps.zero];
    let addition = Addition { zeros, scales, scale: output.scale, steps: output.steps };
    (one.extent == other.extent).then(|| Computed {
        operator: Box::new(Add(addition)),
        extent: one.extent,
        order: vec![0, 1],
    })
}

fn multiply(inputs: &[(Held, Grid)], output: &Grid) -> Option<Computed> {
    let [(one, a), (other, b)] = inputs else { return None };
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is asked for")]
    let scale = (f64::from(a.scale) * f64::from(b.scale) / f64::from(output.scale)) as f32;
    if !scale.is_finite() {
        return None;
    }
    let product = |zeros| Multiplication { zeros, scale, steps: output.steps };
    let (one, other) = (one.extent, other.extent);
    let zeros = [a.steps.zero, b.steps.zero];
    if one == other {
        let operator = Box::new(Multiply(product(zeros)));
        return Some(Computed { operator, extent: one, order: vec![0, 1] });
    }
    let channels = one.channels;
    if channels != other.channels || one.is_flat || other.is_flat {
        return None;
    }
    let (order, zeros, extent) = match (one.places(), other.places()) {
        (_, 1) => (vec![0, 1], zeros, one),
        (1, _) => (vec![1, 0], [zeros[1], zeros[0]], other),
        _ => return None,
    };
    let operator = Box::new(ScaleChannels { product: product(zeros), channels });
    Some(Computed { operator, extent, order })
}

fn concat(node: &NodeProto, inputs: &[(Held, Grid)], output: &Grid) -> Option<Computed> {
    let first = inputs.first()?.0.extent;
    let same = |(held, _): &(Held, Grid)| {
        (held.extent.height, held.extent.width, held.extent.is_flat)
            == (first.height, first.width, first.is_flat)
    };
    if attribute(node, "axis") != Some(1) || !inputs.iter().all(same) {
        return None;
    }
    let part = |(held, grid): &(Held, Grid)| {
        let table = between(grid, output);
        (held.extent.channels, (!table.is_identity()).then_some(table))
    };
    let parts: Vec<_> = inputs.iter().map(part).collect();
    let channels =
        parts.iter().try_fold(0_usize, |sum, (channels, _)| sum.checked_add(*channels))?;
    let order = (0..inputs.len()).collect();
    let operator = Box::new(Concat { parts });
    Some(Computed { operator, extent: Extent { channels, ..first }, order })
}

/// Tells whether a node makes [1, channels] of [1, channels, 1, 1].
fn flattens(node: &NodeProto, wiring: &Wiring<'_>, channels: usize) -> bool {
    let constant = || wiring.constant(node.input.get(1)?)?.to_i64().ok();
    let length = i64::try_from(channels).unwrap_or(-1);
    match node.op_type() {
        "Flatten" => attribute(node, "axis").unwrap_or(1) == 1,
        "Reshape" => constant().is_some_and(|shape| {
            let [batch, rest] = shape[..] else { return false };
            (-1..=1).contains(&batch) && (rest == length || (rest == -1 && batch != -1))
        }),
        "Squeeze" => constant().is_some_and(|axes| {
            let mut axes: Vec<i64> =
                axes.into_iter().map(|axis| if axis < 0 { axis + 4 } else { axis }).collect();
            axes.sort_unstable();
            axes == [2, 3]
        }),
        _ => false,
    }
}

/// Gives the function of a node of one input (ONNX operators of these names).
fn function(node: &NodeProto, wiring: &Wiring<'_>) -> Option<Box<dyn Fn(f32) -> f32>> {
    let real = |name: &str, default: f32| {
        node.attribute.iter().find(|attribute| attribute.name() == name).map_or(default, |a| a.f())
    };
    Some(match node.op_type() {
        "Clip" | "Relu" => {
            let range = crate::engine::dequantize::cut_by(node, wiring.constants())?;
            Box::new(move |x| x.max(range.low).min(range.high))
        }
        "HardSigmoid" => {
            let (alpha, beta) = (real("alpha", 0.2), real("beta", 0.5));
            Box::new(move |x| (alpha * x + beta).clamp(0.0, 1.0))
        }
        "HardSwish" => Box::new(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        "LeakyRelu" => {
            let alpha = real("alpha", 0.01);
            Box::new(move |x| if x < 0.0 { alpha * x } else { x })
        }
        #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is asked for")]
        "Sigmoid" => Box::new(|x| (1.0 / (1.0 + (-f64::from(x)).exp())) as f32),
        _ => return None,
    })
}
