//! Folders of pictures, decoded in parallel while the network works.

use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use image::RgbImage;
use lcam_models::picture::{PictureError, read_picture};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

/// File name endings that are taken for pictures.
const ENDINGS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];

/// A folder that holds no usable picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// A folder cannot be read.
    #[error("cannot read the folder {path}: {problem}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        problem: std::io::Error,
    },
    /// There is no picture.
    #[error("{path} holds no picture (JPEG, PNG, WebP, BMP or GIF); give a folder of photographs")]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// No picture could be decoded.
    #[error("none of the {count} pictures can be read; the first: {first}")]
    NothingReadable {
        /// How many there are.
        count: usize,
        /// What is wrong with the first.
        first: String,
    },
}

impl DatasetError {
    /// Reports that none of `count` pictures could be read, with what is wrong with the first.
    #[must_use]
    pub fn nothing_readable(count: usize, unreadable: &[PictureError]) -> Self {
        let first = unreadable.first().map(ToString::to_string).unwrap_or_default();
        Self::NothingReadable { count, first }
    }
}

/// Lists the pictures in a folder and the folders below it, sorted by path. A single file is taken as it is.
///
/// # Errors
/// Returns [`DatasetError`] when a folder cannot be read or there is no picture.
pub fn list_pictures(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let mut found = Vec::new();
    collect(folder, &mut found)?;
    found.sort();
    if found.is_empty() {
        return Err(DatasetError::Empty { path: folder.to_owned() });
    }
    Ok(found)
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), DatasetError> {
    let io = |problem| DatasetError::Io { path: path.to_owned(), problem };
    if std::fs::metadata(path).map_err(io)?.is_file() {
        found.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        // Links are not followed: a loop of them would never end.
        let kind = entry.file_type().map_err(io)?;
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
        if kind.is_dir() {
            collect(&path, found)?;
        } else if ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)) {
            found.push(path);
        }
    }
    Ok(())
}

/// Takes `limit` of the paths, evenly from all of them.
#[must_use]
pub fn spread(paths: Vec<PathBuf>, limit: Option<usize>) -> Vec<PathBuf> {
    let limit = limit.unwrap_or(paths.len()).min(paths.len());
    (0..limit).map(|index| paths[index * paths.len() / limit].clone()).collect()
}

/// Decodes pictures in parallel and hands them to `consume` in order, `batch` at a time; `prepare` runs on
/// the decoding threads. At most two batches wait, so memory does not depend on the number of pictures.
///
/// # Errors
/// Returns the first error of `consume`.
pub fn for_each_batch<T: Send, E: Send>(
    paths: &[PathBuf],
    batch: usize,
    prepare: impl Fn(usize, RgbImage) -> T + Send + Sync,
    mut consume: impl FnMut(Vec<Result<T, PictureError>>) -> Result<(), E>,
) -> Result<(), E> {
    let indexed: Vec<(usize, &PathBuf)> = paths.iter().enumerate().collect();
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(1);
        scope.spawn(move || {
            for part in indexed.chunks(batch.max(1)) {
                let decoded: Vec<_> = part
                    .par_iter()
                    .map(|&(index, path)| read_picture(path).map(|picture| prepare(index, picture)))
                    .collect();
                // The consumer has given up.
                if sender.send(decoded).is_err() {
                    return;
                }
            }
        });
        receiver.iter().try_for_each(&mut consume)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_pictures_in_order_and_reports_bad_ones_in_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["b/2.png", "1.PNG"] {
            RgbImage::new(2, 2)
                .save_with_format(folder.path().join(name), image::ImageFormat::Png)
                .unwrap();
        }
        std::fs::write(folder.path().join("3.jpg"), b"no picture").unwrap();
        std::fs::write(folder.path().join("notes.txt"), b"").unwrap();
        let paths = list_pictures(folder.path()).unwrap();
        assert_eq!(paths.len(), 3);
        let mut seen = Vec::new();
        for_each_batch(
            &paths,
            2,
            |index, _| index,
            |batch| {
                seen.extend(batch.into_iter().map(Result::ok));
                Ok::<_, ()>(())
            },
        )
        .unwrap();
        assert_eq!(seen, [Some(0), None, Some(2)]);
    }

    #[test]
    fn takes_pictures_evenly() {
        let paths: Vec<PathBuf> = (0..10).map(|index| index.to_string().into()).collect();
        let taken = |limit| spread(paths.clone(), limit).len();
        assert_eq!((taken(Some(3)), taken(Some(64)), taken(None)), (3, 10, 10));
        assert_eq!(spread(paths.clone(), Some(3))[2], paths[6]);
    }

    #[test]
    fn refuses_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(list_pictures(folder.path()), Err(DatasetError::Empty { .. })));
        assert!(matches!(list_pictures(Path::new("no/such")), Err(DatasetError::Io { .. })));
    }
}
