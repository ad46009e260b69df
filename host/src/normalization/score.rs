//! A number from several photographs, and how far chance may have moved it.

/// How well something fits a set of photographs, 1 wholly and 0 not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// With all photographs.
    pub value: f64,
    /// Without each of them in turn.
    pub without: Vec<f64>,
}

impl Score {
    /// Tells by how many standard errors this score is above another one of the same photographs.
    ///
    /// The standard error is the jackknife's (Tukey 1958): `sqrt((n - 1) / n * sum (d_i - mean d)^2)`, with
    /// `d_i` the difference without photograph i. The lead is 0 with fewer than two photographs.
    #[must_use]
    pub fn lead(&self, other: &Self) -> f64 {
        let differences: Vec<f64> =
            self.without.iter().zip(&other.without).map(|(a, b)| a - b).collect();
        #[expect(clippy::cast_precision_loss, reason = "a number of photographs")]
        let count = differences.len() as f64;
        if count < 2.0 {
            return 0.0;
        }
        let mean = differences.iter().sum::<f64>() / count;
        let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
        let error = (squares * (count - 1.0) / count).sqrt();
        let difference = self.value - other.value;
        if difference.abs() > 0.0 { difference / error } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[f64]) -> Score {
        let (sum, count) =
            (values.iter().sum::<f64>(), f64::from(u32::try_from(values.len()).unwrap()));
        let without = values.iter().map(|value| (sum - value) / (count - 1.0)).collect();
        Score { value: sum / count, without }
    }

    #[test]
    fn the_lead_of_a_mean_is_that_of_the_paired_t_test() {
        let ahead = mean(&[0.5, 0.9, 0.4, 0.8]).lead(&mean(&[0.3, 0.4, 0.3, 0.5]));
        // The mean of the differences over its standard error: 0.275 / (0.170783 / 2).
        assert!((ahead - 3.220_470).abs() < 1e-5, "{ahead}");
        let same = mean(&[0.5, 0.9]);
        assert_eq!(same.lead(&same).to_bits(), 0f64.to_bits(), "no difference is no lead");
        let one = Score { value: 0.7, without: vec![0.0] };
        assert_eq!(one.lead(&one).to_bits(), 0f64.to_bits(), "one photograph tells nothing");
    }
}
