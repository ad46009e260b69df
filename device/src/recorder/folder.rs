//! A folder of events: what is there, and room for more.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lcam_models::atomic_file;
use rustix::fs::{FlockOperation, flock, statvfs};

use super::RecordError;
use super::name::{self, EXTENSIONS};

/// File systems keep files in blocks, mostly of so many bytes: an event of small files takes more than they hold.
const BLOCK_BYTES: u64 = 4096;

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The folder itself, locked while it is used.
    handle: File,
    /// The events, oldest first.
    kept: VecDeque<Kept>,
    bytes: u64,
    next_number: u64,
    max_bytes: u64,
    min_free_bytes: u64,
}

#[derive(Debug)]
struct Kept {
    name: String,
    bytes: u64,
}

impl Folder {
    pub(super) fn open(
        path: &Path,
        max_bytes: u64,
        min_free_bytes: u64,
    ) -> Result<Self, RecordError> {
        let unusable = |problem| RecordError::Folder { folder: path.to_owned(), problem };
        fs::create_dir_all(path).map_err(unusable)?;
        let handle = File::open(path).map_err(unusable)?;
        match flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(RecordError::InUse { folder: path.to_owned() });
            }
            Err(error) => return Err(unusable(error.into())),
        }
        let Found { events, next_number } = scan(path).map_err(unusable)?;
        // Told now and not at the first event, hours later.
        tempfile::Builder::new()
            .prefix(".lcam-")
            .tempfile_in(path)
            .map_err(|error| unusable(io::Error::from(error.kind())))?;
        let mut folder = Self {
            path: path.to_owned(),
            handle,
            bytes: events.iter().map(|kept| kept.bytes).sum(),
            kept: events,
            next_number,
            max_bytes,
            min_free_bytes,
        };
        folder.make_room(0)?;
        Ok(folder)
    }

    pub(super) fn events(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn next_name(&self, time: SystemTime, label: &str) -> String {
        name::name(self.next_number, time, label)
    }

    /// Writes the files of an event in the order that is given; gives the path of the last.
    pub(super) fn write(
        &mut self,
        name: &str,
        files: &[(&str, Vec<u8>)],
    ) -> Result<PathBuf, RecordError> {
        let needed = files.iter().map(|(_, content)| on_disk(content.len())).sum();
        self.make_room(needed)?;
        self.check_disk(needed)?;
        let mut written = PathBuf::new();
        for (place, (extension, content)) in files.iter().enumerate() {
            written = self.path.join(format!("{name}.{extension}"));
            let is_last = place + 1 == files.len();
            let result = if is_last { self.sync() } else { Ok(()) };
            let result = result.and_then(|()| {
                atomic_file::write(&written, content).map_err(|failed| failed.problem)
            });
            if let Err(problem) = result {
                self.discard(name);
                return Err(RecordError::Write { file: written, problem });
            }
        }
        // The event is there: should it get lost in a power cut now, then as a whole.
        let _ = self.sync();
        self.next_number = self.next_number.saturating_add(1);
        self.kept.push_back(Kept { name: name.to_owned(), bytes: needed });
        self.bytes += needed;
        Ok(written)
    }

    /// Removes the oldest events until there is room for so many bytes below the bound.
    fn make_room(&mut self, needed: u64) -> Result<(), RecordError> {
        if needed > self.max_bytes {
            let (folder, max_bytes) = (self.path.clone(), self.max_bytes);
            return Err(RecordError::TooLarge { folder, needed, max_bytes });
        }
        while self.bytes > self.max_bytes - needed {
            let Some(oldest) = self.kept.front() else { break };
            // The JSON first: without it the others are of no event.
            for extension in EXTENSIONS.iter().rev() {
                let file = self.path.join(format!("{}.{extension}", oldest.name));
                match fs::remove_file(&file) {
                    Err(problem) if problem.kind() != io::ErrorKind::NotFound => {
                        return Err(RecordError::Remove { file, problem });
                    }
                    _ => {}
                }
            }
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            self.kept.pop_front();
        }
        Ok(())
    }

    fn check_disk(&self, needed: u64) -> Result<(), RecordError> {
        let disk = statvfs(&self.path).map_err(|error| RecordError::Folder {
            folder: self.path.clone(),
            problem: error.into(),
        })?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let needed = needed.saturating_add(self.min_free_bytes);
        if free < needed {
            return Err(RecordError::DiskFull { folder: self.path.clone(), free, needed });
        }
        Ok(())
    }

    /// Puts the folder's entries on the disk; some file systems cannot, and have no order to keep then.
    fn sync(&self) -> io::Result<()> {
        match self.handle.sync_all() {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            result => result,
        }
    }

    fn discard(&self, name: &str) {
        for extension in EXTENSIONS.iter().rev() {
            let _ = fs::remove_file(self.path.join(format!("{name}.{extension}")));
        }
    }
}

struct Found {
    events: VecDeque<Kept>,
    next_number: u64,
}

/// Finds whole events, oldest first, and removes the files of others.
fn scan(folder: &Path) -> io::Result<Found> {
    let mut groups: BTreeMap<(u64, String), Vec<(&'static str, u64)>> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name();
        let Some(file) = file.to_str() else { continue };
        // Of links and folders with such names nothing is known.
        if !entry.file_type()?.is_file() {
            continue;
        }
        if name::is_unfinished(file) {
            fs::remove_file(entry.path())?;
        } else if let Some((name, number, extension)) = name::parse(file) {
            let bytes = on_disk(usize::try_from(entry.metadata()?.len()).unwrap_or(usize::MAX));
            groups.entry((number, name.to_owned())).or_default().push((extension, bytes));
        }
    }
    let next_number = groups.keys().map(|(number, _)| number.saturating_add(1)).max().unwrap_or(1);
    let mut events = VecDeque::new();
    for ((_, name), files) in groups {
        if files.iter().any(|(extension, _)| *extension == "json") {
            let bytes = files.iter().map(|(_, bytes)| bytes).sum();
            events.push_back(Kept { name, bytes });
            continue;
        }
        for (extension, _) in files {
            fs::remove_file(folder.join(format!("{name}.{extension}")))?;
        }
    }
    Ok(Found { events, next_number })
}

fn on_disk(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX).div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES)
}
