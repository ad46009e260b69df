//! An explained model: a file that keeps the contract, checked as a whole.
//!
//! Input `image` `[1, 3, H, W]` f32, normalised; outputs `logits` `[1, R]` and `explanation`
//! `[1, 1, h, w]`, the raw class map of the class with the largest logit. What is checked here is all that
//! a device relies on beside the meaning of the operators themselves.

use std::path::{Path, PathBuf};

use crate::class::ClassIndex;
use crate::map::{ClassMap, GridSize, MapError};
use crate::metadata::{Activation, AttentionLayer, Metadata, MetadataError};
use crate::onnx::{
    GraphProto, ModelProto, ReadError, StructureError, TensorError, TensorProto, ValueInfoProto,
    check_structure, read_model, tensor_proto::DataType,
};

/// The name of the graph's input.
pub const IMAGE: &str = "image";
/// The name of the output with one logit a class.
pub const LOGITS: &str = "logits";
/// The name of the output with the raw class map of the predicted class.
pub const EXPLANATION: &str = "explanation";

/// A file that is no usable explained model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainedError {
    /// The file cannot be read as ONNX.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file is ONNX but breaks the contract.
    #[error("{path}: {problem}")]
    Contract {
        /// The file.
        path: PathBuf,
        /// What it breaks.
        problem: ContractError,
    },
}

/// How a model breaks the contract.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// The metadata are missing, too new or damaged.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The graph does not hang together.
    #[error(transparent)]
    Structure(#[from] StructureError),
    /// A tensor of the attention mechanism cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// An input or output is not as it should be.
    #[error("its {what} should be {expected} but is {found}; export the model again")]
    Interface {
        /// Which input or output.
        what: &'static str,
        /// What the contract says.
        expected: String,
        /// What the file says.
        found: String,
    },
    /// The attention mechanism's tensors are not as the metadata say.
    #[error("its attention mechanism is unusable: {reason}; export the model again")]
    Attention {
        /// What is wrong.
        reason: String,
    },
}

/// An explained model whose contract was checked.
#[derive(Clone, Debug)]
pub struct ExplainedModel {
    proto: ModelProto,
    metadata: Metadata,
    attention: Attention,
}

impl ExplainedModel {
    /// Reads and checks a model file.
    ///
    /// # Errors
    /// Returns [`ExplainedError`] when the file cannot be read or breaks the contract.
    pub fn read(path: &Path) -> Result<Self, ExplainedError> {
        let proto = read_model(path)?;
        Self::new(proto)
            .map_err(|problem| ExplainedError::Contract { path: path.to_owned(), problem })
    }

    /// Checks a model.
    ///
    /// # Errors
    /// Returns [`ContractError`] for the first thing that breaks the contract.
    pub fn new(proto: ModelProto) -> Result<Self, ContractError> {
        let metadata = Metadata::read(&proto)?;
        check_structure(&proto)?;
        let graph = proto.graph.as_ref().ok_or(StructureError::NoGraph)?;
        let attention = Attention::read(graph, &metadata)?;
        check_interface(graph, &metadata, attention.grid)?;
        Ok(Self { proto, metadata, attention })
    }

    /// Gives the ONNX model.
    #[must_use]
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// Gives what the model says about itself.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Gives the attention mechanism.
    #[must_use]
    pub fn attention(&self) -> &Attention {
        &self.attention
    }

    /// Takes the model apart, so that its weights can be dropped once a runtime holds them.
    #[must_use]
    pub fn into_parts(self) -> (ModelProto, Metadata, Attention) {
        (self.proto, self.metadata, self.attention)
    }
}

fn check_interface(
    graph: &GraphProto,
    metadata: &Metadata,
    grid: GridSize,
) -> Result<(), ContractError> {
    let input = metadata.preprocess.input;
    let image = [1, 3, input.height as usize, input.width as usize];
    let makes = |name: &str| graph.initializer.iter().any(|tensor| tensor.name() == name);
    let inputs: Vec<_> = graph.input.iter().filter(|input| !makes(input.name())).collect();
    check_value("input", &inputs, IMAGE, &image)?;
    let outputs = |name| graph.output.iter().filter(|o| o.name() == name).collect::<Vec<_>>();
    check_value("output", &outputs(LOGITS), LOGITS, &[1, metadata.labels.len()])?;
    check_value("output", &outputs(EXPLANATION), EXPLANATION, &[1, 1, grid.height, grid.width])
}

/// Checks that there is one value, of this name and fixed f32 shape.
fn check_value(
    what: &'static str,
    values: &[&ValueInfoProto],
    name: &str,
    shape: &[usize],
) -> Result<(), ContractError> {
    let fixed: Vec<_> = shape.iter().map(|&side| Some(side)).collect();
    let fits = |value: &&ValueInfoProto| {
        value.name() == name
            && value.tensor_shape().as_ref() == Some(&fixed)
            && value.element_type() == Some(DataType::Float.into())
    };
    if values.len() == 1 && values.iter().all(fits) {
        return Ok(());
    }
    let describe = |value: &&ValueInfoProto| {
        let shape = value.tensor_shape().unwrap_or_default();
        let sides: Vec<_> =
            shape.iter().map(|side| side.map_or("?".to_owned(), |s| s.to_string())).collect();
        format!(
            "`{}` [{}] of type {}",
            value.name(),
            sides.join(","),
            value.element_type().unwrap_or(0)
        )
    };
    let found: Vec<_> = values.iter().map(describe).collect();
    Err(ContractError::Interface {
        what,
        expected: format!("`{name}` {shape:?} of type 1 (float32)"),
        found: if found.is_empty() { "missing".to_owned() } else { found.join(" and ") },
    })
}

/// The attention mechanism of a model: weights and bias of every class, for the maps of classes that were
/// not predicted.
#[derive(Clone, Debug)]
pub struct Attention {
    layers: Vec<LayerWeights>,
    bias: Vec<f32>,
    activation: Activation,
    grid: GridSize,
}

#[derive(Clone, Debug)]
struct LayerWeights {
    adapter: String,
    grid: GridSize,
    channels: usize,
    /// One row a class, or one row for all.
    rows: usize,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    Float(Vec<f32>),
    Int8 { weights: Vec<i8>, scales: Vec<f32> },
}

impl Attention {
    /// Names the tensors of the graph that [`Attention::class_map`] needs, `[1, C, h*w]` each.
    pub fn adapters(&self) -> impl ExactSizeIterator<Item = &str> {
        self.layers.iter().map(|layer| layer.adapter.as_str())
    }

    /// Gives the grid of the maps: the finest of the layers'.
    #[must_use]
    pub fn grid(&self) -> GridSize {
        self.grid
    }

    /// Computes the raw map of a class from the adapted feature maps of one pass, in the order of
    /// [`Attention::adapters`]: `activation(sum over layers of upsample(W_l[class] * A_l) + b[class])`.
    ///
    /// # Errors
    /// Returns [`MapError`] when the adapters are not of the layers' shapes or hold values that are not finite.
    ///
    /// # Panics
    /// Panics if the class does not exist: take it from the model's labels.
    pub fn class_map(&self, class: ClassIndex, adapters: &[&[f32]]) -> Result<ClassMap, MapError> {
        assert!(class.0 < self.bias.len(), "class {class} of {}", self.bias.len());
        let bias = vec![self.bias[class.0]; self.grid.cells()];
        let mut sum = ClassMap::new(self.grid, bias)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let features = adapters.get(index).copied().unwrap_or_default();
            sum.add(&layer.class_map(class, features)?.upsample(self.grid))?;
        }
        Ok(sum.activate(self.activation))
    }

    fn read(graph: &GraphProto, metadata: &Metadata) -> Result<Self, ContractError> {
        let layout = &metadata.attention;
        let classes = metadata.labels.len();
        let bias = initializer(graph, &layout.bias)?;
        if bias.shape()? != [classes] {
            return Err(attention(format!(
                "{:?} has shape {:?}, but there are {classes} labels",
                layout.bias, bias.dims
            )));
        }
        let layers: Vec<_> = layout
            .layers
            .iter()
            .map(|layer| LayerWeights::read(graph, layer, classes))
            .collect::<Result<_, _>>()?;
        let grid = layers
            .iter()
            .map(|layer| layer.grid)
            .max_by_key(|grid| grid.cells())
            .ok_or_else(|| attention("it has no layer".to_owned()))?;
        Ok(Self { layers, bias: bias.to_f32()?, activation: layout.activation, grid })
    }
}

impl LayerWeights {
    fn read(
        graph: &GraphProto,
        layer: &AttentionLayer,
        classes: usize,
    ) -> Result<Self, ContractError> {
        let made = |node: &crate::onnx::NodeProto| node.output.contains(&layer.adapter);
        if !graph.node.iter().any(made) {
            return Err(attention(format!("no node makes {:?}", layer.adapter)));
        }
        let sides = 1..=crate::preprocess::Preprocess::MAX_SIDE as usize;
        if !sides.contains(&layer.grid.height) || !sides.contains(&layer.grid.width) {
            return Err(attention(format!("its grid is {:?}", layer.grid)));
        }
        let weights = initializer(graph, &layer.weights)?;
        let (rows, channels) = match weights.shape()?[..] {
            [rows, channels] if (rows == classes || rows == 1) && channels > 0 => (rows, channels),
            _ => {
                return Err(attention(format!(
                    "{:?} has shape {:?}, but there are {classes} labels",
                    layer.weights, weights.dims
                )));
            }
        };
        let values = match &layer.scales {
            None => Values::Float(weights.to_f32()?),
            Some(name) => {
                let scales = initializer(graph, name)?;
                if weights.data_type() != i32::from(DataType::Int8) || scales.shape()? != [rows, 1]
                {
                    return Err(attention(format!("{name:?} does not fit {:?}", layer.weights)));
                }
                let weights = weights.le_bytes()?.iter().map(|&byte| byte.cast_signed()).collect();
                Values::Int8 { weights, scales: scales.to_f32()? }
            }
        };
        Ok(Self { adapter: layer.adapter.clone(), grid: layer.grid, channels, rows, values })
    }

    fn class_map(&self, class: ClassIndex, features: &[f32]) -> Result<ClassMap, MapError> {
        let cells = self.grid.cells();
        if features.len() != self.channels * cells {
            let GridSize { height, width } = self.grid;
            return Err(MapError::Shape { height, width, values: features.len() });
        }
        let mut map = vec![0.0; cells];
        let row = if self.rows == 1 { 0 } else { class.0 };
        for (channel, plane) in features.chunks_exact(cells).enumerate() {
            let weight = self.values.at(row, row * self.channels + channel);
            for (sum, value) in map.iter_mut().zip(plane) {
                *sum += weight * value;
            }
        }
        ClassMap::new(self.grid, map)
    }
}

impl Values {
    fn at(&self, row: usize, index: usize) -> f32 {
        match self {
            Self::Float(weights) => weights[index],
            Self::Int8 { weights, scales } => f32::from(weights[index]) * scales[row],
        }
    }
}

fn initializer<'a>(graph: &'a GraphProto, name: &str) -> Result<&'a TensorProto, ContractError> {
    let found = graph.initializer.iter().find(|tensor| tensor.name() == name);
    found.ok_or_else(|| attention(format!("there is no initializer {name:?}")))
}

fn attention(reason: String) -> ContractError {
    ContractError::Attention { reason }
}
