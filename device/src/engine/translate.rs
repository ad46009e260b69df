//! From the ONNX graph to the runtime's optimised one, with every shape checked before it costs anything.

use lcam_models::onnx::{ModelProto, encode_model};
use tract_core::internal::{
    Cost, DimLike, Framework, OutletId, TDim, TVec, TractResult, TypedModel, TypedNode, bail,
    format_err,
};
use tract_core::ops::cnn::{Conv, MaxPool, PoolSpec, SumPool};
use tract_onnx::tract_hir::infer::{Factoid, InferenceFact, InferenceModel, InferenceModelExt};

use super::limits::{LimitError, Limits};

/// A graph that the runtime can run, before it is optimised.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) model: TypedModel,
    pub(super) multiply_adds: u64,
}

/// Gives the graph to the runtime's reader, works out all shapes within the limits, and counts the work.
pub(super) fn translate(model: &ModelProto, limits: &Limits) -> TractResult<Translated> {
    let onnx = tract_onnx::onnx();
    let bytes = encode_model(model);
    let proto = onnx.proto_model_for_read(&mut bytes.as_slice())?;
    drop(bytes);
    let parsed = onnx.parse(&proto, None)?;
    if let Some(input) = parsed.unresolved_inputs.first() {
        bail!("nothing makes tensor {input:?}");
    }
    let mut graph = parsed.model;
    infer_shapes(&mut graph, limits)?;
    let model = graph.into_typed()?;
    let multiply_adds = check_work(&model, limits)?;
    Ok(Translated { model, multiply_adds })
}

/// Works out types and shapes from the input onwards. Nodes of constants alone are evaluated on the way, as
/// the runtime's own analysis does, but only after their results were found to be of acceptable size.
fn infer_shapes(graph: &mut InferenceModel, limits: &Limits) -> TractResult<()> {
    let mut total = 0_u64;
    for id in graph.eval_order()? {
        let name = format!("node {:?}", graph.node(id).name);
        let (inputs, outputs) = cloned_facts(graph, id)?;
        if inputs.is_empty() {
            total += check_facts(&name, &outputs, limits)?;
            continue;
        }
        let op = &mut graph.node_mut(id).op;
        let (_, sized, _) = op.infer_facts(refs(&inputs), refs(&outputs), TVec::new())?;
        total += check_facts(&name, &sized, limits)?;
        let (_, inferred, _) = op.infer(refs(&inputs), refs(&outputs), TVec::new())?;
        check_facts(&name, &inferred, limits)?;
        for (slot, fact) in inferred.into_iter().enumerate() {
            let outlet = OutletId::new(id, slot);
            let unified = graph.outlet_fact(outlet)?.unify(&fact)?;
            graph.set_outlet_fact(outlet, unified)?;
        }
        limits.check_total(total)?;
    }
    Ok(())
}

type Facts = TVec<InferenceFact>;

fn cloned_facts(graph: &InferenceModel, id: usize) -> TractResult<(Facts, Facts)> {
    let (inputs, outputs) = graph.node_facts(id)?;
    Ok((inputs.into_iter().cloned().collect(), outputs.into_iter().cloned().collect()))
}

fn refs(facts: &Facts) -> TVec<&InferenceFact> {
    facts.iter().collect()
}

/// Checks that the shapes are known and acceptable, and counts the elements.
fn check_facts(name: &str, facts: &[InferenceFact], limits: &Limits) -> TractResult<u64> {
    let mut elements = 0_u64;
    for fact in facts {
        let shape = fact.shape.as_concrete_finite()?.ok_or_else(|| {
            format_err!("the shape of {name} is not fixed; export the model with fixed shapes")
        })?;
        let shape: Vec<u64> = shape.iter().map(|&side| side as u64).collect();
        elements += limits.check_shape(name, &shape)?;
    }
    Ok(elements)
}

/// Counts the multiply-adds and comparisons of one pass, and the scratch memory of each convolution.
fn check_work(model: &TypedModel, limits: &Limits) -> TractResult<u64> {
    let mut found = 0_u64;
    for node in model.nodes() {
        found = found.saturating_add(check_node_work(model, node, limits)?);
    }
    if found > limits.multiply_adds {
        return Err(LimitError::MultiplyAdds { found, limit: limits.multiply_adds }.into());
    }
    Ok(found)
}

fn check_node_work(model: &TypedModel, node: &TypedNode, limits: &Limits) -> TractResult<u64> {
    let output = &node.outputs[0].fact.shape;
    let shape: Vec<u64> = output.iter().map(size).collect::<TractResult<_>>()?;
    let name = format!("node {:?}", node.name);
    let elements = limits.check_shape(&name, &shape)?;
    if let Some(pool) = pool_of(node) {
        return Ok(elements.saturating_mul(kernel_cells(pool)));
    }
    if let Some(conv) = node.op_as::<Conv>() {
        // The input patches, unrolled to a matrix of (channels of a group * kernel) x positions.
        let channels = conv.pool_spec.output_channels.max(1) as u64;
        let patch = kernel_cells(&conv.pool_spec)
            .saturating_mul((conv.pool_spec.input_channels / conv.group.max(1)).max(1) as u64);
        let scratch = patch.saturating_mul(elements / channels);
        let limit = limits.tensor_elements;
        if scratch > limit {
            return Err(LimitError::Scratch { what: name, elements: scratch, limit }.into());
        }
    }
    let mut found = 0_u64;
    for (cost, amount) in node.op.cost(&model.node_input_facts(node.id)?)? {
        if matches!(cost, Cost::FMA(_)) {
            found = found.saturating_add(size(&amount)?);
        }
    }
    Ok(found)
}

fn pool_of(node: &TypedNode) -> Option<&PoolSpec> {
    let max = node.op_as::<MaxPool>().map(|pool| &pool.pool_spec);
    max.or_else(|| node.op_as::<SumPool>().map(|pool| &pool.pool_spec))
}

fn kernel_cells(pool: &PoolSpec) -> u64 {
    pool.kernel_shape.iter().fold(1_u64, |cells, &side| cells.saturating_mul(side as u64))
}

fn size(dim: &TDim) -> TractResult<u64> {
    Ok(dim.to_usize()? as u64)
}
