//! A form of the float network that int8 files are made from.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use indicatif::ProgressBar;
use lcam_models::explained::ExplainedModel;
use lcam_models::metadata::{AttentionLayout, Metadata, Quantization};
use lcam_models::onnx::{GraphProto, ModelProto};
use lcam_models::picture::PictureError;

use super::equalize::{equalize, spans};
use super::fit::{Fit, Fitter, Grids, LayerNoise, Rounding};
use super::grid::Grid;
use super::observe::{Observed, Observer};
use super::plan::Plan;
use super::range::{Range, RangeMethod};
use super::{QuantizeError, simplify, write};
use crate::graph::Graph;
use tch::{Device, Tensor};

/// A float network, with what was seen of its tensors.
pub(super) struct Form {
    /// Whether its channels were equalised.
    pub(super) equalized: bool,
    model: ModelProto,
    network: Graph,
    observed: Observed,
}

/// A quantised model as it comes out.
pub(super) struct Attempt {
    pub(super) model: ExplainedModel,
    pub(super) noise: Vec<LayerNoise>,
}

/// The graph of an explained model in fewer nodes, not yet looked at.
pub(super) struct Simplified(ModelProto);

impl Simplified {
    pub(super) fn new(model: &ExplainedModel) -> Result<Self, QuantizeError> {
        let kept = named_tensors(&model.metadata().attention);
        Ok(Self(simplify::simplify(model.proto(), &kept)?))
    }

    /// Refuses names that no node has.
    pub(super) fn check_names(&self, names: &BTreeSet<String>) -> Result<(), QuantizeError> {
        Plan::new(graph(&self.0), names).map(drop)
    }

    /// Gives the network with its channels equalised; `None` where no channels can be.
    pub(super) fn equalized(
        &self,
        layout: &AttentionLayout,
        observer: &Observer,
        device: Device,
    ) -> Result<Option<Self>, QuantizeError> {
        let spans = spans(graph(&self.0), &named_tensors(layout));
        if spans.is_empty() {
            return Ok(None);
        }
        let clipped = |(tensor, _): &(String, f64)| tensor.clone();
        let tensors: BTreeSet<String> = spans
            .iter()
            .flat_map(|span| span.tensors.iter().cloned().chain(span.clipped.iter().map(clipped)))
            .collect();
        let mut network = Graph::new(&self.0)?;
        network.to_device(device)?;
        let seen = observer.extremes(&network, &tensors)?;
        let mut model = self.0.clone();
        equalize(model.graph.get_or_insert_default(), &spans, &seen)?;
        Ok(Some(Self(model)))
    }

    /// Looks at what values the tensors take.
    pub(super) fn observe(
        self,
        equalized: bool,
        observer: &Observer,
        device: Device,
    ) -> Result<Form, QuantizeError> {
        let mut network = Graph::new(&self.0)?;
        network.to_device(device)?;
        // All that any plan could put on a grid.
        let tensors = Plan::new(graph(&self.0), &BTreeSet::new())?.grids.into_keys().collect();
        let observed = observer.observe(&network, &tensors)?;
        Ok(Form { equalized, model: self.0, network, observed })
    }
}

impl Form {
    /// Quantises the network, fitted to pictures `[B, 3, H, W]`.
    pub(super) fn attempt(
        &self,
        metadata: &Metadata,
        way: Way,
        images: &Tensor,
    ) -> Result<Attempt, QuantizeError> {
        let graph = graph(&self.model);
        let plan = Plan::new(graph, way.keep_float)?;
        let grids = self.grids(&plan, way.method, way.symmetric);
        let mut rounded = Graph::new(&self.model)?;
        rounded.to_device(images.device())?;
        let fitter = Fitter {
            graph,
            float: &self.network,
            rounded,
            plan: &plan,
            grids: &grids,
            rounding: way.rounding,
            progress: way.progress,
        };
        let fit = fitter.fit(images)?;
        let model = self.written(metadata, &plan, &grids, &fit)?;
        Ok(Attempt { model, noise: fit.noise })
    }

    /// Lays a grid over what was seen of the tensors that share it.
    fn grids(&self, plan: &Plan, method: RangeMethod, symmetric: bool) -> Grids {
        let mut ranges: BTreeMap<usize, Range> = BTreeMap::new();
        for (tensor, &number) in &plan.grids {
            let Some(histogram) = self.observed.histograms.get(tensor) else { continue };
            let range = histogram.choose(method, symmetric);
            let known = ranges.entry(number).or_insert(Range::NONE);
            *known = known.with(range);
        }
        let grid = |(number, range)| (number, Grid::over(range, symmetric));
        ranges.into_iter().map(grid).collect()
    }

    fn written(
        &self,
        metadata: &Metadata,
        plan: &Plan,
        grids: &Grids,
        fit: &Fit,
    ) -> Result<ExplainedModel, QuantizeError> {
        let mut metadata = metadata.clone();
        metadata.quantization = Quantization::Int8;
        // What was measured was measured on the float model.
        metadata.provenance.scores.clear();
        let mut proto = self.model.clone();
        let graph = write::write(graph(&self.model), plan, grids, fit, &mut metadata.attention)?;
        proto.graph = Some(graph);
        metadata.write(&mut proto);
        Ok(ExplainedModel::new(proto)?)
    }

    /// Gives the pictures that could not be read.
    pub(super) fn into_unreadable(self) -> Vec<PictureError> {
        self.observed.unreadable
    }
}

/// How a network is quantised.
#[derive(Clone)]
pub(super) struct Way<'a> {
    pub(super) method: RangeMethod,
    pub(super) symmetric: bool,
    pub(super) keep_float: &'a BTreeSet<String>,
    pub(super) rounding: Rounding,
    /// Gets a step for each node.
    pub(super) progress: ProgressBar,
}

fn graph(model: &ModelProto) -> &GraphProto {
    static EMPTY: std::sync::LazyLock<GraphProto> = std::sync::LazyLock::new(GraphProto::default);
    model.graph.as_ref().unwrap_or(&EMPTY)
}

/// Names the tensors that the metadata name.
fn named_tensors(layout: &AttentionLayout) -> HashSet<String> {
    let layers = layout.layers.iter().flat_map(|layer| {
        [
            Some(&layer.feature_maps),
            Some(&layer.adapter),
            Some(&layer.weights),
            layer.scales.as_ref(),
        ]
    });
    layers.flatten().chain([&layout.bias]).cloned().collect()
}
