//! Pictures that are classified behind many masks.

use tch::Tensor;

use crate::evaluate::{EvaluateError, Explained};
use crate::pictures;

/// How many masks are made at once: bounds memory, 19 MB of pictures of 224 x 224.
pub(super) const MASKS_AT_ONCE: usize = 32;

/// Gives the logits `[n, R]` of one picture `[1, 3, H, W]`, in 0..=1, times each of some masks `[n, 1, H, W]`:
/// black where a mask is 0.
pub(super) fn logits_behind(
    model: &Explained,
    pixels: &Tensor,
    masks: &Tensor,
) -> Result<Tensor, EvaluateError> {
    let images = pictures::normalize(&pixels.f_mul(masks)?, model.preprocess());
    Ok(model.run(&images, &[model.classifier().logits()])?.remove(0))
}
