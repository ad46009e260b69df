//! The figures of an evaluation: what each is called, which way is better, how it comes from what was measured,
//! and what it means. All are in percent, so that a table reads alike everywhere.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Outcome;
use super::metrics::{Family, Fill, KEPT, Scores, area, combined};

/// One figure of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// How much of the confidence is lost on the masked picture.
    AverageDrop {
        /// What stands where the picture is masked.
        fill: Fill,
        /// The place in [`KEPT`].
        kept: usize,
    },
    /// How often the confidence rises on the masked picture.
    Increase {
        /// What stands where the picture is masked.
        fill: Fill,
        /// The place in [`KEPT`].
        kept: usize,
    },
    /// The area under the curve of insertion.
    Insertion,
    /// The area under the curve of deletion.
    Deletion,
    /// What least relevant pixels leave more than most relevant ones.
    Road,
    /// How often the highest pixel lies in the object.
    Pointing,
    /// How much of the map lies in the object.
    Energy,
    /// How much of the map is gathered in few pixels.
    Gini,
}

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// The lower, the better.
    Lower,
    /// The higher, the better.
    Higher,
}

impl Better {
    /// Tells whether the first value is better.
    #[must_use]
    pub fn prefers(self, value: f64, other: f64) -> bool {
        match self {
            Self::Lower => value < other,
            Self::Higher => value > other,
        }
    }

    /// Gives the arrow that points the better way.
    #[must_use]
    pub fn arrow(self) -> &'static str {
        match self {
            Self::Lower => "↓",
            Self::Higher => "↑",
        }
    }
}

impl Figure {
    /// Lists all, in the order of a table.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let masked = |fill: Fill| {
            let drops = (0..KEPT.len()).map(move |kept| Self::AverageDrop { fill, kept });
            drops.chain((0..KEPT.len()).map(move |kept| Self::Increase { fill, kept }))
        };
        let rest =
            [Self::Insertion, Self::Deletion, Self::Road, Self::Pointing, Self::Energy, Self::Gini];
        Fill::ALL.into_iter().flat_map(masked).chain(rest).collect()
    }

    /// Names the family that it is measured with.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::AverageDrop { fill: Fill::Black, .. }
            | Self::Increase { fill: Fill::Black, .. } => Family::Faithfulness,
            Self::AverageDrop { .. } | Self::Increase { .. } => Family::Fills,
            Self::Insertion | Self::Deletion => Family::Curves,
            Self::Road => Family::Road,
            Self::Pointing | Self::Energy => Family::Localization,
            Self::Gini => Family::Sparseness,
        }
    }

    /// Tells which way it is better.
    #[must_use]
    pub fn better(self) -> Better {
        match self {
            Self::AverageDrop { .. } | Self::Deletion => Better::Lower,
            _ => Better::Higher,
        }
    }

    /// Names it for people.
    #[must_use]
    pub fn title(self) -> String {
        match self {
            Self::AverageDrop { fill, kept } => format!("average drop{}", masked(fill, kept)),
            Self::Increase { fill, kept } => {
                format!("increase in confidence{}", masked(fill, kept))
            }
            Self::Insertion => "insertion".to_owned(),
            Self::Deletion => "deletion".to_owned(),
            Self::Road => "ROAD".to_owned(),
            Self::Pointing => "pointing game".to_owned(),
            Self::Energy => "energy in object".to_owned(),
            Self::Gini => "Gini index".to_owned(),
        }
    }

    /// Computes it for one picture, in percent; nothing where it was not measured.
    #[must_use]
    pub fn value(self, outcome: &Outcome, scores: &Scores) -> Option<f64> {
        let clean = outcome.confidence;
        let masked = |fill, kept: usize| scores.masked.get(&fill)?.get(kept).copied();
        let share = match self {
            Self::AverageDrop { fill, kept } => drop(clean, masked(fill, kept)?),
            Self::Increase { fill, kept } => f64::from(u8::from(masked(fill, kept)? > clean)),
            Self::Insertion => area(&scores.insertion)?,
            Self::Deletion => area(&scores.deletion)?,
            Self::Road => combined(&scores.without_most, &scores.without_least)?,
            Self::Pointing => f64::from(u8::from(scores.pointing?)),
            Self::Energy => scores.energy?,
            Self::Gini => scores.gini?,
        };
        Some(100.0 * share)
    }
}

/// The drop of the confidence as a share of what it was.
fn drop(clean: f64, masked: f64) -> f64 {
    if clean > 0.0 { (clean - masked).max(0.0) / clean } else { 0.0 }
}

fn masked(fill: Fill, kept: usize) -> String {
    let percent = 100.0 * KEPT.get(kept).copied().unwrap_or_default();
    let on = match fill {
        Fill::Black => "",
        Fill::Mean => ", mean colour",
        Fill::Blur => ", blurred",
    };
    format!(", {percent:.0} %{on}")
}

/// The name in files: `average-drop-50`, `increase-15-blur`, `insertion`.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = |f: &mut fmt::Formatter<'_>, name, fill, kept: usize| {
            let percent = 100.0 * KEPT.get(kept).copied().unwrap_or_default();
            let on = match fill {
                Fill::Black => "",
                Fill::Mean => "-mean",
                Fill::Blur => "-blur",
            };
            write!(f, "{name}-{percent:.0}{on}")
        };
        match *self {
            Self::AverageDrop { fill, kept } => masked(f, "average-drop", fill, kept),
            Self::Increase { fill, kept } => masked(f, "increase", fill, kept),
            Self::Insertion => f.write_str("insertion"),
            Self::Deletion => f.write_str("deletion"),
            Self::Road => f.write_str("road"),
            Self::Pointing => f.write_str("pointing"),
            Self::Energy => f.write_str("energy"),
            Self::Gini => f.write_str("gini"),
        }
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_follow_the_formulas() {
        let scores = Scores {
            masked: [(Fill::Black, vec![0.4, 0.9, 0.8])].into(),
            deletion: vec![1.0, 0.0],
            pointing: Some(true),
            energy: Some(0.25),
            ..Scores::default()
        };
        let outcome =
            Outcome { picture: "x".into(), class: 0, confidence: 0.8, scores: vec![scores] };
        let found: Vec<(String, f64)> = Figure::all()
            .into_iter()
            .filter_map(|figure| {
                Some((figure.to_string(), figure.value(&outcome, &outcome.scores[0])?))
            })
            .collect();
        // A drop of half, then a rise, then neither.
        let expected = [
            ("average-drop-100", 50.0),
            ("average-drop-50", 0.0),
            ("average-drop-15", 0.0),
            ("increase-100", 0.0),
            ("increase-50", 100.0),
            ("increase-15", 0.0),
            ("deletion", 50.0),
            ("pointing", 100.0),
            ("energy", 25.0),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((name, value), (expected_name, expected)) in found.iter().zip(expected) {
            assert!(name == expected_name && (value - expected).abs() < 1e-9, "{name}: {value}");
        }
    }

    #[test]
    fn names_are_told_apart() {
        let mut names: Vec<String> = Figure::all().iter().map(ToString::to_string).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), count), (24, 24));
    }
}
