//! Trains the attention mechanism on a frozen classifier.
//!
//! The map of the network's own answer becomes a mask. L-CAM-Fm: the feature maps times the mask go through the
//! rest of the network; L-CAM-Img: the picture times the mask goes through the whole of it. The attention
//! mechanism learns to keep the answer with as little as possible. Labels are the frozen network's answers on the
//! clean pictures, so any pictures serve.

pub mod fill;
pub mod head;
pub mod loss;
pub mod mask;
pub mod optimizer;
pub mod run_folder;
mod samples;
pub mod settings;
mod step;
pub mod store;

use std::path::Path;
use std::time::Instant;

use lcam_models::metadata::Variant;
use lcam_models::picture::PictureError;
use lcam_models::preprocess::Preprocess;
use rand::RngExt;
use rand::seq::SliceRandom;
use tch::{TchError, Tensor};

use crate::attention::{Attention, AttentionError};
use crate::classifier::Classifier;
use crate::dataset::{DatasetError, list_pictures};
use crate::graph::RunError;
use crate::layers::Layers;
use crate::pictures::{self, View};
use crate::progress;
use crate::random::generator;
use head::{Head, Start};
use optimizer::Optimizer;
use run_folder::{Metrics, RunFolder, RunFolderError};
use samples::{Batch, Samples};
use settings::Settings;
use step::Draw;

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
    /// The layers that are looked at.
    pub layers: &'a Layers,
    /// How pictures are prepared.
    pub preprocess: &'a Preprocess,
    /// How to train.
    pub settings: &'a Settings,
}

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
        let mut samples = Samples::ask(self, &list_pictures(images)?, run_folder.path())?;
        let first = usize::try_from(samples.first.size()[0]).unwrap_or(0);
        let labels = Tensor::from_slice(&samples.labels[..first]).to_device(samples.first.device());
        let start = Start {
            classifier: self.classifier,
            layers: self.layers,
            features: &samples.first,
            labels: &labels,
            deviations: &samples.deviations,
        };
        let mut head = Head::new(&start, self.settings)?;
        let mut optimizer = Optimizer::new(self.settings.optimizer, head.parameters());
        let mut done = 0;
        if resume {
            done = run_folder.restore(&mut optimizer)?;
        }
        if done > self.settings.epochs {
            let path = run_folder.path().to_owned();
            return Err(RunFolderError::TooFewEpochs { path, done }.into());
        }
        let mut loss = run_folder.last_loss().unwrap_or(f64::NAN);
        for epoch in done..self.settings.epochs {
            let metrics = self.epoch(epoch, &head, &mut optimizer, &mut samples)?;
            loss = metrics.loss;
            if !loss.is_finite() {
                let learning_rate = self.settings.learning_rate_of(epoch);
                return Err(TrainError::Diverged { epoch: epoch + 1, learning_rate });
            }
            run_folder.finish_epoch(epoch + 1, metrics, &optimizer)?;
        }
        let mut seen = samples.labels.clone();
        seen.sort_unstable();
        seen.dedup();
        Ok(Trained {
            attention: tch::no_grad(|| head.attention())?.detached(),
            pictures: samples.paths.len(),
            classes_seen: seen.len(),
            unreadable: samples.unreadable,
            loss,
        })
    }

    /// Tells whether pictures are masked, and not feature maps.
    fn masks_pictures(&self) -> bool {
        self.settings.variant == Variant::Img
    }

    /// Runs the frozen network; gives the feature maps of each layer and the logits.
    fn look_at(&self, views: &[View]) -> Result<(Vec<Tensor>, Tensor), RunError> {
        let graph = self.classifier.graph();
        let images = pictures::normalized(views, self.preprocess, graph.device());
        let wanted = [self.layers.values(), vec![self.classifier.logits()]].concat();
        let mut outputs = graph.run(&[(self.classifier.image(), &images)], &wanted)?;
        let logits = outputs.remove(outputs.len() - 1);
        Ok((outputs, logits))
    }

    /// Gives the pictures in 0..=1 if they are masked.
    fn pixels(&self, views: &[View]) -> Option<Tensor> {
        let device = self.classifier.graph().device();
        self.masks_pictures().then(|| pictures::unit(views, self.preprocess, device))
    }

    fn epoch(
        &self,
        epoch: usize,
        head: &Head,
        optimizer: &mut Optimizer,
        samples: &mut Samples,
    ) -> Result<Metrics, TrainError> {
        let mut order: Vec<usize> = (0..samples.paths.len()).collect();
        order.shuffle(&mut generator(self.settings.seed, epoch as u64, u64::MAX));
        let progress =
            progress::bar(order.len(), &format!("epoch {}/{}", epoch + 1, self.settings.epochs));
        let begin = Instant::now();
        let mut sum = Metrics::default();
        let rate = self.settings.learning_rate_of(epoch);
        let mut update = 0;
        let mut learn = |batch: &Batch| -> Result<(), TrainError> {
            let draw = Draw::new(self, epoch, update, batch.labels.size()[0]);
            update += 1;
            sum.add(&self.step(head, optimizer, batch, &draw, rate)?);
            progress.inc(batch.labels.numel() as u64);
            let Metrics { loss, cross_entropy, area, variation, .. } = sum.mean();
            progress.set_message(format!(
                "loss {loss:.3} (cross-entropy {cross_entropy:.3}, area {area:.3}, variation {variation:.1})"
            ));
            Ok(())
        };
        samples.for_each_batch(self, epoch, &order, &mut learn)?;
        progress.finish_and_clear();
        Ok(Metrics { seconds: begin.elapsed().as_secs_f64(), ..sum.mean() })
    }
}

impl View {
    /// Takes a random crop of the resized picture, mirrored every other time: the paper's augmentation.
    fn random(
        preprocess: &Preprocess,
        picture: &image::RgbImage,
        seed: u64,
        epoch: usize,
        number: usize,
    ) -> Self {
        let mut random = generator(seed, epoch as u64, number as u64);
        let source = lcam_models::preprocess::ImageSize::of(picture);
        let resized = preprocess.resized(source);
        let left = random.random_range(0..=resized.width - preprocess.input.width);
        let top = random.random_range(0..=resized.height - preprocess.input.height);
        let crop = preprocess.box_at(source, f64::from(left), f64::from(top));
        Self::sample(preprocess, picture, crop, random.random_bool(0.5))
    }
}
