//! Screens as picture files: one that is replaced, or a numbered series of which the last are kept.
//!
//! A file is written under another name and then renamed, so that a reader never sees half a picture. After a power
//! cut the last one may be missing: these files are looked at, not archived.
//!
//! The names of a series belong to it: it goes on after the highest number that it finds, and removes the lowest
//! numbers as it adds, so that a folder does not fill up over restarts either. A folder that holds more of such names
//! than are to be kept is refused: what is in it may be somebody's pictures.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use embedded_graphics::geometry::Size;

use super::{FileAddress, Panel, PanelError, check_size};
use crate::frame::Frame;

/// Where pictures go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// One file.
    One(PathBuf),
    /// A file for each screen.
    Series {
        folder: PathBuf,
        /// What stands before the number.
        before: String,
        /// The number's least width, filled with zeros; `None` for `%d`.
        digits: Option<u8>,
        /// What stands behind the number.
        behind: String,
        /// How many are kept.
        keep: usize,
    },
}

impl Pattern {
    /// Reads a path that ends in `.png`, perhaps with one `%d` or `%0Nd` in its file name. `None` of others.
    pub(super) fn read(path: &Path, keep: usize) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let is_png = path.extension()?.eq_ignore_ascii_case("png");
        let folder = path.parent()?;
        if !is_png || folder.to_str()?.contains('%') {
            return None;
        }
        let Some((before, rest)) = name.split_once('%') else {
            return Some(Self::One(path.to_owned()));
        };
        let (width, behind) = rest.split_once('d')?;
        let digits = match width.strip_prefix('0') {
            None if width.is_empty() => None,
            Some(width) => Some(width.parse().ok().filter(|digits| (1..=18).contains(digits))?),
            None => return None,
        };
        if behind.contains('%') {
            return None;
        }
        let (before, behind) = (before.to_owned(), behind.to_owned());
        Some(Self::Series { folder: folder.to_owned(), before, digits, behind, keep })
    }

    fn folder(&self) -> &Path {
        let folder = match self {
            Self::One(path) => path.parent(),
            Self::Series { folder, .. } => Some(folder.as_path()),
        };
        folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Gives the path of a number; of one file it is the same for all.
    fn path(&self, number: u64) -> PathBuf {
        match self {
            Self::One(path) => path.clone(),
            Self::Series { folder, before, digits, behind, .. } => {
                let width = usize::from(digits.unwrap_or(0));
                folder.join(format!("{before}{number:0width$}{behind}"))
            }
        }
    }

    /// Gives the number that a file name of the series has.
    fn number(&self, name: &str) -> Option<u64> {
        let Self::Series { before, behind, .. } = self else { return None };
        let number =
            name.strip_prefix(before.as_str())?.strip_suffix(behind.as_str())?.parse().ok()?;
        (self.path(number).file_name()? == name).then_some(number)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(path) => write!(f, "{}", path.display()),
            Self::Series { folder, before, digits, behind, .. } => {
                let number = digits.map_or("%d".to_owned(), |digits| format!("%0{digits}d"));
                let name = format!("{before}{number}{behind}");
                write!(f, "{}", folder.join(name).display())
            }
        }
    }
}

/// A display that is a file.
#[derive(Debug)]
struct FilePanel {
    name: String,
    pattern: Pattern,
    size: Size,
    next: u64,
    /// The numbers of the pictures that are there, oldest first.
    kept: VecDeque<u64>,
}

/// Makes the folder when it is missing, and finds where the series goes on.
pub(super) fn open(name: String, address: &FileAddress) -> Result<Box<dyn Panel>, PanelError> {
    let pattern = address.pattern.clone();
    let folder = pattern.folder();
    let failed = |doing| {
        let (name, folder) = (name.clone(), folder.to_owned());
        move |error: io::Error| PanelError::device(&name, doing, &folder, error)
    };
    fs::create_dir_all(folder).map_err(failed("make the folder"))?;
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("read the folder"))? {
        let file = entry.map_err(failed("read the folder"))?.file_name();
        numbers.extend(file.to_str().and_then(|file| pattern.number(file)));
    }
    numbers.sort_unstable();
    if let Pattern::Series { keep, .. } = pattern
        && numbers.len() > keep
    {
        let reason = format!(
            "{} holds {} pictures of this pattern and keep={keep} would remove some; give another folder or keep more",
            folder.display(),
            numbers.len()
        );
        return Err(PanelError::Unusable { panel: name, reason });
    }
    let next = numbers.last().map_or(0, |last| last.saturating_add(1));
    Ok(Box::new(FilePanel { name, pattern, size: address.size, next, kept: numbers.into() }))
}

impl FilePanel {
    fn write(&mut self, png: &[u8]) -> Result<(), PanelError> {
        let path = self.pattern.path(self.next);
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        let written = fs::write(&partial, png).and_then(|()| fs::rename(&partial, &path));
        if let Err(error) = written {
            // What is there of it is of no use, and the disk may be full.
            let _ = fs::remove_file(&partial);
            return Err(PanelError::device(&self.name, "write", &path, error));
        }
        if let Pattern::Series { keep, .. } = self.pattern {
            self.kept.push_back(self.next);
            self.next = self.next.saturating_add(1);
            self.remove_oldest(keep)?;
        }
        Ok(())
    }

    fn remove_oldest(&mut self, keep: usize) -> Result<(), PanelError> {
        while self.kept.len() > keep {
            let Some(oldest) = self.kept.pop_front() else { break };
            let path = self.pattern.path(oldest);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(PanelError::device(&self.name, "remove", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Panel for FilePanel {
    fn size(&self) -> Size {
        self.size
    }

    fn keeps_screens(&self) -> bool {
        matches!(self.pattern, Pattern::Series { .. })
    }

    fn show(&mut self, screen: &Frame) -> Result<(), PanelError> {
        check_size(&self.name, self.size, screen)?;
        let path = || self.pattern.path(self.next);
        let encoded = screen.to_png();
        let png =
            encoded.map_err(|error| PanelError::device(&self.name, "encode", &path(), error))?;
        self.write(&png)
    }

    fn description(&self) -> String {
        let Size { width, height } = self.size;
        match self.pattern {
            Pattern::One(_) => format!("{}: {width}x{height}, replaced by each screen", self.name),
            Pattern::Series { keep, .. } => {
                format!("{}: {width}x{height}, the last {keep} are kept", self.name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::panel::PanelAddress;

    use super::*;

    fn panel(folder: &Path, rest: &str) -> Result<Box<dyn Panel>, PanelError> {
        let address: PanelAddress = format!("file://{}/{rest}", folder.display()).parse().unwrap();
        crate::panel::open(&address)
    }

    fn names(folder: &Path) -> Vec<String> {
        let files = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_series_keeps_the_last_ones_over_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a/b");
        let screen = Frame::new(Size::new(8, 4));
        for expected in [["000003.png", "000004.png"], ["000008.png", "000009.png"]] {
            let mut panel = panel(&out, "%06d.png?size=8x4&keep=2").unwrap();
            for _ in 0..5 {
                panel.show(&screen).unwrap();
            }
            assert_eq!(names(&out), expected);
        }
        let picture = image::open(out.join("000009.png")).unwrap();
        assert_eq!((picture.width(), picture.height()), (8, 4));
    }

    #[test]
    fn a_folder_of_somebodys_pictures_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for number in 1..=3 {
            fs::write(folder.path().join(format!("{number}.png")), "mine").unwrap();
        }
        fs::write(folder.path().join("01.png"), "not of this pattern").unwrap();
        let error = panel(folder.path(), "%d.png?keep=2").unwrap_err().to_string();
        assert!(error.contains("holds 3 pictures of this pattern"), "{error}");
        assert_eq!(names(folder.path()).len(), 4);
    }

    #[test]
    fn one_file_is_replaced_and_a_failed_write_leaves_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let mut panel = panel(folder.path(), "last.png?size=8x4").unwrap();
        panel.show(&Frame::new(Size::new(8, 4))).unwrap();
        let error = panel.show(&Frame::new(Size::new(4, 8))).unwrap_err().to_string();
        assert!(error.ends_with("takes 8 x 4 and was given 4 x 8"), "{error}");
        assert_eq!(names(folder.path()), ["last.png"]);
        fs::remove_dir_all(folder.path()).unwrap();
        let error = panel.show(&Frame::new(Size::new(8, 4))).unwrap_err().to_string();
        assert!(error.contains("cannot write"), "{error}");
    }
}
