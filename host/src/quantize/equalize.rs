//! Cross-layer equalisation: channels of one tensor get ranges of like width, so that they share a grid without loss.
//!
//! Where only ReLU, a clip from 0, sums, maxima and means lie between convolutions, a channel `c` may be made `s_c` times
//! larger by the layers that make it, and smaller again by those that read it: the function stays the same
//! (Nagel et al. 2019, section 4.1). The weights have a scale for each output channel, so their rows lose nothing; the
//! columns of the readers do, so between ordinary convolutions the width is shared by both (`s_c` is the square root of
//! the missing width; Xiao et al. 2023, equation 4), while a depthwise reader takes all of it.
//!
//! A clip at `m` stays a clip at `m` for all channels: no channel grows beyond it. On pictures with larger values than
//! were seen it cuts a little earlier than before.

use std::collections::{BTreeMap, HashMap, HashSet};

use lcam_models::onnx::{GraphProto, NodeProto, TensorProto};

use super::QuantizeError;
use super::observe::Extremes;
use super::wiring::{Wiring, given, is_constant};

/// No channel grows by more.
const MOST: f64 = 64.0;
/// The room that is left below a clip for values larger than those that were seen.
const ROOM: f64 = 1.1;

/// Tensors whose channels can be scaled together.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Span {
    /// The convolutions that make the values.
    makers: Vec<usize>,
    /// The convolutions that read them.
    readers: Vec<usize>,
    /// The tensors that lie on grids or may do so.
    pub(super) tensors: Vec<String>,
    /// What goes into clips, and where these cut.
    pub(super) clipped: Vec<(String, f64)>,
}

/// Finds the spans of a simplified graph; the tensors `kept` keep their values.
pub(super) fn spans(graph: &GraphProto, kept: &HashSet<String>) -> Vec<Span> {
    let wiring = Wiring::new(&graph.node);
    let mut groups = Groups::default();
    let mut spoiled: HashSet<&String> = kept.iter().collect();
    for value in graph.input.iter().chain(&graph.output) {
        spoiled.extend(value.name.as_ref());
    }
    for node in &graph.node {
        let data = || given(&node.input).filter(|name| !is_constant(graph, name));
        match behaviour(graph, node) {
            Behaviour::Layer => {}
            Behaviour::Scales => {
                let tensors: Vec<&String> = data().chain(given(&node.output)).collect();
                tensors.windows(2).for_each(|pair| groups.join(pair[0], pair[1]));
            }
            Behaviour::Other => spoiled.extend(data().chain(given(&node.output))),
        }
    }
    let spoiled: HashSet<usize> = spoiled.into_iter().map(|name| groups.of(name)).collect();
    let mut spans: BTreeMap<usize, Span> = BTreeMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        if behaviour(graph, node) == Behaviour::Layer {
            spans.entry(groups.of(&node.input[0])).or_default().readers.push(index);
            spans.entry(groups.of(&node.output[0])).or_default().makers.push(index);
        }
        for output in given(&node.output) {
            let span = spans.entry(groups.of(output)).or_default();
            let readers = || wiring.readers(output).iter().map(|&reader| &graph.node[reader]);
            let tops = readers().filter_map(|reader| clip_top(graph, reader));
            span.clipped.extend(tops.map(|top| (output.clone(), top)));
            // What only an activation reads is not rounded.
            if !(readers().count() == 1 && readers().all(is_activation)) {
                span.tensors.push(output.clone());
            }
        }
    }
    let usable = |(group, span): (usize, Span)| {
        let whole = !span.makers.is_empty() && !span.readers.is_empty();
        (whole && !spoiled.contains(&group)).then_some(span)
    };
    spans.into_iter().filter_map(usable).collect()
}

/// Scales the channels of the spans by what was seen of their tensors.
///
/// # Errors
/// Returns [`QuantizeError::Tensor`] when weights cannot be read.
pub(super) fn equalize(
    graph: &mut GraphProto,
    spans: &[Span],
    seen: &BTreeMap<String, Extremes>,
) -> Result<(), QuantizeError> {
    let mut weights: HashMap<String, usize> = HashMap::new();
    for (index, tensor) in graph.initializer.iter().enumerate() {
        weights.insert(tensor.name().to_owned(), index);
    }
    for span in spans {
        let Some(factors) = factors(graph, span, seen) else { continue };
        let layers = |indices: &[usize]| {
            indices.iter().map(|&index| graph.node[index].clone()).collect::<Vec<NodeProto>>()
        };
        let (makers, readers) = (layers(&span.makers), layers(&span.readers));
        for layer in makers {
            for name in &layer.input[1..3] {
                scale(&mut graph.initializer[weights[name]], 0, &factors)?;
            }
        }
        let inverse: Vec<f64> = factors.iter().map(|factor| 1.0 / factor).collect();
        for layer in readers {
            let axis = if group(&layer) == 1 { 1 } else { 0 };
            scale(&mut graph.initializer[weights[&layer.input[1]]], axis, &inverse)?;
        }
    }
    Ok(())
}

/// Gives the factor of each channel; `None` where the tensors have no common channels.
fn factors(graph: &GraphProto, span: &Span, seen: &BTreeMap<String, Extremes>) -> Option<Vec<f64>> {
    let tensors: Vec<&Extremes> =
        span.tensors.iter().map(|name| seen.get(name)).collect::<Option<_>>()?;
    let channels = tensors.first()?.high.len();
    if tensors.iter().any(|extremes| extremes.high.len() != channels) {
        return None;
    }
    let width = |channel: usize| {
        tensors.iter().map(|seen| seen.high[channel].max(-seen.low[channel])).fold(0.0, f64::max)
    };
    let widths: Vec<f64> = (0..channels).map(width).collect();
    let widest = widths.iter().copied().fold(0.0, f64::max);
    let depthwise = span.readers.iter().all(|&reader| group(&graph.node[reader]) > 1);
    let factor = |(channel, &width): (usize, &f64)| {
        let missing = if width > 0.0 { (widest / width).min(MOST) } else { 1.0 };
        let wanted = if depthwise { missing } else { missing.sqrt() };
        let room = span.clipped.iter().filter_map(|(name, top)| {
            let high = *seen.get(name)?.high.get(channel)?;
            (high > 0.0).then(|| top / (ROOM * high))
        });
        room.fold(wanted, f64::min).max(1.0)
    };
    Some(widths.iter().enumerate().map(factor).collect())
}

/// Multiplies weights along an axis.
fn scale(tensor: &mut TensorProto, axis: usize, factors: &[f64]) -> Result<(), QuantizeError> {
    let stride: usize = tensor.shape()?[axis + 1..].iter().product();
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is asked for")]
    let scaled = |(index, value): (usize, f32)| {
        (f64::from(value) * factors[index / stride % factors.len()]) as f32
    };
    let values: Vec<f32> = tensor.to_f32()?.into_iter().enumerate().map(scaled).collect();
    *tensor = TensorProto::from_f32(tensor.name(), &tensor.dims, &values);
    Ok(())
}

/// What an operator does when a channel of its input grows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    /// It has weights that can make up for it.
    Layer,
    /// Its output grows with it.
    Scales,
    /// Something else.
    Other,
}

fn behaviour(graph: &GraphProto, node: &NodeProto) -> Behaviour {
    let is_layer = node.op_type() == "Conv"
        && node.input.len() == 3
        && node.input[1..].iter().all(|name| is_constant(graph, name))
        && (group(node) == 1 || is_depthwise(graph, node));
    match node.op_type() {
        "Conv" if is_layer => Behaviour::Layer,
        "Add" if !node.input.iter().any(|name| is_constant(graph, name)) => Behaviour::Scales,
        "AveragePool" | "GlobalAveragePool" | "GlobalMaxPool" | "MaxPool"
            if node.output.len() == 1 =>
        {
            Behaviour::Scales
        }
        "LeakyRelu" | "Relu" => Behaviour::Scales,
        "Clip" if clip_top(graph, node).is_some() => Behaviour::Scales,
        _ => Behaviour::Other,
    }
}

fn is_activation(node: &NodeProto) -> bool {
    matches!(node.op_type(), "Clip" | "LeakyRelu" | "Relu")
}

fn group(conv: &NodeProto) -> i64 {
    conv.attribute.iter().find(|attribute| attribute.name() == "group").map_or(1, |a| a.i())
}

/// Tells whether a convolution has one filter for each channel.
fn is_depthwise(graph: &GraphProto, conv: &NodeProto) -> bool {
    let weights = graph.initializer.iter().find(|tensor| tensor.name() == conv.input[1]);
    weights.is_some_and(|w| w.dims.first() == Some(&group(conv)) && w.dims.get(1) == Some(&1))
}

/// Gives where a clip cuts that begins at 0.
fn clip_top(graph: &GraphProto, node: &NodeProto) -> Option<f64> {
    let known = given(&node.input).skip(1).all(|name| is_constant(graph, name));
    if node.op_type() != "Clip" || !known {
        return None;
    }
    let bound = |place: usize, name: &str| {
        if let Some(tensor) = node.input.get(place).filter(|input| !input.is_empty()) {
            let tensor = graph.initializer.iter().find(|known| known.name() == tensor)?;
            return tensor.to_f32().ok()?.first().copied();
        }
        node.attribute.iter().find(|attribute| attribute.name() == name).map(|a| a.f())
    };
    (bound(1, "min") == Some(0.0)).then(|| bound(2, "max").map_or(f64::INFINITY, f64::from))
}

/// Sets of tensors that grow together.
#[derive(Default)]
struct Groups<'a> {
    numbers: HashMap<&'a String, usize>,
    next: usize,
}

impl<'a> Groups<'a> {
    fn of(&mut self, name: &'a String) -> usize {
        *self.numbers.entry(name).or_insert_with(|| {
            self.next += 1;
            self.next
        })
    }

    fn join(&mut self, one: &'a String, other: &'a String) {
        let (one, other) = (self.of(one), self.of(other));
        self.numbers.values_mut().filter(|number| **number == other).for_each(|n| *n = one);
    }
}

#[cfg(test)]
mod tests {
    use super::super::simplify::simplify;
    use super::super::testing::{difference, graph, network, run};
    use super::*;
    use lcam_models::onnx::ModelProto;
    use tch::{Kind, Tensor};

    fn simple() -> ModelProto {
        simplify(&network(), &HashSet::new()).unwrap()
    }

    fn names(span: &Span) -> Vec<&str> {
        span.tensors.iter().map(String::as_str).collect()
    }

    fn extremes(model: &ModelProto, tensors: &[&str]) -> BTreeMap<String, Extremes> {
        let list = |values: Tensor| Vec::<f64>::try_from(values.to_kind(Kind::Double)).unwrap();
        let seen = |(name, values): (&&str, Tensor)| {
            let (low, high) = (values.amin([0, 2, 3], false), values.amax([0, 2, 3], false));
            ((*name).to_owned(), Extremes { low: list(low), high: list(high) })
        };
        tensors.iter().zip(run(model, tensors)).map(seen).collect()
    }

    /// Gives how many times wider the widest channel is than the narrowest.
    fn spread(extremes: &Extremes) -> f64 {
        let widest = extremes.high.iter().copied().fold(0.0, f64::max);
        widest / extremes.high.iter().copied().fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn the_function_stays_and_channels_become_alike() {
        let mut model = simple();
        let spans = spans(graph(&model), &HashSet::new());
        // What the sum reads grows with it, and that is read by a fully connected layer.
        assert_eq!(spans.iter().map(names).collect::<Vec<_>>(), [vec!["positive"]]);
        let seen = extremes(&model, &["positive"]);
        let (logits, before) = (run(&model, &["logits"]), spread(&seen["positive"]));
        equalize(model.graph.as_mut().unwrap(), &spans, &seen).unwrap();
        assert!(difference(&logits[0], &run(&model, &["logits"])[0]) < 1e-5);
        let after = spread(&extremes(&model, &["positive"])["positive"]);
        assert!(before > 2.0, "the test needs unlike channels, not {before}");
        // Makers and readers share the width: its square root is left.
        assert!((after - before.sqrt()).abs() < 1e-3, "{before} becomes {after}");
    }

    #[test]
    fn no_channel_grows_beyond_a_clip() {
        let mut model = simple();
        let proto = model.graph.as_mut().unwrap();
        // Without the sum the clipped tensor can be scaled, too.
        proto.node.retain(|node| node.op_type() != "Add");
        proto
            .node
            .iter_mut()
            .filter(|node| node.op_type() == "GlobalAveragePool")
            .for_each(|pool| pool.input[0] = "project".to_owned());
        let spans = spans(proto, &HashSet::new());
        let span = spans.iter().find(|span| names(span) == ["clipped"]).unwrap();
        assert_eq!(span.clipped, [("norm".to_owned(), 6.0)]);
        let seen = extremes(&model, &["clipped", "norm", "positive"]);
        let logits = run(&model, &["logits"]);
        equalize(model.graph.as_mut().unwrap(), &spans, &seen).unwrap();
        assert!(difference(&logits[0], &run(&model, &["logits"])[0]) < 1e-5);
        let after = extremes(&model, &["clipped", "norm"]);
        for channel in 0..seen["norm"].high.len() {
            let (before, grown) = (seen["norm"].high[channel], after["norm"].high[channel]);
            assert!(grown < (6.0f64 / ROOM).max(before) * 1.0001, "{before} became {grown}");
        }
        assert!(spread(&after["clipped"]) < 0.5 * spread(&seen["clipped"]));
    }

    #[test]
    fn tensors_that_are_kept_are_let_alone() {
        let kept = HashSet::from(["positive".to_owned()]);
        assert_eq!(spans(graph(&simple()), &kept), []);
    }
}
