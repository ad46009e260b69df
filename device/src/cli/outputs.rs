//! Where results are written: never over an input, never over one another.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// The destinations of one run.
#[derive(Debug)]
pub(super) struct Outputs {
    place: Place,
    /// The inputs, with links resolved.
    inputs: HashSet<PathBuf>,
    taken: HashSet<PathBuf>,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Folder(PathBuf),
}

impl Outputs {
    /// Takes `output` as one file if it ends in `.png`, else as a folder, which is made if it is missing.
    pub(super) fn new(output: &Path, inputs: &[&Path], pictures: usize) -> Result<Self> {
        let is_file = output.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
        let place = if is_file && !output.is_dir() {
            ensure!(
                pictures == 1,
                "--output {}: one file cannot take {pictures} pictures; give a folder",
                output.display()
            );
            Place::File(output.to_owned())
        } else {
            fs::create_dir_all(output).with_context(|| {
                format!("cannot make folder {}; give --output a writable one", output.display())
            })?;
            Place::Folder(output.to_owned())
        };
        let inputs = inputs.iter().filter_map(|input| fs::canonicalize(input).ok()).collect();
        Ok(Self { place, inputs, taken: HashSet::new() })
    }

    /// Gives the path for a picture's result: in a folder, the picture's name with `.png`, and a number
    /// where two pictures share a name.
    pub(super) fn path_for(&mut self, picture: &Path) -> Result<PathBuf> {
        let path = match &self.place {
            Place::File(file) => file.clone(),
            Place::Folder(folder) => {
                let stem = picture.file_stem().unwrap_or(picture.as_os_str()).to_os_string();
                let numbered = (1_usize..).map(|number| {
                    let mut name = stem.clone();
                    if number > 1 {
                        name.push(format!("-{number}"));
                    }
                    name.push(".png");
                    folder.join(name)
                });
                let free = numbered.into_iter().find(|path| !self.taken.contains(path));
                free.context("no name is left")?
            }
        };
        self.claim(&path)?;
        Ok(path)
    }

    /// Reserves a path, unless it is an input.
    pub(super) fn claim(&mut self, path: &Path) -> Result<()> {
        if fs::canonicalize(path).is_ok_and(|path| self.inputs.contains(&path)) {
            bail!("{} is an input and is not written over; give another --output", path.display());
        }
        ensure!(self.taken.insert(path.to_owned()), "{} would be written twice", path.display());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_results_after_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let mut outputs = Outputs::new(folder.path(), &[], 3).unwrap();
        let mut name = |picture: &str| {
            let path = outputs.path_for(Path::new(picture)).unwrap();
            path.file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(name("a/cat.jpg"), "cat.png");
        assert_eq!(name("b/cat.png"), "cat-2.png");
        assert_eq!(name("dog.tar.gz"), "dog.tar.png");
    }

    #[test]
    fn spares_its_inputs() {
        let folder = tempfile::tempdir().unwrap();
        let picture = folder.path().join("cat.png");
        fs::write(&picture, b"x").unwrap();
        let mut outputs = Outputs::new(folder.path(), &[&picture], 1).unwrap();
        let error = outputs.path_for(&picture).unwrap_err().to_string();
        assert!(error.contains("is an input"), "{error}");
    }
}
