//! Whether maps show what the network has learnt about a class, or something that any map would show.
//!
//! Three checks of each method whose maps are quick to make:
//!
//! 1. The network forgets (Adebayo et al. 2018, model parameter randomisation): all weights before the explained
//!    layers are drawn anew, from a normal distribution with the mean and the standard deviation of the tensor
//!    that each belongs to. What comes after and the attention mechanism stay. The map of the same class must
//!    change. For `lcam` a second time with the attention mechanism's weights shuffled among its channels.
//! 2. Another class is asked for (Sixt et al. 2020, random logit): its map must be another.
//! 3. Maps are not the same everywhere.
//!
//! Maps are compared at their own grid by Spearman's rank correlation, the mean over the pictures of which may
//! be [`CORRELATION_LIMIT`] at most. A constant map has no ranks; it counts as uncorrelated.

mod ranks;

use std::fmt;

use rand::RngExt;
use serde::Serialize;
use tch::{Kind, Tensor};

use super::methods::Pass;
use super::{BATCH, EvaluateError, Explained, Interval, Method, Options};
use crate::dataset::{DatasetError, for_each_batch, list_pictures, spread};
use crate::graph::{Graph, ValueId};
use crate::pictures::{View, readable};
use crate::progress;
use crate::random::generator;
use ranks::{is_constant, rank_correlation};

/// The highest mean rank correlation that counts as "the map has changed". None of the papers sets a limit;
/// Adebayo et al. show methods that pass with correlations about 0 to 0.3, and such that fail above 0.5.
pub const CORRELATION_LIMIT: f64 = 0.3;

/// The highest share of pictures in percent with a constant map.
pub const CONSTANT_LIMIT: f64 = 1.0;

/// The stream of random choices that the other classes belong to.
const OTHER_CLASS: u64 = u64::MAX - 2;

/// The least variance that a batch normalisation is given: its own is positive, a normal draw need not be.
const LEAST_VARIANCE: f64 = 1e-3;

/// What the checks found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sanity {
    /// How many pictures were taken.
    pub pictures: usize,
    /// How many tensors of the network were drawn anew.
    pub randomized_tensors: usize,
    /// One entry a method.
    pub methods: Vec<MethodSanity>,
}

/// What the checks found about one method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MethodSanity {
    /// The method.
    pub method: Method,
    /// The map from a network that has forgotten all, for the same class.
    pub random_network: Check,
    /// The same with shuffled weights of the attention mechanism; of `lcam` alone.
    pub random_attention: Option<Check>,
    /// The map of another class.
    pub random_class: Check,
    /// The share of pictures in percent with a constant map.
    pub constant_maps: f64,
}

/// How much some maps are like the true ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The mean rank correlation over the pictures, -1 to 1.
    pub correlation: Interval,
    /// Pictures without one, because a map was constant; they count as 0.
    pub without_ranks: usize,
}

impl Check {
    /// Tells whether the maps have changed enough.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.correlation.mean <= CORRELATION_LIMIT
    }
}

impl MethodSanity {
    /// Tells whether all checks are passed.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.random_network.is_passed()
            && self.random_attention.is_none_or(|check| check.is_passed())
            && self.random_class.is_passed()
            && self.constant_maps <= CONSTANT_LIMIT
    }
}

impl fmt::Display for Sanity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "sanity, {} pictures: rank correlation with the map of a random network, of one with shuffled \
             attention weights, and of another class (each at most {CORRELATION_LIMIT}); constant maps in \
             percent (at most {CONSTANT_LIMIT})",
            self.pictures
        )?;
        writeln!(
            f,
            "{:<12}{:>9}{:>11}{:>8}{:>10}",
            "method", "network", "attention", "class", "constant"
        )?;
        for found in &self.methods {
            let attention = found
                .random_attention
                .map_or("-".to_owned(), |check| format!("{:.2}", check.correlation.mean));
            writeln!(
                f,
                "{:<12}{:>9.2}{attention:>11}{:>8.2}{:>10.1}  {}",
                found.method.to_string(),
                found.random_network.correlation.mean,
                found.random_class.correlation.mean,
                found.constant_maps,
                if found.is_passed() { "passed" } else { "FAILED" },
            )?;
        }
        Ok(())
    }
}

impl Explained {
    /// Draws all weights before the explained layers anew, each from a normal distribution with its tensor's mean
    /// and standard deviation; tensors of one value, such as the bounds of an activation, stay. Gives how many
    /// tensors that are.
    ///
    /// # Errors
    /// Returns [`EvaluateError`] when libtorch refuses.
    pub fn randomize(&mut self, seed: u64) -> Result<usize, EvaluateError> {
        tch::manual_seed(seed.cast_signed());
        let weights = weights_before(self.classifier().graph(), self.layers());
        let graph = self.classifier_mut().graph_mut();
        for &(value, is_variance) in &weights {
            let Some(tensor) = graph.constant(value) else { continue };
            let drawn = drawn_like(tensor, is_variance)?;
            graph.set_constant(value, drawn);
        }
        Ok(weights.len())
    }
}

/// Lists the weights that some tensors depend on, and whether each is the variance of a batch normalisation.
fn weights_before(graph: &Graph, layers: &[ValueId]) -> Vec<(ValueId, bool)> {
    /// Where `BatchNormalization` takes its variance.
    const VARIANCE: usize = 4;
    let mut weights = Vec::new();
    for node in layers.iter().flat_map(|&layer| graph.dependencies(layer)) {
        for (place, value) in node.inputs.iter().enumerate() {
            let Some(value) = *value else { continue };
            let is_weight = |tensor: &Tensor| tensor.kind() == Kind::Float && tensor.numel() > 1;
            let is_variance = node.op_type == "BatchNormalization" && place == VARIANCE;
            if graph.constant(value).is_some_and(is_weight) {
                weights.push((value, is_variance));
            }
        }
    }
    weights.sort_unstable();
    weights.dedup_by_key(|weight| weight.0);
    weights
}

fn drawn_like(tensor: &Tensor, is_variance: bool) -> Result<Tensor, EvaluateError> {
    let (mean, deviation) = (tensor.f_mean(Kind::Float)?, tensor.f_std(true)?);
    // On the CPU, so that a seed gives the same values on every device.
    let normal = Tensor::f_randn(tensor.size(), (Kind::Float, tch::Device::Cpu))?;
    let drawn = normal.f_to_device(tensor.device())?.f_mul(&deviation)?.f_add(&mean)?;
    if is_variance { Ok(drawn.f_abs()?.f_clamp_min(LEAST_VARIANCE)?) } else { Ok(drawn) }
}

/// Checks those of the methods whose maps are quick to make, with a copy of the model that was
/// [randomised](Explained::randomize).
///
/// # Errors
/// Returns [`EvaluateError`] when no picture can be read or a network fails.
pub fn check_sanity(
    model: &Explained,
    randomized: &Explained,
    randomized_tensors: usize,
    options: &Options,
) -> Result<Sanity, EvaluateError> {
    let paths = spread(list_pictures(&options.images)?, options.limit);
    let methods = options.methods.iter().copied().filter(|method| method.is_quick());
    let mut found: Vec<Found> = methods.map(Found::new).collect();
    let (mut unreadable, mut pictures) = (Vec::new(), 0);
    let progress = progress::bar(paths.len(), "checking");
    let preprocess = model.preprocess();
    let prepare = |index, picture| (index, View::center(preprocess, &picture));
    for_each_batch(&paths, BATCH, prepare, |batch| {
        let read = batch.len();
        let (numbers, views) = readable(batch, &mut unreadable);
        if !views.is_empty() {
            pictures += views.len();
            let passes = Passes::new(model, randomized, &views, &numbers, options.seed)?;
            for found in &mut found {
                found.add(model, &passes)?;
            }
        }
        progress.inc(read as u64);
        Ok::<_, EvaluateError>(())
    })?;
    progress.finish_and_clear();
    if pictures == 0 {
        return Err(DatasetError::nothing_readable(paths.len(), &unreadable).into());
    }
    let methods = found.iter().filter_map(Found::summed_up).collect();
    Ok(Sanity { pictures, randomized_tensors, methods })
}

/// One batch seen by the network and by those that it is held against.
struct Passes {
    clean: Pass,
    other_class: Pass,
    random_network: Pass,
    random_attention: Pass,
}

impl Passes {
    fn new(
        model: &Explained,
        randomized: &Explained,
        views: &[View],
        numbers: &[usize],
        seed: u64,
    ) -> Result<Self, EvaluateError> {
        let clean = Pass::new(model, views, numbers, seed)?;
        let classes = model.classifier().classes();
        let other = |(&number, &named): (&usize, &usize)| {
            let mut random = generator(seed, OTHER_CLASS, number as u64);
            (named + random.random_range(1..classes)) % classes
        };
        let others: Vec<usize> = numbers.iter().zip(&clean.classes).map(other).collect();
        let random = Pass::new(randomized, views, numbers, seed)?;
        let mut random_attention = random.with_classes(&clean.classes);
        random_attention.permute_channels()?;
        Ok(Self {
            other_class: clean.with_classes(&others),
            random_network: random.with_classes(&clean.classes),
            random_attention,
            clean,
        })
    }
}

/// What was found so far about one method: one entry a picture, without a value where a map was constant.
struct Found {
    method: Method,
    constant: Vec<bool>,
    random_network: Vec<Option<f64>>,
    random_attention: Vec<Option<f64>>,
    random_class: Vec<Option<f64>>,
}

impl Found {
    fn new(method: Method) -> Self {
        let (random_network, random_attention, random_class) = (Vec::new(), Vec::new(), Vec::new());
        Self { method, constant: Vec::new(), random_network, random_attention, random_class }
    }

    /// Compares the maps of a batch. What comes after the explained layers is the same in both networks, so the
    /// clean one serves for all.
    fn add(&mut self, model: &Explained, passes: &Passes) -> Result<(), EvaluateError> {
        let maps = |pass: &Pass| values(&self.method.class_maps(model, pass)?);
        let clean = maps(&passes.clean)?;
        let compare = |others: Vec<Vec<f32>>| {
            clean
                .iter()
                .zip(others)
                .map(|(map, other)| rank_correlation(map, &other))
                .collect::<Vec<_>>()
        };
        self.random_network.extend(compare(maps(&passes.random_network)?));
        self.random_class.extend(compare(maps(&passes.other_class)?));
        if self.method == Method::Lcam {
            self.random_attention.extend(compare(maps(&passes.random_attention)?));
        }
        self.constant.extend(clean.iter().map(|map| is_constant(map)));
        Ok(())
    }

    fn summed_up(&self) -> Option<MethodSanity> {
        let constant: Vec<f64> =
            self.constant.iter().map(|&constant| if constant { 100.0 } else { 0.0 }).collect();
        Some(MethodSanity {
            method: self.method,
            random_network: check(&self.random_network)?,
            random_attention: check(&self.random_attention),
            random_class: check(&self.random_class)?,
            constant_maps: Interval::of(&constant)?.mean,
        })
    }
}

fn check(correlations: &[Option<f64>]) -> Option<Check> {
    let values: Vec<f64> = correlations.iter().map(|value| value.unwrap_or(0.0)).collect();
    let without_ranks = correlations.iter().filter(|value| value.is_none()).count();
    Some(Check { correlation: Interval::of(&values)?, without_ranks })
}

/// Gives the values of each map of a batch `[B, 1, h, w]`.
fn values(maps: &Tensor) -> Result<Vec<Vec<f32>>, EvaluateError> {
    let (count, _, height, width) = maps.size4()?;
    let flat = Vec::<f32>::try_from(&maps.f_reshape([count * height * width])?)?;
    let cells = usize::try_from(height * width).unwrap_or(1).max(1);
    Ok(flat.chunks(cells).map(<[f32]>::to_vec).collect())
}
