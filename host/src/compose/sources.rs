//! The pictures that composites are made of: which can be used, which look alike, and who gets them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::{RgbImage, RgbaImage};
use lcam_models::picture::{PictureError, read_cutout, read_picture};
use lcam_models::preprocess::{CropBox, ImageSize, resample};
use rand::seq::SliceRandom;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::{ComposeError, Part, Settings};
use crate::progress;
use crate::random::generator;

/// An alpha value from which on a pixel belongs to the object.
pub(super) const OPAQUE: u8 = 128;

/// The smallest side of a usable picture or object in pixels.
const SMALLEST: u32 = 16;

/// How many of the 64 bits of two fingerprints may differ for the pictures to count as the same one. Eight
/// cut-outs and their copies at 60 % of the size: at most 2 between copies, at least 12 between others.
const ALIKE: u32 = 5;

/// A picture that can be used.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// The part that is used: a background as a whole, the box around an object's opaque pixels.
    pub(super) area: Area,
    fingerprint: u64,
}

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) size: ImageSize,
}

/// A picture that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] PictureError),
    /// An object without a transparent background has no outline.
    #[error("{path} has no transparent background to tell the object by")]
    NoOutline {
        /// The file.
        path: PathBuf,
    },
    /// It is too small.
    #[error("{path} has only {} x {} usable pixels; {SMALLEST} x {SMALLEST} are needed", .size.width, .size.height)]
    Small {
        /// The file.
        path: PathBuf,
        /// What can be used of it.
        size: ImageSize,
    },
}

/// Sources shared out between the parts: in each, groups of pictures that look alike.
#[derive(Debug)]
pub(super) struct Split(BTreeMap<Part, Vec<Vec<Source>>>);

impl Split {
    /// Shares out whole groups, at random.
    pub(super) fn new(
        what: &'static str,
        sources: Vec<Source>,
        settings: &Settings,
        left_out: &[Rejected],
    ) -> Result<Self, ComposeError> {
        let mut groups = group_alike(sources);
        let needed = if settings.split < 1.0 { 2 } else { 1 };
        if groups.len() < needed {
            let first = left_out.first().map(ToString::to_string);
            return Err(ComposeError::TooFew { what, found: groups.len(), needed, first });
        }
        groups.shuffle(&mut generator(settings.seed, 0, what.len() as u64));
        let train = share(groups.len(), settings.split);
        let held_out = groups.split_off(train);
        Ok(Self(BTreeMap::from([(Part::Train, groups), (Part::HeldOut, held_out)])))
    }

    /// Gives the groups of a part.
    pub(super) fn groups(&self, part: Part) -> &[Vec<Source>] {
        self.0.get(&part).map_or(&[], Vec::as_slice)
    }

    /// Counts the pictures of a part.
    pub(super) fn pictures(&self, part: Part) -> usize {
        self.groups(part).iter().map(Vec::len).sum()
    }
}

/// Gives the training's share of `count`, rounded; short of everything, each part gets at least one.
pub(super) fn share(count: usize, split: f64) -> usize {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count lies between 0 and the count"
    )]
    let train = (count as f64 * split).round() as usize;
    if split < 1.0 && count > 1 { train.clamp(1, count - 1) } else { train.clamp(1, count) }
}

/// Reads object cut-outs.
pub(super) fn objects(paths: &[PathBuf], left_out: &mut Vec<Rejected>) -> Vec<Source> {
    examine(paths, "reading objects", left_out, |path| {
        let cutout = read_cutout(path)?;
        let no_outline = || Rejected::NoOutline { path: path.to_owned() };
        if cutout.pixels().all(|pixel| pixel.0[3] >= OPAQUE) {
            return Err(no_outline());
        }
        let area = opaque_area(&cutout).ok_or_else(no_outline)?;
        let Area { left, top, size } = area;
        let grey = RgbImage::from_fn(size.width, size.height, |x, y| {
            let pixel = cutout.get_pixel(left + x, top + y);
            image::Rgb(if pixel.0[3] >= OPAQUE {
                [pixel.0[0], pixel.0[1], pixel.0[2]]
            } else {
                [127; 3]
            })
        });
        source(path, area, &grey)
    })
}

/// Reads backgrounds.
pub(super) fn backgrounds(paths: &[PathBuf], left_out: &mut Vec<Rejected>) -> Vec<Source> {
    examine(paths, "reading backgrounds", left_out, |path| {
        let picture = read_picture(path)?;
        source(path, Area { left: 0, top: 0, size: ImageSize::of(&picture) }, &picture)
    })
}

fn examine(
    paths: &[PathBuf],
    what: &str,
    left_out: &mut Vec<Rejected>,
    read: impl Fn(&Path) -> Result<Source, Rejected> + Sync,
) -> Vec<Source> {
    let progress = progress::bar(paths.len(), what);
    let examined: Vec<_> = paths
        .par_iter()
        .map(|path| {
            let source = read(path);
            progress.inc(1);
            source
        })
        .collect();
    progress.finish_and_clear();
    let mut sources = Vec::new();
    for source in examined {
        match source {
            Ok(source) => sources.push(source),
            Err(rejected) => left_out.push(rejected),
        }
    }
    sources
}

fn source(path: &Path, area: Area, picture: &RgbImage) -> Result<Source, Rejected> {
    if area.size.width < SMALLEST || area.size.height < SMALLEST {
        return Err(Rejected::Small { path: path.to_owned(), size: area.size });
    }
    Ok(Source { path: path.to_owned(), area, fingerprint: fingerprint(picture) })
}

/// Boxes in the opaque pixels, if there are any.
fn opaque_area(cutout: &RgbaImage) -> Option<Area> {
    let opaque = || cutout.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[3] >= OPAQUE);
    let (left, right) = (opaque().map(|p| p.0).min()?, opaque().map(|p| p.0).max()?);
    let (top, bottom) = (opaque().map(|p| p.1).min()?, opaque().map(|p| p.1).max()?);
    let size = ImageSize { width: right - left + 1, height: bottom - top + 1 };
    Some(Area { left, top, size })
}

/// Describes a picture by 64 bits that another size or coding hardly changes: whether brightness falls from
/// each cell of a 9 x 8 grid to its right neighbour (difference hash, Krawetz 2013), and by more than the noise
/// that even areas have.
fn fingerprint(picture: &RgbImage) -> u64 {
    const NOISE: u32 = 12;
    let whole = CropBox::whole(ImageSize::of(picture));
    let small = resample(picture, whole, ImageSize { width: 9, height: 8 });
    let brightness =
        |x, y| small.get_pixel(x, y).0.iter().map(|&value| u32::from(value)).sum::<u32>();
    let cells = (0..64).map(|cell| (cell % 8, cell / 8));
    let falls = cells.map(|(x, y)| brightness(x, y) > brightness(x + 1, y) + NOISE);
    falls.fold(0, |bits, fall| bits << 1 | u64::from(fall))
}

/// Groups pictures that are alike, directly or through others; the order follows the paths.
fn group_alike(sources: Vec<Source>) -> Vec<Vec<Source>> {
    let mut group: Vec<usize> = (0..sources.len()).collect();
    for later in 0..sources.len() {
        for earlier in 0..later {
            if group[later] != group[earlier] && alike(&sources[later], &sources[earlier]) {
                let (from, into) = (group[later], group[earlier]);
                group.iter_mut().filter(|group| **group == from).for_each(|group| *group = into);
            }
        }
    }
    let mut groups = BTreeMap::<usize, Vec<Source>>::new();
    for (source, group) in sources.into_iter().zip(group) {
        groups.entry(group).or_default().push(source);
    }
    groups.into_values().collect()
}

fn alike(one: &Source, other: &Source) -> bool {
    (one.fingerprint ^ other.fingerprint).count_ones() <= ALIKE
        || are_sizes_of_one(&one.path, &other.path)
}

/// Tells whether two files are the same wallpaper cut for different screens: `1920x1080.jpg` beside
/// `1080x1920.jpg`, or `hills-4x3.jpg` beside `hills-16x9.jpg`.
fn are_sizes_of_one(one: &Path, other: &Path) -> bool {
    let name = |path: &Path| without_size(path.file_stem()?.to_str()?).map(str::to_owned);
    one.parent() == other.parent() && name(one).is_some() && name(one) == name(other)
}

/// Cuts off a size at the end of a name, if there is one.
fn without_size(stem: &str) -> Option<&str> {
    let rest = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_suffix(['x', 'X'])?;
    let name = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    (name.len() < rest.len() && rest.len() + 1 < stem.len()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: &str, fingerprint: u64) -> Source {
        let size = ImageSize { width: 20, height: 20 };
        Source { path: path.into(), area: Area { left: 0, top: 0, size }, fingerprint }
    }

    #[test]
    fn pictures_that_look_alike_stay_together() {
        let far = 0x0000_ffff_0000_ffff;
        let sources = vec![
            named("a/1.png", 0),
            named("b/2.png", 0b1_0001),
            named("c/1920x1080.jpg", u64::MAX),
            named("c/1080x1920.jpg", far),
            named("d/1080x1920.jpg", !far),
        ];
        let sizes: Vec<_> = group_alike(sources).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 2, 1]);
    }

    #[test]
    fn a_fingerprint_survives_another_size() {
        let picture = |side: u32| {
            RgbImage::from_fn(side, side, |x, y| {
                let wave = |v: u32| (f64::from(v) / f64::from(side) * 9.0).sin() * 60.0 + 120.0;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "60 to 240"
                )]
                image::Rgb([(wave(x) * 0.5 + wave(y + x) * 0.5) as u8; 3])
            })
        };
        let difference = (fingerprint(&picture(100)) ^ fingerprint(&picture(340))).count_ones();
        assert!(difference <= 3, "{difference}");
    }

    #[test]
    fn tells_names_that_end_in_a_size() {
        for (stem, name) in [
            ("1920x1080", Some("")),
            ("hills-16x9", Some("hills-")),
            ("box", None),
            ("x2", None),
            ("7x", None),
            ("photo12", None),
        ] {
            assert_eq!(without_size(stem), name, "{stem}");
        }
    }

    #[test]
    fn both_parts_get_something() {
        for (count, split, train) in
            [(8, 0.75, 6), (2, 0.9, 1), (2, 0.01, 1), (5, 1.0, 5), (1, 1.0, 1)]
        {
            assert_eq!(share(count, split), train, "{count} {split}");
        }
    }
}
