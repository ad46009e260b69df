//! 64-bit ARM: with the dot product instruction `SDOT` (Cortex-A55, A76, A78AE), and without it (A53, A57, A72).
//!
//! Rust 1.91 has no stable intrinsic for `SDOT`, and compilers were seen to keep copies of sums in memory; so the loops of
//! matrices are inline assembly.

mod depthwise;
mod dot;
mod long;
mod store;

use super::Kernels;

/// The families that this processor can run, the best first.
pub(super) fn families() -> impl Iterator<Item = &'static dyn Kernels> {
    let has_dot = std::arch::is_aarch64_feature_detected!("dotprod");
    let dot = has_dot.then_some(&dot::Dot as &dyn Kernels);
    dot.into_iter().chain([&long::Long as &dyn Kernels])
}
