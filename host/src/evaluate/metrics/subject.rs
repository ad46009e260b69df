//! The pictures of a batch, ready to be changed and classified again.

use std::cell::OnceCell;

use lcam_models::preprocess::Preprocess;
use tch::{TchError, Tensor};

use super::blur;
use crate::evaluate::methods::Pass;
use crate::evaluate::{EvaluateError, Explained, confidences};
use crate::pictures;

/// A batch after its clean pass, with what no method has a part in: the blurred pictures, the network's answers
/// to them and to black.
#[derive(Debug)]
pub(in crate::evaluate) struct Subject<'a> {
    model: &'a Explained,
    pass: &'a Pass,
    masks: &'a [Option<Vec<bool>>],
    seed: u64,
    numbers: &'a [usize],
    blurred: Tensor,
    of_blurred: OnceCell<Vec<f64>>,
    of_black: OnceCell<Vec<f64>>,
}

impl<'a> Subject<'a> {
    /// Takes a batch; `numbers` are the pictures' places in the folder, which random choices depend on.
    pub(in crate::evaluate) fn new(
        model: &'a Explained,
        pass: &'a Pass,
        masks: &'a [Option<Vec<bool>>],
        seed: u64,
        numbers: &'a [usize],
    ) -> Result<Self, TchError> {
        let _no_gradients = tch::no_grad_guard();
        let blurred = blur::blurred(&pass.pixels)?;
        let (of_blurred, of_black) = (OnceCell::new(), OnceCell::new());
        Ok(Self { model, pass, masks, seed, numbers, blurred, of_blurred, of_black })
    }

    /// Gives the pictures in 0..=1, `[B, 3, H, W]`.
    pub(super) fn pixels(&self) -> &Tensor {
        &self.pass.pixels
    }

    /// Gives the pictures blurred.
    pub(super) fn blurred(&self) -> &Tensor {
        &self.blurred
    }

    /// Gives the colour that is 0 after normalisation, `[1, 3, 1, 1]`.
    pub(super) fn mean_color(&self) -> Tensor {
        let mean = &self.preprocess().normalization.mean;
        Tensor::from_slice(mean).to_device(self.pixels().device()).reshape([1, 3, 1, 1])
    }

    /// Gives what the network sees of each picture's mask.
    pub(super) fn masks(&self) -> &[Option<Vec<bool>>] {
        self.masks
    }

    /// Gives what random choices depend on.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Gives the place of the batch's picture `index` in the folder.
    pub(super) fn number(&self, index: usize) -> u64 {
        self.numbers[index] as u64
    }

    /// Gives the confidences on the clean pictures.
    pub(super) fn clean(&self) -> &[f64] {
        &self.pass.confidences
    }

    /// Classifies changed pictures, in 0..=1; gives the confidences in the classes of the clean ones.
    pub(super) fn confidences(&self, pictures: &Tensor) -> Result<Vec<f64>, EvaluateError> {
        let _no_gradients = tch::no_grad_guard();
        let images = pictures::normalize(pictures, self.preprocess());
        let logits = self.model.run(&images, &[self.model.classifier().logits()])?.remove(0);
        let rows = confidences(&logits)?;
        Ok(rows.iter().zip(&self.pass.classes).map(|(row, &class)| f64::from(row[class])).collect())
    }

    /// Gives the confidences on the blurred pictures.
    pub(super) fn confidences_of_blurred(&self) -> Result<&[f64], EvaluateError> {
        once(&self.of_blurred, || self.confidences(&self.blurred))
    }

    /// Gives the confidences on black.
    pub(super) fn confidences_of_black(&self) -> Result<&[f64], EvaluateError> {
        once(&self.of_black, || self.confidences(&self.pixels().f_zeros_like()?))
    }

    fn preprocess(&self) -> &Preprocess {
        self.model.preprocess()
    }
}

fn once(
    cell: &OnceCell<Vec<f64>>,
    measure: impl FnOnce() -> Result<Vec<f64>, EvaluateError>,
) -> Result<&[f64], EvaluateError> {
    if let Some(known) = cell.get() {
        return Ok(known);
    }
    let found = measure()?;
    Ok(cell.get_or_init(|| found))
}
