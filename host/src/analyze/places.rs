//! Places that may be shortcuts: where the pictures that the network names alike differ from all others.
//!
//! Two things make a cell stand out: attention falls on it more, or its colour is always the same. Cells that do join
//! into small boxes. Neither proves anything; [`super::shortcuts`] asks the network about each.

use std::collections::BTreeMap;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::finding::{LEAST_PICTURES, SIGNIFICANT};
use super::record::Record;
use super::regions::{COUNT, Region, SIDE};
use super::statistics::{Separation, benjamini_hochberg, mean, number, quantile, separation};

/// The least Cliff's delta of attention that makes a cell stand out: a medium effect (Romano et al. 2006).
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

/// A place that may be a shortcut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) class: usize,
    pub(super) region: Region,
    /// Cliff's delta of the cell that made it suspicious.
    pub(super) delta: f64,
}

/// One cell of one class beside the others' pictures.
struct Cell {
    class: usize,
    index: usize,
    by_colour: bool,
    delta: f64,
    /// How much more attention, or how much nearer a colour, than other pictures have there, on average.
    strength: f64,
    p: f64,
}

/// Finds the places to ask about, class by class.
pub(super) fn candidates(records: &[Record]) -> Vec<Candidate> {
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
    let mut groups = BTreeMap::<(usize, bool), Vec<(Cell, bool)>>::new();
    for (cell, adjusted) in cells.into_iter().zip(benjamini_hochberg(&p)) {
        let least = if cell.by_colour { LARGE } else { MEDIUM };
        let stands_out = adjusted <= SIGNIFICANT && cell.delta >= least;
        groups.entry((cell.class, cell.by_colour)).or_default().push((cell, stands_out));
    }
    let is_place = |((_, by_colour), cells): &((usize, bool), Vec<(Cell, bool)>)| {
        !by_colour || cells.iter().filter(|(_, stands_out)| *stands_out).count() <= MOST_CELLS
    };
    let places = groups.into_iter().filter(is_place);
    most_suspicious(places.flat_map(|((class, _), cells)| boxes(class, &cells)).collect())
}

/// Keeps the places that stand out most, each once.
fn most_suspicious(mut places: Vec<Candidate>) -> Vec<Candidate> {
    places.sort_by(|a, b| b.delta.total_cmp(&a.delta).then(a.class.cmp(&b.class)));
    let mut kept: Vec<Candidate> = Vec::new();
    for place in places {
        if !kept.iter().any(|other| (other.class, other.region) == (place.class, place.region)) {
            kept.push(place);
        }
    }
    kept.truncate(PLACES);
    kept.sort_by_key(|place| place.class);
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
        quantile(&values, 0.5)
    })
}

fn distance(color: [u8; 3], other: [f64; 3]) -> f64 {
    color.iter().zip(other).map(|(&a, b)| (f64::from(a) - b).powi(2)).sum::<f64>().sqrt()
}

/// Joins the cells of a class that stand out into small boxes. Each begins as the strongest of the boxes of 2 x 2 cells
/// that hold the strongest cell, so that a grid's line through a mark does not cut it, and takes in those beside it that
/// stand out half as much, which is how far a peak is said to reach.
fn boxes(class: usize, cells: &[(Cell, bool)]) -> Vec<Candidate> {
    let mut strengths = [0.0; COUNT];
    cells.iter().for_each(|(cell, _)| strengths[cell.index] = cell.strength);
    let total = |region: &Region| region.cells().map(|cell| strengths[cell]).sum::<f64>();
    let mut left: Vec<&Cell> =
        cells.iter().filter(|(_, stands_out)| *stands_out).map(|(cell, _)| cell).collect();
    left.sort_by(|a, b| b.strength.total_cmp(&a.strength).then(a.index.cmp(&b.index)));
    let mut found: Vec<Candidate> = Vec::new();
    while let (Some(first), true) = (left.first(), found.len() < PLACES_A_CLASS) {
        let (delta, reach) = (first.delta, first.strength / 2.0);
        let squares = Region::squares(first.index);
        let mut region = squares
            .max_by(|a, b| total(a).total_cmp(&total(b)))
            .unwrap_or_else(|| Region::cell(first.index));
        let near: Vec<Region> = left
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
        left.retain(|cell| !region.touches(Region::cell(cell.index)));
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
            coloured.iter().map(|place| (place.class, place.region.place())).collect();
        assert_eq!(found, [(0, "bottom left corner"), (1, "bottom left corner")]);
        let everywhere =
            candidates(&pictures(|_, record| record.appearance.colors.fill([9, 99, 9])));
        assert_eq!(everywhere, [], "that is a background");
    }

    #[test]
    fn cells_join_into_small_boxes() {
        let cell = |index: usize, strength: f64| Cell {
            class: 0,
            index,
            by_colour: false,
            delta: 0.9,
            strength,
            p: 0.0,
        };
        // Those of no strength do not stand out.
        let regions = |strong: &[(usize, f64)]| -> Vec<Region> {
            let of = |index: usize| strong.iter().find(|(at, _)| *at == index).map(|found| found.1);
            let cells: Vec<(Cell, bool)> = (0..COUNT)
                .map(|index| (cell(index, of(index).unwrap_or(0.0)), of(index).is_some()))
                .collect();
            boxes(0, &cells).iter().map(|place| place.region).collect()
        };
        let region = |left, top, right, bottom| Region { left, top, right, bottom };
        let apart = regions(&[(0, 0.9), (1, 0.8), (9, 0.7), (63, 0.6), (4, 0.5), (5, 0.4)]);
        assert_eq!(apart, [region(0, 0, 2, 2), region(6, 6, 8, 8), region(4, 0, 6, 2)]);
        assert_eq!(regions(&[(9, 0.9), (2, 0.4)]), [region(1, 0, 3, 2)], "the strongest square");
        let peak = regions(&[(0, 0.9), (1, 0.5), (2, 0.46), (16, 0.44)]);
        assert_eq!(peak, [region(0, 0, 3, 2)], "half as much is the edge");
        assert!((largest_place() - 9.0 / 64.0).abs() < 1e-12);
    }
}
