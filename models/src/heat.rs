//! The colour map of heat maps and how strongly it covers the photograph.
//!
//! Inferno (Nathaniel Smith and Stefan van der Walt, CC0) is perceptually uniform: equal steps of the map
//! look like equal steps, also in grey and to colour-blind eyes. Where the map is low the photograph shows
//! unchanged, so that a person sees what the network did not use. Colours are red, green and blue of sRGB.

use std::sync::OnceLock;

/// Below this map value the photograph is unchanged.
const CLEAR_BELOW: f32 = 0.15;
/// At this map value the colour is as strong as it gets.
const FULL_FROM: f32 = 0.85;
/// The share of the colour where it is strongest: the photograph's texture stays readable beneath.
const STRONGEST: f32 = 0.68;
/// Where on the colour map the value 0 lies: its almost black lowest quarter would hide the photograph.
const DARKEST: f32 = 0.25;

/// Gives the colour of a map value, 0 to 1.
#[must_use]
pub fn color(value: f32) -> [u8; 3] {
    let position = DARKEST + (1.0 - DARKEST) * value.clamp(0.0, 1.0);
    let color = colorous::INFERNO.eval_continuous(f64::from(position));
    [color.r, color.g, color.b]
}

/// Gives how much of a map value's colour covers the photograph, 0 to 1: a smooth step.
#[must_use]
pub fn strength(value: f32) -> f32 {
    let x = ((value - CLEAR_BELOW) / (FULL_FROM - CLEAR_BELOW)).clamp(0.0, 1.0);
    STRONGEST * x * x * (3.0 - 2.0 * x)
}

/// Mixes two colours: all `under` at 0, all `over` at 1.
#[must_use]
pub fn mix(under: [u8; 3], over: [u8; 3], share: f32) -> [u8; 3] {
    let channel = |channel: usize| {
        let (under, over) = (f32::from(under[channel]), f32::from(over[channel]));
        let value = under + (over - under) * share.clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between two bytes"
        )]
        {
            value.round() as u8
        }
    };
    [channel(0), channel(1), channel(2)]
}

/// All 256 colours and strengths at once, in 256ths: a look-up and a few integers a pixel.
#[derive(Debug)]
pub struct HeatTable([Step; 256]);

/// One map value's part in the mixture.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The colour times its strength, in 256ths, with half a step for rounding.
    color: [u16; 3],
    /// What is left of the photograph, in 256ths.
    photograph: u16,
}

impl HeatTable {
    /// Gives the table; it is computed once.
    #[must_use]
    pub fn get() -> &'static Self {
        static TABLE: OnceLock<HeatTable> = OnceLock::new();
        TABLE.get_or_init(|| {
            Self(std::array::from_fn(|step| {
                #[expect(clippy::cast_precision_loss, reason = "0 to 255")]
                let value = step as f32 / 255.0;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0 to 256"
                )]
                let share = (strength(value) * 256.0).round() as u16;
                let color = color(value).map(|channel| u16::from(channel) * share + 128);
                Step { color, photograph: 256 - share }
            }))
        })
    }

    /// Lays the colour of a map value over a pixel of the photograph, to a step of a byte as [`mix`] does.
    #[must_use]
    pub fn over(&self, photograph: [u8; 3], value: f32) -> [u8; 3] {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates to 0..=255"
        )]
        let index = (value * 255.0 + 0.5) as u8;
        let step = self.0[usize::from(index)];
        let channel = |channel: usize| {
            let mixed = u16::from(photograph[channel]) * step.photograph + step.color[channel];
            (mixed >> 8) as u8
        };
        [channel(0), channel(1), channel(2)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance of sRGB (WCAG 2.2).
    fn luminance(color: [u8; 3]) -> f64 {
        let linear = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(color[0]) + 0.7152 * linear(color[1]) + 0.0722 * linear(color[2])
    }

    #[test]
    fn grows_brighter_with_the_value() {
        let steps: Vec<f64> =
            [0.0, 0.2, 0.4, 0.6, 0.8, 1.0].map(|value| luminance(color(value))).to_vec();
        assert!(steps.is_sorted(), "{steps:?}");
    }

    #[test]
    fn leaves_the_photograph_alone_where_there_is_no_evidence() {
        let photograph = [10, 200, 77];
        let table = HeatTable::get();
        assert_eq!(table.over(photograph, 0.0), photograph);
        assert_eq!(table.over(photograph, 0.14), photograph);
        assert_ne!(table.over(photograph, 0.6), photograph);
        assert!(strength(1.0) < 0.7, "texture stays visible");
    }

    #[test]
    fn the_table_mixes_as_the_formula_does() {
        let table = HeatTable::get();
        for step in 0..=255_u8 {
            let value = f32::from(step) / 255.0;
            for photograph in [[0, 0, 0], [255, 255, 255], [10, 200, 77]] {
                let exact = mix(photograph, color(value), strength(value));
                let fast = table.over(photograph, value);
                let differs = (0..3).any(|c| exact[c].abs_diff(fast[c]) > 1);
                assert!(!differs, "{value}: {exact:?} {fast:?}");
            }
        }
        assert_eq!(table.over([1, 2, 3], f32::NAN), [1, 2, 3]);
    }
}
