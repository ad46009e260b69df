//! Cameras: whatever pictures come from, one after another.
//!
//! A [`Camera`] gives the newest picture and drops older ones that nobody asked for. It never waits longer than it
//! is told to, so that a camera that hangs cannot stop the program. One that is lost says so once by an error; it is
//! then dropped and opened anew.
//!
//! [`open`] opens what a [`CameraAddress`] names: a device of V4L2, a camera on the board's connector by the vendor's
//! tool, a pipe, files, or the built-in test picture.

mod address;
pub mod bars;
mod csi;
mod files;
mod mjpeg;
mod named;
mod options;
mod pace;
mod pixels;
mod stream;
mod upright;
mod v4l2;

use std::fmt;
use std::io;
use std::time::Duration;

use image::RgbImage;
use lcam_models::picture::PictureError;

pub use address::{AddressError, AddressProblem, CameraAddress, FORMS};
pub use mjpeg::with_huffman_tables;
pub use options::{CameraOptions, Flip, OptionProblem, RawFormat, Rotation};
pub use pixels::PixelFormat;
pub use v4l2::{FoundCamera, OfferedFormat, OfferedSizes, list};

/// What a camera gave.
#[derive(Debug)]
pub enum Capture {
    /// The newest picture, upright.
    Picture(RgbImage),
    /// Nothing arrived in the time that was allowed; the camera may be slow or may hang.
    Nothing,
    /// There are no more pictures: a folder without `repeat` is through, a pipe was closed in good order.
    End,
}

/// A source of pictures.
pub trait Camera: fmt::Debug + Send {
    /// Waits at most `patience` for a picture that was not given before, and gives the newest.
    ///
    /// # Errors
    /// Returns [`CameraError`] when the camera is lost or sends what cannot be read. It must be opened anew.
    fn capture(&mut self, patience: Duration) -> Result<Capture, CameraError>;

    /// Tells in one line what was opened: name, size, format, rate as the camera gives them, not as they were asked
    /// for.
    fn description(&self) -> String;

    /// Tells of pictures that came since it was opened and were left out because they are damaged.
    fn unreadable(&self) -> Unreadable {
        Unreadable::default()
    }
}

/// Pictures that were left out because they are damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// How many.
    pub count: u64,
    /// What is wrong with the last of them, in one line; empty if there is none.
    pub last: String,
}

/// A camera could not be opened, or is lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CameraError {
    /// The system does not let it be opened or started.
    #[error("{camera}: it cannot be opened ({source}){}", remedy(source))]
    Open {
        /// The camera's address.
        camera: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file of a single picture cannot be read.
    #[error("{0}")]
    Picture(#[from] PictureError),
    /// What was opened gives no pictures.
    #[error("{camera}: {problem}")]
    NotACamera {
        /// The camera's address.
        camera: String,
        /// What it is instead, and what to do.
        problem: String,
    },
    /// None of its formats can be used.
    #[error(
        "{camera}: none of its formats can be used: it offers {}; needed is YUYV, UYVY, NV12, YU12 or MJPG{}",
        offered.join(", "), if *is_bare_sensor { "; for the raw sensor of a CSI camera give csi://0" } else { "" }
    )]
    Format {
        /// The camera's address.
        camera: String,
        /// The codes and names of what it offers.
        offered: Vec<String>,
        /// Whether it offers nothing but what a bare sensor sees.
        is_bare_sensor: bool,
    },
    /// The camera did not take the format it had offered.
    #[error("{camera}: it was asked for {asked} and gives {given}; try another size")]
    Refused {
        /// The camera's address.
        camera: String,
        /// What was asked for.
        asked: String,
        /// What was given instead.
        given: String,
    },
    /// No program that reads CSI cameras is installed.
    #[error(
        "{camera}: none of {tools} is on the PATH; on a Raspberry Pi install the package rpicam-apps, on a Jetson \
         nvidia-l4t-gstreamer and gstreamer1.0-tools"
    )]
    NoTool {
        /// The camera's address.
        camera: String,
        /// The programs that were looked for.
        tools: String,
    },
    /// An option cannot be had.
    #[error("{camera}: {problem}")]
    Option {
        /// The camera's address.
        camera: String,
        /// What is wrong with it.
        problem: OptionProblem,
    },
    /// Picture after picture is damaged.
    #[error("{camera}: {count} pictures in a row cannot be read; the last: {last}")]
    Damaged {
        /// The camera's address.
        camera: String,
        /// How many in a row.
        count: u64,
        /// What is wrong with the last of them.
        last: String,
    },
    /// The camera went away, or what stands for it ended by itself.
    #[error("{camera}: the camera is gone: {reason}")]
    Lost {
        /// The camera's address.
        camera: String,
        /// What was seen of it.
        reason: String,
    },
    /// What was read ended as it should not, and cannot be opened anew.
    #[error("{camera}: {reason}")]
    Ended {
        /// The camera's address.
        camera: String,
        /// What was seen of it.
        reason: String,
    },
    /// The camera is there but sends nothing.
    #[error("{camera}: no picture came for {} seconds; it is opened anew", silence.as_secs())]
    Frozen {
        /// The camera.
        camera: String,
        /// For how long nothing came.
        silence: Duration,
    },
}

/// Says what to do about a refusal of the system.
fn remedy(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("; is it plugged in, or mistyped? Cameras are {FORMS}"),
        io::ErrorKind::PermissionDenied => {
            "; add the user to the group video (usermod -aG video USER) and log in again".to_owned()
        }
        io::ErrorKind::ResourceBusy => "; another program uses it: end that first".to_owned(),
        _ => String::new(),
    }
}

/// Opens a camera. Nothing is waited for: the first picture may be late.
///
/// # Errors
/// Returns [`CameraError`] when it is not there, is no camera or cannot give what is asked.
pub fn open(
    address: &CameraAddress,
    options: &CameraOptions,
) -> Result<Box<dyn Camera>, CameraError> {
    let refuse = |problem| CameraError::Option { camera: address.to_string(), problem };
    options.check().map_err(refuse)?;
    if options.raw.is_some() && !matches!(address, CameraAddress::Pipe(_) | CameraAddress::Stdin) {
        return Err(refuse(OptionProblem::Raw));
    }
    if options.repeat && !matches!(address, CameraAddress::File(_)) {
        return Err(refuse(OptionProblem::Repeat));
    }
    let camera: Box<dyn Camera> = match address {
        CameraAddress::Video(device) => Box::new(v4l2::Video::open(device, options)?),
        CameraAddress::Csi(number) => {
            let search_path = std::env::var_os("PATH").unwrap_or_default();
            Box::new(csi::open(*number, options, &search_path)?)
        }
        CameraAddress::File(path) => files::open(path, options)?,
        CameraAddress::Pipe(command) => Box::new(stream::Stream::command(command, options)?),
        CameraAddress::Stdin => Box::new(stream::Stream::stdin(options)?),
        CameraAddress::Bars => Box::new(bars::Bars::open(options)?),
    };
    Ok(upright::Upright::wrap(camera, options))
}

/// How many damaged pictures in a row are no accident: a second of a usual camera.
const MANY: u64 = 30;

/// Counts damaged pictures, in all and in a row.
#[derive(Debug, Default)]
struct Damage {
    total: Unreadable,
    in_a_row: u64,
}

impl Damage {
    /// Notes a damaged picture.
    fn add(&mut self, camera: &str, problem: String) -> Result<(), CameraError> {
        self.note(problem);
        if self.in_a_row < MANY {
            return Ok(());
        }
        Err(self.error(camera))
    }

    /// Notes a damaged picture where any number of them is borne.
    fn note(&mut self, problem: String) {
        self.in_a_row += 1;
        self.total.count += 1;
        self.total.last = problem;
    }

    fn error(&self, camera: &str) -> CameraError {
        let (count, last) = (self.in_a_row, self.total.last.clone());
        CameraError::Damaged { camera: camera.to_owned(), count, last }
    }

    /// Notes that a picture was sound.
    fn mend(&mut self) {
        self.in_a_row = 0;
    }

    /// Gives the sum with the JPEGs that broke off in a stream.
    fn with_broken(&self, broken: u64) -> Unreadable {
        let mut sum = self.total.clone();
        sum.count += broken;
        if sum.last.is_empty() && broken > 0 {
            "a JPEG broke off".clone_into(&mut sum.last);
        }
        sum
    }
}

#[cfg(test)]
mod tests;
