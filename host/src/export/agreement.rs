//! How often an exported model answers as the classifier it was made from.

use std::path::PathBuf;

use lcam_models::explained::ExplainedModel;
use tch::Tensor;

use crate::classifier::Classifier;
use crate::dataset::for_each_batch;
use crate::evaluate::{EvaluateError, Explained};
use crate::pictures::{self, View};

/// Pictures that go through the networks at once.
const BATCH: usize = 32;

/// How an exported model compares with its classifier.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Pictures compared.
    pub pictures: usize,
    /// How many of them get the same class from both.
    pub same_class: usize,
}

impl Agreement {
    /// Gives the share of pictures with the same class, 0 to 100 %; 100 for none.
    #[must_use]
    pub fn percent(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "numbers of pictures")]
        let share = self.same_class as f64 / self.pictures.max(1) as f64;
        if self.pictures == 0 { 100.0 } else { 100.0 * share }
    }
}

/// Compares the classes of an exported model and its classifier. Unreadable pictures do not count.
///
/// # Errors
/// Returns [`EvaluateError`] when one of the networks fails.
pub fn agreement(
    explained: &ExplainedModel,
    classifier: &Classifier,
    paths: &[PathBuf],
) -> Result<Agreement, EvaluateError> {
    let device = classifier.graph().device();
    let explained = Explained::new(explained.clone(), device)?;
    let preprocess = *explained.preprocess();
    let mut agreement = Agreement::default();
    let _no_gradients = tch::no_grad_guard();
    let prepare = |_, picture| View::center(&preprocess, &picture);
    for_each_batch(paths, BATCH, prepare, |batch| {
        let views: Vec<View> = batch.into_iter().filter_map(Result::ok).collect();
        if views.is_empty() {
            return Ok(());
        }
        let images = pictures::normalized(&views, &preprocess, device);
        let found = explained.run(&images, &[explained.classifier().logits()])?.remove(0);
        let expected = classifier
            .graph()
            .run(&[(classifier.image(), &images)], &[classifier.logits()])?
            .remove(0);
        let classes = |logits: &Tensor| {
            Ok::<_, EvaluateError>(Vec::<i64>::try_from(&logits.f_argmax(1, false)?)?)
        };
        let (found, expected) = (classes(&found)?, classes(&expected)?);
        agreement.pictures += views.len();
        agreement.same_class += found.iter().zip(&expected).filter(|(a, b)| a == b).count();
        Ok::<_, EvaluateError>(())
    })?;
    Ok(agreement)
}
