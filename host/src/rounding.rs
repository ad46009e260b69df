//! Weights as int8: `scale_c = max |w_c| / 127`, `q = round(w / scale_c)` for each output channel `c`; symmetric, zero
//! point 0, nothing is clipped.

/// The largest int8 that is used; -128 is not, so that the range is symmetric.
pub(crate) const LARGEST: f32 = 127.0;

/// Rows of int8 with their scales.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// The values, in the layout of what was rounded.
    pub(crate) values: Vec<i8>,
    /// One scale a channel.
    pub(crate) scales: Vec<f32>,
}

impl Rows {
    /// Gives the values as they are used: `q * scale`.
    pub(crate) fn widened(&self, stride: usize) -> Vec<f32> {
        let scale = |index: usize| self.scales[index / stride % self.scales.len()];
        self.values.iter().enumerate().map(|(i, &value)| f32::from(value) * scale(i)).collect()
    }
}

/// Rounds `values`, whose element `i` belongs to channel `i / stride % channels`. A channel of zeros gets the
/// scale 1. `None` where a value is not finite.
pub(crate) fn round(values: &[f32], channels: usize, stride: usize) -> Option<Rows> {
    round_above(values, stride, &vec![0.0; channels])
}

/// The same with a least scale for each channel.
pub(crate) fn round_above(values: &[f32], stride: usize, least: &[f32]) -> Option<Rows> {
    let channels = least.len();
    let channel = |index: usize| index / stride % channels;
    let mut largest = vec![0.0f32; channels];
    for (index, value) in values.iter().enumerate() {
        if !value.is_finite() {
            return None;
        }
        largest[channel(index)] = largest[channel(index)].max(value.abs());
    }
    // A scale that is no normal number would lose the precision it is there for.
    let scale = |(&largest, &least): (&f32, &f32)| match (largest / LARGEST).max(least) {
        scale if scale >= f32::MIN_POSITIVE => scale,
        _ => 1.0,
    };
    let scales: Vec<f32> = largest.iter().zip(least).map(scale).collect();
    let narrow = |(index, value): (usize, &f32)| {
        let rounded = (value / scales[channel(index)]).round_ties_even().clamp(-LARGEST, LARGEST);
        #[expect(clippy::cast_possible_truncation, reason = "clamped to -127..=127")]
        {
            rounded as i8
        }
    };
    Some(Rows { values: values.iter().enumerate().map(narrow).collect(), scales })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_each_channel_by_its_own_scale() {
        let rows = round(&[1.27, -0.5, 0.0, 254.0, 3.0, -254.0, 0.0, 0.0, 0.0], 3, 3).unwrap();
        assert_eq!(rows.values, [127, -50, 0, 127, 2, -127, 0, 0, 0], "1.5 goes to the even 2");
        assert_eq!(rows.scales[1..], [2.0, 1.0]);
        let columns = round(&[1.0, 100.0, -1.0, 50.0], 2, 1).unwrap();
        assert_eq!(columns.values, [127, 127, -127, 64]);
        assert!(round(&[f32::NAN], 1, 1).is_none());
    }

    #[test]
    fn errs_by_half_a_step_at_most() {
        let values: Vec<f32> =
            (0..999u16).map(|i| (f32::from(i) * 0.7).sin() * f32::from(i)).collect();
        let rows = round(&values, 3, 333).unwrap();
        for (index, (value, rounded)) in values.iter().zip(&rows.values).enumerate() {
            let scale = rows.scales[index / 333];
            assert!((value - f32::from(*rounded) * scale).abs() <= 0.5001 * scale, "{index}");
        }
    }

    #[test]
    fn keeps_to_a_least_scale() {
        let rows = round_above(&[1.27, -0.5, 1.27, -0.5], 2, &[0.0, 0.1]).unwrap();
        assert_eq!(rows.values, [127, -50, 13, -5]);
    }
}
