//! The attention mechanism as nodes of a graph.
//!
//! With `y` the predicted class, and for each layer `l` its feature maps `F_l`, weights `W_l` and finest grid HxW:
//!
//! ```text
//! y     = ArgMax(logits)            A_l   = Reshape(F_l, [1, C, h*w])    or, adapted,
//! row_l = Gather(W_l, y)            A_l   = Reshape(Relu(Conv(F_l, K_l, k_l)), [1, C, h*w])
//! map_l = Resize(Reshape(row_l A_l, [1, 1, h, w]), [1, 1, H, W])         as it is at the finest grid
//! explanation = sum over l of map_l + Gather(b, y)                      and a Sigmoid of it, where there is one
//! ```
//!
//! Only the predicted class's rows are computed: for 1000 classes that is a thousandth of the attention layer.
//! With int8 weights, `row = Cast(Gather(W8, y)) * Gather(scales, y)`.

use lcam_models::explained::{EXPLANATION, LOGITS};
use lcam_models::map::GridSize;
use lcam_models::metadata::{Activation, AttentionLayer, AttentionLayout};
use lcam_models::onnx::{GraphProto, TensorProto, tensor_proto::DataType};
use tch::Tensor;

use super::nodes::{int, node, text};
use super::{ExportError, values};
use crate::attention::{Adapter, Attention, Layer};
use crate::layers::{FeatureMaps, Layers};
use crate::rounding;

const CLASS: &str = "lcam.class";
const BIAS: &str = "lcam.bias";
const BIAS_OF_CLASS: &str = "lcam.bias_of_class";
const OFFSET: &str = "lcam.offset";
const OFFSET_SHAPE: &str = "lcam.offset_shape";
const EVIDENCE: &str = "lcam.total_evidence";
const FINEST: &str = "lcam.finest";

/// Adds the attention mechanism over these feature maps, one name a layer.
pub(super) fn add(
    graph: &mut GraphProto,
    feature_maps: &[String],
    layers: &Layers,
    attention: &Attention,
    int8: bool,
) -> Result<AttentionLayout, ExportError> {
    let mut arg_max = node("ArgMax", &[LOGITS], CLASS);
    arg_max.attribute = vec![int("axis", 1), int("keepdims", 0)];
    graph.node.push(arg_max);
    let mut added = Vec::new();
    let mut sum: Option<String> = None;
    for (index, ((maps, name), layer)) in
        layers.iter().zip(feature_maps).zip(&attention.layers).enumerate()
    {
        let part = Part { index, maps, name, finest: layers.grid() };
        part.add_adapter(graph, layer)?;
        let scales = part.add_rows(graph, &layer.rows, int8)?;
        let map = part.add_map(graph, &layer.rows)?;
        sum = Some(match sum.take() {
            None => map,
            Some(sum) => {
                let both = part.tensor("sum");
                graph.node.push(node("Add", &[&sum, &map], &both));
                both
            }
        });
        added.push(AttentionLayer {
            feature_maps: name.clone(),
            adapter: part.tensor("adapter"),
            weights: part.tensor("weights"),
            scales,
            grid: maps.grid,
        });
    }
    graph.initializer.extend([
        TensorProto::from_f32(BIAS, &attention.bias.size(), &values(&attention.bias)?),
        shape(OFFSET_SHAPE, &[1, 1, 1, 1]),
    ]);
    graph.node.extend([
        node("Gather", &[BIAS, CLASS], BIAS_OF_CLASS),
        node("Reshape", &[BIAS_OF_CLASS, OFFSET_SHAPE], OFFSET),
    ]);
    let total = [&sum.unwrap_or_default(), OFFSET];
    match attention.activation {
        Activation::None => graph.node.push(node("Add", &total, EXPLANATION)),
        Activation::Sigmoid => graph
            .node
            .extend([node("Add", &total, EVIDENCE), node("Sigmoid", &[EVIDENCE], EXPLANATION)]),
    }
    if graph.node.iter().any(|node| node.input.iter().any(|input| input == FINEST)) {
        graph.initializer.push(grid_shape(FINEST, layers.grid()));
    }
    Ok(AttentionLayout { layers: added, bias: BIAS.to_owned(), activation: attention.activation })
}

/// What is added for one layer.
struct Part<'a> {
    index: usize,
    maps: &'a FeatureMaps,
    /// The feature maps' name in the graph.
    name: &'a str,
    finest: GridSize,
}

impl Part<'_> {
    /// Names a tensor of this layer.
    fn tensor(&self, what: &str) -> String {
        format!("lcam.{what}.{}", self.index)
    }

    /// Adds what the rows weight: the feature maps, adapted or not, as `[1, C, h*w]`.
    fn add_adapter(&self, graph: &mut GraphProto, layer: &Layer) -> Result<(), ExportError> {
        let (adapter, adapter_shape) = (self.tensor("adapter"), self.tensor("adapter_shape"));
        let cells = side(self.maps.grid.cells());
        graph.initializer.push(shape(&adapter_shape, &[1, layer.rows.size()[1], cells]));
        let adapted = match &layer.adapter {
            None => self.name.to_owned(),
            Some(convolution) => self.add_convolution(graph, convolution)?,
        };
        graph.node.push(node("Reshape", &[&adapted, &adapter_shape], &adapter));
        Ok(())
    }

    fn add_convolution(
        &self,
        graph: &mut GraphProto,
        Adapter { weights, bias }: &Adapter,
    ) -> Result<String, ExportError> {
        let (kernel, offset) = (self.tensor("adapter_weights"), self.tensor("adapter_bias"));
        let (linear, active) = (self.tensor("adapter_linear"), self.tensor("adapter_active"));
        let (outputs, inputs) = weights.size2()?;
        graph.initializer.extend([
            TensorProto::from_f32(&kernel, &[outputs, inputs, 1, 1], &finite(weights)?),
            TensorProto::from_f32(&offset, &[outputs], &finite(bias)?),
        ]);
        graph.node.extend([
            node("Conv", &[self.name, &kernel, &offset], &linear),
            node("Relu", &[&linear], &active),
        ]);
        Ok(active)
    }

    /// Adds the weights, and what picks the predicted class's row of them; names the scales if there are some.
    fn add_rows(
        &self,
        graph: &mut GraphProto,
        rows: &Tensor,
        int8: bool,
    ) -> Result<Option<String>, ExportError> {
        let (classes, channels) = rows.size2()?;
        let (weights, picked) = (self.tensor("weights"), self.tensor("row_of_class"));
        let rows = finite(rows)?;
        if !int8 {
            graph.initializer.push(TensorProto::from_f32(&weights, &[classes, channels], &rows));
            graph.node.push(node("Gather", &[&weights, CLASS], &picked));
            return Ok(None);
        }
        let count = |side: i64| usize::try_from(side).unwrap_or(0);
        let rounded = rounding::round(&rows, count(classes), count(channels))
            .ok_or(ExportError::NotFinite)?;
        let scales = self.tensor("scales");
        graph.initializer.extend([
            TensorProto::from_i8(&weights, &[classes, channels], &rounded.values),
            TensorProto::from_f32(&scales, &[classes, 1], &rounded.scales),
        ]);
        let (narrow, wide) = (self.tensor("narrow_row"), self.tensor("wide_row"));
        let scale = self.tensor("scale_of_class");
        let mut cast = node("Cast", &[&narrow], &wide);
        cast.attribute = vec![int("to", i64::from(i32::from(DataType::Float)))];
        graph.node.extend([
            node("Gather", &[&weights, CLASS], &narrow),
            cast,
            node("Gather", &[&scales, CLASS], &scale),
            node("Mul", &[&wide, &scale], &picked),
        ]);
        Ok(Some(scales))
    }

    /// Adds what makes the layer's map, at the finest grid; names it.
    fn add_map(&self, graph: &mut GraphProto, rows: &Tensor) -> Result<String, ExportError> {
        let (_, channels) = rows.size2()?;
        let [row, row_shape, evidence, map, map_shape] =
            ["row", "row_shape", "evidence", "map", "map_shape"].map(|what| self.tensor(what));
        graph
            .initializer
            .extend([shape(&row_shape, &[1, 1, channels]), grid_shape(&map_shape, self.maps.grid)]);
        graph.node.extend([
            node("Reshape", &[&self.tensor("row_of_class"), &row_shape], &row),
            node("MatMul", &[&row, &self.tensor("adapter")], &evidence),
            node("Reshape", &[&evidence, &map_shape], &map),
        ]);
        if self.maps.grid == self.finest {
            return Ok(map);
        }
        let upsampled = self.tensor("upsampled");
        let mut resize = match self.add_scales(graph) {
            Some(scales) => node("Resize", &[&map, "", &scales], &upsampled),
            None => node("Resize", &[&map, "", "", FINEST], &upsampled),
        };
        resize.attribute =
            vec![text("mode", "linear"), text("coordinate_transformation_mode", "half_pixel")];
        graph.node.push(resize);
        Ok(upsampled)
    }

    /// Adds how much finer the finest grid is, if that is a whole number: unlike the size it leaves the batch open.
    fn add_scales(&self, graph: &mut GraphProto) -> Option<String> {
        let whole = |fine: usize, coarse: usize| {
            fine.is_multiple_of(coarse)
                .then(|| u16::try_from(fine / coarse).ok())
                .flatten()
                .map(f32::from)
        };
        let (finest, grid) = (self.finest, self.maps.grid);
        let scales =
            [1.0, 1.0, whole(finest.height, grid.height)?, whole(finest.width, grid.width)?];
        let name = self.tensor("scales_of_grid");
        graph.initializer.push(TensorProto::from_f32(&name, &[4], &scales));
        Some(name)
    }
}

fn finite(tensor: &Tensor) -> Result<Vec<f32>, ExportError> {
    let values = values(tensor)?;
    let finite = values.iter().all(|value| value.is_finite());
    if finite { Ok(values) } else { Err(ExportError::NotFinite) }
}

fn side(side: usize) -> i64 {
    i64::try_from(side).unwrap_or(i64::MAX)
}

fn shape(name: &str, sides: &[i64]) -> TensorProto {
    TensorProto::from_i64(name, &[side(sides.len())], sides)
}

fn grid_shape(name: &str, grid: GridSize) -> TensorProto {
    shape(name, &[1, 1, side(grid.height), side(grid.width)])
}
