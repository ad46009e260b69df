//! Which part of a network is computed in integers.

use std::collections::{BTreeMap, HashMap, HashSet};

use lcam_models::explained::IMAGE;
use lcam_models::onnx::{GraphProto, ModelProto, ValueInfoProto, tensor_proto::DataType};
use tract_core::internal::DatumType;
use tract_linalg::multithread::Executor;

use super::super::dequantize::widen;
use super::super::integer::{
    self, Builder, Kernels, Levels, Program, Rest, Unfit, Wiring, Workers,
};
use super::super::limits::{LimitError, Limits};
use super::part::Part;
use super::{Arithmetic, NetworkError, Planned, Precision, runtime};

/// The most turns of integers and floating point: each costs a pass over the tensors between them.
const MOST_PARTS: usize = 16;

/// Plans a network in integers; `None` where the precision, the processor or the file is not for it.
pub(super) fn integers(
    model: &ModelProto,
    input: &[usize],
    precision: Precision,
    executor: &Executor,
) -> Result<Option<Planned>, NetworkError> {
    let families = integer::families();
    let is_fast = families.len() > 1;
    let Some(&kernels) = families.first() else { return Ok(None) };
    let (Some(graph), true) =
        (&model.graph, precision == Precision::Int8 || (precision == Precision::Auto && is_fast))
    else {
        return Ok(None);
    };
    let wiring = Wiring::new(graph);
    let planner = Planner { model, graph, wiring: &wiring, input, kernels, executor };
    let mut left_out = HashSet::new();
    loop {
        let units = integer::recognize(&wiring, &left_out);
        let levels = integer::sort(graph, &wiring, units, &[IMAGE]);
        let idle = levels.idle();
        if !levels.has_weights() || levels.units.len() > MOST_PARTS {
            return Ok(None);
        }
        if !idle.is_empty() {
            left_out.extend(idle);
            continue;
        }
        match planner.build(&levels) {
            Ok(planned) => return Ok(Some(planned)),
            Err(Problem::Unfit(Unfit { node })) if left_out.insert(node) => {}
            Err(Problem::Unfit(_)) => return Ok(None),
            Err(Problem::Network(error)) => return Err(error),
        }
    }
}

/// What stands in the way of a plan.
enum Problem {
    Unfit(Unfit),
    Network(NetworkError),
}

impl<E: Into<NetworkError>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::Network(error.into())
    }
}

struct Planner<'a> {
    model: &'a ModelProto,
    graph: &'a GraphProto,
    wiring: &'a Wiring<'a>,
    input: &'a [usize],
    kernels: &'static dyn Kernels,
    executor: &'a Executor,
}

/// What is known of tensors between parts.
#[derive(Default)]
struct Facts {
    /// The shapes of those in float32.
    shapes: HashMap<String, Vec<usize>>,
    /// Types and shapes of the others.
    others: HashMap<String, (DataType, Vec<usize>)>,
}

impl Planner<'_> {
    fn build(&self, levels: &Levels) -> Result<Planned, Problem> {
        let limits = Limits::DEFAULT;
        let mut builder = Builder::new(self.wiring, self.kernels);
        let mut facts = Facts::default();
        facts.shapes.insert(IMAGE.to_owned(), self.input.to_vec());
        let (mut actions, mut parts, mut multiply_adds) = (Vec::new(), Vec::new(), 0_u64);
        let mut arithmetic = Arithmetic::default();
        for (number, units) in levels.units.iter().enumerate() {
            let built = runtime("plan", || Ok(builder.part(units, &mut facts.shapes)))?;
            actions.push(built.map_err(Problem::Unfit)?);
            limits.check_total(builder.elements())?;
            let rest = Rest::new(self.graph, self.wiring, levels, number);
            if rest.gives.is_empty() {
                parts.push(None);
                continue;
            }
            let (part, found, of_part) = self.rest(rest, &mut facts)?;
            arithmetic.join(of_part);
            multiply_adds = multiply_adds.saturating_add(found);
            parts.push(Some(part));
        }
        let found = multiply_adds.saturating_add(builder.multiply_adds());
        if found > limits.multiply_adds {
            return Err(LimitError::MultiplyAdds { found, limit: limits.multiply_adds }.into());
        }
        arithmetic.set_integers(self.kernels.name(), count(levels, self.graph));
        let pool = match self.executor {
            Executor::MultiThread(pool) => Some(pool.clone()),
            _ => None,
        };
        let program = Some(Program::new(Workers::new(self.kernels, pool), actions));
        Ok(Planned { program, parts, multiply_adds: found, arithmetic })
    }

    /// Gives what is left between two parts to the runtime.
    fn rest(&self, rest: Rest, facts: &mut Facts) -> Result<(Part, u64, Arithmetic), Problem> {
        let limits = Limits::DEFAULT;
        let Rest { mut graph, takes, gives } = rest;
        graph.input = takes.iter().filter_map(|name| facts.input(name)).collect();
        let output =
            |name: &String| ValueInfoProto { name: Some(name.clone()), ..Default::default() };
        graph.output = gives.iter().map(output).collect();
        let opset = self.model.opset().unwrap_or(0);
        let mut arithmetic = widen(&mut graph, opset, &limits)?;
        arithmetic.count_operators(&graph);
        let model = ModelProto {
            ir_version: self.model.ir_version,
            opset_import: self.model.opset_import.clone(),
            graph: Some(graph),
            ..ModelProto::default()
        };
        let (part, multiply_adds) = Part::new(model, takes, gives, self.executor)?;
        part.given().for_each(|(name, fact)| facts.learn(name, fact));
        Ok((part, multiply_adds, arithmetic))
    }
}

impl Facts {
    /// Describes a tensor as the input of a graph.
    fn input(&self, name: &str) -> Option<ValueInfoProto> {
        let (data_type, shape) = match self.shapes.get(name) {
            Some(shape) => (DataType::Float, shape),
            None => self.others.get(name).map(|(data_type, shape)| (*data_type, shape))?,
        };
        let shape: Option<Vec<i64>> = shape.iter().map(|&side| i64::try_from(side).ok()).collect();
        Some(ValueInfoProto::tensor(name, data_type, &shape?))
    }

    fn learn(&mut self, name: &str, (datum_type, shape): &(DatumType, Vec<usize>)) {
        let data_type = match datum_type {
            DatumType::F32 => {
                self.shapes.insert(name.to_owned(), shape.clone());
                return;
            }
            DatumType::Bool => DataType::Bool,
            DatumType::U8 => DataType::Uint8,
            DatumType::I8 => DataType::Int8,
            DatumType::I32 => DataType::Int32,
            DatumType::I64 | DatumType::TDim => DataType::Int64,
            DatumType::F16 => DataType::Float16,
            // A graph that takes it will say that nothing makes it.
            _ => return,
        };
        self.others.insert(name.to_owned(), (data_type, shape.clone()));
    }
}

fn count(levels: &Levels, graph: &GraphProto) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for unit in levels.units.iter().flatten() {
        if let Some(title) = unit.title(graph) {
            *counts.entry(title.to_owned()).or_insert(0) += 1;
        }
    }
    counts
}
