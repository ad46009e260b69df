//! A network in the runtime: read once, run for every picture.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use lcam_models::explained::IMAGE;
use lcam_models::onnx::{ModelProto, tensor_proto::DataType};
use tract_core::internal::{
    Datum, IntoTValue, RunOptions, Tensor, TractError, TractResult, TypedModel, TypedSimplePlan,
    TypedSimpleState, ensure, tvec,
};
use tract_core::ops::matmul::optimized::OptMatMul;
use tract_linalg::multithread::Executor;

use super::dequantize::{Arithmetic, widen};
use super::guard::{self, GuardError};
use super::limits::{LimitError, Limits};
use super::reduce::{name_constants, select_outputs};
use super::translate::translate;
use crate::isolate;

/// A network could not be loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The graph holds what is not run.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The graph is too large.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The runtime refuses the graph.
    #[error(
        "the runtime cannot {stage} it ({reason}); the file is damaged or beyond what the device runs"
    )]
    Runtime {
        /// What the runtime was doing.
        stage: &'static str,
        /// What it said.
        reason: String,
    },
    /// The input is not as large as the network's.
    #[error("the network takes {expected} values but was given {found}")]
    Input {
        /// What the network takes.
        expected: usize,
        /// What was given.
        found: usize,
    },
}

/// A network that is ready to run.
pub struct Network {
    state: TypedSimpleState,
    input: Vec<usize>,
    multiply_adds: u64,
    arithmetic: Arithmetic,
    threads: NonZeroUsize,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("input", &self.input)
            .field("multiply_adds", &self.multiply_adds)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Network {
    /// Loads the part of a model that computes these tensors from the input `image`. The model's structure
    /// must have been checked.
    ///
    /// # Errors
    /// Returns [`NetworkError`] when the network is beyond the [`Limits`] or the runtime refuses it.
    pub fn new(
        mut model: ModelProto,
        outputs: &[&str],
        threads: NonZeroUsize,
    ) -> Result<Self, NetworkError> {
        let limits = Limits::DEFAULT;
        guard::check(&model, &limits)?;
        let (input, arithmetic) = take_graph(&mut model, outputs, &limits)?;
        let translated = runtime("read", || translate(&model, &limits))?;
        drop(model);
        let multiply_adds = translated.multiply_adds;
        let state = runtime("optimise", || prepare(translated.model, threads))?;
        Ok(Self { state, input, multiply_adds, arithmetic, threads })
    }

    /// Runs the network on 3 x height x width values, row by row, and gives the outputs in the order in
    /// which they were asked for.
    ///
    /// The result does not depend on the number of threads.
    ///
    /// # Errors
    /// Returns [`NetworkError`] when the number of values does not fit or the runtime fails.
    pub fn run(&mut self, image: Vec<f32>) -> Result<Vec<Vec<f32>>, NetworkError> {
        let expected = self.input.iter().product();
        if image.len() != expected {
            return Err(NetworkError::Input { expected, found: image.len() });
        }
        let state = &mut self.state;
        let input = &self.input;
        let result = runtime("run", || {
            let image = Tensor::from_shape(input, &image)?;
            let outputs = state.run(tvec![image.into_tvalue()])?;
            outputs.iter().map(|output| to_values(output)).collect()
        });
        if result.is_err() {
            // A state that failed half-way is not to be trusted.
            self.state = runtime("restart", || self.state.plan().clone().spawn())?;
        }
        result
    }

    /// Gives the multiply-adds of one pass, the sums and comparisons of pooling and ArgMax included.
    #[must_use]
    pub fn multiply_adds(&self) -> u64 {
        self.multiply_adds
    }

    /// Tells in which numbers it computes.
    #[must_use]
    pub fn arithmetic(&self) -> &Arithmetic {
        &self.arithmetic
    }

    /// Gives the number of threads.
    #[must_use]
    pub fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    /// Counts by name the matrix kernels that the runtime chose for this machine.
    #[must_use]
    pub fn kernels(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for node in self.state.model().nodes() {
            let matmul = node.op_as::<OptMatMul>();
            // Of several forms of one product the first is the usual one.
            if let Some(kernel) = matmul.and_then(|matmul| matmul.mmm.first()) {
                *counts.entry(kernel.name().to_owned()).or_insert(0) += 1;
            }
        }
        counts
    }
}

/// Names the sets of instructions for which the runtime has kernels on this machine.
#[must_use]
pub fn instruction_sets() -> Vec<String> {
    tract_linalg::isa::native().iter().map(|isa| isa.name().to_owned()).collect()
}

/// Reduces a model to what computes the outputs, in float32, and gives the shape of its input.
fn take_graph(
    model: &mut ModelProto,
    outputs: &[&str],
    limits: &Limits,
) -> Result<(Vec<usize>, Arithmetic), NetworkError> {
    // Names, labels and provenance are of no use to the runtime.
    model.metadata_props.clear();
    let opset = model.opset().unwrap_or(0);
    let (mut shape, mut arithmetic) = (None, Arithmetic::default());
    if let Some(graph) = &mut model.graph {
        name_constants(graph);
        select_outputs(graph, outputs);
        arithmetic = widen(graph, opset, limits)?;
        graph.input.retain(|input| input.name() == IMAGE);
        let image = graph
            .input
            .first()
            .filter(|input| input.element_type() == Some(DataType::Float.into()));
        shape = image
            .and_then(|input| input.tensor_shape())
            .and_then(|shape| shape.into_iter().collect::<Option<Vec<usize>>>());
    }
    let shape = shape.ok_or_else(|| NetworkError::Runtime {
        stage: "read",
        reason: format!("it has no input `{IMAGE}` of fixed shape"),
    })?;
    Ok((shape, arithmetic))
}

fn prepare(model: TypedModel, threads: NonZeroUsize) -> TractResult<TypedSimpleState> {
    let executor = match threads.get() {
        1 => Executor::SingleThread,
        threads => Executor::multithread_with_name(threads, isolate::THREAD_NAME),
    };
    let options = RunOptions { executor: Some(executor), ..RunOptions::default() };
    let model = model.into_optimized()?;
    TypedSimplePlan::new_with_options(model, &options)?.spawn()
}

fn to_values(tensor: &Tensor) -> TractResult<Vec<f32>> {
    ensure!(tensor.datum_type() == f32::datum_type(), "an output is no float32");
    Ok(tensor.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}

/// Runs a step of the runtime; its errors and panics become one line.
fn runtime<T>(
    stage: &'static str,
    step: impl FnOnce() -> TractResult<T>,
) -> Result<T, NetworkError> {
    match isolate::catch(step) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(one_line(stage, &error)),
        Err(panic) => {
            Err(NetworkError::Runtime { stage, reason: format!("it broke off: {panic}") })
        }
    }
}

/// The longest reason that is passed on: the runtime prints whole tensors.
const REASON_CHARACTERS: usize = 200;

fn one_line(stage: &'static str, error: &TractError) -> NetworkError {
    if let Some(limit) = error.downcast_ref::<LimitError>() {
        return limit.clone().into();
    }
    let text = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut reason: String = text.chars().take(REASON_CHARACTERS).collect();
    if reason.len() < text.len() {
        reason.push('…');
    }
    NetworkError::Runtime { stage, reason }
}
