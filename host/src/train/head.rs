//! The attention mechanism while it is trained: what is learned, and the [`Attention`] that it makes.
//!
//! The last stage has a free row for each class. A finer layer `l` has an adapter, a row that all classes share,
//! and a projection `P_l` of the classifier's own weights `V`: `W_l[r] = s_l + V[r] P_l`. So its rows tell classes
//! apart, and also those that no training picture shows. Each layer's feature maps are divided by their standard
//! deviations first, so that one learning rate suits all; in the [`Attention`] that is folded into the weights.

use lcam_models::metadata::Activation;
use rand::rngs::StdRng;
use tch::{Kind, TchError, Tensor};

use super::optimizer::Parameter;
use super::settings::{Init, Settings};
use crate::attention::{
    Adapter, Attention, AttentionError, Layer, adapted_channels, classifier_rows, uniform,
};
use crate::classifier::Classifier;
use crate::layers::{FeatureMaps, Layers};
use crate::random::generator;

/// What is learned.
#[derive(Debug)]
pub struct Head {
    finer: Vec<Finer>,
    /// `[classes, channels]`, for the last stage's maps divided by `deviations`.
    rows: Tensor,
    /// `[1, channels]`.
    deviations: Tensor,
    /// `[classes]`.
    bias: Tensor,
    activation: Activation,
    /// What the evidence is moved and scaled by.
    centre: Centre,
    /// The classifier's own weights, at a mean square of `1 / channels`: `[classes, channels]`.
    classifier: Tensor,
}

/// What is learned of a finer layer.
#[derive(Debug)]
struct Finer {
    /// `[adapted, channels]`, for maps divided by `deviations`.
    weights: Tensor,
    /// `[adapted]`.
    bias: Tensor,
    /// `[1, adapted]`.
    shared: Tensor,
    /// `[channels of the last stage, adapted]`.
    projection: Tensor,
    /// `[1, channels]`.
    deviations: Tensor,
}

/// How evidence `e` becomes what the activation is applied to: `scale * (e - mean)`.
#[derive(Clone, Copy, Debug)]
struct Centre {
    mean: f64,
    scale: f64,
}

/// What a head starts from.
#[derive(Debug)]
pub struct Start<'a> {
    /// The frozen classifier.
    pub classifier: &'a Classifier,
    /// The layers that are looked at.
    pub layers: &'a Layers,
    /// Some pictures' feature maps of the last stage, `[B, C, h, w]`.
    pub features: &'a Tensor,
    /// The classes that the network names on them, `[B]`.
    pub labels: &'a Tensor,
    /// The standard deviations of each layer's feature maps, in the order of [`Layers::iter`], `[C]` each.
    pub deviations: &'a [Tensor],
}

/// How many pictures the classifier's own weights are read off.
const PICTURES_FOR_ROWS: i64 = 4;

/// The deviation of the maps at the start, where a sigmoid is applied to them. Of the maps' values at 2 deviations
/// it makes 0.02 and 0.98.
const DEVIATION: f64 = 2.0;

impl Head {
    /// Makes what is learned.
    ///
    /// # Errors
    /// Returns [`AttentionError`] when the classifier's head fails.
    pub fn new(start: &Start<'_>, settings: &Settings) -> Result<Self, AttentionError> {
        let device = start.classifier.graph().device();
        let Layers { finer, deepest } = start.layers;
        let count = start.features.size()[0].min(PICTURES_FOR_ROWS);
        let own =
            classifier_rows(start.classifier, deepest, &start.features.f_narrow(0, 0, count)?)?;
        let classes = start.classifier.classes();
        // Apart from the streams of epochs.
        let mut random = generator(settings.seed, u64::MAX, u64::MAX);
        let mut draw = |shape: &[usize]| uniform(shape, deepest.channels, &mut random);
        let (rows, bias) = match settings.init {
            Init::Classifier => (own.copy(), Tensor::zeros([own.size()[0]], (Kind::Float, device))),
            Init::Random => (
                draw(&[classes, deepest.channels]).f_to_device(device)?,
                draw(&[classes]).f_to_device(device)?,
            ),
        };
        let centre = match settings.activation {
            Activation::None => Centre { mean: 0.0, scale: 1.0 },
            Activation::Sigmoid => Centre::new(start, &rows, &bias)?,
        };
        // The paper's one layer is learned as it is.
        let deviations = match start.deviations.last() {
            Some(deviations) if !finer.is_empty() => deviations.f_unsqueeze(0)?,
            _ => Tensor::ones([1, own.size()[1]], (Kind::Float, device)),
        };
        let widths = adapted_channels(start.layers).into_iter().flatten();
        let layers = finer.iter().zip(start.deviations).zip(widths);
        let layer = |((maps, deviations), adapted): ((&FeatureMaps, &Tensor), usize)| {
            Finer::new(maps, deviations, adapted, own.size()[1], &mut random)
        };
        Ok(Self {
            finer: layers.map(layer).collect::<Result<_, _>>()?,
            rows: rows.f_mul(&deviations)?,
            deviations,
            bias,
            activation: settings.activation,
            centre,
            classifier: normalized(&own)?,
        })
    }

    /// Asks for the gradients of all that is learned, and names it.
    #[must_use]
    pub fn parameters(&mut self) -> Vec<Parameter> {
        let mut parameters = Vec::new();
        let mut add = |name: String, tensor: &mut Tensor, is_bias| {
            *tensor = tensor.set_requires_grad(true);
            parameters.push(Parameter::new(name, tensor, is_bias));
        };
        add("weights".to_owned(), &mut self.rows, false);
        add("bias".to_owned(), &mut self.bias, true);
        for (index, layer) in self.finer.iter_mut().enumerate() {
            let name = |what: &str| format!("finer.{index}.{what}");
            add(name("weights"), &mut layer.weights, false);
            add(name("bias"), &mut layer.bias, true);
            add(name("shared"), &mut layer.shared, false);
            add(name("projection"), &mut layer.projection, false);
        }
        parameters
    }

    /// Makes the attention mechanism, with gradients to what is learned.
    ///
    /// # Errors
    /// Returns libtorch's error when there is no room.
    pub fn attention(&self) -> Result<Attention, TchError> {
        let Centre { mean, scale } = self.centre;
        let mut layers = Vec::new();
        for layer in &self.finer {
            layers.push(layer.attended(&self.classifier, scale)?);
        }
        let rows = self.rows.f_div(&self.deviations)?.f_mul_scalar(scale)?;
        layers.push(Layer { adapter: None, rows });
        let bias = self.bias.f_sub_scalar(mean)?.f_mul_scalar(scale)?;
        Ok(Attention { layers, bias, activation: self.activation })
    }
}

impl Centre {
    /// Gives the maps of the named classes mean 0, and the deviation at which a sigmoid is neither straight nor flat.
    /// Only the maps: what is learned keeps its size, and with it the meaning of a learning rate.
    fn new(start: &Start<'_>, rows: &Tensor, bias: &Tensor) -> Result<Self, TchError> {
        let attention = Attention::single(rows.shallow_clone(), bias.shallow_clone());
        let maps = attention.own_maps(&[start.features.shallow_clone()], start.labels)?;
        let mean = maps.f_mean(Kind::Double)?.f_double_value(&[])?;
        let deviation = maps.f_std(true)?.f_double_value(&[])?;
        let scale = if deviation > 0.0 { DEVIATION / deviation } else { 1.0 };
        Ok(Self { mean, scale })
    }
}

impl Finer {
    fn new(
        maps: &FeatureMaps,
        deviations: &Tensor,
        adapted: usize,
        deepest: i64,
        random: &mut StdRng,
    ) -> Result<Self, TchError> {
        let device = deviations.device();
        let mut draw = |shape: &[usize]| uniform(shape, maps.channels, random).f_to_device(device);
        let outputs = i64::try_from(adapted).unwrap_or(i64::MAX);
        Ok(Self {
            weights: draw(&[adapted, maps.channels])?,
            bias: draw(&[adapted])?,
            // Nothing at first: training starts at the last stage's maps.
            shared: Tensor::f_zeros([1, outputs], (Kind::Float, device))?,
            projection: Tensor::f_zeros([deepest, outputs], (Kind::Float, device))?,
            deviations: deviations.f_unsqueeze(0)?,
        })
    }

    fn attended(&self, classifier: &Tensor, scale: f64) -> Result<Layer, TchError> {
        let adapter = Adapter {
            weights: self.weights.f_div(&self.deviations)?,
            bias: self.bias.shallow_clone(),
        };
        let rows =
            classifier.f_matmul(&self.projection)?.f_add(&self.shared)?.f_mul_scalar(scale)?;
        Ok(Layer { adapter: Some(adapter), rows })
    }
}

/// Scales rows `[R, C]` to a mean square of `1 / C`, so that a product with them is about as large as its factor.
fn normalized(rows: &Tensor) -> Result<Tensor, TchError> {
    #[expect(clippy::cast_precision_loss, reason = "channels are few")]
    let channels = rows.size()[1] as f64;
    let scale = rows.f_square()?.f_mean(Kind::Float)?.f_mul_scalar(channels)?.f_sqrt()?;
    rows.f_div(&scale.f_clamp_min(f64::from(f32::MIN_POSITIVE))?)
}
