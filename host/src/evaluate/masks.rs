//! Masks: pictures that are bright where the object is.

use std::path::{Path, PathBuf};

use image::RgbImage;
use lcam_models::picture::{PictureError, read_picture};
use lcam_models::preprocess::{ImageSize, Preprocess};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

/// From which value on a pixel of a mask belongs to the object.
const INSIDE: u8 = 128;

/// Where the masks of a folder of pictures are: the same path below another folder, ending in `png`.
#[derive(Clone, Debug)]
pub struct MaskFolder {
    images: PathBuf,
    masks: PathBuf,
}

/// A mask that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaskError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] PictureError),
    /// Nothing of an object is in what the network sees.
    #[error("the mask {path} marks nothing that the network sees")]
    Empty {
        /// The mask.
        path: PathBuf,
    },
    /// It is not of its picture's size.
    #[error("the mask {path} has {}x{} pixels, but its picture has {}x{}", .found.width, .found.height, .expected.width, .expected.height)]
    Size {
        /// The mask.
        path: PathBuf,
        /// Its size.
        found: ImageSize,
        /// The picture's.
        expected: ImageSize,
    },
}

impl MaskFolder {
    /// Takes the masks of `images` from `masks`; as a rule a folder named `masks` beside them.
    #[must_use]
    pub fn new(images: &Path, masks: Option<&Path>) -> Self {
        let masks = masks.map_or_else(|| images.with_file_name("masks"), Path::to_owned);
        Self { images: images.to_owned(), masks }
    }

    /// Reads no more pictures than it takes to find one with a usable mask. Those that cannot be read count for nothing.
    ///
    /// # Errors
    /// Returns what is wrong with the first mask when none can be used.
    pub(crate) fn check(
        &self,
        paths: &[PathBuf],
        preprocess: &Preprocess,
    ) -> Result<(), MaskError> {
        let view = |path: &PathBuf| {
            let picture = read_picture(path).ok()?;
            Some(self.view(path, &picture, preprocess).map(|_| ()))
        };
        if paths.par_iter().any(|path| view(path).is_some_and(|found| found.is_ok())) {
            return Ok(());
        }
        paths.iter().find_map(view).unwrap_or(Ok(()))
    }

    /// Gives what the network sees of a picture's mask, row by row.
    pub(crate) fn view(
        &self,
        path: &Path,
        picture: &RgbImage,
        preprocess: &Preprocess,
    ) -> Result<Vec<bool>, MaskError> {
        let below = path.strip_prefix(&self.images).unwrap_or(path);
        let path = self.masks.join(below).with_extension("png");
        let mask = read_picture(&path)?;
        let (found, expected) = (ImageSize::of(&mask), ImageSize::of(picture));
        if found != expected {
            return Err(MaskError::Size { path, found, expected });
        }
        let inside: Vec<bool> =
            preprocess.view(&mask).pixels().map(|pixel| pixel.0[0] >= INSIDE).collect();
        if inside.contains(&true) { Ok(inside) } else { Err(MaskError::Empty { path }) }
    }
}
