//! The loops that give partial sums.

use std::arch::aarch64::vdupq_n_s32;
use std::arch::asm;

use super::super::store::LANES;
use super::{Partial, ROWS};

/// Sums up the products of four rows with four outputs, none of whose weights is -128.
///
/// # Safety
/// The rows hold `loads` times sixteen values, and so do the weights of each output; there is one load at least.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn sum_together(
    rows: [*const i8; ROWS],
    loads: usize,
    weights: *const i8,
) -> Partial {
    let mut sums = [[vdupq_n_s32(0); LANES]; ROWS];
    // SAFETY: as the function's; registers are named below, and nothing else is changed.
    unsafe {
        asm!(
            "2:",
            "ldp q0, q1, [{weights}], #32",
            "ldp q2, q3, [{weights}], #32",
            "ldr q4, [{row0}], #16",
            "ldr q5, [{row1}], #16",
            "ldr q6, [{row2}], #16",
            "ldr q7, [{row3}], #16",
            together!("sadalp", "4", "16" "0" "8", "17" "1" "9", "18" "2" "10", "19" "3" "11"),
            together!("sadalp", "5", "20" "0" "8", "21" "1" "9", "22" "2" "10", "23" "3" "11"),
            together!("sadalp", "6", "24" "0" "8", "25" "1" "9", "26" "2" "10", "27" "3" "11"),
            together!("sadalp", "7", "28" "0" "8", "29" "1" "9", "30" "2" "10", "31" "3" "11"),
            "subs {left}, {left}, #1",
            "b.ne 2b",
            left = inout(reg) loads => _,
            weights = inout(reg) weights => _,
            row0 = inout(reg) rows[0] => _,
            row1 = inout(reg) rows[1] => _,
            row2 = inout(reg) rows[2] => _,
            row3 = inout(reg) rows[3] => _,
            out("v0") _,
            out("v1") _,
            out("v2") _,
            out("v3") _,
            out("v4") _,
            out("v5") _,
            out("v6") _,
            out("v7") _,
            out("v8") _,
            out("v9") _,
            out("v10") _,
            out("v11") _,
            inout("v16") sums[0][0],
            inout("v17") sums[0][1],
            inout("v18") sums[0][2],
            inout("v19") sums[0][3],
            inout("v20") sums[1][0],
            inout("v21") sums[1][1],
            inout("v22") sums[1][2],
            inout("v23") sums[1][3],
            inout("v24") sums[2][0],
            inout("v25") sums[2][1],
            inout("v26") sums[2][2],
            inout("v27") sums[2][3],
            inout("v28") sums[3][0],
            inout("v29") sums[3][1],
            inout("v30") sums[3][2],
            inout("v31") sums[3][3],
            options(readonly, nostack)
        );
    }
    sums
}

/// Sums up the products of four rows with four outputs.
///
/// # Safety
/// The rows hold `loads` times sixteen values, and so do the weights of each output; there is one load at least.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn sum_alone(
    rows: [*const i8; ROWS],
    loads: usize,
    weights: *const i8,
) -> Partial {
    let mut sums = [[vdupq_n_s32(0); LANES]; ROWS];
    // SAFETY: as the function's; registers are named below, and nothing else is changed.
    unsafe {
        asm!(
            "2:",
            "ldp q0, q1, [{weights}], #32",
            "ldp q2, q3, [{weights}], #32",
            "ldr q4, [{row0}], #16",
            "ldr q5, [{row1}], #16",
            "ldr q6, [{row2}], #16",
            "ldr q7, [{row3}], #16",
            alone!("sadalp", "4", "16" "0" "8", "17" "1" "9", "18" "2" "10", "19" "3" "11"),
            alone!("sadalp", "5", "20" "0" "8", "21" "1" "9", "22" "2" "10", "23" "3" "11"),
            alone!("sadalp", "6", "24" "0" "8", "25" "1" "9", "26" "2" "10", "27" "3" "11"),
            alone!("sadalp", "7", "28" "0" "8", "29" "1" "9", "30" "2" "10", "31" "3" "11"),
            "subs {left}, {left}, #1",
            "b.ne 2b",
            left = inout(reg) loads => _,
            weights = inout(reg) weights => _,
            row0 = inout(reg) rows[0] => _,
            row1 = inout(reg) rows[1] => _,
            row2 = inout(reg) rows[2] => _,
            row3 = inout(reg) rows[3] => _,
            out("v0") _,
            out("v1") _,
            out("v2") _,
            out("v3") _,
            out("v4") _,
            out("v5") _,
            out("v6") _,
            out("v7") _,
            out("v8") _,
            out("v9") _,
            out("v10") _,
            out("v11") _,
            inout("v16") sums[0][0],
            inout("v17") sums[0][1],
            inout("v18") sums[0][2],
            inout("v19") sums[0][3],
            inout("v20") sums[1][0],
            inout("v21") sums[1][1],
            inout("v22") sums[1][2],
            inout("v23") sums[1][3],
            inout("v24") sums[2][0],
            inout("v25") sums[2][1],
            inout("v26") sums[2][2],
            inout("v27") sums[2][3],
            inout("v28") sums[3][0],
            inout("v29") sums[3][1],
            inout("v30") sums[3][2],
            inout("v31") sums[3][3],
            options(readonly, nostack)
        );
    }
    sums
}
