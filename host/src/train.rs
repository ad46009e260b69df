//! Trains the attention mechanism on a frozen classifier.
//!
//! L-CAM-Fm: the feature maps, multiplied with the sigmoid of the class map of the network's own answer, go
//! through the rest of the network; the attention mechanism learns to keep that answer with as little as
//! possible. Labels are the frozen network's answers on the clean pictures, so any pictures serve.

pub mod features;
pub mod loss;
pub mod optimizer;
pub mod run_folder;
pub mod settings;

use std::path::{Path, PathBuf};

use lcam_models::picture::PictureError;
use lcam_models::preprocess::Preprocess;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tch::{Kind, TchError, Tensor};

use crate::attention::{Attention, AttentionError};
use crate::classifier::Classifier;
use crate::dataset::{DatasetError, for_each_batch, list_pictures};
use crate::graph::RunError;
use crate::layers::FeatureMaps;
use crate::pictures::{self, View};
use crate::progress;
use crate::random::generator;
use features::FeatureStore;
use loss::{LossMaps, LossTerms};
use optimizer::Optimizer;
use run_folder::{Metrics, RunFolder, RunFolderError};
use settings::{Init, Settings};

/// A training that could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The folder holds no pictures.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The classifier failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The attention mechanism could not be started.
    #[error(transparent)]
    Attention(#[from] AttentionError),
    /// libtorch refused.
    #[error(transparent)]
    Torch(#[from] TchError),
    /// Temporary data could not be written or read.
    #[error("cannot keep the feature maps; free some disk space")]
    Store(#[from] std::io::Error),
    /// The run folder cannot be used.
    #[error(transparent)]
    RunFolder(#[from] RunFolderError),
    /// The loss is not a number any more.
    #[error(
        "the loss is not finite after epoch {epoch}; lower the learning rate ({learning_rate})"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: usize,
        /// Its learning rate.
        learning_rate: f64,
    },
}

/// What a training gives.
#[derive(Debug)]
pub struct Trained {
    /// The trained attention mechanism.
    pub attention: Attention,
    /// How many pictures were used.
    pub pictures: usize,
    /// How many classes the network named on them.
    pub classes_seen: usize,
    /// The pictures that could not be read.
    pub unreadable: Vec<PictureError>,
    /// The last epoch's mean loss.
    pub loss: f64,
}

/// A frozen classifier and what is trained on it.
#[derive(Debug)]
pub struct Trainer<'a> {
    /// The classifier.
    pub classifier: &'a Classifier,
    /// The feature maps that are masked.
    pub maps: &'a FeatureMaps,
    /// How pictures are prepared.
    pub preprocess: &'a Preprocess,
    /// How to train.
    pub settings: &'a Settings,
}

/// Pictures with the network's answers.
struct Samples {
    paths: Vec<PathBuf>,
    labels: Vec<i64>,
    unreadable: Vec<PictureError>,
    /// The feature maps of the clean pictures, unless pictures are changed in each epoch.
    store: Option<FeatureStore>,
    /// The first pictures' feature maps, for the start of the weights.
    first: Tensor,
}

/// Updates the weights from the feature maps of a batch and its pictures' numbers.
type Learn<'a> = dyn FnMut(&Tensor, &[usize]) -> Result<(), TrainError> + 'a;

/// How many pictures the classifier's own weights are read off.
const PICTURES_FOR_START: i64 = 4;

impl Trainer<'_> {
    /// Trains on the pictures of a folder. With a run folder that holds a checkpoint of the same settings,
    /// and `resume`, it goes on from there and ends as if it had never stopped.
    ///
    /// # Errors
    /// Returns [`TrainError`].
    pub fn train(
        &self,
        images: &Path,
        run_folder: &mut RunFolder,
        resume: bool,
    ) -> Result<Trained, TrainError> {
        tch::manual_seed(i64::try_from(self.settings.seed).unwrap_or(0));
        let mut samples = self.samples(&list_pictures(images)?, run_folder.path())?;
        let mut attention = self.start(&samples.first)?;
        attention.weights = attention.weights.set_requires_grad(true);
        attention.bias = attention.bias.set_requires_grad(true);
        let mut optimizer =
            Optimizer::new(self.settings.optimizer, &attention.weights, &attention.bias);
        let mut done = 0;
        if resume {
            done = run_folder.restore(&mut attention, &mut optimizer)?;
        }
        if done > self.settings.epochs {
            let path = run_folder.path().to_owned();
            return Err(RunFolderError::TooFewEpochs { path, done }.into());
        }
        let mut loss = run_folder.last_loss().unwrap_or(f64::NAN);
        for epoch in done..self.settings.epochs {
            let metrics = self.epoch(epoch, &attention, &mut optimizer, &mut samples)?;
            loss = metrics.loss;
            if !loss.is_finite() {
                let learning_rate = self.settings.learning_rate_of(epoch);
                return Err(TrainError::Diverged { epoch: epoch + 1, learning_rate });
            }
            run_folder.finish_epoch(epoch + 1, metrics, &attention, &optimizer)?;
        }
        let mut seen = samples.labels.clone();
        seen.sort_unstable();
        seen.dedup();
        Ok(Trained {
            attention: attention.detached(),
            pictures: samples.paths.len(),
            classes_seen: seen.len(),
            unreadable: samples.unreadable,
            loss,
        })
    }

    fn start(&self, features: &Tensor) -> Result<Attention, TrainError> {
        Ok(match self.settings.init {
            Init::Classifier => Attention::from_classifier(self.classifier, self.maps, features)?,
            Init::Random => Attention::random(
                self.classifier.classes(),
                self.maps.channels,
                self.classifier.graph().device(),
            ),
        })
    }

    /// Asks the frozen network about every picture once.
    fn samples(&self, paths: &[PathBuf], folder: &Path) -> Result<Samples, TrainError> {
        let graph = self.classifier.graph();
        let shape =
            <[i64; 3]>::try_from(&self.classifier.shape(self.maps.value)[1..]).unwrap_or([0; 3]);
        let budget = self.settings.cache_mb.saturating_mul(1 << 20);
        let mut store = (!self.settings.augment).then(|| FeatureStore::new(shape, budget, folder));
        let (mut used, mut labels, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        let mut first = Vec::new();
        let progress = progress::bar(paths.len(), "asking the network");
        let _no_gradients = tch::no_grad_guard();
        let preprocess = self.preprocess;
        let prepare = |index, picture| (index, View::center(preprocess, &picture));
        for_each_batch(paths, self.settings.batch, prepare, |batch| {
            progress.inc(batch.len() as u64);
            let (indices, views) = pictures::readable(batch, &mut unreadable);
            if views.is_empty() {
                return Ok(());
            }
            let images = pictures::normalized(&views, self.preprocess, graph.device());
            let wanted = [self.classifier.logits(), self.maps.value];
            let mut outputs = graph.run(&[(self.classifier.image(), &images)], &wanted)?;
            let (features, logits) = (outputs.remove(1), outputs.remove(0));
            labels.extend(Vec::<i64>::try_from(&logits.f_argmax(1, false)?)?);
            used.extend(indices.into_iter().map(|index| paths[index].clone()));
            if first.is_empty() {
                first
                    .push(features.narrow(0, 0, features.size()[0].min(PICTURES_FOR_START)).copy());
            }
            if let Some(store) = &mut store {
                store.push(&features)?;
            }
            Ok::<_, TrainError>(())
        })?;
        progress.finish_and_clear();
        let Some(first) = first.pop() else {
            return Err(DatasetError::nothing_readable(paths.len(), &unreadable).into());
        };
        Ok(Samples { paths: used, labels, unreadable, store, first })
    }

    fn epoch(
        &self,
        epoch: usize,
        attention: &Attention,
        optimizer: &mut Optimizer,
        samples: &mut Samples,
    ) -> Result<Metrics, TrainError> {
        let mut order: Vec<usize> = (0..samples.paths.len()).collect();
        order.shuffle(&mut generator(self.settings.seed, epoch as u64, u64::MAX));
        let progress =
            progress::bar(order.len(), &format!("epoch {}/{}", epoch + 1, self.settings.epochs));
        let mut sum = Metrics::default();
        let rate = self.settings.learning_rate_of(epoch);
        let device = self.classifier.graph().device();
        let mut learn = |features: &Tensor, chosen: &[usize]| -> Result<(), TrainError> {
            let labels: Vec<i64> = chosen.iter().map(|&index| samples.labels[index]).collect();
            let labels = Tensor::from_slice(&labels).to_device(device);
            let terms = self.step(attention, optimizer, (features, &labels), rate)?;
            sum.add(&terms, chosen.len());
            progress.inc(chosen.len() as u64);
            let Metrics { loss, cross_entropy, area, variation, .. } = sum.mean();
            progress.set_message(format!(
                "loss {loss:.3} (cross-entropy {cross_entropy:.3}, area {area:.3}, variation {variation:.1})"
            ));
            Ok(())
        };
        match &mut samples.store {
            Some(store) => {
                for chosen in order.chunks(self.settings.batch) {
                    learn(&store.batch(chosen, device)?, chosen)?;
                }
            }
            None => self.augmented(epoch, &order, &samples.paths, &mut learn)?,
        }
        progress.finish_and_clear();
        Ok(sum.mean())
    }

    /// Decodes the pictures anew, each randomly cropped and mirrored, and hands on their feature maps.
    fn augmented(
        &self,
        epoch: usize,
        order: &[usize],
        paths: &[PathBuf],
        learn: &mut Learn<'_>,
    ) -> Result<(), TrainError> {
        let graph = self.classifier.graph();
        let shuffled: Vec<PathBuf> = order.iter().map(|&index| paths[index].clone()).collect();
        // What the decoding threads share: tensors must not be among it.
        let (preprocess, settings) = (self.preprocess, self.settings);
        let prepare = |place: usize, picture| {
            let index = order[place];
            (
                index,
                View::random(
                    preprocess,
                    &picture,
                    &mut generator(settings.seed, epoch as u64, index as u64),
                ),
            )
        };
        for_each_batch(&shuffled, self.settings.batch, prepare, |batch| {
            // Every picture was read before; one that vanished since is left out of this epoch.
            let (chosen, views) = pictures::readable(batch, &mut Vec::new());
            if views.is_empty() {
                return Ok(());
            }
            let images = pictures::normalized(&views, self.preprocess, graph.device());
            let features = tch::no_grad(|| {
                graph.run(&[(self.classifier.image(), &images)], &[self.maps.value])
            })?;
            learn(&features[0], &chosen)
        })
    }

    /// One update from features `[B, C, h, w]` and labels `[B]`; gives cross-entropy, area, variation and loss.
    fn step(
        &self,
        attention: &Attention,
        optimizer: &mut Optimizer,
        (features, labels): (&Tensor, &Tensor),
        rate: f64,
    ) -> Result<[f64; 4], TrainError> {
        let graph = self.classifier.graph();
        let own;
        let masks = match self.settings.loss {
            LossMaps::AllPairs => {
                let all = attention.class_maps(features, labels)?.f_sigmoid()?;
                // Picture i's own class is label i: the diagonal of pictures and labels.
                own = all.f_diagonal(0, 0, 1)?.f_permute([2, 0, 1])?.f_unsqueeze(1)?;
                all
            }
            LossMaps::Diagonal => {
                own = attention.own_maps(features, labels)?.f_sigmoid()?;
                own.shallow_clone()
            }
        };
        let masked = features.f_mul(&own)?;
        let logits =
            graph.run(&[(self.maps.value, &masked)], &[self.classifier.logits()])?.remove(0);
        let terms = LossTerms::new(&logits, labels, &masks)?;
        let total = terms.total(self.settings.loss_weights)?;
        optimizer.step(&total, rate)?;
        let value = |term: &Tensor| term.to_kind(Kind::Double).double_value(&[]);
        Ok([&terms.cross_entropy, &terms.area, &terms.variation, &total].map(value))
    }
}

impl View {
    /// Takes a random crop of the resized picture, mirrored every other time: the paper's augmentation.
    fn random(preprocess: &Preprocess, picture: &image::RgbImage, random: &mut StdRng) -> Self {
        let source = lcam_models::preprocess::ImageSize::of(picture);
        let resized = preprocess.resized(source);
        let left = random.random_range(0..=resized.width - preprocess.input.width);
        let top = random.random_range(0..=resized.height - preprocess.input.height);
        let crop = preprocess.box_at(source, f64::from(left), f64::from(top));
        Self::sample(preprocess, picture, crop, random.random_bool(0.5))
    }
}
