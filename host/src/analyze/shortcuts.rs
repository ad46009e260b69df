//! Shortcuts: one small place in the picture that tells the class.
//!
//! Two things make a place suspicious, both for pictures that the network names alike, beside all others: attention
//! falls on it more, or its colour is always the same. Neither proves anything. So the network is asked: the place is
//! cut from pictures of the class and put in the same place of other pictures; beside it, the same place of pictures of
//! any other class, for what the cut itself does. How much of the difference in log-odds between pictures of the class
//! and others does the place bring along?

use std::collections::BTreeMap;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::appearance::color_name;
use super::finding::{Effect, Finding, Kind, LEAST_PICTURES, SIGNIFICANT, percent, with_interval};
use super::probe::{Probe, Probed};
use super::record::Record;
use super::regions::{COUNT, Region, SIDE};
use super::statistics::{Separation, benjamini_hochberg, holm, mean, number, separation};
use super::{AnalyzeError, Subject};

/// The least Cliff's delta of attention that makes a place suspicious: a medium effect (Romano et al. 2006).
const MEDIUM: f64 = 0.33;
/// The least of colour, where each class has a little of its own: a large effect (the same).
const LARGE: f64 = 0.474;
/// A small place is a box of at most so many cells to a side: a seventh of the picture.
const LARGEST_SIDE: usize = 3;
/// A class whose colours are its own in more cells than this stands on a background of its own; no place tells it.
const MOST_CELLS: usize = COUNT / 4;
/// The most places that are asked about for one class and for all, the most suspicious first.
const PLACES_A_CLASS: usize = 3;
const PLACES: usize = 40;
/// The least share of a class's evidence that makes a place a finding.
pub const LEAST_SHARE: f64 = 0.25;
/// And how many times its share of the area that must be.
pub const LEAST_LIFT: f64 = 3.0;
/// A place of which the object takes more is where the object is.
pub const MOST_OBJECT: f64 = 0.5;

/// A place that may be a shortcut.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    class: usize,
    region: Region,
    /// The larger of the deltas that made it suspicious.
    delta: f64,
}

/// One cell of one class that stands out.
struct Cell {
    class: usize,
    index: usize,
    by_colour: bool,
    delta: f64,
    /// How much more attention, or how much nearer a colour, than other pictures have there, on average.
    strength: f64,
    p: f64,
}

/// Finds shortcuts; asks the network about each suspicious place.
///
/// # Errors
/// Returns [`AnalyzeError`] when the network fails.
pub(super) fn shortcuts(subject: &Subject<'_>) -> Result<Vec<Finding>, AnalyzeError> {
    let candidates = candidates(subject.records);
    let mut probe = Probe::new(subject, candidates.len(), "asking");
    let mut probed = Vec::new();
    for (number, candidate) in candidates.into_iter().enumerate() {
        if let Some(result) = probe.transplant(number, candidate.class, candidate.region)? {
            probed.push((candidate, result));
        }
    }
    probe.finish();
    let p: Vec<f64> = probed.iter().map(|(_, result)| result.p).collect();
    let mut findings: Vec<Finding> = Vec::new();
    for ((candidate, result), adjusted) in probed.iter().zip(holm(&p)) {
        if is_shortcut(subject.records, candidate, result, adjusted) {
            findings.push(finding(subject, candidate, result, adjusted, p.len()));
        }
    }
    Ok(strongest(findings))
}

/// Keeps of places of one class that overlap the one with the largest effect.
fn strongest(mut findings: Vec<Finding>) -> Vec<Finding> {
    super::finding::rank(&mut findings);
    let mut kept: Vec<Finding> = Vec::new();
    for finding in findings {
        let same = |other: &Finding| {
            let touch = other.region.zip(finding.region).is_some_and(|(a, b)| a.touches(b));
            other.classes == finding.classes && touch
        };
        if !kept.iter().any(same) {
            kept.push(finding);
        }
    }
    kept
}

fn is_shortcut(records: &[Record], candidate: &Candidate, found: &Probed, adjusted: f64) -> bool {
    let share = found.share.mean;
    adjusted <= SIGNIFICANT
        && found.share.low > 0.0
        && share >= LEAST_SHARE
        && share >= LEAST_LIFT * candidate.region.area()
        && object_in(records, candidate).is_none_or(|object| object <= MOST_OBJECT)
}

/// Gives the mean share of a place that is the object's, in pictures of the class that have a mask.
fn object_in(records: &[Record], candidate: &Candidate) -> Option<f64> {
    let of = |record: &Record| {
        let cells = record.appearance.object_cells.as_ref()?;
        let values: Vec<f64> =
            candidate.region.cells().map(|c| f64::from(cells[c]) / 255.0).collect();
        Some(mean(&values))
    };
    let own = records.iter().filter(|record| record.named == candidate.class);
    let shares: Vec<f64> = own.filter_map(of).collect();
    (!shares.is_empty()).then(|| mean(&shares))
}

fn finding(
    subject: &Subject<'_>,
    candidate: &Candidate,
    found: &Probed,
    adjusted_p: f64,
    tests: usize,
) -> Finding {
    let (records, label) = (subject.records, subject.label(candidate.class));
    let own: Vec<usize> =
        (0..records.len()).filter(|&i| records[i].named == candidate.class).collect();
    let color = color(records, &own, candidate.region);
    let place = candidate.region.place();
    let mut shown = own;
    let attention = |i: &usize| records[*i].attention.cells.share_in(candidate.region);
    shown.sort_by(|a, b| attention(b).total_cmp(&attention(a)));
    Finding {
        kind: Kind::Shortcut,
        classes: vec![candidate.class],
        sentence: format!(
            "{label} is told by one small place, the {place}: it brings along {} of what tells the class.",
            percent(found.share.mean.min(1.0))
        ),
        remedy: "Look for a mark, a logo, a date or a border there; cut it off or put it on pictures of all classes, and train again.",
        effect: Effect {
            name: "share of the class's log-odds that the place carries over to other pictures",
            interval: found.share,
            p: found.p,
            adjusted_p,
            tests,
            test: "Wilcoxon's signed-rank test against places of other classes, Holm",
        },
        numbers: vec![
            (
                "the place".to_owned(),
                format!(
                    "{place}, {} of the picture, mean colour {} ({})",
                    percent(candidate.region.area()),
                    hexadecimal(color),
                    color_name(color)
                ),
            ),
            ("other pictures named so with it".to_owned(), with_interval(found.flipped.interval())),
            (
                "with the same place of other classes".to_owned(),
                with_interval(found.control.interval()),
            ),
            (
                "own pictures named otherwise without it".to_owned(),
                with_interval(found.lost.interval()),
            ),
            (
                "attention or colour there, beside other classes".to_owned(),
                format!("Cliff's delta {:.2}", candidate.delta),
            ),
        ],
        region: Some(candidate.region),
        records: shown,
    }
}

/// Gives the mean colour of a region over some pictures.
fn color(records: &[Record], own: &[usize], region: Region) -> [u8; 3] {
    [0, 1, 2].map(|channel| {
        let value = |&i: &usize| {
            region.cells().map(move |c| f64::from(records[i].appearance.colors[c][channel]))
        };
        let values: Vec<f64> = own.iter().flat_map(value).collect();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of bytes"
        )]
        {
            mean(&values).round() as u8
        }
    })
}

fn hexadecimal([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Finds the places to ask about, the most suspicious first.
fn candidates(records: &[Record]) -> Vec<Candidate> {
    let mut by_class = BTreeMap::<usize, Vec<usize>>::new();
    for (index, record) in records.iter().enumerate() {
        by_class.entry(record.named).or_default().push(index);
    }
    by_class.retain(|_, own| {
        own.len() >= LEAST_PICTURES && records.len() - own.len() >= LEAST_PICTURES
    });
    let classes: Vec<(usize, Vec<usize>)> = by_class.into_iter().collect();
    let cells: Vec<Cell> =
        classes.into_par_iter().flat_map_iter(|(class, own)| cells(records, class, &own)).collect();
    let p: Vec<f64> = cells.iter().map(|cell| cell.p).collect();
    let standing_out = cells.into_iter().zip(benjamini_hochberg(&p)).filter(|(cell, adjusted)| {
        *adjusted <= SIGNIFICANT && cell.delta >= if cell.by_colour { LARGE } else { MEDIUM }
    });
    let mut groups = BTreeMap::<(usize, bool), Vec<Cell>>::new();
    for (cell, _) in standing_out {
        groups.entry((cell.class, cell.by_colour)).or_default().push(cell);
    }
    let usable =
        groups.into_iter().filter(|((_, colour), cells)| !colour || cells.len() <= MOST_CELLS);
    let mut places: Vec<Candidate> =
        usable.flat_map(|((class, _), cells)| boxes(class, cells)).collect();
    places.sort_by(|a, b| b.delta.total_cmp(&a.delta).then(a.class.cmp(&b.class)));
    let mut kept: Vec<Candidate> = Vec::new();
    for place in places {
        if !kept.iter().any(|other| (other.class, other.region) == (place.class, place.region)) {
            kept.push(place);
        }
    }
    kept.truncate(PLACES);
    kept
}

/// Tests every cell of one class beside the pictures of all others.
fn cells(records: &[Record], class: usize, own: &[usize]) -> Vec<Cell> {
    let others: Vec<usize> = (0..records.len()).filter(|&i| records[i].named != class).collect();
    let mut found = Vec::with_capacity(2 * COUNT);
    for index in 0..COUNT {
        let attention = |of: &[usize]| -> Vec<f64> {
            of.iter().map(|&i| f64::from(records[i].attention.cells.0[index])).collect()
        };
        let median = median_color(records, own, index);
        let distance = |of: &[usize]| -> Vec<f64> {
            of.iter().map(|&i| distance(records[i].appearance.colors[index], median)).collect()
        };
        let compare = |larger: &[f64], smaller: &[f64]| {
            (separation(larger, smaller), mean(larger) - mean(smaller))
        };
        let attention = compare(&attention(own), &attention(&others));
        let color = compare(&distance(&others), &distance(own));
        for (by_colour, found_here) in [(false, attention), (true, color)] {
            if let (Some(Separation { delta, p }), strength) = found_here {
                found.push(Cell { class, index, by_colour, delta, strength, p });
            }
        }
    }
    found
}

fn median_color(records: &[Record], own: &[usize], cell: usize) -> [f64; 3] {
    [0, 1, 2].map(|channel| {
        let values: Vec<f64> =
            own.iter().map(|&i| f64::from(records[i].appearance.colors[cell][channel])).collect();
        super::statistics::quantile(&values, 0.5)
    })
}

fn distance(color: [u8; 3], other: [f64; 3]) -> f64 {
    color.iter().zip(other).map(|(&a, b)| (f64::from(a) - b).powi(2)).sum::<f64>().sqrt()
}

/// Joins cells into small boxes: each begins at the cell that stands out most and takes in those beside it that stand
/// out half as much, which is how far a peak is said to reach.
fn boxes(class: usize, mut cells: Vec<Cell>) -> Vec<Candidate> {
    cells.sort_by(|a, b| b.strength.total_cmp(&a.strength).then(a.index.cmp(&b.index)));
    let mut found: Vec<Candidate> = Vec::new();
    while let (Some(first), true) = (cells.first(), found.len() < PLACES_A_CLASS) {
        let (mut region, delta) = (Region::cell(first.index), first.delta);
        let reach = first.strength / 2.0;
        let near: Vec<Region> = cells
            .iter()
            .filter(|cell| cell.strength >= reach)
            .map(|cell| Region::cell(cell.index))
            .collect();
        // Once more after each that was taken in: it may have brought another beside the box.
        while let Some(&next) = near.iter().find(|&&cell| {
            let both = region.with(cell);
            let is_small = both.sides().iter().all(|&side| side <= LARGEST_SIDE);
            both != region && region.touches(cell) && is_small
        }) {
            region = region.with(next);
        }
        cells.retain(|cell| !region.touches(Region::cell(cell.index)));
        found.push(Candidate { class, region, delta });
    }
    found
}

/// The largest part of the picture that a small place can be.
#[must_use]
pub fn largest_place() -> f64 {
    number(LARGEST_SIDE * LARGEST_SIDE) / number(SIDE * SIDE)
}

#[cfg(test)]
mod tests {
    use super::super::statistics::Share;
    use super::super::testing::record;
    use super::*;

    /// Forty pictures of two classes; `change` gets those of class 1.
    fn pictures(change: impl Fn(usize, &mut Record)) -> Vec<Record> {
        (0..40)
            .map(|index| {
                let mut record = record(index, index % 2, None);
                // Light and attention that say nothing of the class.
                for (cell, color) in record.appearance.colors.iter_mut().enumerate() {
                    *color = [u8::try_from((index / 2 * 67 + cell * 31) % 251).unwrap(); 3];
                }
                for (cell, share) in record.attention.cells.0.iter_mut().enumerate() {
                    let noise = u8::try_from((index / 2 * 29 + cell * 13) % 17).unwrap();
                    *share = (1.0 + f32::from(noise) / 100.0) / 64.0;
                }
                if index % 2 == 1 {
                    change(index, &mut record);
                }
                record
            })
            .collect()
    }

    #[test]
    fn nothing_stands_out_where_classes_are_alike() {
        assert_eq!(candidates(&pictures(|_, _| {})), []);
    }

    #[test]
    fn a_place_that_is_attended_or_coloured_alike_is_asked_about() {
        let attended = candidates(&pictures(|_, record| record.attention.cells.0[7] = 0.2));
        let [candidate] = attended[..] else { panic!("{attended:?}") };
        assert_eq!((candidate.class, candidate.region.place()), (1, "top right corner"));
        let coloured = candidates(&pictures(|_, record| {
            record.appearance.colors[56] = [255, 0, 255];
            record.appearance.colors[57] = [255, 0, 255];
        }));
        // Of two classes each stands out beside the other.
        let found: Vec<_> =
            coloured.iter().map(|place| (place.class, place.region.sides())).collect();
        assert_eq!(found, [(0, [2, 1]), (1, [2, 1])]);
        let everywhere =
            candidates(&pictures(|_, record| record.appearance.colors.fill([9, 99, 9])));
        assert_eq!(everywhere, [], "that is a background");
    }

    #[test]
    fn cells_join_into_small_boxes() {
        let cell = |(index, strength): (usize, f64)| Cell {
            class: 0,
            index,
            by_colour: false,
            delta: 0.9,
            strength,
            p: 0.0,
        };
        let sides = |cells: &[(usize, f64)]| -> Vec<[usize; 2]> {
            let found = boxes(0, cells.iter().copied().map(cell).collect());
            found.iter().map(|place| place.region.sides()).collect()
        };
        let apart = sides(&[(0, 0.9), (1, 0.8), (9, 0.7), (63, 0.6), (3, 0.5)]);
        assert_eq!(apart, [[2, 2], [1, 1], [1, 1]]);
        assert_eq!(sides(&[(0, 0.9), (1, 0.46), (8, 0.44)]), [[2, 1]], "half as much is the edge");
        assert!((largest_place() - 9.0 / 64.0).abs() < 1e-12);
    }

    #[test]
    fn a_shortcut_carries_much_in_little() {
        let records = pictures(|_, _| {});
        let candidate = Candidate { class: 1, region: Region::cell(0), delta: 0.9 };
        let interval =
            |mean: f64| crate::evaluate::Interval { mean, low: mean - 0.1, high: mean + 0.1 };
        let of = |mean: f64| Probed {
            share: interval(mean),
            p: 0.001,
            flipped: Share { hits: 9, of: 10 },
            control: Share { hits: 0, of: 10 },
            lost: Share { hits: 9, of: 10 },
        };
        assert!(is_shortcut(&records, &candidate, &of(0.4), 0.01));
        assert!(!is_shortcut(&records, &candidate, &of(0.4), 0.06), "may be chance");
        assert!(!is_shortcut(&records, &candidate, &of(0.2), 0.01), "little");
        let wide =
            Candidate { region: Region { left: 0, top: 0, right: 3, bottom: 3 }, ..candidate };
        assert!(!is_shortcut(&records, &wide, &of(0.4), 0.01), "no more than its area explains");
        let with_objects =
            pictures(|_, record| record.appearance.object_cells = Some(vec![255; 64]));
        assert!(!is_shortcut(&with_objects, &candidate, &of(0.4), 0.01), "the object is there");
    }
}
