//! What becomes of sums in NEON's registers.

use std::arch::aarch64::{
    float32x4_t, int8x16_t, int16x8_t, int32x4_t, vcombine_s8, vcombine_s16, vcvtnq_s32_f32,
    vcvtq_f32_s32, vdupq_n_s8, vdupq_n_s16, vget_low_s8, vld1q_f32, vld1q_s32, vmaxq_s8, vminq_s8,
    vmulq_f32, vqaddq_s16, vqmovn_s16, vqmovn_s32, vst1_s8, vst1q_s8, vst1q_s32,
};
use std::marker::PhantomData;

use super::super::Sink;
use crate::engine::integer::steps::Steps;

/// Sums in a register.
pub(super) const LANES: usize = 4;

/// The steps of an output in registers.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    zero: int16x8_t,
    low: int8x16_t,
    high: int8x16_t,
}

/// Bias and scale of sixteen outputs in registers.
#[derive(Clone, Copy)]
pub(super) struct Channels {
    bias: [int32x4_t; 4],
    scale: [float32x4_t; 4],
}

impl Channels {
    /// Loads the values of sixteen outputs.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn load(bias: &[i32; 16], scale: &[f32; 16]) -> Self {
        let (bias, scale) = (bias.as_ptr(), scale.as_ptr());
        // SAFETY: four values are there at each of 0, 4, 8 and 12.
        unsafe {
            Self {
                bias: [0, 4, 8, 12].map(|at| vld1q_s32(bias.add(at))),
                scale: [0, 4, 8, 12].map(|at| vld1q_f32(scale.add(at))),
            }
        }
    }

    /// Gives the biases, to begin sums with.
    #[inline]
    pub(super) fn biases(self) -> [int32x4_t; 4] {
        self.bias
    }
}

impl Limits {
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn new(steps: Steps) -> Self {
        Self {
            zero: vdupq_n_s16(steps.zero.into()),
            low: vdupq_n_s8(steps.low),
            high: vdupq_n_s8(steps.high),
        }
    }

    /// Makes steps of up to four registers of sums that have their biases; with fewer, the last steps are of no use. Every
    /// instruction saturates, and none before the last at less than int16.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn round<const V: usize>(
        self,
        sums: [int32x4_t; V],
        channels: &Channels,
    ) -> int8x16_t {
        let whole: [int32x4_t; V] = std::array::from_fn(|index| {
            vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums[index]), channels.scale[index]))
        });
        let narrow = |index: usize| vqmovn_s32(whole[index.min(V - 1)]);
        let half = |first: usize| {
            vqmovn_s16(vqaddq_s16(vcombine_s16(narrow(first), narrow(first + 1)), self.zero))
        };
        let low = half(0);
        let steps = vcombine_s8(low, if V > 2 { half(2) } else { low });
        vminq_s8(vmaxq_s8(steps, self.low), self.high)
    }
}

/// What a group's sums become, as the loops in assembly read it; the numbers behind are places in bytes.
#[repr(C)]
pub(super) struct Rounding {
    scale: [f32; 16], // 0
    zero: [i16; 8],   // 64
    low: [i8; 16],    // 80
    high: [i8; 16],   // 96
    bias: [i32; 16],  // 112
}

/// Where the sums of one group of up to sixteen outputs go.
pub(super) struct Target<'s> {
    place: Place,
    /// Outputs of the group.
    count: usize,
    channels: Channels,
    limits: Limits,
    rounding: Rounding,
    sink: PhantomData<&'s mut i8>,
}

/// The group's first output of the first row, and how far it is to the next row.
#[derive(Clone, Copy)]
enum Place {
    Steps { to: *mut i8, stride: usize },
    Sums { to: *mut i32, stride: usize },
}

impl<'s> Target<'s> {
    /// Prepares a group that begins with the output `first`. The sink must be as long as `multiply` asks for.
    #[target_feature(enable = "neon")]
    pub(super) fn new(sink: &'s mut Sink<'_>, outputs: usize, first: usize) -> Self {
        let (mut bias, mut scale) = ([0; 16], [0.0; 16]);
        let channels = first..outputs.min(first + 16);
        let count = channels.len();
        let mut steps = Steps { zero: 0, low: i8::MIN, high: i8::MAX };
        let place = match sink {
            Sink::Steps { output, stride, rescale } => {
                bias[..count].copy_from_slice(&rescale.bias[channels.clone()]);
                scale[..count].copy_from_slice(&rescale.scale[channels]);
                steps = rescale.steps;
                Place::Steps { to: output[first..].as_mut_ptr(), stride: *stride }
            }
            Sink::Sums { output, bias: all } => {
                bias[..count].copy_from_slice(&all[channels]);
                Place::Sums { to: output[first..].as_mut_ptr(), stride: outputs }
            }
        };
        let (channels, limits) = (Channels::load(&bias, &scale), Limits::new(steps));
        let Steps { zero, low, high } = steps;
        let rounding =
            Rounding { scale, zero: [zero.into(); 8], low: [low; 16], high: [high; 16], bias };
        Self { place, count, channels, limits, rounding, sink: PhantomData }
    }

    /// Takes only so many outputs.
    pub(super) fn narrow(&mut self, most: usize) {
        self.count = self.count.min(most);
    }

    /// Gives what makes steps of the group's sums, the first step's place, and the distance of rows; `None` where the group
    /// does not have so many outputs, or the sums themselves are wanted.
    pub(super) fn steps(&self, outputs: usize) -> Option<(&Rounding, *mut i8, usize)> {
        match self.place {
            Place::Steps { to, stride } if self.count == outputs => {
                Some((&self.rounding, to, stride))
            }
            _ => None,
        }
    }

    /// Gives the biases of the group, to begin sums with.
    #[inline]
    pub(super) fn biases(&self) -> [int32x4_t; 4] {
        self.channels.bias
    }

    /// Takes the sums of a row, `V` registers with their biases.
    ///
    /// # Safety
    /// The sink has the row.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) unsafe fn put<const V: usize>(&mut self, row: usize, sums: [int32x4_t; V]) {
        // SAFETY: the sink has `count` values there.
        unsafe {
            match self.place {
                Place::Steps { to, stride } => {
                    let steps = self.limits.round(sums, &self.channels);
                    put_bytes(to.add(row * stride), self.count.min(LANES * V), steps);
                }
                Place::Sums { to, stride } => {
                    let mut values = [0; 16];
                    for (index, sum) in sums.into_iter().enumerate() {
                        vst1q_s32(values[index * LANES..][..LANES].as_mut_ptr(), sum);
                    }
                    let count = self.count.min(LANES * V);
                    to.add(row * stride).copy_from_nonoverlapping(values.as_ptr(), count);
                }
            }
        }
    }
}

/// Writes the first bytes, at most sixteen.
///
/// # Safety
/// So many bytes are there.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn put_bytes(to: *mut i8, count: usize, steps: int8x16_t) {
    // SAFETY: as the function's.
    unsafe {
        match count {
            16 => vst1q_s8(to, steps),
            8 => vst1_s8(to, vget_low_s8(steps)),
            _ => {
                let mut bytes = [0; 16];
                vst1q_s8(bytes.as_mut_ptr(), steps);
                to.copy_from_nonoverlapping(bytes.as_ptr(), count);
            }
        }
    }
}
