//! The two-object test: does the map of each of two classes point to its own object?
//!
//! A folder that `lcam-host compose --pairs` makes holds pictures of two objects, and of either object alone at
//! the same place:
//!
//! ```text
//! images/00000.png   first/00000.png   second/00000.png   masks-first/00000.png   masks-second/00000.png
//! ```
//!
//! The class of an object is what the network names on the picture of it alone; pairs of one class are left
//! out. Then, with `A` and `B` the objects, the maps of both classes for the picture of both are looked at. A map
//! that is the same for every class fails each of the three tests.

use std::fmt;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use lcam_models::map::{ExplanationMap, GridSize};
use lcam_models::picture::read_picture;
use lcam_models::preprocess::Preprocess;
use serde::Serialize;

use super::methods::Pass;
use super::metrics::lies_in;
use super::{EvaluateError, Explained, Interval, MaskFolder, Method, Options, class_maps};
use crate::dataset::{DatasetError, for_each_batch, list_pictures, spread};
use crate::pictures::View;
use crate::progress;

/// Pairs that go through the network at once; three pictures each.
const BATCH: usize = 16;

/// How many of the classes with the highest confidences count as named on the picture of both objects: as
/// ImageNet's top-5 accuracy counts (Russakovsky et al. 2015).
const TOP: usize = 5;

/// What the two-object test found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pairs {
    /// The pairs that could be read.
    pub read: usize,
    /// Those whose objects are of different classes for the network: what the figures are about.
    pub different: usize,
    /// Those of them whose classes are both among the five of the highest confidence on the picture of both.
    pub both_in_top: usize,
    /// One entry a method.
    pub methods: Vec<PairSummary>,
    /// What could not be read.
    pub unreadable: Vec<String>,
}

/// The figures of one method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairSummary {
    /// The method.
    pub method: Method,
    /// Over all pairs of different classes.
    pub all: PairFigures,
    /// Over those whose classes are both among the top five.
    pub both_in_top: PairFigures,
}

/// Shares of pairs in percent; none where there are no pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PairFigures {
    /// The highest pixel of either map lies in its own object.
    pub peaks: Option<Interval>,
    /// Of what A's map has in both objects, more lies in A than of what B's map has there:
    /// `E_A(A) / (E_A(A) + E_A(B)) > E_B(A) / (E_B(A) + E_B(B))`.
    pub energy: Option<Interval>,
    /// Either map's mean is higher in its own object than in the other.
    pub mean: Option<Interval>,
}

impl fmt::Display for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} pairs of objects, {} of them of different classes for the network, of which {} have both among \
             the top {TOP}; in percent of all / of these: both peaks, more energy, and a higher mean in the own \
             object",
            self.read, self.different, self.both_in_top
        )?;
        writeln!(f, "{:<12}{:>15}{:>15}{:>15}", "method", "peaks", "energy", "mean")?;
        for PairSummary { method, all, both_in_top } in &self.methods {
            write!(f, "{:<12}", method.to_string())?;
            let figures = [
                (all.peaks, both_in_top.peaks),
                (all.energy, both_in_top.energy),
                (all.mean, both_in_top.mean),
            ];
            for (all, top) in figures {
                let number = |figure: Option<Interval>| {
                    figure.map_or("-".to_owned(), |figure| format!("{:.1}", figure.mean))
                };
                write!(f, "{:>15}", format!("{} / {}", number(all), number(top)))?;
            }
            writeln!(f)?;
        }
        for problem in &self.unreadable {
            writeln!(f, "left out: {problem}")?;
        }
        Ok(())
    }
}

/// What the network sees of a pair.
struct Pair {
    path: PathBuf,
    number: usize,
    both: View,
    alone: [View; 2],
    masks: [Vec<bool>; 2],
}

/// What one method's two maps of a pair show.
#[derive(Clone, Copy)]
struct Found {
    peaks: bool,
    energy: bool,
    mean: bool,
}

/// Makes the two-object test with the pairs in `folder`; of the options, the pictures and masks are not used.
///
/// # Errors
/// Returns [`EvaluateError`] when no pair can be read, or the network or a map fails.
pub fn evaluate_pairs(
    model: &Explained,
    folder: &Path,
    options: &Options,
) -> Result<Pairs, EvaluateError> {
    let images = folder.join("images");
    let paths = spread(list_pictures(&images)?, options.limit);
    let mut unreadable = Vec::new();
    let mut read = 0;
    // By pair: whether both classes are among the top; by method and pair: what was found.
    let mut both_in_top = Vec::new();
    let mut found: Vec<Vec<Found>> = options.methods.iter().map(|_| Vec::new()).collect();
    let progress = progress::bar(paths.len(), "pairs");
    let preprocess = model.preprocess();
    let prepare = |number: usize, both: image::RgbImage| {
        Pair::read(preprocess, &images, (&paths[number], number), &both)
    };
    for_each_batch(&paths, BATCH, prepare, |batch| {
        let mut pairs = Vec::new();
        for pair in batch {
            match pair {
                Ok(Ok(pair)) => pairs.push(pair),
                Ok(Err(problem)) => unreadable.push(problem),
                Err(problem) => unreadable.push(problem.to_string()),
            }
            progress.inc(1);
        }
        read += pairs.len();
        let seen = Seen::new(model, pairs, options, &progress)?;
        both_in_top.extend(seen.both_in_top());
        for (found, &method) in found.iter_mut().zip(&options.methods) {
            found.extend(seen.look_at(model, method)?);
        }
        Ok::<_, EvaluateError>(())
    })?;
    progress.finish_and_clear();
    if read == 0 {
        let first = unreadable.first().cloned().unwrap_or_default();
        return Err(DatasetError::NothingReadable { count: paths.len(), first }.into());
    }
    let methods = options.methods.iter().zip(&found);
    Ok(Pairs {
        read,
        different: both_in_top.len(),
        both_in_top: both_in_top.iter().filter(|&&both| both).count(),
        methods: methods.map(|(&method, found)| summary(method, found, &both_in_top)).collect(),
        unreadable,
    })
}

impl Pair {
    /// Reads what lies beside a picture of both objects; on failure tells what is wrong.
    fn read(
        preprocess: &Preprocess,
        images: &Path,
        (path, number): (&Path, usize),
        both: &image::RgbImage,
    ) -> Result<Self, String> {
        let below = path.strip_prefix(images).unwrap_or(path);
        let alone = |folder: &str| {
            let picture = read_picture(&images.with_file_name(folder).join(below));
            Ok::<_, String>(View::center(preprocess, &picture.map_err(|e| e.to_string())?))
        };
        let mask = |folder: &str| {
            let masks = MaskFolder::new(images, Some(&images.with_file_name(folder)));
            masks.view(path, both, preprocess).map_err(|problem| problem.to_string())
        };
        Ok(Self {
            path: path.to_owned(),
            number,
            both: View::center(preprocess, both),
            alone: [alone("first")?, alone("second")?],
            masks: [mask("masks-first")?, mask("masks-second")?],
        })
    }
}

/// The pairs of a batch whose objects are of different classes, and the network's passes over them.
struct Seen {
    paths: Vec<PathBuf>,
    masks: Vec<[Vec<bool>; 2]>,
    /// Over the pictures of both objects, for the class of the first and for that of the second.
    passes: Option<[Pass; 2]>,
}

impl Seen {
    fn new(
        model: &Explained,
        pairs: Vec<Pair>,
        options: &Options,
        progress: &ProgressBar,
    ) -> Result<Self, EvaluateError> {
        let mut seen = Self { paths: Vec::new(), masks: Vec::new(), passes: None };
        if pairs.is_empty() {
            return Ok(seen);
        }
        let (mut alone, mut both) = ([Vec::new(), Vec::new()], Vec::new());
        for pair in pairs {
            let [first, second] = pair.alone;
            alone[0].push(first);
            alone[1].push(second);
            both.push((pair.path, pair.number, pair.both, pair.masks));
        }
        let named = |views: &[View]| -> Result<Vec<usize>, EvaluateError> {
            let numbers: Vec<usize> = (0..views.len()).collect();
            Ok(Pass::new(model, views, &numbers, options.seed)?.classes)
        };
        let named = named(&alone[0])?.into_iter().zip(named(&alone[1])?);
        let (mut views, mut numbers, mut classes) = (Vec::new(), Vec::new(), [vec![], vec![]]);
        for ((path, number, view, masks), (first, second)) in both.into_iter().zip(named) {
            if first != second {
                seen.paths.push(path);
                seen.masks.push(masks);
                views.push(view);
                numbers.push(number);
                classes[0].push(first);
                classes[1].push(second);
            }
        }
        if !views.is_empty() {
            let pass = Pass::new(model, &views, &numbers, options.seed)?
                .rise_masks(options.rise_masks)
                .progress(progress);
            seen.passes = Some(classes.map(|classes| pass.with_classes(&classes)));
        }
        Ok(seen)
    }

    /// Tells for each pair whether both classes are among those of the highest confidence.
    fn both_in_top(&self) -> Vec<bool> {
        let Some([first, second]) = &self.passes else { return Vec::new() };
        let in_top = |row: &[f32], class: usize| {
            row.iter().filter(|&&confidence| confidence > row[class]).count() < TOP
        };
        let classes = first.classes.iter().zip(&second.classes);
        let rows = first.all.iter().zip(classes);
        rows.map(|(row, (&a, &b))| in_top(row, a) && in_top(row, b)).collect()
    }

    /// Makes a method's maps of both classes and holds them against the masks.
    fn look_at(&self, model: &Explained, method: Method) -> Result<Vec<Found>, EvaluateError> {
        let Some([first, second]) = &self.passes else { return Ok(Vec::new()) };
        let input = model.preprocess().input;
        let full = GridSize { height: input.height as usize, width: input.width as usize };
        let maps = |pass| -> Result<Vec<ExplanationMap>, EvaluateError> {
            let maps = class_maps(model, pass, method, &self.paths)?;
            Ok(maps.iter().map(|map| map.min_max().upsample(full)).collect())
        };
        let (first, second) = (maps(first)?, maps(second)?);
        let pairs = first.iter().zip(&second).zip(&self.masks);
        Ok(pairs.map(|((first, second), masks)| Found::of([first, second], masks)).collect())
    }
}

impl Found {
    fn of([first, second]: [&ExplanationMap; 2], [a, b]: &[Vec<bool>; 2]) -> Self {
        let (first_a, first_b) = (Inside::of(first, a), Inside::of(first, b));
        let (second_a, second_b) = (Inside::of(second, a), Inside::of(second, b));
        Self {
            peaks: lies_in(first, a) && lies_in(second, b),
            energy: first_a.share_beside(first_b) > second_a.share_beside(second_b),
            mean: first_a.mean() > first_b.mean() && second_b.mean() > second_a.mean(),
        }
    }
}

/// What of a map lies in a mask.
#[derive(Clone, Copy)]
struct Inside {
    sum: f64,
    pixels: f64,
}

impl Inside {
    fn of(map: &ExplanationMap, mask: &[bool]) -> Self {
        let mut inside = Self { sum: 0.0, pixels: 0.0 };
        for (&value, _) in map.values().iter().zip(mask).filter(|(_, inside)| **inside) {
            inside.sum += f64::from(value);
            inside.pixels += 1.0;
        }
        inside
    }

    /// The mean in the mask; a mask has pixels.
    fn mean(self) -> f64 {
        self.sum / self.pixels
    }

    /// The share of what lies in either mask; 0 where nothing does.
    fn share_beside(self, other: Self) -> f64 {
        let both = self.sum + other.sum;
        if both > 0.0 { self.sum / both } else { 0.0 }
    }
}

fn summary(method: Method, found: &[Found], both_in_top: &[bool]) -> PairSummary {
    let figures = |found: &[Found]| {
        let percent = |test: fn(&Found) -> bool| {
            let values: Vec<f64> =
                found.iter().map(|found| if test(found) { 100.0 } else { 0.0 }).collect();
            Interval::of(&values)
        };
        PairFigures {
            peaks: percent(|found| found.peaks),
            energy: percent(|found| found.energy),
            mean: percent(|found| found.mean),
        }
    };
    let top = found.iter().zip(both_in_top).filter(|(_, both)| **both).map(|(found, _)| *found);
    PairSummary { method, all: figures(found), both_in_top: figures(&top.collect::<Vec<_>>()) }
}

#[cfg(test)]
mod tests {
    use lcam_models::map::{ClassMap, GridSize};

    use super::*;

    fn map(values: [f32; 4]) -> ExplanationMap {
        let size = GridSize { height: 1, width: 4 };
        ClassMap::new(size, values.to_vec()).unwrap().min_max()
    }

    #[test]
    fn maps_must_tell_the_objects_apart() {
        let masks = [vec![true, true, false, false], vec![false, false, true, false]];
        let (left, right) = (map([1.0, 0.5, 0.25, 0.0]), map([0.5, 0.25, 1.0, 0.0]));
        let apart = Found::of([&left, &right], &masks);
        assert!(apart.peaks && apart.energy && apart.mean);
        let turned = Found::of([&right, &left], &masks);
        assert!(!turned.peaks && !turned.energy && !turned.mean);
        let same = Found::of([&left, &left], &masks);
        assert!(!same.peaks && !same.energy && !same.mean, "one map for all classes fails");
        // Both have most of their sum in the first object, but the second map less of it.
        let weak = map([1.0, 1.0, 0.75, 0.0]);
        let energy = Found::of([&left, &weak], &masks);
        assert!(energy.energy && !energy.peaks && !energy.mean);
    }

    #[test]
    fn shares_are_those_of_the_pairs_asked_for() {
        let found = |peaks| Found { peaks, energy: true, mean: false };
        let summary =
            summary(Method::Cam, &[found(true), found(false), found(false)], &[false, true, false]);
        let mean = |figure: Option<Interval>| figure.unwrap().mean;
        assert!((mean(summary.all.peaks) - 100.0 / 3.0).abs() < 1e-9);
        assert!(mean(summary.both_in_top.peaks).abs() < 1e-9);
        assert!((mean(summary.all.energy) - 100.0).abs() < 1e-9);
    }
}
