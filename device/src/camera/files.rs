//! Pictures from files: one, a folder of them, or a recording of MJPEG.
//!
//! A recording plays as a camera does: whoever comes late misses frames. Pictures do not: each is given, and whoever
//! comes late gets the next one later.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use image::RgbImage;
use lcam_models::picture::read_picture;
use lcam_models::preprocess::ImageSize;

use super::mjpeg::{self, Splitter};
use super::pace::{Clock, Gaps};
use super::{Camera, CameraAddress, CameraError, CameraOptions, Capture, Damage, Unreadable};
use crate::isolate;

/// Pictures a second, of files that are pictures.
const PICTURE_RATE: f32 = 1.0;
/// Pictures a second of a recording, which itself does not tell: what most cameras give.
const RECORDING_RATE: f32 = 30.0;
/// How many frames of a recording are skipped at once: more would only keep the reader longer.
const MAX_SKIPPED: u64 = 120;
const PICTURE_ENDINGS: [&str; 6] = ["bmp", "gif", "jpeg", "jpg", "png", "webp"];
const RECORDING_ENDINGS: [&str; 2] = ["mjpeg", "mjpg"];

/// Opens whatever stands there.
pub(super) fn open(path: &Path, options: &CameraOptions) -> Result<Box<dyn Camera>, CameraError> {
    let address = CameraAddress::File(path.to_owned()).to_string();
    let kind = fs::metadata(path)
        .map_err(|source| CameraError::Open { camera: address.clone(), source })?;
    if kind.is_dir() {
        return Ok(Box::new(Pictures::folder(path, address, options)?));
    }
    if !kind.is_file() {
        let problem = format!("it is not a file; for a named pipe give 'pipe:cat {address}'");
        return Err(CameraError::NotACamera { camera: address, problem });
    }
    if ends_with(path, &RECORDING_ENDINGS) {
        return Ok(Box::new(Recording::open(path, address, options)?));
    }
    Ok(Box::new(Pictures::single(path, address, options)?))
}

fn ends_with(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().unwrap_or_default();
    endings.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// A picture, or a folder of them in the order of their names.
#[derive(Debug)]
struct Pictures {
    address: String,
    /// What its description says besides the address and the pace.
    about: String,
    paths: Vec<PathBuf>,
    /// The picture, where there is only one.
    single: Option<RgbImage>,
    next: usize,
    /// How many were given since the first of them.
    given: usize,
    gaps: Gaps,
    interval: Duration,
    repeat: bool,
    damage: Damage,
}

impl Pictures {
    fn single(path: &Path, address: String, options: &CameraOptions) -> Result<Self, CameraError> {
        let picture = isolate::catch(|| read_picture(path)).map_err(|panic| {
            let problem = format!("the decoder broke off ({panic})");
            CameraError::NotACamera { camera: address.clone(), problem }
        })??;
        let about = format!("picture, {}x{}", picture.width(), picture.height());
        let paths = vec![path.to_owned()];
        Ok(Self { single: Some(picture), ..Self::new(address, about, paths, options) })
    }

    /// Lists a folder. Folders within, hidden files and files of other kinds are left out.
    fn folder(path: &Path, address: String, options: &CameraOptions) -> Result<Self, CameraError> {
        let list = || -> io::Result<Vec<PathBuf>> {
            fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
        };
        let mut files =
            list().map_err(|source| CameraError::Open { camera: address.clone(), source })?;
        let is_hidden = |path: &Path| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
        };
        files.retain(|path| !is_hidden(path) && path.is_file());
        files.sort();
        let all = files.len();
        files.retain(|path| ends_with(path, &PICTURE_ENDINGS));
        if files.is_empty() {
            let problem = format!(
                "no picture is in this folder, and {all} other files; pictures end in {}",
                PICTURE_ENDINGS.join(", ")
            );
            return Err(CameraError::NotACamera { camera: address, problem });
        }
        let others = match all - files.len() {
            0 => String::new(),
            count => format!(" ({count} other files left out)"),
        };
        let about = format!("folder of {} pictures{others}", files.len());
        Ok(Self::new(address, about, files, options))
    }

    fn new(address: String, about: String, paths: Vec<PathBuf>, options: &CameraOptions) -> Self {
        let interval = options.interval(PICTURE_RATE);
        Self {
            address,
            about,
            paths,
            single: None,
            next: 0,
            given: 0,
            gaps: Gaps::new(interval),
            interval,
            repeat: options.repeat,
            damage: Damage::default(),
        }
    }

    fn read(&self, path: &Path) -> Result<RgbImage, String> {
        if let Some(picture) = &self.single {
            return Ok(picture.clone());
        }
        match isolate::catch(|| read_picture(path)) {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(panic) => Err(format!("{}: the decoder broke off ({panic})", path.display())),
        }
    }

    /// Gives the next path, from the first again after the last; `None` at the end.
    fn next_path(&mut self) -> Result<Option<PathBuf>, CameraError> {
        if self.next == self.paths.len() {
            if self.given == 0 {
                return Err(self.damage.error(&self.address));
            }
            if !self.repeat {
                return Ok(None);
            }
            (self.next, self.given) = (0, 0);
        }
        let path = self.paths.get(self.next).cloned();
        self.next += 1;
        Ok(path)
    }
}

impl Camera for Pictures {
    fn capture(&mut self, patience: Duration) -> Result<Capture, CameraError> {
        let deadline = Instant::now() + patience;
        let is_through = self.next == self.paths.len() && !self.repeat;
        if !is_through && !self.gaps.wait(patience) {
            return Ok(Capture::Nothing);
        }
        loop {
            let Some(path) = self.next_path()? else { return Ok(Capture::End) };
            match self.read(&path) {
                Ok(picture) => {
                    self.gaps.given();
                    self.given += 1;
                    self.damage.mend();
                    return Ok(Capture::Picture(picture));
                }
                Err(problem) => self.damage.note(problem),
            }
            if Instant::now() >= deadline {
                return Ok(Capture::Nothing);
            }
        }
    }

    fn description(&self) -> String {
        let pace = match (self.paths.len(), self.repeat) {
            (1, false) => ", once".to_owned(),
            (_, repeat) => {
                let seconds = self.interval.as_secs_f64();
                let again = if repeat { ", again and again" } else { "" };
                format!(", one every {seconds:.3} s{again}")
            }
        };
        format!("{}: {}{pace}", self.address, self.about)
    }

    fn unreadable(&self) -> Unreadable {
        self.damage.total.clone()
    }
}

/// A file of JPEGs, one after another.
#[derive(Debug)]
struct Recording {
    address: String,
    file: File,
    splitter: Splitter,
    chunk: Vec<u8>,
    frame: Vec<u8>,
    /// The number of the next frame by the clock.
    next: u64,
    /// Frames since the file began.
    frames: u64,
    clock: Clock,
    repeat: bool,
    damage: Damage,
    size: Option<ImageSize>,
}

impl Recording {
    fn open(path: &Path, address: String, options: &CameraOptions) -> Result<Self, CameraError> {
        let file = File::open(path)
            .map_err(|source| CameraError::Open { camera: address.clone(), source })?;
        Ok(Self {
            address,
            file,
            splitter: Splitter::default(),
            chunk: vec![0; 65_536],
            frame: Vec::new(),
            next: 0,
            frames: 0,
            clock: Clock::new(options.interval(RECORDING_RATE)),
            repeat: options.repeat,
            damage: Damage::default(),
            size: None,
        })
    }

    /// Reads the next frame; gives whether there is one.
    fn read_frame(&mut self) -> Result<bool, CameraError> {
        let lost = |error: io::Error| CameraError::Lost {
            camera: self.address.clone(),
            reason: error.to_string(),
        };
        while !self.splitter.next_frame(&mut self.frame) {
            let count = self.file.read(&mut self.chunk).map_err(lost)?;
            self.splitter.feed(&self.chunk[..count]);
            if count > 0 {
                continue;
            }
            self.splitter.end();
            if self.splitter.next_frame(&mut self.frame) {
                break;
            }
            if self.frames == 0 {
                let problem = "no whole JPEG is in it".to_owned();
                return Err(CameraError::NotACamera { camera: self.address.clone(), problem });
            }
            if !self.repeat {
                return Ok(false);
            }
            self.file.rewind().map_err(lost)?;
            self.frames = 0;
        }
        self.frames += 1;
        Ok(true)
    }
}

impl Camera for Recording {
    fn capture(&mut self, patience: Duration) -> Result<Capture, CameraError> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(number) = self.clock.wait(left) else { return Ok(Capture::Nothing) };
            let late = number.saturating_sub(self.next).min(MAX_SKIPPED);
            let mut is_new = false;
            for _ in 0..=late {
                // At the end the last frame is the newest.
                if !self.read_frame()? {
                    break;
                }
                is_new = true;
            }
            if !is_new {
                return Ok(Capture::End);
            }
            self.next = number + 1;
            match mjpeg::decode(&self.frame) {
                Ok(picture) => {
                    self.damage.mend();
                    self.size = Some(ImageSize::of(&picture));
                    return Ok(Capture::Picture(picture));
                }
                Err(problem) => self.damage.add(&self.address, problem)?,
            }
        }
    }

    fn description(&self) -> String {
        let size =
            self.size.map_or(String::new(), |size| format!(", {}x{}", size.width, size.height));
        let again = if self.repeat { ", again and again" } else { "" };
        let rate = self.clock.rate();
        format!("{}: MJPEG recording{size} at {rate} pictures/s{again}", self.address)
    }

    fn unreadable(&self) -> Unreadable {
        self.damage.with_broken(self.splitter.broken())
    }
}

#[cfg(test)]
mod tests;
