//! The quantised graph in ONNX: pairs of `QuantizeLinear` and `DequantizeLinear` (QDQ), as other runtimes fuse them.
//!
//! ```text
//! image -> Q -> DQ -> Conv -> Clip -> Q -> DQ -> ...       each tensor on a grid has one pair
//!                      |
//!   int8 weights -> DQ |- int32 bias -> DQ                 one scale a channel; the bias's: input's times weights'
//! ```
//!
//! The rows of the attention layer are int8 with a scale each, picked and widened for the class alone.

use std::collections::{BTreeMap, BTreeSet};

use lcam_models::metadata::AttentionLayout;
use lcam_models::onnx::{GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

use super::QuantizeError;
use super::fit::{Fit, Grids, LayerWeights};
use super::grid::{Grid, Steps};
use super::plan::Plan;
use crate::export::nodes::{int, node};
use crate::rounding::round;

/// Writes a simplified graph with what was fitted to it.
///
/// # Errors
/// Returns [`QuantizeError`] when a row of the attention layer is not finite.
pub(super) fn write(
    graph: &GraphProto,
    plan: &Plan,
    grids: &Grids,
    fit: &Fit,
    layout: &mut AttentionLayout,
) -> Result<GraphProto, QuantizeError> {
    let mut writer = Writer {
        graph,
        plan,
        grids,
        nodes: Vec::new(),
        initializers: BTreeMap::new(),
        written: BTreeSet::new(),
    };
    for input in &graph.input {
        writer.put_on_grid(input.name());
    }
    for (index, node) in graph.node.iter().enumerate() {
        writer.add_node(index, node, fit.weights.get(&index));
    }
    let Writer { nodes, initializers, .. } = writer;
    let mut written = graph.clone();
    written.node = nodes;
    // Weights that are widened from int8 are no constants any more.
    let made: BTreeSet<&String> = written.node.iter().flat_map(|node| &node.output).collect();
    written.initializer.retain(|tensor| !made.contains(&tensor.name().to_owned()));
    written.initializer.extend(initializers.into_values());
    round_rows(&mut written, layout)?;
    let outputs: Vec<String> =
        written.output.iter().map(|output| output.name().to_owned()).collect();
    let wanted: Vec<&str> = outputs.iter().map(String::as_str).collect();
    written.keep_what_makes(&wanted);
    Ok(written)
}

struct Writer<'a> {
    graph: &'a GraphProto,
    plan: &'a Plan,
    grids: &'a Grids,
    nodes: Vec<NodeProto>,
    initializers: BTreeMap<String, TensorProto>,
    /// Tensors whose pair is there.
    written: BTreeSet<String>,
}

impl Writer<'_> {
    fn grid(&self, tensor: &str) -> Option<(usize, Grid)> {
        let number = *self.plan.grids.get(tensor)?;
        Some((number, *self.grids.get(&number)?))
    }

    /// Adds a tensor's pair, if it lies on a grid.
    fn put_on_grid(&mut self, tensor: &str) {
        let Some((number, grid)) = self.grid(tensor) else { return };
        let [scale, zero] = ["scale", "zero_point"].map(|what| format!("grid.{number}.{what}"));
        self.add(TensorProto::from_f32(&scale, &[], &[grid.scale]));
        self.add(match grid.steps {
            Steps::Uint8 { zero_point } => TensorProto::from_u8(&zero, &[], &[zero_point]),
            Steps::Int8 => TensorProto::from_i8(&zero, &[], &[0]),
        });
        let [quantized, rounded] = [format!("{tensor}.quantized"), rounded_name(tensor)];
        self.nodes.push(node("QuantizeLinear", &[tensor, &scale, &zero], &quantized));
        self.nodes.push(node("DequantizeLinear", &[&quantized, &scale, &zero], &rounded));
        self.written.insert(tensor.to_owned());
    }

    fn add(&mut self, tensor: TensorProto) {
        self.initializers.insert(tensor.name().to_owned(), tensor);
    }

    fn add_node(&mut self, index: usize, node: &NodeProto, weights: Option<&LayerWeights>) {
        let is_int8 = self.plan.roles[index].is_some();
        let mut node = node.clone();
        if let Some(weights) = weights {
            self.add_weights(&node, weights);
        }
        for input in &mut node.input {
            // An operator in floating point reads a rounded tensor only where no other is computed.
            let computed_in_int8 = self
                .graph
                .node
                .iter()
                .zip(&self.plan.roles)
                .any(|(maker, role)| role.is_some() && maker.output.contains(input));
            if self.written.contains(input) && (is_int8 || computed_in_int8) {
                *input = rounded_name(input);
            }
        }
        let outputs = node.output.clone();
        self.nodes.push(node);
        for output in outputs {
            self.put_on_grid(&output);
        }
    }

    /// Adds what widens a layer's weights and bias to the tensors that the layer reads.
    fn add_weights(&mut self, layer: &NodeProto, weights: &LayerWeights) {
        let name = &layer.input[1];
        let dims = self
            .graph
            .initializer
            .iter()
            .find(|tensor| tensor.name() == name)
            .map_or(Vec::new(), |tensor| tensor.dims.clone());
        let scales = &weights.rows.scales;
        let channels = dims.get(weights.axis).copied().unwrap_or(0);
        let zeros = vec![0; scales.len()];
        self.add(TensorProto::from_i8(&format!("{name}.int8"), &dims, &weights.rows.values));
        self.add(TensorProto::from_f32(&format!("{name}.scale"), &[channels], scales));
        self.add(TensorProto::from_i8(&format!("{name}.zero_point"), &[channels], &zeros));
        self.widen(name, "int8", weights.axis, true);
        let (Some(steps), Some((_, grid))) = (&weights.bias, self.grid(&layer.input[0])) else {
            return;
        };
        let bias = &layer.input[2];
        #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is asked for")]
        let widths: Vec<f32> =
            scales.iter().map(|&scale| (f64::from(grid.scale) * f64::from(scale)) as f32).collect();
        self.add(TensorProto::from_i32(&format!("{bias}.int32"), &[channels], steps));
        self.add(TensorProto::from_f32(&format!("{bias}.scale"), &[channels], &widths));
        self.widen(bias, "int32", 0, false);
    }

    fn widen(&mut self, name: &str, kind: &str, axis: usize, with_zero_point: bool) {
        let narrow = format!("{name}.{kind}");
        let (scale, zero) = (format!("{name}.scale"), format!("{name}.zero_point"));
        let inputs = [narrow.as_str(), &scale, &zero];
        let inputs = if with_zero_point { &inputs[..] } else { &inputs[..2] };
        let mut widened = node("DequantizeLinear", inputs, name);
        widened.attribute = vec![int("axis", i64::try_from(axis).unwrap_or(0))];
        self.nodes.push(widened);
        self.written.remove(name);
    }
}

fn rounded_name(tensor: &str) -> String {
    format!("{tensor}.rounded")
}

/// Stores the rows of the attention layer as int8, with the nodes that widen the one that is picked.
fn round_rows(graph: &mut GraphProto, layout: &mut AttentionLayout) -> Result<(), QuantizeError> {
    for (index, layer) in layout.layers.iter_mut().enumerate() {
        if layer.scales.is_some() {
            continue;
        }
        let Some(tensor) =
            graph.initializer.iter_mut().find(|tensor| tensor.name() == layer.weights)
        else {
            continue;
        };
        let [classes, channels] = tensor.shape()?[..] else { continue };
        let rows = round(&tensor.to_f32()?, classes, channels)
            .ok_or_else(|| QuantizeError::NotFinite { tensor: layer.weights.clone() })?;
        let dims = tensor.dims.clone();
        *tensor = TensorProto::from_i8(&layer.weights, &dims, &rows.values);
        let scales = format!("lcam.scales.{index}");
        graph.initializer.push(TensorProto::from_f32(&scales, &[dims[0], 1], &rows.scales));
        let picks = |node: &NodeProto| {
            node.op_type() == "Gather" && node.input.first() == Some(&layer.weights)
        };
        if let Some(place) = graph.node.iter().position(picks) {
            let pick = graph.node[place].clone();
            graph.node.splice(place..=place, widened_row(&pick, &scales));
        }
        layer.scales = Some(scales);
    }
    Ok(())
}

/// Gives the nodes that pick a row and its scale: `Cast(Gather(W, y)) * Gather(scales, y)`.
fn widened_row(pick: &NodeProto, scales: &str) -> [NodeProto; 4] {
    let (row, class) = (&pick.output[0], &pick.input[1]);
    let [narrow, wide, scale] = ["narrow", "wide", "scale"].map(|what| format!("{row}.{what}"));
    let mut cast = node("Cast", &[&narrow], &wide);
    cast.attribute = vec![int("to", i64::from(i32::from(DataType::Float)))];
    [
        node("Gather", &[&pick.input[0], class], &narrow),
        cast,
        node("Gather", &[scales, class], &scale),
        node("Mul", &[&wide, &scale], row),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use lcam_models::onnx::ModelProto;

    use super::super::fit::{Fitter, Rounding};
    use super::super::grid::Grid;
    use super::super::range::Range;
    use super::super::simplify::simplify;
    use super::super::testing::{difference, graph, network, pictures, run};
    use super::*;
    use crate::graph::Graph;

    /// Quantises the test network with ranges from the least to the largest value.
    fn quantized(keep_float: &[&str], rounding: Rounding) -> (ModelProto, ModelProto, Fit) {
        let simple = simplify(&network(), &HashSet::new()).unwrap();
        let keep = keep_float.iter().map(|&name| name.to_owned()).collect();
        let plan = Plan::new(graph(&simple), &keep).unwrap();
        let names: Vec<&str> = plan.grids.keys().map(String::as_str).collect();
        let mut ranges: BTreeMap<usize, Range> = BTreeMap::new();
        for (name, values) in names.iter().zip(run(&simple, &names)) {
            let range = ranges.entry(plan.grids[*name]).or_insert(Range::NONE);
            let (low, high) = (values.min().double_value(&[]), values.max().double_value(&[]));
            *range = range.with(Range { low, high });
        }
        let grids: Grids =
            ranges.into_iter().map(|(number, range)| (number, Grid::over(range, false))).collect();
        let fitter = Fitter {
            graph: graph(&simple),
            float: &Graph::new(&simple).unwrap(),
            rounded: Graph::new(&simple).unwrap(),
            plan: &plan,
            grids: &grids,
            rounding,
            progress: indicatif::ProgressBar::hidden(),
        };
        let fit = fitter.fit(&pictures()).unwrap();
        let mut layout = AttentionLayout::default();
        let written = write(graph(&simple), &plan, &grids, &fit, &mut layout).unwrap();
        let mut model = simple.clone();
        model.graph = Some(written);
        (simple, model, fit)
    }

    fn maker<'a>(model: &'a ModelProto, tensor: &str) -> &'a NodeProto {
        let makes = |node: &&NodeProto| node.output.iter().any(|output| output == tensor);
        graph(model).node.iter().find(makes).unwrap()
    }

    #[test]
    fn the_file_computes_nearly_the_same() {
        let (simple, int8, fit) = quantized(&[], Rounding::Nearest);
        let (float, int8) = (run(&simple, &["logits"]), run(&int8, &["logits"]));
        let error = difference(&float[0], &int8[0]);
        assert!(error > 1e-5, "rounding leaves a trace");
        assert!(error < 0.02, "{error}");
        assert_eq!(fit.noise.len(), 4);
        assert!(fit.noise.iter().all(|layer| layer.alone_db > 25.0), "{:?}", fit.noise);
        // Biases take the mean error of each logit away, up to half of a step.
        let mean = (&int8[0] - &float[0]).mean_dim(0, false, tch::Kind::Float).abs().max();
        assert!(mean.double_value(&[]) < 5e-4, "{mean:?}");
    }

    #[test]
    fn compensated_weights_lose_less() {
        let [nearest, compensated] = [Rounding::Nearest, Rounding::Compensated].map(|rounding| {
            let (simple, int8, _) = quantized(&[], rounding);
            difference(&run(&simple, &["project"])[0], &run(&int8, &["project"])[0])
        });
        assert!(compensated < nearest, "{compensated} is not below {nearest}");
    }

    #[test]
    fn each_layer_reads_integers_through_pairs_and_shares_them() {
        let (_, int8, _) = quantized(&[], Rounding::Nearest);
        for layer in graph(&int8).node.iter().filter(|node| node.op_type() == "Conv") {
            let [quantized, weights, bias] = [0, 1, 2].map(|place| {
                let widened = maker(&int8, &layer.input[place]);
                assert_eq!(widened.op_type(), "DequantizeLinear", "{}", layer.input[place]);
                widened.input[0].as_str()
            });
            assert_eq!(maker(&int8, quantized).op_type(), "QuantizeLinear");
            for (name, kind) in [(weights, DataType::Int8), (bias, DataType::Int32)] {
                let tensor = graph(&int8).initializer.iter().find(|tensor| tensor.name() == name);
                assert_eq!(tensor.unwrap().data_type(), i32::from(kind));
            }
        }
        let pairs = |operator: &str| {
            let is = |node: &&NodeProto| node.op_type() == operator;
            graph(&int8).node.iter().filter(is).count()
        };
        // Seven tensors; four layers have weights and a bias.
        assert_eq!((pairs("QuantizeLinear"), pairs("DequantizeLinear")), (7, 7 + 2 * 4));
        let logits = maker(&int8, "logits");
        assert_eq!(logits.op_type(), "Gemm");
        // An activation reads its convolution's sum, so that both are one operator.
        assert_eq!(maker(&int8, "clipped").input[0], "norm");
    }

    #[test]
    fn a_layer_in_floating_point_keeps_its_weights() {
        let (simple, int8, _) = quantized(&["project"], Rounding::Nearest);
        let layer = maker(&int8, "project");
        let find = |model: &ModelProto| {
            let weights = |t: &&TensorProto| t.name() == layer.input[1];
            graph(model).initializer.iter().find(weights).unwrap().to_f32().unwrap()
        };
        assert_eq!(find(&int8), find(&simple));
        assert_eq!(layer.input[0], "positive.rounded", "what int8 operators make is int8");
    }
}
