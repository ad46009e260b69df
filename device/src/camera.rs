//! Cameras: whatever pictures come from, one after another.
//!
//! A [`Camera`] gives the newest picture and drops older ones that nobody asked for. It never waits longer than it
//! is told to, so that a camera that hangs cannot stop the program. One that is lost says so once by an error; it is
//! then dropped and opened anew.

use std::fmt;
use std::time::Duration;

use image::RgbImage;

/// What a camera gave.
#[derive(Debug)]
pub enum Capture {
    /// The newest picture, upright.
    Picture(RgbImage),
    /// Nothing arrived in the time that was allowed; the camera may be slow or may hang.
    Nothing,
    /// There are no more pictures: a folder without `loop` is through, a pipe was closed in good order.
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
}

/// A camera could not be opened, or is lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CameraError {
    /// The camera went away, or what stands for it ended by itself.
    #[error("{camera}: the camera is gone: {reason}")]
    Lost {
        /// The camera's address.
        camera: String,
        /// What was seen of it.
        reason: String,
    },
}
