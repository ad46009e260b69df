//! What the runtime computes of a network, all of it or what is left between integer operators.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lcam_models::onnx::ModelProto;
use tract_core::internal::{
    DatumType, IntoArcTensor, IntoTValue, RunOptions, TValue, TVec, Tensor, TractResult,
    TypedModel, TypedSimplePlan, TypedSimpleState, format_err,
};
use tract_core::ops::matmul::optimized::OptMatMul;
use tract_linalg::multithread::Executor;

use super::super::integer::Exchange;
use super::super::limits::Limits;
use super::super::translate::translate;
use super::{NetworkError, runtime};

/// Tensors between parts, by name.
pub(super) struct Values(pub(super) HashMap<String, Arc<Tensor>>);

impl Values {
    /// Gives a tensor.
    pub(super) fn get(&self, name: &str) -> TractResult<&Arc<Tensor>> {
        self.0.get(name).ok_or_else(|| format_err!("nothing made tensor {name:?}"))
    }
}

impl Exchange for Values {
    fn values(&self, name: &str) -> Option<&[f32]> {
        self.0.get(name)?.try_as_plain_ram().ok()?.as_slice::<f32>().ok()
    }

    fn give(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        if let Ok(tensor) = Tensor::from_shape(shape, values) {
            self.0.insert(name.to_owned(), Arc::new(tensor));
        }
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
    pub(super) fn run(&mut self, values: &mut Values) -> TractResult<()> {
        let inputs = self.takes.iter().map(|name| values.get(name).cloned());
        let inputs = inputs.map(|input| Ok(input?.into_tvalue()));
        let inputs: TVec<TValue> = inputs.collect::<TractResult<_>>()?;
        let outputs = self.state.run(inputs)?;
        let outputs = outputs.into_iter().map(IntoArcTensor::into_arc_tensor);
        values.0.extend(self.gives.iter().cloned().zip(outputs));
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
