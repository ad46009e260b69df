//! Files that appear whole or not at all.
//!
//! A file is written under a temporary name beside its destination, flushed to the disk, and renamed.
//! A reader never sees half of it and a failed write leaves what was there before.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file could not be written; what stood at its path before still stands there.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {problem}; check that the folder exists, is writable and has room")]
pub struct WriteError {
    /// The destination.
    pub path: PathBuf,
    /// What the operating system said.
    pub problem: io::Error,
}

/// Writes `path` through `fill`, so that it appears whole or not at all.
///
/// # Errors
/// Returns [`WriteError`] when the folder cannot be written or `fill` fails.
pub fn write_with(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WriteError> {
    replace(path, fill).map_err(|problem| WriteError { path: path.to_owned(), problem })
}

/// Writes `contents` to `path`, so that it appears whole or not at all.
///
/// # Errors
/// Returns [`WriteError`] when the folder cannot be written.
pub fn write(path: &Path, contents: &[u8]) -> Result<(), WriteError> {
    write_with(path, |file| file.write_all(contents))
}

fn replace(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new().prefix(".lcam-").tempfile_in(folder)?;
    let mut buffered = BufWriter::new(file.as_file_mut());
    fill(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    file.as_file().sync_all()?;
    make_readable(file.path())?;
    file.persist(path).map_err(|failure| failure.error)?;
    Ok(())
}

/// Gives the file the permissions of an ordinary new file; temporary files start as private.
#[cfg(unix)]
fn make_readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_old_file_when_the_new_one_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        write(&path, b"old").unwrap();
        let failed = write_with(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(io::Error::other("disk full"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn names_the_path_it_cannot_write() {
        let error = write(Path::new("/nonexistent-folder/x.png"), b"x").unwrap_err();
        assert!(error.to_string().contains("/nonexistent-folder/x.png"), "{error}");
    }
}
