//! Makes pictures whose evidence is known: object cut-outs on backgrounds, with masks.
//!
//! An explanation can be held against where the object was put (the idea of BAM, Yang and Kim 2019). Objects
//! and backgrounds are shared out between a training and a held-out part before anything is put together, and
//! pictures that look alike go to the same part, so that nothing held out was seen in training.
//!
//! ```text
//! OUTPUT/manifest.csv   settings.json   train/{images,masks}/00000.png ...   held-out/{images,masks}/...
//! ```
//!
//! For the two-object test there are also pictures of two objects of different groups, each in its own half:
//!
//! ```text
//! OUTPUT/pairs.csv   train/pairs/{images,first,second,masks-first,masks-second}/00000.png ...   held-out/...
//! ```
//!
//! `first` and `second` show one of the objects alone at the same place, with its mask.
//!
//! The same settings and pictures give the same files. At most one background is in memory at a time.

mod pairs;
mod paste;
mod plan;
mod sources;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use indicatif::ProgressBar;
use lcam_models::atomic_file::{self, WriteError};
use lcam_models::picture::{PictureError, read_cutout, read_picture};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

use crate::dataset::{DatasetError, list_pictures};
use crate::progress;
pub use pairs::PAIRS;
use pairs::Pair;
use plan::Composite;
use sources::{Rejected, Split};

/// What to make.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// How many composites, both parts together.
    pub count: usize,
    /// Their sides in pixels.
    pub size: u32,
    /// What all random choices depend on.
    pub seed: u64,
    /// The share of objects, backgrounds and composites for training, above 0 and at most 1.
    pub split: f64,
    /// How many pictures of two objects, both parts together; none as a rule.
    #[serde(default, skip_serializing_if = "is_none")]
    pub pairs: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

impl Default for Settings {
    fn default() -> Self {
        Self { count: 3200, size: 256, seed: 1, split: 0.75, pairs: 0 }
    }
}

/// The two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// For training.
    Train,
    /// For evaluation.
    HeldOut,
}

impl Part {
    /// Names the part's folder.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::HeldOut => "held-out",
        }
    }
}

/// What was made.
#[derive(Debug)]
pub struct Composed {
    /// How many composites, objects and backgrounds each part has.
    pub parts: BTreeMap<Part, Counts>,
    /// The pictures that could not be used.
    pub left_out: Vec<Rejected>,
}

/// How many of what a part has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Composites.
    pub composites: usize,
    /// Pictures of two objects.
    pub pairs: usize,
    /// Object cut-outs to choose from.
    pub objects: usize,
    /// Backgrounds to choose from.
    pub backgrounds: usize,
}

/// Composites that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// A folder holds no pictures.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Too few usable pictures.
    #[error(
        "{found} different {what} can be used, but {needed} are needed; {}",
        match .first { Some(first) => format!("of those left out the first is {first}"), None => "give more pictures".to_owned() }
    )]
    TooFew {
        /// Objects or backgrounds.
        what: &'static str,
        /// How many there are; those that look alike count once.
        found: usize,
        /// How many it takes.
        needed: usize,
        /// The first picture that was left out, and why.
        first: Option<String>,
    },
    /// The output folder holds something.
    #[error("{path} already exists and is not empty; choose another --output or remove it")]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The output cannot be written.
    #[error("cannot write {path}: {problem}; check that the folder is writable and has room")]
    Output {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        problem: String,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A picture that was readable a moment ago is not any more.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

/// Puts objects on backgrounds. The output folder appears whole or not at all.
///
/// # Errors
/// Returns [`ComposeError`] when there are too few usable pictures or the output cannot be written.
pub fn compose(
    objects: &[PathBuf],
    backgrounds: &[PathBuf],
    output: &Path,
    settings: &Settings,
) -> Result<Composed, ComposeError> {
    check_free(output)?;
    let mut left_out = Vec::new();
    let objects = sources::objects(&list(objects)?, &mut left_out);
    let objects = Split::new("objects", objects, settings, &left_out)?;
    let backgrounds = sources::backgrounds(&list(backgrounds)?, &mut left_out);
    let backgrounds = Split::new("backgrounds", backgrounds, settings, &left_out)?;
    let composites = plan::composites(settings, &objects, &backgrounds);
    let pairs = pairs::plan(settings, &objects, &backgrounds)?;
    let whole = |problem: std::io::Error| failed(output, &problem);
    let parent = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(whole)?;
    let folder = tempfile::Builder::new().prefix(".lcam-").tempdir_in(parent).map_err(whole)?;
    write_pictures(folder.path(), &composites, settings.size)?;
    write_manifest(folder.path(), "manifest.csv", &composites)?;
    pairs::write(folder.path(), &pairs, settings.size)?;
    let text = serde_json::to_string_pretty(settings).unwrap_or_default();
    atomic_file::write(&folder.path().join("settings.json"), text.as_bytes())?;
    make_readable(folder.path()).map_err(whole)?;
    if output.exists() {
        fs::remove_dir(output).map_err(whole)?;
    }
    fs::rename(folder.keep(), output).map_err(whole)?;
    Ok(Composed { parts: counts(&composites, &pairs, &objects, &backgrounds), left_out })
}

fn list(folders: &[PathBuf]) -> Result<Vec<PathBuf>, DatasetError> {
    let listed: Vec<_> =
        folders.iter().map(|folder| list_pictures(folder)).collect::<Result<_, _>>()?;
    let mut paths = listed.concat();
    paths.sort();
    paths.dedup();
    Ok(paths)
}

fn check_free(output: &Path) -> Result<(), ComposeError> {
    let occupied = match fs::read_dir(output) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => output.exists(),
    };
    if occupied { Err(ComposeError::Occupied { path: output.to_owned() }) } else { Ok(()) }
}

fn counts(
    composites: &[Composite],
    pairs: &[Pair],
    objects: &Split,
    backgrounds: &Split,
) -> BTreeMap<Part, Counts> {
    let mut parts = BTreeMap::<Part, Counts>::new();
    for composite in composites {
        parts.entry(composite.part).or_default().composites += 1;
    }
    for pair in pairs {
        parts.entry(pair.part()).or_default().pairs += 1;
    }
    for (&part, counts) in &mut parts {
        counts.objects = objects.pictures(part);
        counts.backgrounds = backgrounds.pictures(part);
    }
    parts
}

/// Writes pictures and masks, background by background: each is decoded once.
fn write_pictures(folder: &Path, composites: &[Composite], size: u32) -> Result<(), ComposeError> {
    for part in [Part::Train, Part::HeldOut] {
        for kind in ["images", "masks"] {
            let path = folder.join(part.folder()).join(kind);
            if composites.iter().any(|composite| composite.part == part) {
                fs::create_dir_all(&path).map_err(|problem| failed(&path, &problem))?;
            }
        }
    }
    let mut by_background = BTreeMap::<&Path, Vec<&Composite>>::new();
    for composite in composites {
        by_background.entry(&composite.background).or_default().push(composite);
    }
    let progress = progress::bar(composites.len(), "composing");
    for (path, composites) in by_background {
        let background = read_picture(path)?;
        composites.par_iter().try_for_each(|composite| {
            write_pair(folder, composite, &background, size)?;
            progress.inc(1);
            Ok::<_, ComposeError>(())
        })?;
    }
    ProgressBar::finish_and_clear(&progress);
    Ok(())
}

fn write_pair(
    folder: &Path,
    composite: &Composite,
    background: &RgbImage,
    size: u32,
) -> Result<(), ComposeError> {
    let object = read_cutout(&composite.object)?;
    let canvas = paste::canvas(background, composite, size);
    let (picture, mask) = paste::paste(canvas, &object, composite);
    let path = folder.join(&composite.image);
    saved(&path, picture.save(&path))?;
    let path = folder.join(&composite.mask);
    saved(&path, mask.save(&path))
}

fn saved(path: &Path, result: Result<(), image::ImageError>) -> Result<(), ComposeError> {
    result
        .map_err(|error| ComposeError::Output { path: path.to_owned(), problem: error.to_string() })
}

fn write_manifest(folder: &Path, name: &str, rows: &[impl Serialize]) -> Result<(), ComposeError> {
    let path = folder.join(name);
    let failed = |problem: String| ComposeError::Output { path: path.clone(), problem };
    let mut writer = csv::Writer::from_path(&path).map_err(|error| failed(error.to_string()))?;
    for row in rows {
        writer.serialize(row).map_err(|error| failed(error.to_string()))?;
    }
    writer.flush().map_err(|error| failed(error.to_string()))
}

fn failed(path: &Path, problem: &std::io::Error) -> ComposeError {
    ComposeError::Output { path: path.to_owned(), problem: problem.to_string() }
}

/// Gives the folder the permissions of an ordinary new one; temporary folders start as private.
#[cfg(unix)]
fn make_readable(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_readable(_folder: &Path) -> std::io::Result<()> {
    Ok(())
}
