//! Digests of what was measured with: two reports with the same ones speak of the same model and pictures.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// SHA-256 digests, in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Digests {
    /// The model file's, where it was read from one.
    pub model: Option<String>,
    /// The pictures': the digest of one line a picture, its digest and its path within the folder (as `sha256sum`
    /// prints them); what cannot be read has none.
    pub pictures: String,
}

impl Digests {
    /// Digests the pictures of a folder, in their order.
    pub(super) fn of_pictures(folder: &Path, paths: &[PathBuf]) -> Self {
        let line = |path: &PathBuf| {
            let within = path.strip_prefix(folder).unwrap_or(path);
            format!("{}  {}\n", of_file(path).unwrap_or_default(), within.display())
        };
        let lines: Vec<String> = paths.par_iter().map(line).collect();
        Self { model: None, pictures: hexadecimal(&Sha256::digest(lines.concat())) }
    }

    /// Adds the digest of the model's file.
    ///
    /// # Errors
    /// Returns the operating system's error when the file cannot be read.
    pub fn with_model(mut self, path: &Path) -> io::Result<Self> {
        self.model = Some(of_file(path)?);
        Ok(self)
    }
}

fn of_file(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hexadecimal(&hasher.finalize()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_contents_count() {
        let folder = tempfile::tempdir().unwrap();
        let digest = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Digests::of_pictures(folder.path(), &[path]).pictures
        };
        // `printf abc > a; sha256sum a | sha256sum`, GNU coreutils 9.1.
        let known = "60eb527cba799edb93b30ea27633d72a197c248cd40cf6f7647c93f98b8f9a32";
        assert_eq!(digest("a", "abc"), known);
        assert_ne!(digest("a", "abc"), digest("a", "abd"));
        assert_ne!(digest("a", "abc"), digest("b", "abc"));
    }
}
