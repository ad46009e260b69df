//! Pictures of two objects, each in its own half, and of either object alone at the same place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use lcam_models::picture::{read_cutout, read_picture};
use rand::RngExt;
use rand::rngs::StdRng;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::Serialize;

use super::plan::{Composite, composite, pick};
use super::sources::{Split, share};
use super::{ComposeError, Part, Settings, failed, paste, saved, write_manifest};
use crate::progress;
use crate::random::generator;

/// The folder of a part's pairs.
pub const PAIRS: &str = "pairs";

/// How long an object's longer side is, as a share of the picture's side: as large as a half allows, so that the
/// network has a chance to name both.
const OBJECT_SHARE: std::ops::RangeInclusive<f64> = 0.45..=0.5;

/// The folders that a part's pairs fill.
const FOLDERS: [&str; 5] = ["images", "first", "second", "masks-first", "masks-second"];

/// Two objects on one background. `image` and `mask` of each are those of the object alone.
pub(super) struct Pair {
    number: usize,
    first: Composite,
    second: Composite,
}

impl Pair {
    pub(super) fn part(&self) -> Part {
        self.first.part
    }

    fn folder(&self) -> PathBuf {
        Path::new(self.part().folder()).join(PAIRS)
    }

    fn image(&self) -> PathBuf {
        self.folder().join("images").join(format!("{:05}.png", self.number))
    }
}

/// Plans all pairs. First objects take turns; the second is of another group, so that it does not look alike.
pub(super) fn plan(
    settings: &Settings,
    objects: &Split,
    backgrounds: &Split,
) -> Result<Vec<Pair>, ComposeError> {
    let train = if settings.pairs > 0 { share(settings.pairs, settings.split) } else { 0 };
    let mut pairs = Vec::with_capacity(settings.pairs);
    for (part, count) in [(Part::Train, train), (Part::HeldOut, settings.pairs - train)] {
        let found = objects.groups(part).len();
        if count > 0 && found < 2 {
            let what = "objects for the pairs of one part";
            return Err(ComposeError::TooFew { what, found, needed: 2, first: None });
        }
        pairs.extend((0..count).map(|number| pair(part, number, settings, objects, backgrounds)));
    }
    Ok(pairs)
}

fn pair(
    part: Part,
    number: usize,
    settings: &Settings,
    objects: &Split,
    backgrounds: &Split,
) -> Pair {
    // The streams before these are those of the composites.
    let mut random = generator(settings.seed, 3 + part as u64, number as u64);
    let groups = objects.groups(part);
    let first = number % groups.len();
    let second = (first + random.random_range(1..groups.len())) % groups.len();
    let places = backgrounds.groups(part);
    let background = pick(&places[random.random_range(0..places.len())], &mut random);
    let size = settings.size;
    let mut one = |group: usize, folder: &str| {
        let object = pick(&groups[group], &mut random);
        let mut plan = composite(part, number, (object, background), size, &mut random);
        let longer = f64::from(size) * random.random_range(OBJECT_SHARE);
        // Half of an odd side is rounded down.
        plan.resize_object(longer.min(f64::from(size / 2)), size);
        let pairs = Path::new(part.folder()).join(PAIRS);
        plan.image = pairs.join(folder).join(format!("{number:05}.png"));
        plan.mask = pairs.join(format!("masks-{folder}")).join(format!("{number:05}.png"));
        plan
    };
    let (mut first, mut second) = (one(first, "first"), one(second, "second"));
    second.background_left = first.background_left;
    second.background_top = first.background_top;
    second.background_side = first.background_side;
    second.background_mirrored = first.background_mirrored;
    place(&mut first, &mut second, size, &mut random);
    Pair { number, first, second }
}

/// Gives each object its half: left and right, or top and bottom, in either order.
fn place(first: &mut Composite, second: &mut Composite, size: u32, random: &mut StdRng) {
    let across = random.random_bool(0.5);
    let (one, other) = if random.random_bool(0.5) { (first, second) } else { (second, first) };
    for (plan, start) in [(one, 0), (other, size - size / 2)] {
        let (width, height) = if across { (size / 2, size) } else { (size, size / 2) };
        let (left, top) = if across { (start, 0) } else { (0, start) };
        plan.left = left + random.random_range(0..=width - plan.width);
        plan.top = top + random.random_range(0..=height - plan.height);
    }
}

/// A row of `pairs.csv`.
#[derive(Serialize)]
struct Row<'a> {
    part: Part,
    image: PathBuf,
    background: &'a Path,
    first: &'a Path,
    first_left: u32,
    first_top: u32,
    first_width: u32,
    first_height: u32,
    second: &'a Path,
    second_left: u32,
    second_top: u32,
    second_width: u32,
    second_height: u32,
}

impl<'a> From<&'a Pair> for Row<'a> {
    fn from(pair: &'a Pair) -> Self {
        let Pair { first, second, .. } = pair;
        Self {
            part: pair.part(),
            image: pair.image(),
            background: &first.background,
            first: &first.object,
            first_left: first.left,
            first_top: first.top,
            first_width: first.width,
            first_height: first.height,
            second: &second.object,
            second_left: second.left,
            second_top: second.top,
            second_width: second.width,
            second_height: second.height,
        }
    }
}

/// Writes pictures, masks and `pairs.csv`, if there are any pairs.
pub(super) fn write(folder: &Path, pairs: &[Pair], size: u32) -> Result<(), ComposeError> {
    if pairs.is_empty() {
        return Ok(());
    }
    for part in [Part::Train, Part::HeldOut] {
        let there = pairs.iter().find(|pair| pair.part() == part);
        for kind in there.iter().flat_map(|_| FOLDERS) {
            let path = folder.join(part.folder()).join(PAIRS).join(kind);
            fs::create_dir_all(&path).map_err(|problem| failed(&path, &problem))?;
        }
    }
    let mut by_background = BTreeMap::<&Path, Vec<&Pair>>::new();
    for pair in pairs {
        by_background.entry(&pair.first.background).or_default().push(pair);
    }
    let progress = progress::bar(pairs.len(), "composing pairs");
    for (path, pairs) in by_background {
        let background = read_picture(path)?;
        pairs.par_iter().try_for_each(|pair| {
            write_one(folder, pair, &background, size)?;
            progress.inc(1);
            Ok::<_, ComposeError>(())
        })?;
    }
    progress.finish_and_clear();
    let rows: Vec<Row> = pairs.iter().map(Row::from).collect();
    write_manifest(folder, "pairs.csv", &rows)
}

fn write_one(
    folder: &Path,
    pair: &Pair,
    background: &RgbImage,
    size: u32,
) -> Result<(), ComposeError> {
    let canvas = paste::canvas(background, &pair.first, size);
    let mut both = canvas.clone();
    for plan in [&pair.first, &pair.second] {
        let object = read_cutout(&plan.object)?;
        let (alone, mask) = paste::paste(canvas.clone(), &object, plan);
        both = paste::paste(both, &object, plan).0;
        for (path, result) in [
            (&plan.image, alone.save(folder.join(&plan.image))),
            (&plan.mask, mask.save(folder.join(&plan.mask))),
        ] {
            saved(&folder.join(path), result)?;
        }
    }
    let path = folder.join(pair.image());
    saved(&path, both.save(&path))
}
