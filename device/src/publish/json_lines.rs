//! JSON lines: one observation a line, in a file of bounded size or on standard output.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{PATIENCE, PublishError, Publisher, encode};
use crate::observation::Observation;

/// A file of lines. One that is full takes the name of the old one, `PATH.1`, and a new one is begun; one that was
/// moved away or removed is made anew. A line that did not fit the disk is taken back whole.
#[derive(Debug)]
pub(super) struct FileLines {
    address: String,
    path: PathBuf,
    max_bytes: u64,
    opened: Option<Opened>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    bytes: u64,
}

impl FileLines {
    pub(super) fn open(
        address: String,
        path: PathBuf,
        max_bytes: u64,
    ) -> Result<Self, PublishError> {
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(PublishError::NoFile { address, path });
        }
        let opened = match Opened::at(&path) {
            Ok(opened) => Some(opened),
            Err(problem) => return Err(PublishError::File { address, path, problem }),
        };
        Ok(Self { address, path, max_bytes, opened })
    }

    fn add(&mut self, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let mut opened = match self.opened.take() {
            Some(opened) if opened.is_at(&self.path) => opened,
            _ => Opened::at(&self.path)?,
        };
        if opened.bytes > 0 && opened.bytes.saturating_add(length) > self.max_bytes {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            fs::rename(&self.path, old)?;
            opened = Opened::at(&self.path)?;
        }
        if let Err(problem) = opened.file.write_all(line) {
            let _ = opened.file.set_len(opened.bytes);
            return Err(problem);
        }
        opened.bytes += length;
        self.opened = Some(opened);
        Ok(())
    }
}

impl Publisher for FileLines {
    fn publish(&mut self, observation: &Observation) -> Result<(), PublishError> {
        let mut line = encode(observation);
        line.push(b'\n');
        self.add(&line).map_err(|problem| PublishError::File {
            address: self.address.clone(),
            path: self.path.clone(),
            problem,
        })
    }

    fn description(&self) -> String {
        let megabytes = self.max_bytes / 1_000_000;
        format!("JSON lines in {}, {megabytes} MB and as much in .1", self.path.display())
    }
}

impl Opened {
    fn at(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut bytes = file.metadata()?.len();
        // A line that a power cut tore would spoil the one that follows.
        if bytes > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                bytes += 1;
            }
        }
        Ok(Self { file, bytes })
    }

    /// Tells whether the path still names this file.
    fn is_at(&self, path: &Path) -> bool {
        let identity = |found: fs::Metadata| (found.dev(), found.ino());
        let named = fs::metadata(path).map(identity).ok();
        named.is_some() && named == self.file.metadata().map(identity).ok()
    }
}

/// Lines on a pipe, a terminal or a socket that others read.
#[derive(Debug)]
pub(super) struct OutputLines {
    address: String,
    output: OwnedFd,
    /// What is left of a line that was begun: it is finished before another begins.
    rest: Vec<u8>,
}

/// What can be written without waiting once a pipe takes anything: `PIPE_BUF` of Linux, see pipe(7).
const ATOMIC_BYTES: usize = 4096;

impl OutputLines {
    pub(super) fn standard(address: String) -> Result<Self, PublishError> {
        match io::stdout().as_fd().try_clone_to_owned() {
            Ok(output) => Ok(Self::new(address, output)),
            Err(problem) => Err(PublishError::Output { address, problem }),
        }
    }

    fn new(address: String, output: OwnedFd) -> Self {
        Self { address, output, rest: Vec::new() }
    }

    /// Writes what is left, as far as the reader takes it in time; tells whether all is written.
    fn flush(&mut self, deadline: Instant) -> io::Result<bool> {
        while !self.rest.is_empty() {
            let patience = deadline.saturating_duration_since(Instant::now());
            let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
            let mut polled = [PollFd::new(&self.output, PollFlags::OUT)];
            match poll(&mut polled, Some(&patience)) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let chunk = &self.rest[..self.rest.len().min(ATOMIC_BYTES)];
            match rustix::io::write(&self.output, chunk) {
                Ok(written) => drop(self.rest.drain(..written)),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Writes a line; of one that the reader did not begin to take nothing is kept. Tells whether all is written.
    fn add(&mut self, observation: &Observation) -> io::Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        if !self.flush(deadline)? {
            return Ok(false);
        }
        self.rest = encode(observation);
        self.rest.push(b'\n');
        let length = self.rest.len();
        let is_written = self.flush(deadline)?;
        if self.rest.len() == length {
            self.rest.clear();
        }
        Ok(is_written)
    }
}

impl Publisher for OutputLines {
    fn publish(&mut self, observation: &Observation) -> Result<(), PublishError> {
        match self.add(observation) {
            Ok(true) => Ok(()),
            Ok(false) => Err(PublishError::Stalled { address: self.address.clone() }),
            Err(problem) => Err(PublishError::Output { address: self.address.clone(), problem }),
        }
    }

    fn description(&self) -> String {
        "JSON lines on standard output".to_owned()
    }
}

#[cfg(test)]
mod tests;
