//! The attention mechanism's own numbers, for the maps of classes that were not predicted.

use std::borrow::Cow;

use super::ContractError;
use crate::class::ClassIndex;
use crate::map::{ClassMap, GridSize, MapError};
use crate::metadata::{Activation, AttentionLayer, Metadata};
use crate::onnx::{Constants, GraphProto, NodeProto, TensorProto, tensor_proto::DataType};
use crate::preprocess::Preprocess;

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

    pub(super) fn read(graph: &GraphProto, metadata: &Metadata) -> Result<Self, ContractError> {
        let layout = &metadata.attention;
        let classes = metadata.labels.len();
        let constants = Constants::new(graph);
        let bias = constant(&constants, &layout.bias)?;
        if bias.shape()? != [classes] {
            return Err(attention(format!(
                "{:?} has shape {:?}, but there are {classes} labels",
                layout.bias, bias.dims
            )));
        }
        let layers: Vec<_> = layout
            .layers
            .iter()
            .map(|layer| LayerWeights::read(graph, &constants, layer, classes))
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
        constants: &Constants,
        layer: &AttentionLayer,
        classes: usize,
    ) -> Result<Self, ContractError> {
        let made = |node: &NodeProto| node.output.contains(&layer.adapter);
        if !graph.node.iter().any(made) {
            return Err(attention(format!("no node makes {:?}", layer.adapter)));
        }
        let sides = 1..=Preprocess::MAX_SIDE as usize;
        if !sides.contains(&layer.grid.height) || !sides.contains(&layer.grid.width) {
            return Err(attention(format!("its grid is {:?}", layer.grid)));
        }
        let weights = constant(constants, &layer.weights)?;
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
                let scales = constant(constants, name)?;
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

fn constant<'a>(
    constants: &Constants<'a>,
    name: &str,
) -> Result<Cow<'a, TensorProto>, ContractError> {
    constants.get(name)?.ok_or_else(|| attention(format!("there is no constant {name:?}")))
}

fn attention(reason: String) -> ContractError {
    ContractError::Attention { reason }
}
