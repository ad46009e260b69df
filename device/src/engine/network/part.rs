//! What the runtime computes of a network, all of it or what is left between integer operators.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lcam_models::explained::IMAGE;
use lcam_models::onnx::ModelProto;
use tract_core::internal::{
    Datum, DatumType, IntoArcTensor, IntoTValue, RunOptions, TValue, TVec, Tensor, TractResult,
    TypedModel, TypedSimplePlan, TypedSimpleState, format_err,
};
use tract_core::ops::matmul::optimized::OptMatMul;
use tract_linalg::multithread::Executor;

use super::super::integer::Exchange;
use super::super::limits::Limits;
use super::super::translate::translate;
use super::{NetworkError, runtime};

/// Tensors between parts, by name. They are kept from one pass to the next and written over.
pub(super) type Tensors = HashMap<String, Arc<Tensor>>;

/// What a pass works on.
pub(super) struct Values<'a> {
    /// The input.
    pub(super) image: &'a [f32],
    /// The input's shape.
    pub(super) shape: &'a [usize],
    /// All other tensors.
    pub(super) tensors: &'a mut Tensors,
}

impl Values<'_> {
    /// Gives a tensor.
    pub(super) fn get(&self, name: &str) -> TractResult<Arc<Tensor>> {
        if name == IMAGE {
            return Ok(Arc::new(Tensor::from_shape(self.shape, self.image)?));
        }
        self.tensors.get(name).cloned().ok_or_else(|| format_err!("nothing made tensor {name:?}"))
    }
}

impl Exchange for Values<'_> {
    fn values(&self, name: &str) -> Option<&[f32]> {
        if name == IMAGE {
            return Some(self.image);
        }
        self.tensors.get(name)?.try_as_plain_ram().ok()?.as_slice::<f32>().ok()
    }

    fn make(&mut self, name: &str, shape: &[usize]) -> Option<&mut [f32]> {
        let zero = || Tensor::zero::<f32>(shape).map(Arc::new).ok();
        let is_fit = |held: &mut Arc<Tensor>| {
            Arc::get_mut(held).is_some_and(|tensor| {
                tensor.datum_type() == f32::datum_type() && tensor.shape() == shape
            })
        };
        // Whoever still holds that of an earlier pass keeps it.
        if !self.tensors.get_mut(name).is_some_and(is_fit) {
            self.tensors.insert(name.to_owned(), zero()?);
        }
        let tensor = Arc::get_mut(self.tensors.get_mut(name)?)?;
        tensor.to_plain_array_view_mut::<f32>().ok()?.into_slice()
    }
}

/// Multiply-adds that are done before threads are awake that sleep.
const LITTLE_WORK: u64 = 5_000_000;

/// A graph in the runtime.
pub(super) struct Part {
    state: TypedSimpleState,
    takes: Vec<String>,
    gives: Vec<String>,
    facts: Vec<(DatumType, Vec<usize>)>,
}

impl Part {
    /// Gives a graph to the runtime, and tells the multiply-adds of a pass. `takes` are its inputs, `gives` its outputs,
    /// in the graph's order.
    pub(super) fn new(
        mut model: ModelProto,
        takes: Vec<String>,
        gives: Vec<String>,
        executor: &Executor,
    ) -> Result<(Self, u64), NetworkError> {
        if let Some(graph) = &mut model.graph {
            let names: Vec<&str> = gives.iter().map(String::as_str).collect();
            super::select_outputs(graph, &names);
        }
        let translated = runtime("read", || translate(&model, &Limits::DEFAULT))?;
        drop(model);
        let multiply_adds = translated.multiply_adds;
        let single = Executor::SingleThread;
        let executor = if multiply_adds < LITTLE_WORK { &single } else { executor };
        let (state, facts) = runtime("optimise", || {
            let facts = facts(&translated.model)?;
            Ok((prepare(translated.model, executor)?, facts))
        })?;
        Ok((Self { state, takes, gives, facts }, multiply_adds))
    }

    /// Lists what it makes: name, type and shape of each tensor.
    pub(super) fn given(&self) -> impl Iterator<Item = (&String, &(DatumType, Vec<usize>))> {
        self.gives.iter().zip(&self.facts)
    }

    /// Runs the graph on tensors that are there, and adds what it makes.
    pub(super) fn run(&mut self, values: &mut Values<'_>) -> TractResult<()> {
        let inputs = self.takes.iter().map(|name| values.get(name));
        let inputs = inputs.map(|input| Ok(input?.into_tvalue()));
        let inputs: TVec<TValue> = inputs.collect::<TractResult<_>>()?;
        let outputs = self.state.run(inputs)?;
        let outputs = outputs.into_iter().map(IntoArcTensor::into_arc_tensor);
        values.tensors.extend(self.gives.iter().cloned().zip(outputs));
        Ok(())
    }

    /// Forgets what a failed run has left.
    pub(super) fn restart(&mut self) -> TractResult<()> {
        self.state = self.state.plan().clone().spawn()?;
        Ok(())
    }

    /// Counts by name the matrix kernels that the runtime chose.
    pub(super) fn count_kernels(&self, counts: &mut BTreeMap<String, usize>) {
        for node in self.state.model().nodes() {
            let matmul = node.op_as::<OptMatMul>();
            // Of several forms of one product the first is the usual one.
            if let Some(kernel) = matmul.and_then(|matmul| matmul.mmm.first()) {
                *counts.entry(kernel.name().to_owned()).or_insert(0) += 1;
            }
        }
    }
}

/// Reads types and shapes of a graph's outputs.
fn facts(model: &TypedModel) -> TractResult<Vec<(DatumType, Vec<usize>)>> {
    let fact = |outlet| {
        let fact = model.outlet_fact(outlet)?;
        let shape = fact.shape.as_concrete().map(<[usize]>::to_vec);
        let shape = shape.ok_or_else(|| format_err!("a shape is not fixed"))?;
        Ok((fact.datum_type, shape))
    };
    model.output_outlets()?.iter().map(|&outlet| fact(outlet)).collect()
}

fn prepare(model: TypedModel, executor: &Executor) -> TractResult<TypedSimpleState> {
    let options = RunOptions { executor: Some(executor.clone()), ..RunOptions::default() };
    let model = model.into_optimized()?;
    TypedSimplePlan::new_with_options(model, &options)?.spawn()
}
