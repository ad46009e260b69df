//! How large a classifier is: the multiply-adds of one picture and the weights.
//!
//! Counted is what the logits depend on. A multiply-add is one product that is added to a sum, in a
//! convolution or a matrix product; what papers call multiply-adds or MACs, and some call FLOPs. Biases,
//! normalisation layers, activations and pooling are left out, as is usual; they are a few per cent.

use std::collections::{BTreeSet, HashSet};

use tch::{Kind, Tensor};

use crate::classifier::Classifier;
use crate::graph::{Node, ValueId};

/// The size of a classifier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Complexity {
    /// Multiply-adds for one picture.
    pub multiply_adds: u64,
    /// Weights: the elements of all constant tensors of floating point numbers that nodes read, each tensor
    /// counted once. Single numbers (the bounds of `Clip`) and the stored statistics of batch normalisation
    /// are no weights.
    pub parameters: u64,
    /// Operators whose multiply-adds are not counted although they have some, since the shapes alone do not
    /// tell them.
    pub uncounted: BTreeSet<String>,
}

impl Complexity {
    /// Counts a classifier.
    #[must_use]
    pub fn of(classifier: &Classifier) -> Self {
        let mut total = Self::default();
        let mut seen = HashSet::new();
        for node in classifier.graph().dependencies(classifier.logits()) {
            match multiply_adds(classifier, node) {
                Some(count) => total.multiply_adds += count,
                None => _ = total.uncounted.insert(node.op_type.clone()),
            }
            for value in weights(node) {
                if seen.insert(value) {
                    total.parameters += parameters(classifier, value);
                }
            }
        }
        total
    }
}

/// Counts the products of a node for one picture; `None` where the shapes do not tell.
fn multiply_adds(classifier: &Classifier, node: &Node) -> Option<u64> {
    let shape = |value: Option<&ValueId>| value.map_or(Vec::new(), |&id| shape(classifier, id));
    let input = |index: usize| shape(node.inputs.get(index).and_then(Option::as_ref));
    let output = || shape(node.outputs.first());
    match node.op_type.as_str() {
        // Weights [output channels, input channels / groups, kernel...]: an output is a sum over all but the first.
        "Conv" => Some(elements(&output()) * elements(input(1).get(1..)?)),
        // Weights [input channels, output channels / groups, kernel...]: an input goes to all but the first.
        "ConvTranspose" => Some(elements(&input(0)) * elements(input(1).get(1..)?)),
        // [rows, inner] or, transposed, [inner, rows]; the rows are those of the output.
        "Gemm" => {
            let rows = elements(output().get(..1)?).max(1);
            Some(elements(&output()) * (elements(&input(0)) / rows))
        }
        "MatMul" => Some(elements(&output()) * elements(input(0).last_chunk::<1>()?)),
        "Einsum" => None,
        _ => Some(0),
    }
}

/// Gives the inputs of a node that can be weights.
fn weights(node: &Node) -> impl Iterator<Item = ValueId> + '_ {
    let count = match node.op_type.as_str() {
        // Scale and bias; then come the running mean and variance, which are measured and not learned.
        "BatchNormalization" => 3,
        // The region and the scale factors.
        "Resize" | "Upsample" => 1,
        _ => node.inputs.len(),
    };
    node.inputs.iter().take(count).flatten().copied()
}

fn parameters(classifier: &Classifier, value: ValueId) -> u64 {
    let Some(constant) = classifier.graph().constant(value) else { return 0 };
    let number =
        matches!(constant.kind(), Kind::Float | Kind::Half | Kind::BFloat16 | Kind::Double);
    if number && constant.dim() > 0 { elements(&constant.size()) } else { 0 }
}

/// Gives the shape of a constant, or the one that a tensor has for one picture.
fn shape(classifier: &Classifier, value: ValueId) -> Vec<i64> {
    let constant = classifier.graph().constant(value);
    constant.map_or_else(|| classifier.shape(value).to_vec(), Tensor::size)
}

fn elements(shape: &[i64]) -> u64 {
    shape.iter().map(|&side| u64::try_from(side).unwrap_or(0)).product()
}
