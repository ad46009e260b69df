//! The network's answers to parts of photographs: alike within one, different between two.

use tch::{Device, Kind, Tensor};

use lcam_models::preprocess::Preprocess;

use super::VIEWS;
use super::score::Score;
use crate::classifier::Classifier;
use crate::graph::RunError;
use crate::pictures::{self, View};

/// How many views go through the network at once.
const BATCH: usize = 8;

/// The answers to a growing number of photographs.
#[derive(Debug)]
pub struct Answers {
    preprocess: Preprocess,
    /// The square roots of the probabilities, summed over the views of each photograph: `[1, classes]` each.
    sums: Vec<Tensor>,
}

impl Answers {
    /// Starts without photographs.
    #[must_use]
    pub fn new(preprocess: Preprocess) -> Self {
        Self { preprocess, sums: Vec::new() }
    }

    /// Asks the network about more photographs.
    ///
    /// # Errors
    /// Returns [`RunError`] when the network fails.
    pub fn extend(&mut self, classifier: &Classifier, views: &[View]) -> Result<(), RunError> {
        let _no_gradients = tch::no_grad_guard();
        let graph = classifier.graph();
        for part in views.chunks(BATCH.next_multiple_of(VIEWS)) {
            let input = pictures::normalized(part, &self.preprocess, graph.device());
            let wanted = [classifier.logits()];
            let logits = graph.run(&[(classifier.image(), &input)], &wanted)?.remove(0);
            let logits = logits.to_device(Device::Cpu).to_kind(Kind::Double);
            // A network driven beyond its numbers has no answer.
            let roots = logits.softmax(-1, Kind::Double).sqrt().nan_to_num(0.0, 0.0, 0.0);
            for picture in roots.split(i64::try_from(VIEWS).unwrap_or(1), 0) {
                self.sums.push(picture.sum_dim_intlist(0, true, Kind::Double));
            }
        }
        Ok(())
    }

    /// Tells how steady and how varied the answers are: the mean overlap of the answers to two parts of the
    /// same photograph, less that of the answers to parts of two photographs. Untrained networks score near
    /// 0, and so does one that a wrong normalisation drives to a constant answer, however confident of it.
    ///
    /// The overlap of two answers p and q is the Bhattacharyya coefficient `sum_c sqrt(p_c q_c)`, 1 for equal
    /// ones. Without photographs the score is 0.
    #[must_use]
    pub fn score(&self) -> Score {
        if self.sums.is_empty() {
            return Score { value: 0.0, without: Vec::new() };
        }
        let sums = Tensor::cat(&self.sums, 0);
        let overlaps = sums.matmul(&sums.tr()) / count(VIEWS * VIEWS);
        let own = overlaps.diag(0);
        let parts = count(VIEWS);
        // Each answer overlaps wholly with itself; that says nothing.
        let within = numbers(&((&own * parts - 1.0) / (parts - 1.0)));
        let between = numbers(&(overlaps.sum_dim_intlist(1, false, Kind::Double) - own));
        let (all_within, all_between) = (within.iter().sum::<f64>(), between.iter().sum::<f64>());
        let pictures = count(within.len());
        let without = within.iter().zip(&between).map(|(within, between)| {
            difference(all_within - within, all_between - 2.0 * between, pictures - 1.0)
        });
        let value = difference(all_within, all_between, pictures);
        Score { value, without: without.collect() }
    }
}

/// Gives the mean overlap within pictures less that over the ordered pairs of pictures.
fn difference(within: f64, between: f64, pictures: f64) -> f64 {
    let pairs = pictures * (pictures - 1.0);
    within / pictures.max(1.0) - if pairs > 0.0 { between / pairs } else { 0.0 }
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "small numbers of pictures and views")]
fn count(number: usize) -> f64 {
    number as f64
}
