//! Layers with weights.

use lcam_models::onnx::NodeProto;

use super::super::super::extent::{Extent, Geometry};
use super::super::super::grid::Grid;
use super::super::super::operators::convolution::{Convolution, Group};
use super::super::super::operators::depthwise::Depthwise;
use super::super::super::steps::Rescale;
use super::super::weights::{Weights, attribute};
use super::window::window;
use super::{Builder, Computed};

/// A layer before its weights are packed.
struct Layer {
    weights: Weights,
    rescale: Rescale,
    geometry: Geometry,
    output: Extent,
    groups: usize,
}

impl Builder<'_> {
    pub(super) fn weighted(
        &mut self,
        node: &NodeProto,
        (input, grid): (Extent, &Grid),
        output: &Grid,
    ) -> Option<Computed> {
        let layer = self.layer(node, (input, grid), Some(output))?;
        let (zero, extent) = (grid.steps.zero, layer.output);
        if layer.groups > 1 && layer.groups == input.channels && extent.channels == input.channels {
            let Layer { weights, rescale, geometry, output, .. } = layer;
            let packed = self.kernels.pack_depthwise(&weights.values, input.channels);
            let depthwise = Depthwise { input, output, geometry, zero, packed, rescale };
            return depthwise.fits().then(|| Computed::new(depthwise, extent));
        }
        Some(Computed::new(self.pack(layer, input, zero), extent))
    }

    /// Builds a layer of one group whose sums become steps of `output`, or values.
    pub(super) fn convolution(
        &mut self,
        node: &NodeProto,
        (input, grid): (Extent, &Grid),
        output: Option<&Grid>,
    ) -> Option<Convolution> {
        let layer = self.layer(node, (input, grid), output)?;
        (layer.groups == 1).then(|| self.pack(layer, input, grid.steps.zero))
    }

    fn layer(
        &mut self,
        node: &NodeProto,
        (input, grid): (Extent, &Grid),
        output: Option<&Grid>,
    ) -> Option<Layer> {
        let weights = Weights::read(node, self.wiring, grid)?;
        let rescale = match output {
            Some(output) => weights.rescale(grid, output)?,
            None => weights.widening(grid)?,
        };
        let (geometry, groups) = match node.op_type() {
            "Conv" => {
                let [_, _, height, width] = weights.shape[..] else { return None };
                let geometry = window(node, input, [height, width])?;
                let groups = attribute(node, "group").unwrap_or(1);
                (geometry, usize::try_from(groups).ok().filter(|&groups| groups > 0)?)
            }
            _ if input.is_flat && is_plain(node) && weights.shape.len() == 2 => {
                (Geometry::POINT, 1)
            }
            _ => return None,
        };
        let outputs = weights.shape[0];
        let fits = weights.shape[1].checked_mul(groups)? == input.channels
            && outputs.is_multiple_of(groups)
            && !(node.op_type() == "Conv" && input.is_flat);
        let [height, width] = geometry.places(input).filter(|_| fits)?;
        let output = Extent { height, width, channels: outputs, is_flat: input.is_flat };
        self.count(output, geometry.cells() * weights.shape[1]);
        Some(Layer { weights, rescale, geometry, output, groups })
    }

    fn pack(&self, layer: Layer, input: Extent, zero: i8) -> Convolution {
        let Layer { weights, rescale, geometry, output, groups } = layer;
        let (outputs, seen) = (output.channels / groups, weights.shape[1]);
        let values = places_first(&weights.values, seen, geometry.cells());
        let length = outputs * seen * geometry.cells();
        let groups = values
            .chunks_exact(length)
            .enumerate()
            .map(|(number, values)| {
                let channels = number * outputs..(number + 1) * outputs;
                let rescale = Rescale {
                    bias: rescale.bias[channels.clone()].to_vec(),
                    scale: rescale.scale[channels].to_vec(),
                    steps: rescale.steps,
                };
                Group { packed: self.kernels.pack(values, outputs), rescale }
            })
            .collect();
        Convolution { input, output, geometry, zero, groups }
    }
}

/// Reorders weights from [output][channel][place] to [output][place][channel].
fn places_first(values: &[i8], channels: usize, places: usize) -> Vec<i8> {
    if places == 1 {
        return values.to_vec();
    }
    let output = |row: &[i8]| -> Vec<i8> {
        let at = |place: usize| (0..channels).map(move |channel| channel * places + place);
        (0..places).flat_map(at).map(|index| row[index]).collect()
    };
    values.chunks_exact(channels * places).flat_map(output).collect()
}

/// Tells whether a `Gemm` is a product and a bias alone; a `MatMul` is.
fn is_plain(node: &NodeProto) -> bool {
    let one = |name: &str| {
        let found = node.attribute.iter().find(|attribute| attribute.name() == name);
        found.is_none_or(|attribute| (attribute.f() - 1.0).abs() < f32::EPSILON)
    };
    match node.op_type() {
        "Gemm" => one("alpha") && one("beta") && attribute(node, "transA").unwrap_or(0) == 0,
        _ => node.op_type() == "MatMul",
    }
}
