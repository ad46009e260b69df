//! The loops that give sums.

use std::arch::aarch64::int32x4_t;
use std::arch::asm;

use super::ROWS;

/// Sums up the products of six rows with sixteen outputs.
///
/// # Safety
/// The processor has `SDOT`; each row holds `steps` times four values, and up to 15 bytes more are there; so many weights
/// are there.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn sum_16(
    rows: [*const i8; ROWS],
    steps: usize,
    weights: *const i8,
    bias: [int32x4_t; 4],
) -> [[int32x4_t; 4]; ROWS] {
    let [b0, b1, b2, b3] = bias;
    let mut sums = [
        [b0, b1, b2, b3],
        [b0, b1, b2, b3],
        [b0, b1, b2, b3],
        [b0, b1, b2, b3],
        [b0, b1, b2, b3],
        [b0, b1, b2, b3],
    ];
    // SAFETY: as the function's; registers are named below, and nothing else is changed.
    unsafe {
        asm!(
            "subs {left}, {left}, #4",
            "b.lt 3f",
            "2:",
            loads!("q", "16"),
            step_16!("0"),
            step_16!("1"),
            step_16!("2"),
            step_16!("3"),
            "subs {left}, {left}, #4",
            "b.ge 2b",
            "3:",
            "adds {left}, {left}, #4",
            "b.eq 5f",
            "4:",
            loads!("s", "4"),
            step_16!("0"),
            "subs {left}, {left}, #1",
            "b.ne 4b",
            "5:",
            left = inout(reg) steps => _,
            weights = inout(reg) weights => _,
            row0 = inout(reg) rows[0] => _,
            row1 = inout(reg) rows[1] => _,
            row2 = inout(reg) rows[2] => _,
            row3 = inout(reg) rows[3] => _,
            row4 = inout(reg) rows[4] => _,
            row5 = inout(reg) rows[5] => _,
            out("v0") _,
            out("v1") _,
            out("v2") _,
            out("v3") _,
            out("v4") _,
            out("v5") _,
            out("v6") _,
            out("v7") _,
            inout("v8") sums[0][0],
            inout("v9") sums[0][1],
            inout("v10") sums[0][2],
            inout("v11") sums[0][3],
            inout("v12") sums[1][0],
            inout("v13") sums[1][1],
            inout("v14") sums[1][2],
            inout("v15") sums[1][3],
            inout("v16") sums[2][0],
            inout("v17") sums[2][1],
            inout("v18") sums[2][2],
            inout("v19") sums[2][3],
            inout("v20") sums[3][0],
            inout("v21") sums[3][1],
            inout("v22") sums[3][2],
            inout("v23") sums[3][3],
            inout("v24") sums[4][0],
            inout("v25") sums[4][1],
            inout("v26") sums[4][2],
            inout("v27") sums[4][3],
            inout("v28") sums[5][0],
            inout("v29") sums[5][1],
            inout("v30") sums[5][2],
            inout("v31") sums[5][3],
            options(readonly, nostack)
        );
    }
    sums
}

/// Sums up the products of six rows with eight outputs.
///
/// # Safety
/// The processor has `SDOT`; each row holds `steps` times four values, and up to 15 bytes more are there; so many weights
/// are there.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn sum_8(
    rows: [*const i8; ROWS],
    steps: usize,
    weights: *const i8,
    bias: [int32x4_t; 4],
) -> [[int32x4_t; 2]; ROWS] {
    let [b0, b1, ..] = bias;
    let mut sums = [[b0, b1], [b0, b1], [b0, b1], [b0, b1], [b0, b1], [b0, b1]];
    // SAFETY: as the function's; registers are named below, and nothing else is changed.
    unsafe {
        asm!(
            "subs {left}, {left}, #4",
            "b.lt 3f",
            "2:",
            loads!("q", "16"),
            step_8!("0"),
            step_8!("1"),
            step_8!("2"),
            step_8!("3"),
            "subs {left}, {left}, #4",
            "b.ge 2b",
            "3:",
            "adds {left}, {left}, #4",
            "b.eq 5f",
            "4:",
            loads!("s", "4"),
            step_8!("0"),
            "subs {left}, {left}, #1",
            "b.ne 4b",
            "5:",
            left = inout(reg) steps => _,
            weights = inout(reg) weights => _,
            row0 = inout(reg) rows[0] => _,
            row1 = inout(reg) rows[1] => _,
            row2 = inout(reg) rows[2] => _,
            row3 = inout(reg) rows[3] => _,
            row4 = inout(reg) rows[4] => _,
            row5 = inout(reg) rows[5] => _,
            out("v0") _,
            out("v1") _,
            out("v2") _,
            out("v3") _,
            out("v4") _,
            out("v5") _,
            out("v6") _,
            out("v7") _,
            inout("v8") sums[0][0],
            inout("v9") sums[0][1],
            inout("v10") sums[1][0],
            inout("v11") sums[1][1],
            inout("v12") sums[2][0],
            inout("v13") sums[2][1],
            inout("v14") sums[3][0],
            inout("v15") sums[3][1],
            inout("v16") sums[4][0],
            inout("v17") sums[4][1],
            inout("v18") sums[5][0],
            inout("v19") sums[5][1],
            options(readonly, nostack)
        );
    }
    sums
}
