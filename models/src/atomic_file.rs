//! Files that appear whole or not at all.
//!
//! A file is written under a temporary name beside its destination, flushed to the disk, and renamed.
//! A reader never sees half of it and a failed write leaves what was there before. A link to a file is followed;
//! devices, pipes and folders are refused.

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

/// How temporary files' names begin.
const PREFIX: &str = ".lcam-";

/// Removes from a folder the temporary files of programs that were killed. The folder must be one program's alone.
pub fn remove_temporary(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_temporary =
        |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
    // One that cannot be removed does no more harm than before.
    entries.filter(is_temporary).for_each(|entry| drop(fs::remove_file(entry.path())));
}

fn replace(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let path = &destination(path)?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = tempfile::Builder::new().prefix(PREFIX).tempfile_in(folder);
    let mut file = temporary.map_err(|error| without_path(&error))?;
    let mut buffered = BufWriter::new(file.as_file_mut());
    fill(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    file.as_file().sync_all()?;
    make_readable(file.path())?;
    file.persist(path).map_err(|failure| failure.error)?;
    Ok(())
}

/// Gives what the system said, without the temporary file's name, which is none of the user's.
fn without_path(error: &io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "there is no such folder"),
        kind => kind.into(),
    }
}

/// Follows a link to a file, and refuses what cannot be replaced by a file.
fn destination(path: &Path) -> io::Result<PathBuf> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => fs::canonicalize(path),
        Ok(found) if found.is_dir() => {
            Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"))
        }
        Ok(_) => Err(io::Error::other("it is a device or a pipe")),
        Err(_) if fs::symlink_metadata(path).is_ok() => {
            Err(io::Error::other("it is a link to nothing"))
        }
        Err(_) => Ok(path.to_owned()),
    }
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

    #[cfg(unix)]
    #[test]
    fn follows_links_and_spares_devices() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, b"old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let device = folder.path().join("device");
        let _listening = std::os::unix::net::UnixListener::bind(&device).unwrap();
        let error = write(&device, b"x").unwrap_err().to_string();
        assert!(error.contains("it is a device or a pipe"), "{error}");
    }

    #[test]
    fn names_the_path_it_cannot_write() {
        let error = write(Path::new("/nonexistent-folder/x.png"), b"x").unwrap_err();
        let expected = "cannot write /nonexistent-folder/x.png: there is no such folder;";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
