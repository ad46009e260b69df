//! A graph seen as an image classifier: where the picture goes in and the logits come out.

use std::collections::HashMap;

use lcam_models::onnx::{ModelProto, ValueInfoProto};
use lcam_models::preprocess::{ImageSize, Preprocess};
use tch::{Device, Kind, Tensor};

use crate::graph::{Graph, GraphError, Node, RunError, ValueId};

/// A frozen classifier.
#[derive(Debug)]
pub struct Classifier {
    graph: Graph,
    image: ValueId,
    logits: ValueId,
    classes: usize,
    input: ImageSize,
    dropped_softmax: Option<String>,
    shapes: HashMap<ValueId, Vec<i64>>,
}

/// A graph that is no image classifier.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassifierError {
    /// The graph cannot be run.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The graph fails on a blank picture.
    #[error("the model fails on a blank picture")]
    Run(#[from] RunError),
    /// There is not exactly one input.
    #[error("the model has {found} inputs, but an image classifier takes one: the picture")]
    Inputs {
        /// How many there are.
        found: usize,
    },
    /// The input is no picture of three planes.
    #[error(
        "the input {name:?} has the shape {shape:?}, but a picture is [batch, 3, height, width]"
    )]
    Input {
        /// The input.
        name: String,
        /// Its declared shape, 0 where it is open.
        shape: Vec<usize>,
    },
    /// The input's size is left open or another one was asked for than the model takes.
    #[error("the model {}; {}", match .fixed { Some(size) => format!("takes pictures of {}x{}", size.width, size.height), None => "leaves its input size open".to_owned() }, match .fixed { Some(_) => "leave out --input-size", None => "give --input-size" })]
    InputSize {
        /// The size the model takes, if it is fixed.
        fixed: Option<ImageSize>,
    },
    /// The input is too large.
    #[error(
        "the model takes pictures of {width}x{height}; at most {0}x{0} are supported",
        Preprocess::MAX_SIDE
    )]
    TooLarge {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The answer to a blank picture is infinite or not a number.
    #[error(
        "the model's answer to a blank picture is not finite; its weights are damaged, so export it again"
    )]
    NotFinite,
    /// No output has one number a class.
    #[error("no output of the model has the shape [batch, classes]; the first has {shape:?}")]
    Output {
        /// The first output's shape.
        shape: Vec<i64>,
    },
}

impl Classifier {
    /// Reads a classifier and runs it once on a blank picture. `size` is needed where the model leaves its
    /// input size open.
    ///
    /// # Errors
    /// Returns [`ClassifierError`] when the graph cannot be run or is no classifier of pictures.
    pub fn new(model: &ModelProto, size: Option<ImageSize>) -> Result<Self, ClassifierError> {
        check_declared_size(model)?;
        let mut graph = Graph::new(model)?;
        let [input] = graph.inputs() else {
            return Err(ClassifierError::Inputs { found: graph.inputs().len() });
        };
        let image = input.value;
        let open = |side: &Option<usize>| side.unwrap_or(0);
        let shape: Vec<usize> = input.shape.iter().map(open).collect();
        let [_, 0 | 3, height, width] = shape[..] else {
            return Err(ClassifierError::Input { name: input.name.clone(), shape });
        };
        let batch = input.shape[0];
        let input = input_size(height, width, size)?;
        let sides = [3, input.height as usize, input.width as usize].map(Some);
        graph.declare_input(image, [vec![batch], sides.to_vec()].concat());
        let shapes = observe(&graph, image, input)?;
        let output = *graph
            .outputs()
            .iter()
            .find(|output| classes(&shapes, **output).is_some())
            .ok_or_else(|| {
                let first = graph.outputs().first().and_then(|output| shapes.get(output));
                ClassifierError::Output { shape: first.cloned().unwrap_or_default() }
            })?;
        let (logits, dropped_softmax) = before_softmax(&graph, output);
        let answer = tch::no_grad(|| graph.run(&[(image, &blank(&graph, input))], &[logits]))?;
        if answer[0].isfinite().all().int64_value(&[]) == 0 {
            return Err(ClassifierError::NotFinite);
        }
        let classes = classes(&shapes, output).unwrap_or(0);
        Ok(Self { image, logits, classes, input, dropped_softmax, shapes, graph })
    }

    /// Gives the graph.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(crate) fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// Gives the tensor that takes the picture.
    #[must_use]
    pub fn image(&self) -> ValueId {
        self.image
    }

    /// Gives the tensor with one logit a class; what comes before a final softmax.
    #[must_use]
    pub fn logits(&self) -> ValueId {
        self.logits
    }

    /// Names the final softmax that was taken off, if there was one.
    #[must_use]
    pub fn dropped_softmax(&self) -> Option<&str> {
        self.dropped_softmax.as_deref()
    }

    /// Counts the classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Gives the size of the input.
    #[must_use]
    pub fn input_size(&self) -> ImageSize {
        self.input
    }

    /// Gives the shape that a tensor has for one picture.
    #[must_use]
    pub fn shape(&self, value: ValueId) -> &[i64] {
        self.shapes.get(&value).map_or(&[], Vec::as_slice)
    }

    /// Finds the node that makes a tensor.
    #[must_use]
    pub fn producer(&self, value: ValueId) -> Option<&Node> {
        self.graph.nodes().iter().find(|node| node.outputs.contains(&value))
    }

    /// Moves the network to a device.
    ///
    /// # Errors
    /// Returns [`RunError`] when the device has no room.
    pub fn to_device(&mut self, device: Device) -> Result<(), RunError> {
        self.graph.to_device(device)
    }
}

fn input_size(
    height: usize,
    width: usize,
    asked: Option<ImageSize>,
) -> Result<ImageSize, ClassifierError> {
    let side = |side| u32::try_from(side).unwrap_or(u32::MAX);
    let fixed =
        (height > 0 && width > 0).then(|| ImageSize { height: side(height), width: side(width) });
    match (fixed, asked) {
        (Some(fixed), Some(asked)) if fixed != asked => {
            Err(ClassifierError::InputSize { fixed: Some(fixed) })
        }
        (None, None) => Err(ClassifierError::InputSize { fixed: None }),
        (Some(size), _) | (None, Some(size)) => Ok(size),
    }
}

/// Refuses an input that is too large before anything is computed for it.
fn check_declared_size(model: &ModelProto) -> Result<(), ClassifierError> {
    let inputs = model.graph.iter().flat_map(|graph| &graph.input);
    for shape in inputs.filter_map(ValueInfoProto::tensor_shape) {
        let &[_, _, Some(height), Some(width)] = &shape[..] else { continue };
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        let (height, width) = (side(height), side(width));
        if height.max(width) > Preprocess::MAX_SIDE {
            return Err(ClassifierError::TooLarge { width, height });
        }
    }
    Ok(())
}

fn blank(graph: &Graph, input: ImageSize) -> Tensor {
    let shape = [1, 3, i64::from(input.height), i64::from(input.width)];
    Tensor::zeros(shape, (Kind::Float, graph.device()))
}

/// Runs the graph on one blank picture and notes the shape of every tensor.
fn observe(
    graph: &Graph,
    image: ValueId,
    input: ImageSize,
) -> Result<HashMap<ValueId, Vec<i64>>, RunError> {
    let _no_gradients = tch::no_grad_guard();
    let blank = blank(graph, input);
    let all: Vec<ValueId> =
        graph.nodes().iter().flat_map(|node| &node.outputs).copied().chain([image]).collect();
    let values = graph.run(&[(image, &blank)], &all)?;
    Ok(all.into_iter().zip(values.iter().map(Tensor::size)).collect())
}

fn classes(shapes: &HashMap<ValueId, Vec<i64>>, output: ValueId) -> Option<usize> {
    match shapes.get(&output)?[..] {
        [1, classes] if classes > 1 => usize::try_from(classes).ok(),
        _ => None,
    }
}

/// Takes a final `Softmax` off: what explains a class are its logits.
fn before_softmax(graph: &Graph, output: ValueId) -> (ValueId, Option<String>) {
    let mut logits = output;
    let mut dropped = None;
    while let Some(node) = graph.nodes().iter().find(|node| node.outputs.contains(&logits)) {
        let Some(&Some(before)) = node.inputs.first() else { break };
        match node.op_type.as_str() {
            "Softmax" | "LogSoftmax" => dropped = Some(node.title.clone()),
            "Identity" => {}
            _ => break,
        }
        logits = before;
    }
    if dropped.is_some() { (logits, dropped) } else { (output, None) }
}
