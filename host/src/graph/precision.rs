//! In which numbers the costly operators compute.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};

/// In which numbers convolutions and matrix products are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    Float,
    /// bfloat16, products summed in 32 bits: half of the memory, for hardware with units for it; a CPU without them
    /// gains nothing. What runs between convolutions takes what they give. Gradients need no scaling, as
    /// the exponent is as wide as that of 32 bits.
    Bfloat16,
}

/// What is computed in the reduced precision: the operators in which the time goes.
const REDUCED: [&str; 4] = ["Conv", "ConvTranspose", "Gemm", "MatMul"];

impl Precision {
    /// Tells whether an operator's floating-point inputs are to be narrowed.
    pub(super) fn narrows(self, op_type: &str) -> bool {
        self == Self::Bfloat16 && REDUCED.contains(&op_type)
    }
}

/// Narrows a tensor of 32-bit floating point; others stay as they are.
pub(super) fn narrow(tensor: &Tensor) -> Result<Tensor, TchError> {
    match tensor.kind() {
        Kind::Float => tensor.f_to_kind(Kind::BFloat16),
        _ => Ok(tensor.shallow_clone()),
    }
}

/// Widens a narrowed tensor.
pub(super) fn widen(tensor: &Tensor) -> Result<Tensor, TchError> {
    match tensor.kind() {
        Kind::BFloat16 => tensor.f_to_kind(Kind::Float),
        _ => Ok(tensor.shallow_clone()),
    }
}
