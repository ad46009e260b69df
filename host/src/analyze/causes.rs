//! Why a picture is named wrongly, by stated rules. The first that holds is the cause.
//!
//! | cause | rule |
//! | --- | --- |
//! | wrong label | the picture is suspicious, as [`super::labels`] has it |
//! | diffuse | the map is spread wider than those of 95 % of the rightly named pictures of the class that is named |
//! | two objects | the regions that argue for the named and for the true class are apart, and without the first the network names the true class |
//! | elsewhere | the map's peak is beside the object, and less of the map in the object than chance puts there; without a mask: the two regions are apart |
//! | confused | none of these: it looked at the object and took it for another class |

use serde::Serialize;

use super::norms::Norms;
use super::record::Record;

/// Regions that share less of their area than this are apart: less than a third.
pub const APART_BELOW: f64 = 1.0 / 3.0;

/// Why a picture is named wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The label is probably wrong.
    WrongLabel,
    /// There is little evidence for anything.
    Diffuse,
    /// Something else in the picture was named.
    TwoObjects,
    /// The network looked elsewhere than at the object.
    Elsewhere,
    /// The network looked at the object, and confused its class.
    Confused,
}

impl Cause {
    /// All of them, in the order of the rules.
    pub const ALL: [Self; 5] =
        [Self::WrongLabel, Self::Diffuse, Self::TwoObjects, Self::Elsewhere, Self::Confused];

    /// Names it for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::WrongLabel => "probably a wrong label",
            Self::Diffuse => "diffuse: little evidence",
            Self::TwoObjects => "two objects",
            Self::Elsewhere => "looked elsewhere",
            Self::Confused => "confused the class",
        }
    }

    /// Tells what it means.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::WrongLabel => {
                "The network is sure, its map is gathered on something, and what looks alike to it bears the label that it names."
            }
            Self::Diffuse => {
                "The map is spread wider than those of 95 % of the class's rightly named pictures: nothing in the picture speaks clearly."
            }
            Self::TwoObjects => {
                "Another place argues for the named class than for the true one, and once the former is filled in, the network names the true class."
            }
            Self::Elsewhere => {
                "The evidence lies beside the object, or, without a mask, in another place than the true class's."
            }
            Self::Confused => {
                "The network looked at the right place and took what is there for another class."
            }
        }
    }
}

/// An error with its cause.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Case {
    /// The record.
    pub record: usize,
    /// Why.
    pub cause: Cause,
}

/// Finds the cause of each error.
#[must_use]
pub fn causes(records: &[Record], norms: &Norms, suspicious: &[usize]) -> Vec<Case> {
    let errors = records.iter().enumerate().filter(|(_, record)| record.is_error());
    let case = |(index, record): (usize, &Record)| Case {
        record: index,
        cause: if suspicious.contains(&index) { Cause::WrongLabel } else { cause(record, norms) },
    };
    errors.map(case).collect()
}

fn cause(record: &Record, norms: &Norms) -> Cause {
    let are_apart = record.overlap < APART_BELOW;
    let is_elsewhere = match record.object {
        Some(object) => object.is_missed(),
        None => are_apart,
    };
    if norms.is_diffuse(record) {
        Cause::Diffuse
    } else if are_apart && Some(record.without_attended.class) == record.truth {
        Cause::TwoObjects
    } else if is_elsewhere {
        Cause::Elsewhere
    } else {
        Cause::Confused
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::ObjectAttention;
    use super::super::testing::record;
    use super::*;

    fn cause_of(change: impl Fn(&mut Record)) -> Cause {
        let mut error = record(1, 1, Some(0));
        error.overlap = 0.8;
        change(&mut error);
        let records = [record(0, 0, Some(0)), error];
        let cases = causes(&records, &Norms::of(&records[..1], 2), &[]);
        let [case] = cases[..] else { panic!("one error: {cases:?}") };
        case.cause
    }

    fn object(inside: f64, points_at_it: bool) -> Option<ObjectAttention> {
        Some(ObjectAttention { inside, area: 0.3, points_at_it })
    }

    #[test]
    fn each_rule_has_its_cause() {
        assert_eq!(cause_of(|_| {}), Cause::Confused);
        assert_eq!(cause_of(|record| record.attention.spread = 0.9), Cause::Diffuse);
        assert_eq!(cause_of(|record| record.overlap = 0.1), Cause::Elsewhere);
        let two = |record: &mut Record| {
            record.overlap = 0.1;
            record.without_attended.class = 0;
        };
        assert_eq!(cause_of(two), Cause::TwoObjects);
        assert_eq!(cause_of(|record| record.object = object(0.1, false)), Cause::Elsewhere);
        assert_eq!(cause_of(|record| record.object = object(0.4, false)), Cause::Confused);
        assert_eq!(cause_of(|record| record.object = object(0.1, true)), Cause::Confused);
        let masked = |record: &mut Record| {
            record.overlap = 0.1;
            record.object = object(0.5, true);
        };
        assert_eq!(cause_of(masked), Cause::Confused, "a mask tells more than two maps");
    }

    #[test]
    fn a_suspicious_label_comes_first() {
        let records = [record(0, 0, Some(0)), record(1, 1, Some(0))];
        let cases = causes(&records, &Norms::of(&records, 2), &[1]);
        assert_eq!(cases, [Case { record: 1, cause: Cause::WrongLabel }]);
    }
}
