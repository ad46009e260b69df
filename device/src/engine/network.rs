//! A network in the runtime: read once, run for every picture.

mod part;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lcam_models::explained::IMAGE;
use lcam_models::onnx::{GraphProto, ModelProto, tensor_proto::DataType};
use tract_core::internal::{Datum, Tensor, TractError, TractResult, ensure};
use tract_linalg::multithread::Executor;

use super::arithmetic::Arithmetic;
use super::dequantize::widen;
use super::guard::{self, GuardError};
use super::integer::{Done, Program};
use super::limits::{LimitError, Limits};
use super::precision::{Execution, Precision};
use super::reduce::{name_constants, select_outputs};
use crate::isolate;
use part::{Part, Tensors, Values};

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
    /// Integers were asked for, and there are none.
    #[error(
        "int8 was asked for, but the file has no layer of 8-bit weights and activations that this program computes in \
         integers; quantise it, or ask for auto or float"
    )]
    NoIntegers,
    /// The input is not as large as the network's.
    #[error("the network takes {expected} values but was given {found}")]
    Input {
        /// What the network takes.
        expected: usize,
        /// What was given.
        found: usize,
    },
}

/// A network that is ready to run: integer operators and the runtime, which take turns.
pub struct Network {
    /// The integer operators, if there are any.
    program: Option<Program>,
    /// What the runtime computes, in as many parts as the program has.
    parts: Vec<Option<Part>>,
    outputs: Vec<String>,
    input: Vec<usize>,
    tensors: Tensors,
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

/// What a profile calls the operators that the runtime computes.
const FLOAT32: &str = "float32";

impl Network {
    /// Loads the part of a model that computes these tensors from the input `image`. The model's structure
    /// must have been checked.
    ///
    /// # Errors
    /// Returns [`NetworkError`] when the network is beyond the [`Limits`], the runtime refuses it, or integers were
    /// asked for and there are none.
    pub fn new(
        mut model: ModelProto,
        outputs: &[&str],
        execution: impl Into<Execution>,
    ) -> Result<Self, NetworkError> {
        let Execution { threads, precision } = execution.into();
        let limits = Limits::DEFAULT;
        guard::check(&model, &limits)?;
        let input = take_graph(&mut model, outputs)?;
        let executor = executor(threads);
        let planned = plan::integers(&model, &input, precision, &executor)?;
        let Planned { program, parts, multiply_adds, arithmetic } = match planned {
            Some(planned) => planned,
            None if precision == Precision::Int8 => return Err(NetworkError::NoIntegers),
            None => in_floating_point(model, outputs, &executor)?,
        };
        let outputs = outputs.iter().map(|&name| name.to_owned()).collect();
        let tensors = Tensors::new();
        Ok(Self { program, parts, outputs, input, tensors, multiply_adds, arithmetic, threads })
    }

    /// Runs the network on 3 x height x width values, row by row, and gives the outputs in the order in
    /// which they were asked for.
    ///
    /// The result does not depend on the number of threads.
    ///
    /// # Errors
    /// Returns [`NetworkError`] when the number of values does not fit or the runtime fails.
    pub fn run(&mut self, image: &[f32]) -> Result<Vec<Vec<f32>>, NetworkError> {
        self.pass(image, &mut |_| ())
    }

    /// Runs the network as [`Network::run`] does, and tells what each integer operator took, and what the runtime took
    /// from one of them to the next: ONNX operator and tensor, or `float32`.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn profile(&mut self, image: &[f32]) -> Result<Vec<(String, Duration)>, NetworkError> {
        let (mut laps, mut last) = (Vec::new(), Instant::now());
        self.pass(image, &mut |title| {
            let now = Instant::now();
            laps.push((title.to_owned(), now - last));
            last = now;
        })?;
        Ok(laps)
    }

    fn pass(&mut self, image: &[f32], done: Done<'_>) -> Result<Vec<Vec<f32>>, NetworkError> {
        let expected = self.input.iter().product();
        if image.len() != expected {
            return Err(NetworkError::Input { expected, found: image.len() });
        }
        let Self { program, parts, outputs, input, tensors, .. } = self;
        let result = runtime("run", || {
            let mut values = Values { image, shape: input, tensors };
            for (number, part) in parts.iter_mut().enumerate() {
                if let Some(program) = program {
                    program.run(number, &mut values, done)?;
                }
                if let Some(part) = part {
                    part.run(&mut values)?;
                    done(FLOAT32);
                }
            }
            outputs.iter().map(|name| to_values(&*values.get(name)?)).collect()
        });
        if result.is_err() {
            // What failed half-way is not to be trusted.
            self.tensors.clear();
            self.program.iter_mut().for_each(Program::restore);
            runtime("restart", || self.parts.iter_mut().flatten().try_for_each(Part::restart))?;
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

    /// Counts by name the matrix kernels that were chosen for this machine: the runtime's, and those of integers.
    #[must_use]
    pub fn kernels(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        if let Some(kernels) = self.arithmetic.integer_kernels() {
            let (name, count) = (format!("int8 {kernels}"), self.arithmetic.integer_operators());
            counts.insert(name, count.values().sum());
        }
        self.parts.iter().flatten().for_each(|part| part.count_kernels(&mut counts));
        counts
    }
}

/// How a network is computed.
struct Planned {
    program: Option<Program>,
    parts: Vec<Option<Part>>,
    multiply_adds: u64,
    arithmetic: Arithmetic,
}

/// Gives all of a network to the runtime, in float32.
fn in_floating_point(
    mut model: ModelProto,
    outputs: &[&str],
    executor: &Executor,
) -> Result<Planned, NetworkError> {
    let limits = Limits::DEFAULT;
    let opset = model.opset().unwrap_or(0);
    let mut graph = model.graph.take().unwrap_or_default();
    let arithmetic = widen(&mut graph, opset, &limits)?;
    model.graph = Some(graph);
    let given: BTreeSet<&str> = outputs.iter().copied().collect();
    let given = given.into_iter().map(str::to_owned).collect();
    let (part, multiply_adds) = Part::new(model, vec![IMAGE.to_owned()], given, executor)?;
    Ok(Planned { program: None, parts: vec![Some(part)], multiply_adds, arithmetic })
}

/// Names the sets of instructions for which the runtime has kernels on this machine.
#[must_use]
pub fn instruction_sets() -> Vec<String> {
    tract_linalg::isa::native().iter().map(|isa| isa.name().to_owned()).collect()
}

/// Reduces a model to what computes the outputs, and gives the shape of its input.
fn take_graph(model: &mut ModelProto, outputs: &[&str]) -> Result<Vec<usize>, NetworkError> {
    // Names, labels and provenance are of no use to the runtime.
    model.metadata_props.clear();
    let mut shape = None;
    if let Some(graph) = &mut model.graph {
        name_constants(graph);
        select_outputs(graph, outputs);
        shape = input_shape(graph);
    }
    shape.ok_or_else(|| NetworkError::Runtime {
        stage: "read",
        reason: format!("it has no input `{IMAGE}` of fixed shape"),
    })
}

/// Leaves no input but the image, and gives its shape.
fn input_shape(graph: &mut GraphProto) -> Option<Vec<usize>> {
    graph.input.retain(|input| input.name() == IMAGE);
    let image = graph.input.first()?;
    if image.element_type() != Some(DataType::Float.into()) {
        return None;
    }
    image.tensor_shape()?.into_iter().collect()
}

/// Gives the threads that integer operators and the runtime share.
fn executor(threads: NonZeroUsize) -> Executor {
    match threads.get() {
        1 => Executor::SingleThread,
        threads => Executor::multithread_with_name(threads, isolate::THREAD_NAME),
    }
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

#[cfg(test)]
mod tests;
