//! Pictures from a stream of bytes: a child process or standard input.
//!
//! A thread reads all that comes and keeps the newest frame; it is converted when it is asked for. The thread waits
//! for bytes and for the end of the camera alike, so that neither a frozen writer nor an open standard input holds
//! anything up.

mod process;
mod reader;

use std::ffi::OsStr;
use std::io::{self, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use image::RgbImage;
use lcam_models::preprocess::ImageSize;

use super::options::RawFormat;
use super::pixels::RawLayout;
use super::{
    Camera, CameraAddress, CameraError, CameraOptions, Capture, Damage, Unreadable, mjpeg,
};
use process::ChildProcess;
use reader::{Ending, Framer, Slot, Taken};

/// How long a child that has closed its output may take to end before that is told without its exit status.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);

/// What a stream carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// JPEGs, one after another, with anything between them.
    Mjpeg,
    /// Raw frames, close together.
    Raw(RawLayout),
}

/// A stream that is read.
#[derive(Debug)]
pub(super) struct Stream {
    address: String,
    /// What its description says of it besides the address.
    about: String,
    content: Content,
    may_end: bool,
    slot: Arc<Slot>,
    damage: Damage,
    size: Option<ImageSize>,
    child: Option<ChildProcess>,
    /// The reader ends when this is closed.
    stop: Option<PipeWriter>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    /// Reads what a shell command writes.
    pub(super) fn command(command: &str, options: &CameraOptions) -> Result<Self, CameraError> {
        let address = CameraAddress::Pipe(command.to_owned()).to_string();
        let content = Content::new(options.raw, &address)?;
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(command);
        let mut stream = Self::child(address, &mut shell, content)?;
        stream.may_end = true;
        Ok(stream)
    }

    /// Reads standard input.
    pub(super) fn stdin(options: &CameraOptions) -> Result<Self, CameraError> {
        let address = CameraAddress::Stdin.to_string();
        let content = Content::new(options.raw, &address)?;
        let open = |source| CameraError::Open { camera: address.clone(), source };
        let input = io::stdin().as_fd().try_clone_to_owned().map_err(open)?;
        Self::open(address, content, (input, None), None)
    }

    /// Reads what a vendor's tool writes. Such a tool never ends by itself, unless something is wrong.
    pub(super) fn tool(
        address: String,
        tool: &OsStr,
        arguments: &[String],
        layout: RawLayout,
    ) -> Result<Self, CameraError> {
        Self::child(address, Command::new(tool).args(arguments), Content::Raw(layout))
    }

    /// Says more of it in the description.
    pub(super) fn about(mut self, about: String) -> Self {
        self.about = about;
        self
    }

    fn child(
        address: String,
        command: &mut Command,
        content: Content,
    ) -> Result<Self, CameraError> {
        let (child, output, errors) = ChildProcess::spawn(command)
            .map_err(|source| CameraError::Open { camera: address.clone(), source })?;
        let mut stream = Self::open(address, content, (output, Some(errors)), Some(child))?;
        stream.may_end = false;
        Ok(stream)
    }

    /// Starts to read; of the two pipes the first carries the pictures, the second a child's messages.
    fn open(
        address: String,
        content: Content,
        (output, errors): (OwnedFd, Option<OwnedFd>),
        child: Option<ChildProcess>,
    ) -> Result<Self, CameraError> {
        let slot = Arc::new(Slot::default());
        let start = || {
            let (stopped, stop) = io::pipe()?;
            let framer = Framer::new(content, Arc::clone(&slot));
            let reader = reader::Reader::new(framer, output, errors, stopped);
            let thread = std::thread::Builder::new().name("lcam-camera".to_owned());
            Ok((stop, thread.spawn(move || reader.run())?))
        };
        let (stop, reader) =
            start().map_err(|source| CameraError::Open { camera: address.clone(), source })?;
        Ok(Self {
            address,
            about: String::new(),
            content,
            may_end: true,
            slot,
            damage: Damage::default(),
            size: None,
            child,
            stop: Some(stop),
            reader: Some(reader),
        })
    }

    fn decode(&self, frame: &[u8]) -> Result<RgbImage, String> {
        match self.content {
            Content::Mjpeg => mjpeg::decode(frame),
            Content::Raw(layout) => layout.to_rgb(frame).map_err(|short| short.to_string()),
        }
    }

    /// Tells what the end of the stream means.
    fn end(&self, ending: &Ending) -> Result<Capture, CameraError> {
        let mut reason = match ending {
            Ending::Closed { rest: 0 } if self.slot.frames() == 0 => {
                "it ended without a picture".to_owned()
            }
            Ending::Closed { rest: 0 } => String::new(),
            Ending::Closed { rest } => {
                format!("it ended within a frame, {rest} bytes after its start")
            }
            Ending::NoFrames { skipped } => {
                format!("{skipped} bytes without a JPEG came; of raw pictures, give the format")
            }
            Ending::Failed(error) => format!("it cannot be read ({error})"),
        };
        let (went_well, exit) =
            self.child.as_ref().map_or((true, None), |child| child.describe_exit(EXIT_PATIENCE));
        if reason.is_empty() && went_well && self.may_end {
            return Ok(Capture::End);
        }
        for more in exit.into_iter().chain(self.slot.last_words()) {
            let comma = if reason.is_empty() { "" } else { "; " };
            reason += &format!("{comma}{more}");
        }
        if reason.is_empty() {
            "it closed its output".clone_into(&mut reason);
        }
        let camera = self.address.clone();
        // Standard input comes once.
        Err(match self.child {
            Some(_) => CameraError::Lost { camera, reason },
            None => CameraError::Ended { camera, reason },
        })
    }
}

impl Content {
    fn new(raw: Option<RawFormat>, address: &str) -> Result<Self, CameraError> {
        let layout = raw.map(|raw| raw.layout()).transpose();
        let layout = layout
            .map_err(|problem| CameraError::Option { camera: address.to_owned(), problem })?;
        Ok(layout.map_or(Self::Mjpeg, Self::Raw))
    }
}

impl Camera for Stream {
    fn capture(&mut self, patience: Duration) -> Result<Capture, CameraError> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let frame = match self.slot.take(left) {
                Taken::Frame(frame) => frame,
                Taken::Nothing => return Ok(Capture::Nothing),
                Taken::End(ending) => return self.end(&ending),
            };
            let decoded = self.decode(&frame);
            self.slot.give_back(frame);
            match decoded {
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
        let content = match (self.content, self.size) {
            (Content::Raw(layout), _) => {
                let ImageSize { width, height } = layout.size;
                format!("{width}x{height} {}", layout.pixels)
            }
            (Content::Mjpeg, Some(ImageSize { width, height })) => {
                format!("{width}x{height} MJPEG")
            }
            (Content::Mjpeg, None) => "MJPEG".to_owned(),
        };
        let comma = if self.about.is_empty() { "" } else { ", " };
        format!("{}: {}{comma}{content}", self.address, self.about)
    }

    fn unreadable(&self) -> Unreadable {
        self.damage.with_broken(self.slot.broken())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop = None;
        self.child = None;
        if let Some(reader) = self.reader.take() {
            // It has nothing left to say, even if it panicked.
            let _ = reader.join();
        }
    }
}

#[cfg(test)]
mod tests;
