//! A classifier read from ONNX and executed by libtorch, with gradients.
//!
//! Any network is run by the same code: each node becomes a typed operator whose attributes are parsed
//! once, nodes that depend on constants alone are computed once, and [`Graph::run`] computes only what is
//! asked for. Feeding an inner value cuts the graph there, which is how the rest of a frozen network is
//! applied to masked feature maps.
//!
//! The network is frozen: batch normalisation uses its stored statistics, dropout does nothing, and no
//! weight asks for a gradient. Gradients flow through to whatever is fed.

mod attributes;
mod batching;
mod error;
mod layout;
mod operator;
mod operators;
mod precision;
mod quantized;
mod run;
mod stand_in;
mod tensors;

use std::collections::{HashMap, HashSet};

use lcam_models::onnx::{ModelProto, NodeProto, StructureError, ValueInfoProto, check_structure};
use tch::{Device, Kind, Tensor};

use attributes::Attributes;
pub use batching::Batching;
pub use error::{GraphError, NodeError, OperatorError, RunError};
use operator::Run;
pub(crate) use operators::patches;
pub use operators::{Support, supported_operators};
pub use precision::Precision;
pub use tensors::from_proto as tensor_from_proto;

/// The operator set versions whose meaning is known.
pub const OPSETS: std::ops::RangeInclusive<i64> = 11..=28;

/// A tensor of the graph, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(usize);

/// A node of the graph, for analysis.
#[derive(Clone, Debug)]
pub struct Node {
    /// What messages call it.
    pub title: String,
    /// The operator's name.
    pub op_type: String,
    /// The tensors it reads; `None` for an optional one that is left out.
    pub inputs: Vec<Option<ValueId>>,
    /// The tensors it makes.
    pub outputs: Vec<ValueId>,
    /// Which axis of the input each axis of the output is, where the operator says it (`perm`).
    pub order: Option<Vec<i64>>,
}

/// A classifier that can be run.
pub struct Graph {
    nodes: Vec<Node>,
    operators: Vec<Run>,
    names: Vec<String>,
    ids: HashMap<String, ValueId>,
    constants: HashMap<ValueId, Tensor>,
    inputs: Vec<Input>,
    outputs: Vec<ValueId>,
    batching: Batching,
    device: Device,
}

/// An input of the graph that is no weight.
#[derive(Clone, Debug)]
pub struct Input {
    /// The tensor.
    pub value: ValueId,
    /// Its name.
    pub name: String,
    /// Its declared shape, `None` for a dimension that is not fixed.
    pub shape: Vec<Option<usize>>,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph")
            .field("nodes", &self.nodes.len())
            .field("inputs", &self.inputs)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl Graph {
    /// Reads a graph, on the CPU.
    ///
    /// # Errors
    /// Returns [`GraphError`] when the graph does not hang together, or uses an operator or an operator
    /// set that is not supported.
    pub fn new(model: &ModelProto) -> Result<Self, GraphError> {
        check_structure(model)?;
        let opset = model.opset().unwrap_or(0);
        if !OPSETS.contains(&opset) {
            return Err(GraphError::Opset { found: opset });
        }
        let proto = model.graph.as_ref().ok_or(StructureError::NoGraph)?;
        let mut builder = Builder::default();
        for tensor in &proto.initializer {
            let id = builder.id(tensor.name());
            builder.constants.insert(id, tensors::from_proto(tensor)?);
        }
        let inputs = builder.inputs(&proto.input);
        for node in &proto.node {
            builder.node(node, opset)?;
        }
        let outputs = proto.output.iter().map(|output| builder.id(output.name())).collect();
        let mut graph = Self {
            nodes: builder.nodes,
            operators: builder.operators,
            names: builder.names,
            ids: builder.ids,
            constants: builder.constants,
            inputs,
            outputs,
            batching: Batching::Native,
            device: Device::Cpu,
        };
        graph.fold_constants()?;
        quantized::join_pairs(&mut graph);
        batching::adapt(&mut graph);
        Ok(graph)
    }

    /// Gives the inputs that are no weights.
    #[must_use]
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Gives the outputs.
    #[must_use]
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// Gives the nodes that depend on the input, each after those that it depends on.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Gives the nodes that a tensor depends on, each after those that it depends on.
    pub fn dependencies(&self, value: ValueId) -> impl Iterator<Item = &Node> {
        self.needed(&HashSet::new(), &[value]).0.into_iter().map(|index| &self.nodes[index])
    }

    /// Finds a tensor by its name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<ValueId> {
        self.ids.get(name).copied()
    }

    /// Gives the name of a tensor.
    #[must_use]
    pub fn name(&self, value: ValueId) -> &str {
        &self.names[value.0]
    }

    /// Gives the value of a tensor that is the same for every picture: a weight, or computed from weights.
    #[must_use]
    pub fn constant(&self, value: ValueId) -> Option<&Tensor> {
        self.constants.get(&value)
    }

    /// Puts another tensor of the same shape in the place of a constant one.
    pub(crate) fn set_constant(&mut self, value: ValueId, tensor: Tensor) {
        self.constants.insert(value, tensor);
    }

    /// Tells whether several pictures can go through at once.
    #[must_use]
    pub fn batching(&self) -> Batching {
        self.batching
    }

    /// Gives where the graph runs.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Declares the shape of an input that the file leaves open.
    pub(crate) fn declare_input(&mut self, value: ValueId, shape: Vec<Option<usize>>) {
        let inputs = self.inputs.iter_mut().filter(|input| input.value == value);
        inputs.for_each(|input| input.shape.clone_from(&shape));
    }

    /// Moves the weights to a device. Sizes and indices stay on the CPU.
    ///
    /// # Errors
    /// Returns [`RunError`] when the device has no room.
    pub fn to_device(&mut self, device: Device) -> Result<(), RunError> {
        for (&id, tensor) in &mut self.constants {
            if matches!(tensor.kind(), Kind::Float | Kind::Int8 | Kind::Uint8) {
                *tensor = tensor
                    .f_to_device(device)
                    .map_err(|error| RunError::new(&self.names[id.0], error.into()))?;
            }
        }
        self.device = device;
        Ok(())
    }

    /// Computes once what depends on constants alone, and drops those nodes.
    fn fold_constants(&mut self) -> Result<(), GraphError> {
        let _no_gradients = tch::no_grad_guard();
        let mut kept = Vec::new();
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let constant = node.inputs.iter().flatten().all(|id| self.constants.contains_key(id));
            if constant {
                let mut values = HashMap::new();
                self.compute(Precision::Float, index, &mut values)?;
                self.constants.extend(values);
            } else {
                kept.push(index);
            }
        }
        let mut index = 0..;
        self.nodes.retain(|_| index.next().is_some_and(|i| kept.binary_search(&i).is_ok()));
        let mut index = 0..;
        self.operators.retain(|_| index.next().is_some_and(|i| kept.binary_search(&i).is_ok()));
        Ok(())
    }
}

#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    operators: Vec<Run>,
    names: Vec<String>,
    ids: HashMap<String, ValueId>,
    constants: HashMap<ValueId, Tensor>,
}

impl Builder {
    fn id(&mut self, name: &str) -> ValueId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = ValueId(self.names.len());
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        id
    }

    /// Old files list their weights among the inputs, too; those are left out.
    fn inputs(&mut self, inputs: &[ValueInfoProto]) -> Vec<Input> {
        let described = inputs.iter().map(|input| Input {
            value: self.id(input.name()),
            name: input.name().to_owned(),
            shape: input.tensor_shape().unwrap_or_default(),
        });
        let described: Vec<_> = described.collect();
        described.into_iter().filter(|input| !self.constants.contains_key(&input.value)).collect()
    }

    fn node(&mut self, node: &NodeProto, opset: i64) -> Result<(), GraphError> {
        let run = operators::parse(node, opset)
            .map_err(|problem| GraphError::Node { node: node.title(), problem })?;
        let given = |name: &str| !name.is_empty();
        let inputs = node.input.iter().map(|name| given(name).then(|| self.id(name))).collect();
        // An output without a name is not wanted; it keeps its place under a name no file uses.
        let name = |name: &String| if given(name) { name.clone() } else { "\0".to_owned() };
        let outputs = node.output.iter().map(|output| self.id(&name(output))).collect();
        self.nodes.push(Node {
            title: node.title(),
            op_type: node.op_type().to_owned(),
            inputs,
            outputs,
            order: Attributes::new(node, opset).ints("perm"),
        });
        self.operators.push(run);
        Ok(())
    }
}
