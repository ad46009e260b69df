//! How a network is to be run.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// In which numbers a network is to compute.
///
/// The choice depends on the file and the processor alone and never on a measurement, so that the same file gives the same
/// results on the same machine at any moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Integers where a quantised file meets a processor that has fast kernels for it; else floating point.
    #[default]
    Auto,
    /// Floating point: weights are widened, activations clipped to their ranges.
    Float,
    /// Integers wherever the file describes them, on any processor.
    Int8,
}

impl Precision {
    /// The names, in the order of the variants.
    pub const NAMES: [&'static str; 3] = ["auto", "float", "int8"];
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[*self as usize])
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Auto, Self::Float, Self::Int8]
            .into_iter()
            .find(|precision| precision.to_string() == text)
            .ok_or_else(|| format!("{text:?} is no precision; give {}", Self::NAMES.join(", ")))
    }
}

/// How a network is to be run: on so many threads, in such numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The threads.
    pub threads: NonZeroUsize,
    /// The numbers.
    pub precision: Precision,
}

impl From<NonZeroUsize> for Execution {
    /// So many threads, in the numbers that fit the file and the processor.
    fn from(threads: NonZeroUsize) -> Self {
        Self { threads, precision: Precision::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_are_read_as_they_are_written() {
        for name in Precision::NAMES {
            assert_eq!(name.parse::<Precision>().unwrap().to_string(), name);
        }
        assert!("fp16".parse::<Precision>().unwrap_err().contains("auto, float, int8"));
    }
}
