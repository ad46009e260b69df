//! The loops that give steps.

use std::arch::asm;

use super::super::store::Rounding;
use super::{Places, ROWS};

/// Adds up the partial sums of a row, and rounds them to whole steps from 0.
macro_rules! round {
    ($a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            concat!("addp v", $a, ".4s, v", $a, ".4s, v", $b, ".4s\n"),
            concat!("addp v", $c, ".4s, v", $c, ".4s, v", $d, ".4s\n"),
            concat!("addp v", $a, ".4s, v", $a, ".4s, v", $c, ".4s\n"),
            concat!("add v", $a, ".4s, v", $a, ".4s, v1.4s\n"),
            concat!("scvtf v", $a, ".4s, v", $a, ".4s\n"),
            concat!("fmul v", $a, ".4s, v", $a, ".4s, v0.4s\n"),
            concat!("fcvtns v", $a, ".4s, v", $a, ".4s\n"),
        )
    };
}

/// Adds the products of sixteen of depth, by [`together`] or [`alone`].
macro_rules! block {
    ($products:ident, $add:literal) => {
        concat!(
            "ldp q0, q1, [{weights}], #32\n",
            "ldp q2, q3, [{weights}], #32\n",
            "ldr q4, [{row0}], #16\n",
            "ldr q5, [{row1}], #16\n",
            "ldr q6, [{row2}], #16\n",
            "ldr q7, [{row3}], #16\n",
            $products!($add, "4", "16" "0" "8", "17" "1" "9", "18" "2" "10", "19" "3" "11"),
            $products!($add, "5", "20" "0" "8", "21" "1" "9", "22" "2" "10", "23" "3" "11"),
            $products!($add, "6", "24" "0" "8", "25" "1" "9", "26" "2" "10", "27" "3" "11"),
            $products!($add, "7", "28" "0" "8", "29" "1" "9", "30" "2" "10", "31" "3" "11"),
        )
    };
}

/// Adds the products of one row with the weights of four outputs, four together: the row's registers, then sums, weights of
/// both halves, and memory by number.
macro_rules! four {
    ($add:literal, $row:literal $next:literal, $($sum:literal $first:literal $second:literal $memory:literal),*) => {
        concat!(
            $("smull v", $memory, ".8h, v", $row, ".8b, v", $first, ".8b\n",)*
            $("smlal2 v", $memory, ".8h, v", $row, ".16b, v", $first, ".16b\n",)*
            $("smlal v", $memory, ".8h, v", $next, ".8b, v", $second, ".8b\n",)*
            $("smlal2 v", $memory, ".8h, v", $next, ".16b, v", $second, ".16b\n",)*
            $($add, " v", $sum, ".4s, v", $memory, ".8h\n",)*
        )
    };
}

/// Adds the products of two times sixteen of depth, four together.
macro_rules! double_block {
    ($add:literal) => {
        concat!(
            "ldp q0, q1, [{weights}], #32\n",
            "ldp q2, q3, [{weights}], #32\n",
            "ldp q4, q5, [{weights}], #32\n",
            "ldp q6, q7, [{weights}], #32\n",
            "ldp q12, q13, [{row0}], #32\n",
            "ldp q14, q15, [{row1}], #32\n",
            four!($add, "12" "13", "16" "0" "4" "8", "17" "1" "5" "9", "18" "2" "6" "10", "19" "3" "7" "11"),
            "ldp q12, q13, [{row2}], #32\n",
            four!($add, "14" "15", "20" "0" "4" "8", "21" "1" "5" "9", "22" "2" "6" "10", "23" "3" "7" "11"),
            "ldp q14, q15, [{row3}], #32\n",
            four!($add, "12" "13", "24" "0" "4" "8", "25" "1" "5" "9", "26" "2" "6" "10", "27" "3" "7" "11"),
            four!($add, "14" "15", "28" "0" "4" "8", "29" "1" "5" "9", "30" "2" "6" "10", "31" "3" "7" "11"),
        )
    };
}

/// All of the depth, sixteen at a time.
macro_rules! sixteens {
    ($products:ident) => {
        concat!(
            block!($products, "saddlp"),
            "subs {left}, {left}, #1\n",
            "b.eq 3f\n",
            "2:\n",
            block!($products, "sadalp"),
            "subs {left}, {left}, #1\n",
            "b.ne 2b\n",
            "3:\n",
        )
    };
}

/// All of the depth, two times sixteen at a time behind the odd one.
macro_rules! double_sixteens {
    () => {
        concat!(
            "tbz {left}, #0, 4f\n",
            block!(together, "saddlp"),
            "subs {left}, {left}, #1\n",
            "b.eq 3f\n",
            "b 2f\n",
            "4:\n",
            double_block!("saddlp"),
            "subs {left}, {left}, #2\n",
            "b.eq 3f\n",
            "2:\n",
            double_block!("sadalp"),
            "subs {left}, {left}, #2\n",
            "b.ne 2b\n",
            "3:\n",
        )
    };
}

/// Makes a function that gives steps of the products of four rows with four outputs, by a loop over the depth.
macro_rules! steps {
    ($(#[$documentation:meta])* $name:ident, $loop:expr) => {
        $(#[$documentation])*
        #[inline]
        #[target_feature(enable = "neon")]
        pub(super) unsafe fn $name(
            rows: [*const i8; ROWS],
            loads: usize,
            (weights, rounding): (*const i8, &Rounding),
            places: &Places,
        ) {
            // SAFETY: as the function's; registers are named below.
            unsafe {
                asm!(
                    $loop,
                    "ldr q0, [{rounding}]",
                    "ldr q1, [{rounding}, #112]",
                    "ldp q2, q3, [{rounding}, #64]",
                    "ldr q4, [{rounding}, #96]",
                    "ldp {row0}, {row1}, [{places}]",
                    "ldp {row2}, {row3}, [{places}, #16]",
                    round!("16" "17" "18" "19"),
                    round!("20" "21" "22" "23"),
                    round!("24" "25" "26" "27"),
                    round!("28" "29" "30" "31"),
                    "sqxtn v16.4h, v16.4s",
                    "sqxtn2 v16.8h, v20.4s",
                    "sqxtn v24.4h, v24.4s",
                    "sqxtn2 v24.8h, v28.4s",
                    "sqadd v16.8h, v16.8h, v2.8h",
                    "sqadd v24.8h, v24.8h, v2.8h",
                    "sqxtn v16.8b, v16.8h",
                    "sqxtn2 v16.16b, v24.8h",
                    "smax v16.16b, v16.16b, v3.16b",
                    "smin v16.16b, v16.16b, v4.16b",
                    "str s16, [{row0}]",
                    "st1 {{v16.s}}[1], [{row1}]",
                    "st1 {{v16.s}}[2], [{row2}]",
                    "st1 {{v16.s}}[3], [{row3}]",
                    left = inout(reg) loads => _,
                    weights = inout(reg) weights => _,
                    row0 = inout(reg) rows[0] => _,
                    row1 = inout(reg) rows[1] => _,
                    row2 = inout(reg) rows[2] => _,
                    row3 = inout(reg) rows[3] => _,
                    places = in(reg) places.as_ptr(),
                    rounding = in(reg) std::ptr::from_ref(rounding),
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
                    out("v12") _,
                    out("v13") _,
                    out("v14") _,
                    out("v15") _,
                    out("v16") _,
                    out("v17") _,
                    out("v18") _,
                    out("v19") _,
                    out("v20") _,
                    out("v21") _,
                    out("v22") _,
                    out("v23") _,
                    out("v24") _,
                    out("v25") _,
                    out("v26") _,
                    out("v27") _,
                    out("v28") _,
                    out("v29") _,
                    out("v30") _,
                    out("v31") _,
                    options(nostack)
                );
            }
        }
    };
}

steps!(
    /// Adds two products together.
    ///
    /// # Safety
    /// As [`super::sums::sum_together`]; and four bytes are at each place.
    steps_together,
    sixteens!(together)
);

steps!(
    /// Adds each product alone.
    ///
    /// # Safety
    /// As [`super::sums::sum_alone`]; and four bytes are at each place.
    steps_alone,
    sixteens!(alone)
);

steps!(
    /// Adds four products together.
    ///
    /// # Safety
    /// As [`super::sums::sum_together`]; four bytes are at each place, and the weights are such as [`super::fit_four`] finds.
    steps_four,
    double_sixteens!()
);
