//! A folder of raw class maps, for those who want to look at them with other programs.

use std::path::{Path, PathBuf};

use lcam_models::map::ClassMap;
use lcam_models::{atomic_file, npy};

use super::{EvaluateError, Method};

/// A folder with one folder a method, and in it one array a picture: `grad-cam/00001.npy`, `[h, w]` f32, for the
/// class that the network names.
#[derive(Clone, Debug)]
pub struct MapFolder {
    folder: PathBuf,
    images: PathBuf,
}

impl MapFolder {
    /// Takes a folder for the maps of the pictures in `images`.
    ///
    /// # Errors
    /// Returns [`EvaluateError::Occupied`] when it exists and is not empty.
    pub fn new(folder: &Path, images: &Path) -> Result<Self, EvaluateError> {
        let occupied = match std::fs::read_dir(folder) {
            Ok(mut entries) => entries.next().is_some(),
            Err(_) => folder.exists(),
        };
        if occupied {
            return Err(EvaluateError::Occupied { path: folder.to_owned() });
        }
        Ok(Self { folder: folder.to_owned(), images: images.to_owned() })
    }

    /// Writes one map.
    pub(super) fn write(
        &self,
        method: Method,
        picture: &Path,
        map: &ClassMap,
    ) -> Result<(), EvaluateError> {
        // A single file given as the folder of pictures keeps its name.
        let below =
            picture.strip_prefix(&self.images).ok().filter(|path| path.file_name().is_some());
        let below = below.map_or_else(|| picture.file_name().map(Path::new), Some);
        let path = self.folder.join(method.to_string()).join(below.unwrap_or(picture));
        let path = path.with_extension("npy");
        let failed = |problem| EvaluateError::Maps { path: path.clone(), problem };
        // The folder was empty: another picture has been here.
        if path.exists() {
            return Err(EvaluateError::SameMap { path });
        }
        std::fs::create_dir_all(path.parent().unwrap_or(&self.folder)).map_err(failed)?;
        Ok(atomic_file::write(&path, &npy::encode(map.size(), map.values()))?)
    }
}
