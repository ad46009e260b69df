//! The recorder: events and snapshots as files, below a bound.
//!
//! An event is a group of files in one folder, named alike: `00000042_2026-01-31T23-59-59.123Z_tabby` and
//!
//! | file | what it is |
//! | --- | --- |
//! | `NAME.png` | the screen, as it was shown |
//! | `NAME.jpg` | the picture, upright, as the camera gave it (JPEG, quality 92) |
//! | `NAME.npy` | the explanation map: `f32` of shape (rows, columns), 0 to 1 |
//! | `NAME.json` | what was seen and what the files mean: an [`EventDescription`] |
//!
//! # What is promised
//! - **An event is there once its JSON is**: it is written last and removed first, each file appears whole or not at
//!   all, and what a power cut left of others is removed at the start.
//! - **The disk is spared**: all events together stay below [`RecorderOptions::max_bytes`], the oldest make room; and
//!   nothing is written that would leave less than [`RecorderOptions::min_free_bytes`] to others. Old events are
//!   *not* given up for what others wrote: then recording stops with an error until there is room.
//! - Other files in the folder are neither counted nor touched. One recorder at a time uses a folder.
//!
//! The order of events is that of their numbers, which never repeat while an event is kept: clocks jump.

mod folder;
mod name;
mod rule;

use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::time::Instant;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use lcam_models::map::ExplanationMap;
use lcam_models::npy;
use lcam_models::preprocess::CropBox;
use serde::Serialize;

use crate::frame::Frame;
use crate::observation::Observation;

use folder::Folder;
pub use name::utc_time;
use rule::Watch;
pub use rule::{Rule, Trigger};

/// The quality of pictures as JPEG, of 100: no artefact is seen, at a sixth of a PNG's size.
const JPEG_QUALITY: u8 = 92;
/// The version of [`EventDescription`].
const FORMAT: u32 = 1;

/// How much is recorded, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct RecorderOptions {
    /// The most bytes that all events take on the disk together.
    pub max_bytes: u64,
    /// The bytes on the disk that are left free, whoever uses the rest.
    pub min_free_bytes: u64,
    /// What is recorded without being asked for; `None` keeps snapshots alone.
    pub rule: Option<Rule>,
}

impl Default for RecorderOptions {
    /// One gigabyte, about 1,500 events of 640x480 pixels, and 200 MB free, as a system needs to be updated.
    fn default() -> Self {
        Self { max_bytes: 1_000_000_000, min_free_bytes: 200_000_000, rule: None }
    }
}

/// Why an event is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The rule asked for it.
    Detection,
    /// A person asked for it.
    Snapshot,
}

/// All that is recorded of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Why.
    pub reason: Reason,
    /// What was seen.
    pub observation: &'a Observation,
    /// The screen with the overlay.
    pub screen: &'a Frame,
    /// The picture, upright.
    pub picture: &'a RgbImage,
    /// The part of the picture that the network saw, and that the map covers.
    pub crop: CropBox,
    /// The map of the explained class.
    pub map: &'a ExplanationMap,
    /// The model's file name and digest, as [`crate::status::Status::model`] has it.
    pub model: &'a str,
}

/// The content of an event's JSON file. Names of files are relative to it.
#[derive(Debug, Serialize)]
pub struct EventDescription<'a> {
    /// The version of this format: 1. Fields may be added to it; others would make it 2.
    pub format: u32,
    /// The program that wrote it, with its version.
    pub tool: &'static str,
    /// Why it was recorded: `detection` or `snapshot`.
    pub reason: Reason,
    /// When the frame arrived: UTC by RFC 3339, to the millisecond. A device without a clock may be wrong by years.
    pub time_utc: String,
    /// The model's file name and digest.
    pub model: &'a str,
    /// What was seen. Confidences are 0 to 1, latencies milliseconds, `time` seconds since 1970 in UTC, `evidence_at`
    /// shares of the crop from the left and from the top.
    pub observation: &'a Observation,
    /// The screen's file.
    pub screen: String,
    /// Its width and height in pixels.
    pub screen_size: [u32; 2],
    /// The picture's file.
    pub picture: String,
    /// Its width and height in pixels.
    pub picture_size: [u32; 2],
    /// The part of the picture that the network saw, in pixels: left, top, width, height. The map covers it from edge
    /// to edge.
    pub crop: [f64; 4],
    /// The explanation map's file.
    pub map: String,
    /// Its rows and columns.
    pub map_size: [usize; 2],
}

/// An event could not be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The folder cannot be used.
    #[error("cannot record in {folder}: {problem}; give a writable folder")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        problem: io::Error,
    },
    /// Another recorder uses the folder.
    #[error("cannot record in {folder}: another program records there; give another folder")]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The disk is too full.
    #[error(
        "nothing is recorded in {folder}: the disk has {free} bytes free, and {needed} with those that stay free are needed; remove files"
    )]
    DiskFull {
        /// The folder.
        folder: PathBuf,
        /// The bytes that are free.
        free: u64,
        /// The event's bytes and those that must stay free.
        needed: u64,
    },
    /// One event is larger than all may be.
    #[error(
        "nothing is recorded in {folder}: an event has {needed} bytes and all may have {max_bytes}; allow more"
    )]
    TooLarge {
        /// The folder.
        folder: PathBuf,
        /// The event's bytes.
        needed: u64,
        /// The most that is allowed.
        max_bytes: u64,
    },
    /// A file cannot be written; nothing of its event is kept.
    #[error("cannot record {file}: {problem}")]
    Write {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        problem: io::Error,
    },
    /// An old event cannot be removed to make room.
    #[error("cannot remove {file} to make room: {problem}; check that the disk is writable")]
    Remove {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        problem: io::Error,
    },
    /// A picture cannot be encoded.
    #[error("cannot encode an event's pictures: {problem}")]
    Encode {
        /// What the encoder said.
        problem: String,
    },
}

/// Records events in a folder.
#[derive(Debug)]
pub struct Recorder {
    folder: Folder,
    watch: Option<Watch>,
}

impl Recorder {
    /// Opens a folder, makes it if it is missing, and removes what a power cut left half written.
    ///
    /// # Errors
    /// Returns [`RecordError`] when the folder cannot be read or written, or another recorder uses it.
    pub fn new(folder: &Path, options: RecorderOptions) -> Result<Self, RecordError> {
        let RecorderOptions { max_bytes, min_free_bytes, rule } = options;
        let folder = Folder::open(folder, max_bytes, min_free_bytes)?;
        Ok(Self { folder, watch: rule.map(Watch::new) })
    }

    /// Tells whether the rule asks for an event now. To be asked once for each observation, in their order.
    pub fn is_due(&mut self, observation: &Observation, now: Instant) -> bool {
        self.watch.as_mut().is_some_and(|watch| watch.is_due(observation, now))
    }

    /// Writes an event; gives the path of its JSON file. It takes as long as the disk does.
    ///
    /// # Errors
    /// Returns [`RecordError`]; nothing is left of the event then. One that the rule asked for is due again after a
    /// pause, if what was detected is still there.
    pub fn record(&mut self, event: &Event<'_>, now: Instant) -> Result<PathBuf, RecordError> {
        let written = self.write(event);
        if let (Some(watch), Reason::Detection) = (&mut self.watch, event.reason) {
            watch.note(event.observation, written.is_ok(), now);
        }
        written
    }

    /// Counts the events that are kept.
    #[must_use]
    pub fn events(&self) -> usize {
        self.folder.events()
    }

    /// Gives the bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.folder.bytes()
    }

    fn write(&mut self, event: &Event<'_>) -> Result<PathBuf, RecordError> {
        let observation = event.observation;
        let named = observation.detected.as_ref().unwrap_or(&observation.explained);
        let name = self.folder.next_name(observation.time, &named.label);
        let encode = |problem: io::Error| RecordError::Encode { problem: problem.to_string() };
        let json = serde_json::to_vec_pretty(&describe(event, &name))
            .map_err(|problem| encode(problem.into()))?;
        let files = [
            ("png", event.screen.to_png().map_err(encode)?),
            ("jpg", to_jpeg(event.picture).map_err(encode)?),
            ("npy", npy::encode(event.map.size(), event.map.values())),
            ("json", json),
        ];
        self.folder.write(&name, &files)
    }
}

fn describe<'a>(event: &Event<'a>, name: &str) -> EventDescription<'a> {
    let file = |extension: &str| format!("{name}.{extension}");
    let screen = event.screen.as_image();
    let CropBox { left, top, width, height } = event.crop;
    EventDescription {
        format: FORMAT,
        tool: concat!("lcam-device ", env!("CARGO_PKG_VERSION")),
        reason: event.reason,
        time_utc: utc_time(event.observation.time),
        model: event.model,
        observation: event.observation,
        screen: file("png"),
        screen_size: [screen.width(), screen.height()],
        picture: file("jpg"),
        picture_size: [event.picture.width(), event.picture.height()],
        crop: [left, top, width, height],
        map: file("npy"),
        map_size: [event.map.size().height, event.map.size().width],
    }
}

fn to_jpeg(picture: &RgbImage) -> io::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .write_image(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .map_err(io::Error::other)?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests;
