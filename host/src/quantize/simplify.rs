//! The form in which a graph is quantised: the same function in fewer nodes.
//!
//! - Tensors of 16 bits in floating point have 32 (`types`).
//! - What depends on constants alone is computed: widened int8 weights, `Constant` nodes, shapes (`shapes`).
//! - `Identity` and `Dropout` go.
//! - Batch normalisation behind a convolution goes into it: with `s = gamma / sqrt(variance + epsilon)`, weights
//!   `w s` and bias `(b - mean) s + beta` (Jacob et al. 2018, section 3.2).
//! - Each convolution and fully connected layer has weights of its own, and a bias.

use std::collections::{HashMap, HashSet};

use lcam_models::onnx::{GraphProto, ModelProto, NodeProto, TensorProto, tensor_proto::DataType};
use tch::{Kind, Tensor};

use super::QuantizeError;
use super::shapes::fix_shapes;
use super::types::{name_types, widen_halves};
use super::wiring::{Wiring, given};
use crate::graph::{Graph, tensor_from_proto};

/// Simplifies the graph of an explained model. Tensors whose names are `kept` keep them.
///
/// # Errors
/// Returns [`QuantizeError`] when the graph cannot be read or computed.
pub(super) fn simplify(
    model: &ModelProto,
    kept: &HashSet<String>,
) -> Result<ModelProto, QuantizeError> {
    let mut model = model.clone();
    let mut graph = model.graph.take().unwrap_or_default();
    widen_halves(&mut graph)?;
    name_types(&mut graph);
    model.graph = Some(graph);
    fix_shapes(&mut model)?;
    let mut graph = model.graph.clone().unwrap_or_default();
    compute_constants(&mut graph, &Graph::new(&model)?, kept)?;
    drop_identities(&mut graph, kept);
    let mut weights = Weights::new(&graph);
    fold_batch_norms(&mut graph, &mut weights, kept)?;
    own_weights(&mut graph, &mut weights)?;
    weights.store(&mut graph);
    let outputs: Vec<String> = graph.output.iter().map(|output| output.name().to_owned()).collect();
    let wanted: Vec<&str> = outputs.iter().chain(kept).map(String::as_str).collect();
    graph.keep_what_makes(&wanted);
    model.graph = Some(graph);
    Ok(model)
}

/// Replaces nodes of constants by their results.
fn compute_constants(
    graph: &mut GraphProto,
    run: &Graph,
    kept: &HashSet<String>,
) -> Result<(), QuantizeError> {
    let constant = |name: &str| run.value(name).and_then(|value| run.constant(value));
    let is_constant = |node: &NodeProto| given(&node.output).all(|name| constant(name).is_some());
    graph.node.retain(|node| !is_constant(node));
    let known: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
    let read = graph.node.iter().flat_map(|node| given(&node.input)).chain(kept);
    let mut computed: Vec<&String> = read.filter(|name| !known.contains(name.as_str())).collect();
    computed.sort();
    computed.dedup();
    let tensors: Vec<TensorProto> = computed
        .into_iter()
        .filter_map(|name| Some(to_proto(name, constant(name)?)))
        .collect::<Result<_, _>>()?;
    graph.initializer.extend(tensors);
    Ok(())
}

/// Gives a tensor as an initializer.
pub(super) fn to_proto(name: &str, tensor: &Tensor) -> Result<TensorProto, QuantizeError> {
    let data_type = match tensor.kind() {
        Kind::Float => DataType::Float,
        Kind::Double => DataType::Double,
        Kind::Int8 => DataType::Int8,
        Kind::Uint8 => DataType::Uint8,
        Kind::Int16 => DataType::Int16,
        Kind::Int => DataType::Int32,
        Kind::Bool => DataType::Bool,
        _ => DataType::Int64,
    };
    let tensor = if data_type == DataType::Int64 {
        tensor.f_to_kind(Kind::Int64)?
    } else {
        tensor.shallow_clone()
    };
    let tensor = tensor.f_contiguous()?;
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(TensorProto::from_le_bytes(name, &tensor.size(), data_type, bytes))
}

/// Lets the readers of what passes a node unchanged read what goes into it.
fn drop_identities(graph: &mut GraphProto, kept: &HashSet<String>) {
    let outputs: HashSet<&str> = graph.output.iter().map(|output| output.name()).collect();
    let mut sources: HashMap<String, String> = HashMap::new();
    graph.node.retain_mut(|node| {
        for input in &mut node.input {
            if let Some(source) = sources.get(input) {
                input.clone_from(source);
            }
        }
        let passes = matches!(node.op_type(), "Identity" | "Dropout");
        let (Some(input), Some(output)) = (node.input.first(), node.output.first()) else {
            return true;
        };
        if !passes || outputs.contains(output.as_str()) || kept.contains(output) {
            return true;
        }
        sources.insert(output.clone(), input.clone());
        false
    });
}

/// The initializers, by name, while they change.
struct Weights(HashMap<String, TensorProto>);

impl Weights {
    fn new(graph: &GraphProto) -> Self {
        Self(
            graph
                .initializer
                .iter()
                .map(|tensor| (tensor.name().to_owned(), tensor.clone()))
                .collect(),
        )
    }

    /// Reads a float32 tensor; `None` where there is no such constant.
    fn get(&self, name: Option<&String>) -> Result<Option<Tensor>, QuantizeError> {
        let float = |tensor: &&TensorProto| tensor.data_type() == i32::from(DataType::Float);
        let tensor = name.and_then(|name| self.0.get(name)).filter(float);
        Ok(tensor.map(tensor_from_proto).transpose()?)
    }

    fn set(&mut self, name: &str, tensor: &Tensor) -> Result<(), QuantizeError> {
        self.0.insert(name.to_owned(), to_proto(name, tensor)?);
        Ok(())
    }

    fn store(self, graph: &mut GraphProto) {
        graph.initializer = self.0.into_values().collect();
        graph.initializer.sort_by(|one, other| one.name().cmp(other.name()));
    }
}

fn fold_batch_norms(
    graph: &mut GraphProto,
    weights: &mut Weights,
    kept: &HashSet<String>,
) -> Result<(), QuantizeError> {
    let wiring = Wiring::new(&graph.node);
    let mut folded = HashSet::new();
    for index in 0..graph.node.len() {
        let norm = &graph.node[index];
        let Some(maker) = norm.input.first().and_then(|input| wiring.maker(input)) else {
            continue;
        };
        let conv = &graph.node[maker];
        let hidden = wiring.readers(&norm.input[0]) == [index] && !kept.contains(&norm.input[0]);
        if norm.op_type() != "BatchNormalization" || conv.op_type() != "Conv" || !hidden {
            continue;
        }
        let Some((kernel, bias)) = folded_into(conv, norm, weights)? else { continue };
        let output = norm.output[0].clone();
        let (kernel_name, bias_name) = (format!("{output}.weight"), format!("{output}.bias"));
        weights.set(&kernel_name, &kernel)?;
        weights.set(&bias_name, &bias)?;
        let conv = &mut graph.node[maker];
        conv.input = vec![conv.input[0].clone(), kernel_name, bias_name];
        conv.output = vec![output];
        folded.insert(index);
    }
    let mut index = 0..;
    graph.node.retain(|_| index.next().is_none_or(|index| !folded.contains(&index)));
    Ok(())
}

/// Gives the weights and the bias of a convolution with the normalisation in them.
fn folded_into(
    conv: &NodeProto,
    norm: &NodeProto,
    weights: &Weights,
) -> Result<Option<(Tensor, Tensor)>, QuantizeError> {
    let parameter = |index: usize| weights.get(norm.input.get(index));
    let (Some(gamma), Some(beta), Some(mean), Some(variance)) =
        (parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?)
    else {
        return Ok(None);
    };
    let Some(kernel) = weights.get(conv.input.get(1))? else { return Ok(None) };
    let bias = match conv.input.get(2).filter(|name| !name.is_empty()) {
        None => Tensor::zeros_like(&mean),
        Some(name) => match weights.get(Some(name))? {
            Some(bias) => bias,
            None => return Ok(None),
        },
    };
    let epsilon = norm.attribute.iter().find(|a| a.name() == "epsilon").map_or(1e-5, |a| a.f());
    let double = |tensor: &Tensor| tensor.to_kind(Kind::Double);
    let scale = double(&gamma) / (double(&variance) + f64::from(epsilon)).sqrt();
    let mut along = vec![1; kernel.dim()];
    along[0] = -1;
    let folded = double(&kernel) * scale.reshape(&along);
    let bias = (double(&bias) - double(&mean)) * scale + double(&beta);
    Ok(Some((folded.to_kind(Kind::Float), bias.to_kind(Kind::Float))))
}

/// Gives each convolution and fully connected layer weights that no other node reads, and a bias; `alpha` and `beta` of a
/// fully connected layer go into them.
fn own_weights(graph: &mut GraphProto, weights: &mut Weights) -> Result<(), QuantizeError> {
    for node in &mut graph.node {
        if !matches!(node.op_type(), "Conv" | "Gemm") {
            continue;
        }
        let Some(kernel) = weights.get(node.input.get(1))? else { continue };
        let given_bias = node.input.get(2).filter(|name| !name.is_empty());
        let bias = weights.get(given_bias)?;
        if given_bias.is_some() && bias.is_none() {
            continue;
        }
        let float = |name: &str| {
            node.attribute.iter().find(|a| a.name() == name).map_or(1.0, |a| f64::from(a.f()))
        };
        let flag = |name: &str| node.attribute.iter().any(|a| a.name() == name && a.i() == 1);
        let is_gemm = node.op_type() == "Gemm";
        let outputs = kernel.size()[usize::from(is_gemm && !flag("transB"))];
        let (alpha, beta) = if is_gemm { (float("alpha"), float("beta")) } else { (1.0, 1.0) };
        let bias = match bias {
            Some(bias) => (bias * beta).f_expand([outputs], false)?.f_contiguous()?,
            None => Tensor::zeros([outputs], (Kind::Float, kernel.device())),
        };
        let output = &node.output[0];
        let (kernel_name, bias_name) = (format!("{output}.weight"), format!("{output}.bias"));
        weights.set(&kernel_name, &(kernel * alpha))?;
        weights.set(&bias_name, &bias)?;
        node.input = vec![node.input[0].clone(), kernel_name, bias_name];
        node.attribute.retain(|a| !matches!(a.name(), "alpha" | "beta"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{difference, graph, network, run};
    use super::*;
    use crate::export::nodes::node;

    #[test]
    fn the_function_stays_in_fewer_nodes() {
        let model = network();
        let simple = simplify(&model, &HashSet::new()).unwrap();
        let (before, after) = (run(&model, &["norm", "logits"]), run(&simple, &["norm", "logits"]));
        for (before, after) in before.iter().zip(&after) {
            assert!(difference(before, after) < 1e-5);
        }
        let operators: Vec<&str> = graph(&simple).node.iter().map(NodeProto::op_type).collect();
        assert_eq!(graph(&model).node.len(), operators.len() + 1);
        assert!(!operators.contains(&"BatchNormalization"));
        let layers = graph(&simple).node.iter();
        for layer in layers.filter(|node| matches!(node.op_type(), "Conv" | "Gemm")) {
            assert_eq!(layer.input.len(), 3, "{} has a bias", layer.output[0]);
        }
    }

    #[test]
    fn a_constant_of_the_images_type_is_a_constant() {
        let mut model = network();
        let graph_of = model.graph.as_mut().unwrap();
        graph_of.initializer.push(TensorProto {
            name: Some("one".to_owned()),
            data_type: Some(DataType::Int64.into()),
            int64_data: vec![1],
            ..TensorProto::default()
        });
        let last = graph_of.node.len();
        let logits = graph_of.node[last - 1].output[0].clone();
        graph_of.node[last - 1].output[0] = "before".to_owned();
        graph_of.node.push(node("CastLike", &["one", "image"], "scalar"));
        graph_of.node.push(node("Mul", &["before", "scalar"], &logits));
        let simple = simplify(&model, &HashSet::new()).unwrap();
        assert!(graph(&simple).node.iter().all(|node| !node.op_type().starts_with("Cast")));
        let (before, after) = (run(&model, &[&logits]), run(&simple, &[&logits]));
        assert!(difference(&before[0], &after[0]) < 1e-5);
    }

    #[test]
    fn a_tensor_that_is_kept_keeps_its_values() {
        let model = network();
        let kept = HashSet::from(["stem".to_owned()]);
        let simple = simplify(&model, &kept).unwrap();
        assert!(graph(&simple).node.iter().any(|node| node.op_type() == "BatchNormalization"));
        assert!(difference(&run(&model, &["stem"])[0], &run(&simple, &["stem"])[0]) < 1e-6);
    }

    #[test]
    fn layers_that_share_weights_get_their_own() {
        let mut model = network();
        let nodes = &mut model.graph.as_mut().unwrap().node;
        let dense = nodes.iter_mut().find(|node| node.op_type() == "Gemm").unwrap();
        dense.attribute = vec![lcam_models::onnx::AttributeProto {
            name: Some("alpha".to_owned()),
            r#type: Some(lcam_models::onnx::attribute_proto::AttributeType::Float.into()),
            f: Some(0.5),
            ..Default::default()
        }];
        let twin = crate::export::nodes::node("Conv", &["positive", "project.w"], "twin");
        let sum = crate::export::nodes::node("Add", &["project", "twin"], "both");
        nodes.splice(6..6, [twin, sum]);
        nodes[8].input[0] = "both".to_owned();
        let simple = simplify(&model, &HashSet::new()).unwrap();
        assert!(difference(&run(&model, &["logits"])[0], &run(&simple, &["logits"])[0]) < 1e-5);
        let mut kernels: Vec<&String> =
            graph(&simple).node.iter().filter_map(|node| node.input.get(1)).collect();
        kernels.retain(|name| name.ends_with(".weight"));
        let count = kernels.len();
        kernels.sort();
        kernels.dedup();
        assert_eq!((count, kernels.len()), (5, 5));
    }
}
