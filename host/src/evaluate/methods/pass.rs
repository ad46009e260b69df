//! A batch of pictures after its one clean pass: all that the methods start from.

use indicatif::ProgressBar;
use rand::seq::SliceRandom;
use tch::Tensor;

use super::{Method, RISE_MASKS};
use crate::evaluate::{EvaluateError, Explained, confidences};
use crate::pictures::{self, View};
use crate::random::generator;

/// The stream of random choices that the permutation of channels belongs to.
const PERMUTATION: u64 = u64::MAX - 1;

/// A batch after its one clean pass, without gradients.
#[derive(Debug)]
pub(in crate::evaluate) struct Pass {
    /// The pictures in 0..=1, `[B, 3, H, W]`.
    pub(in crate::evaluate) pixels: Tensor,
    /// The classes that are explained: those that the network names, unless others are asked for.
    pub(in crate::evaluate) classes: Vec<usize>,
    /// The confidences in them.
    pub(in crate::evaluate) confidences: Vec<f64>,
    /// The confidences in all classes, picture by picture.
    pub(in crate::evaluate) all: Vec<Vec<f32>>,
    /// The feature maps of the explained layer, `[B, C, h, w]`.
    pub(super) features: Tensor,
    /// The adapted feature maps of each layer, `[B, C, h*w]`.
    pub(super) adapters: Vec<Tensor>,
    /// The file's own explanation, `[B, 1, h, w]`, where it is that of the classes.
    pub(super) explanation: Option<Tensor>,
    /// The pictures' places in the folder.
    pub(super) numbers: Vec<usize>,
    pub(super) seed: u64,
    pub(super) rise_masks: usize,
    progress: ProgressBar,
}

impl Pass {
    /// Runs the network on some pictures, which have these places in the folder.
    ///
    /// # Errors
    /// Returns [`EvaluateError`] when the network fails.
    pub(in crate::evaluate) fn new(
        model: &Explained,
        views: &[View],
        numbers: &[usize],
        seed: u64,
    ) -> Result<Self, EvaluateError> {
        let _no_gradients = tch::no_grad_guard();
        let device = model.classifier().graph().device();
        let pixels = pictures::unit(views, model.preprocess(), device);
        let images = pictures::normalized(views, model.preprocess(), device);
        let first = [model.classifier().logits(), model.feature_maps(), model.explanation()];
        let mut outputs = model.run(&images, &[&first, model.adapters()].concat())?;
        let adapters = outputs.split_off(first.len());
        let (explanation, features, logits) =
            (outputs.remove(2), outputs.remove(1), outputs.remove(0));
        let named = Vec::<i64>::try_from(&logits.f_argmax(1, false)?)?;
        let classes: Vec<usize> =
            named.into_iter().map(|class| usize::try_from(class).unwrap_or(0)).collect();
        let all = confidences(&logits)?;
        Ok(Self {
            confidences: of_classes(&all, &classes),
            pixels,
            classes,
            all,
            features,
            adapters,
            explanation: Some(explanation),
            numbers: numbers.to_vec(),
            seed,
            rise_masks: RISE_MASKS,
            progress: ProgressBar::hidden(),
        })
    }

    /// Sets how many masks RISE draws.
    pub(in crate::evaluate) fn rise_masks(self, rise_masks: usize) -> Self {
        Self { rise_masks, ..self }
    }

    /// Names a bar whose message tells which method is at which picture.
    pub(in crate::evaluate) fn progress(self, bar: &ProgressBar) -> Self {
        Self { progress: bar.clone(), ..self }
    }

    /// Asks for the maps of other classes, one a picture.
    pub(in crate::evaluate) fn with_classes(&self, classes: &[usize]) -> Self {
        Self {
            confidences: of_classes(&self.all, classes),
            pixels: self.pixels.shallow_clone(),
            classes: classes.to_vec(),
            all: self.all.clone(),
            features: self.features.shallow_clone(),
            adapters: self.adapters.iter().map(Tensor::shallow_clone).collect(),
            explanation: None,
            numbers: self.numbers.clone(),
            progress: self.progress.clone(),
            ..*self
        }
    }

    /// Shuffles the channels that the attention mechanism weights, layer by layer: as if each of its weights
    /// were another one's.
    ///
    /// # Errors
    /// Returns libtorch's error.
    pub(in crate::evaluate) fn permute_channels(&mut self) -> Result<(), EvaluateError> {
        for (layer, adapter) in self.adapters.iter_mut().enumerate() {
            let mut order: Vec<i64> = (0..adapter.size()[1]).collect();
            order.shuffle(&mut generator(self.seed, PERMUTATION, layer as u64));
            let order = Tensor::from_slice(&order).f_to_device(adapter.device())?;
            *adapter = adapter.f_index_select(1, &order)?;
        }
        self.explanation = None;
        Ok(())
    }

    /// Counts the pictures.
    pub(super) fn count(&self) -> usize {
        self.classes.len()
    }

    /// Makes one map after another, for methods that take their time.
    ///
    /// # Errors
    /// Returns the first error of `map`.
    pub(super) fn one_by_one(
        &self,
        method: Method,
        map: impl Fn(i64, usize) -> Result<Tensor, EvaluateError>,
    ) -> Result<Tensor, EvaluateError> {
        let _no_gradients = tch::no_grad_guard();
        let mut maps = Vec::with_capacity(self.count());
        for (index, &class) in (0i64..).zip(&self.classes) {
            self.progress.set_message(format!("{method} {} of {}", index + 1, self.count()));
            maps.push(map(index, class)?);
        }
        self.progress.set_message("");
        Ok(Tensor::f_cat(&maps, 0)?)
    }
}

fn of_classes(all: &[Vec<f32>], classes: &[usize]) -> Vec<f64> {
    all.iter().zip(classes).map(|(row, &class)| f64::from(row[class])).collect()
}
