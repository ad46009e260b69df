//! One picture on both sides.

use lcam_device::engine::Engine;
use lcam_host::evaluate::Explained;
use tch::Tensor;

use crate::{Pair, Sample};

/// Runs a model on a photograph: logits and map, those of the device beside those of the host.
///
/// # Panics
/// Panics where either side fails.
#[must_use]
#[expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]
pub fn run_both(host: &Explained, device: &mut Engine, sample: &Sample) -> [Pair; 2] {
    let picture = sample.read().unwrap();
    let preprocess = *host.preprocess();
    let prepared = preprocess.prepare(&picture);
    let (height, width) = (preprocess.input.height.into(), preprocess.input.width.into());
    let image = Tensor::from_slice(&prepared).reshape([1, 3, height, width]);
    let outputs = host.run(&image, &[host.classifier().logits(), host.explanation()]).unwrap();
    let values = |tensor: &Tensor| Vec::<f32>::try_from(tensor.reshape([-1])).unwrap();
    let answer = device.explain(&picture).unwrap();
    [
        Pair::new(answer.logits(), &values(&outputs[0])),
        Pair::new(answer.explanation().values(), &values(&outputs[1])),
    ]
}
