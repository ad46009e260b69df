//! Backgrounds: classes that come with surroundings of their own, and classes that are named without their object.
//!
//! Pictures with alike surroundings are neighbours ([`super::appearance`] says what surroundings are). Where background
//! and class have nothing to do with each other, a picture's neighbours are of its class as often as any pictures are.
//! How much more often they are is the effect; what chance does is told by exchanging the classes of the pictures, the
//! neighbours staying as they are.
//!
//! That is a property of the data. Whether the network uses it is asked with masks: it sees the pictures with the
//! object filled in. A class that it names for every empty scene is no finding: what counts is how much more often it
//! names the class where the class's own object was than where others were.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use super::appearance::color_names;
use super::finding::{Effect, Finding, Kind, LEAST_PICTURES, SIGNIFICANT, percent, with_interval};
use super::neighbours::{NEIGHBOURS, nearest};
use super::probe::{Probe, Surroundings};
use super::record::Record;
use super::statistics::{Share, holm, mean, number, tail};
use super::{AnalyzeError, Subject};
use crate::evaluate::Interval;
use crate::random::generator;

/// The least excess of neighbours of the own class: three in ten more than chance gives.
pub const LEAST_EXCESS: f64 = 0.3;
/// The least difference of the shares that are named without their object.
pub const LEAST_CONTEXT: f64 = 0.3;
/// How often the classes are exchanged.
const EXCHANGES: usize = 500;
/// A picture stands on a class's background when at least so many of its neighbours are of the class.
const MOST_NEIGHBOURS: usize = 3;

/// The surroundings of a class.
struct Found {
    class: usize,
    /// For each of the class's pictures how much more often than by chance a neighbour is of the class.
    excess: Vec<f64>,
    p: f64,
    /// The pictures of all classes that stand on its background, the class's own first.
    on_it: Vec<usize>,
}

/// Finds classes with surroundings of their own.
pub(super) fn backgrounds(subject: &Subject<'_>) -> Vec<Finding> {
    let records = subject.records;
    let described: Vec<usize> =
        (0..records.len()).filter(|&i| records[i].appearance.surroundings.is_some()).collect();
    let points: Vec<&[f32]> =
        described.iter().filter_map(|&i| records[i].appearance.surroundings.as_deref()).collect();
    let classes: Vec<usize> = described.iter().map(|&i| records[i].class()).collect();
    let neighbours = nearest(&points);
    let found = test(&classes, &neighbours, subject.seed);
    let adjusted = holm(&found.iter().map(|found| found.p).collect::<Vec<_>>());
    let tests = found.len();
    let findings = found.into_iter().zip(adjusted).filter_map(|(found, adjusted)| {
        let interval = Interval::of(&found.excess)?;
        let counts = adjusted <= SIGNIFICANT && interval.mean >= LEAST_EXCESS && interval.low > 0.0;
        let on_it = found.on_it.iter().map(|&place| described[place]).collect();
        counts.then(|| finding(subject, &found, interval, adjusted, tests, on_it))
    });
    findings.collect()
}

/// Tests each class that has enough pictures beside enough others.
fn test(classes: &[usize], neighbours: &[Vec<usize>], seed: u64) -> Vec<Found> {
    let mut own = BTreeMap::<usize, Vec<usize>>::new();
    for (place, &class) in classes.iter().enumerate() {
        own.entry(class).or_default().push(place);
    }
    let enough = |places: &Vec<usize>| {
        places.len() >= LEAST_PICTURES && classes.len() - places.len() >= LEAST_PICTURES
    };
    own.retain(|_, places| enough(places));
    let mut exchanged = classes.to_vec();
    let mut drawn = vec![Vec::with_capacity(EXCHANGES); own.len()];
    for exchange in 0..EXCHANGES {
        exchanged.shuffle(&mut generator(seed, 0x4261_636b, exchange as u64));
        let sums = same_class(&exchanged, neighbours);
        for ((class, places), drawn) in own.iter().zip(&mut drawn) {
            drawn.push(sums.get(class).copied().unwrap_or(0.0) / number(places.len()));
        }
    }
    let of = |((&class, places), drawn): ((&usize, &Vec<usize>), &Vec<f64>)| {
        let expected = number(places.len() - 1) / number(classes.len() - 1);
        let shares: Vec<f64> =
            places.iter().map(|&place| share(classes, &neighbours[place], class)).collect();
        let (centre, squares) = (mean(drawn), drawn.iter().map(|d| d * d).collect::<Vec<_>>());
        let variance = mean(&squares) - centre * centre;
        let mut on_it: Vec<usize> = (0..classes.len())
            .filter(|&p| count(classes, &neighbours[p], class) >= MOST_NEIGHBOURS)
            .collect();
        let rank =
            |&p: &usize| (classes[p] != class, NEIGHBOURS - count(classes, &neighbours[p], class));
        on_it.sort_by_key(rank);
        Found {
            class,
            p: tail(mean(&shares) - centre, variance),
            excess: shares.iter().map(|share| share - expected).collect(),
            on_it,
        }
    };
    own.iter().zip(&drawn).map(of).collect()
}

/// Sums for each class the shares of its pictures' neighbours that are of it.
fn same_class(classes: &[usize], neighbours: &[Vec<usize>]) -> BTreeMap<usize, f64> {
    let mut sums = BTreeMap::new();
    for (near, &class) in neighbours.iter().zip(classes) {
        *sums.entry(class).or_insert(0.0) += share(classes, near, class);
    }
    sums
}

fn count(classes: &[usize], near: &[usize], class: usize) -> usize {
    near.iter().filter(|&&other| classes[other] == class).count()
}

fn share(classes: &[usize], near: &[usize], class: usize) -> f64 {
    number(count(classes, near, class)) / number(near.len().max(1))
}

fn finding(
    subject: &Subject<'_>,
    found: &Found,
    interval: Interval,
    adjusted_p: f64,
    tests: usize,
    on_it: Vec<usize>,
) -> Finding {
    let (records, label) = (subject.records, subject.label(found.class));
    let own = on_it.iter().filter(|&&i| records[i].class() == found.class).count();
    let all = found.excess.len();
    let surroundings = on_it.iter().filter_map(|&i| records[i].appearance.surroundings.as_deref());
    let colors = color_names(surroundings).join(" and ");
    let mut numbers = vec![
        ("surroundings".to_owned(), colors.clone()),
        (
            "pictures of the class that stand on it".to_owned(),
            with_interval(Share { hits: own, of: all }.interval()),
        ),
        (
            "pictures on it that are of the class".to_owned(),
            with_interval(Share { hits: own, of: on_it.len() }.interval()),
        ),
    ];
    numbers.extend(
        without_object(records, found.class).map(|found| found.numbers()).unwrap_or_default(),
    );
    Finding {
        kind: Kind::Background,
        classes: vec![found.class],
        sentence: format!(
            "{label} stands on one kind of background ({colors}): of the pictures with the most alike surroundings {:.0} in 100 more are of the class than chance puts there.",
            100.0 * interval.mean
        ),
        remedy: "Add pictures of the class on other backgrounds, and of other classes on this one; then train again.",
        effect: Effect {
            name: "share of the nearest surroundings that are the class's own, beyond chance",
            interval,
            p: found.p,
            adjusted_p,
            tests,
            test: "permutation of the classes (normal approximation of 500), Holm",
        },
        numbers,
        region: None,
        records: on_it,
    }
}

/// How often a class is named without an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct WithoutObject {
    /// Pictures that are named so, and still are once the object is filled in.
    own: Share,
    /// Other pictures that are named so once their object is filled in.
    others: Share,
}

impl WithoutObject {
    fn numbers(self) -> Vec<(String, String)> {
        vec![
            ("still named so without the object".to_owned(), with_interval(self.own.interval())),
            (
                "other pictures named so without theirs".to_owned(),
                with_interval(self.others.interval()),
            ),
        ]
    }
}

/// Counts what is named without an object; nothing where no mask tells of one.
pub(super) fn without_object(records: &[Record], class: usize) -> Option<WithoutObject> {
    let asked = |own: bool| {
        let of = move |record: &&Record| (record.named == class) == own;
        records.iter().filter(of).filter_map(|record| record.without_object)
    };
    let count = |own: bool| Share::count(asked(own), |answer| answer.class == class);
    let found = WithoutObject { own: count(true), others: count(false) };
    (found.own.of >= LEAST_PICTURES && found.others.of >= LEAST_PICTURES).then_some(found)
}

/// Finds classes that are named without their object, other than those that `explained` tells why.
///
/// What the filled box itself tells, by its shape and place, is taken off: a class that seems to be named without its
/// object is asked about once more, beside other pictures in which the same pixels are filled in.
///
/// # Errors
/// Returns [`AnalyzeError`] when the network fails.
pub(super) fn contexts(
    subject: &Subject<'_>,
    explained: &[Finding],
) -> Result<Vec<Finding>, AnalyzeError> {
    let mut classes: Vec<usize> = subject.records.iter().map(|record| record.named).collect();
    classes.sort_unstable();
    classes.dedup();
    let is_explained = |class| explained.iter().any(|finding| finding.classes.contains(&class));
    let asked: Vec<(usize, WithoutObject)> = classes
        .into_iter()
        .filter(|&class| !is_explained(class))
        .filter_map(|class| Some((class, without_object(subject.records, class)?)))
        .collect();
    let mut probe = Probe::new(subject, asked.len());
    let mut matched = Vec::with_capacity(asked.len());
    for &(class, found) in &asked {
        let suspicious = found.own.less(found.others).mean >= LEAST_CONTEXT;
        matched.push(if suspicious { probe.surroundings(class)? } else { None });
    }
    probe.finish();
    // A class that is not suspicious counts as tested, and as no finding.
    let p: Vec<f64> =
        matched.iter().map(|m| m.map_or(1.0, |m| m.own.larger_than(m.others))).collect();
    let tests = p.len();
    let mut findings = Vec::new();
    for (((class, found), matched), (&p, adjusted_p)) in
        asked.into_iter().zip(matched).zip(p.iter().zip(holm(&p)))
    {
        let Some(Surroundings { own, others }) = matched else { continue };
        let interval = own.less(others);
        if adjusted_p <= SIGNIFICANT && interval.mean >= LEAST_CONTEXT && interval.low > 0.0 {
            let effect = Effect {
                name: "how much more often the class is named in its own surroundings than in others', with the objects of both filled in",
                interval,
                p,
                adjusted_p,
                tests,
                test: "Fisher's exact test, Holm",
            };
            findings.push(context(subject, class, found, effect));
        }
    }
    Ok(findings)
}

fn context(subject: &Subject<'_>, class: usize, found: WithoutObject, effect: Effect) -> Finding {
    let records = subject.records;
    let is_named = |record: &Record| {
        record.named == class && record.without_object.is_some_and(|answer| answer.class == class)
    };
    Finding {
        kind: Kind::Context,
        classes: vec![class],
        sentence: format!(
            "{} is named without its object: something around it decides in {} of its pictures.",
            subject.label(class),
            percent(found.own.value())
        ),
        remedy: "Look at what the pictures have in common beside the object; add pictures without it.",
        effect,
        numbers: found.numbers(),
        region: None,
        records: (0..records.len()).filter(|&i| is_named(&records[i])).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Answer;
    use super::super::testing::record;
    use super::*;

    /// Neighbours drawn from the own group for the first pictures, from all for the others.
    fn neighbours(classes: &[usize], own_background: usize) -> Vec<Vec<usize>> {
        let near = |place: usize| -> Vec<usize> {
            let others = (0..classes.len()).filter(|&other| other != place);
            let fits = |other: &usize| {
                classes[place] != own_background || classes[*other] == own_background
            };
            // Spread by a step that has no common factor with the number of pictures.
            let fitting: Vec<usize> = others.filter(fits).collect();
            (0..NEIGHBOURS).map(|k| fitting[(place * 7 + k * 11) % fitting.len()]).collect()
        };
        (0..classes.len()).map(near).collect()
    }

    #[test]
    fn a_class_among_its_own_stands_on_a_background() {
        let classes: Vec<usize> = (0..60).map(|place| place % 4).collect();
        let found = test(&classes, &neighbours(&classes, 2), 1);
        let excess: Vec<f64> = found.iter().map(|found| mean(&found.excess)).collect();
        assert!((excess[2] - (1.0 - 14.0 / 59.0)).abs() < 1e-9, "{excess:?}");
        assert!(found[2].p < 1e-6, "{}", found[2].p);
        assert!(found[2].on_it.iter().take(15).all(|&place| classes[place] == 2));
        let none = test(&classes, &neighbours(&classes, 9), 1);
        assert!(none.iter().all(|found| mean(&found.excess) < LEAST_EXCESS), "chance");
        let few: Vec<usize> = (0..60).map(|place| usize::from(place < 7)).collect();
        assert!(test(&few, &neighbours(&few, 1), 1).is_empty(), "seven are too few");
    }

    #[test]
    fn a_class_that_every_empty_scene_is_named_is_no_context() {
        let named_without = |own: usize, other: usize| {
            let mut records: Vec<Record> = (0..40).map(|i| record(i, i % 2, None)).collect();
            for record in &mut records {
                let class = if record.named == 1 { own } else { other };
                record.without_object = Some(Answer { class, confidence_left: 0.5 });
            }
            let found = without_object(&records, 1).unwrap();
            (found.own.less(found.others).mean, found.own.larger_than(found.others))
        };
        let (difference, p) = named_without(1, 0);
        assert!(difference > 0.99 && p < 1e-6);
        let (difference, p) = named_without(1, 1);
        assert!(difference.abs() < 1e-9 && p > 0.9);
        assert!(without_object(&[record(0, 1, None)], 1).is_none());
    }
}
