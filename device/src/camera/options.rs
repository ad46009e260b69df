//! What is asked of a camera.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use image::RgbImage;
use lcam_models::preprocess::ImageSize;

use super::named::Named;
use super::pixels::{PixelFormat, RawLayout};

/// What is asked of a camera. What it gives instead is told by its description.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CameraOptions {
    /// The size of the picture before it is turned. Cameras give the nearest they have and the test picture gives
    /// it exactly; pictures of files and pipes keep their own.
    pub size: Option<ImageSize>,
    /// Pictures a second. It also paces files and the test picture; a pipe sets its own pace.
    pub rate: Option<f32>,
    /// How the turned picture is mirrored.
    pub flip: Flip,
    /// How the picture is turned.
    pub rotate: Rotation,
    /// Begins again after the last picture of a file or a folder.
    pub repeat: bool,
    /// What a pipe or standard input carries, if not MJPEG.
    pub raw: Option<RawFormat>,
}

impl CameraOptions {
    /// The rates that can be asked for, in pictures a second.
    pub const RATES: std::ops::RangeInclusive<f32> = 0.001..=10_000.0;
    /// The longest side that can be asked for, in pixels; above those of any camera on a small board.
    pub const MAX_SIDE: u32 = 8192;

    /// Checks what can be checked before anything is opened.
    ///
    /// # Errors
    /// Returns [`OptionProblem`] for a rate or a size that cannot be, or a raw format whose rows are too short.
    pub fn check(&self) -> Result<(), OptionProblem> {
        if let Some(rate) = self.rate
            && !Self::RATES.contains(&rate)
        {
            return Err(OptionProblem::Rate(rate));
        }
        if let Some(size) = self.size {
            check_size(size)?;
        }
        self.raw.map_or(Ok(()), |raw| raw.layout().map(|_| ()))
    }

    /// Gives how long it is from one picture to the next.
    pub(super) fn interval(&self, default_rate: f32) -> Duration {
        // The rate is checked; the maximum only keeps the conversion from panicking.
        Duration::from_secs_f32(1.0 / self.rate.unwrap_or(default_rate).max(*Self::RATES.start()))
    }
}

fn check_size(size: ImageSize) -> Result<(), OptionProblem> {
    let sides = 1..=CameraOptions::MAX_SIDE;
    let fits = sides.contains(&size.width) && sides.contains(&size.height);
    if fits { Ok(()) } else { Err(OptionProblem::Size(size.width, size.height)) }
}

/// An option that cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionProblem {
    /// The rate is beyond [`CameraOptions::RATES`] or not a number.
    #[error("the rate {0} is not between 0.001 and 10000 pictures a second")]
    Rate(f32),
    /// A side is 0 or beyond [`CameraOptions::MAX_SIDE`].
    #[error("the size {0}x{1} is not within 1x1 and {max}x{max}", max = CameraOptions::MAX_SIDE)]
    Size(u32, u32),
    /// The size is not one that this source can give.
    #[error("the size {0}x{1} cannot be had here; {2}")]
    SizeHere(u32, u32, &'static str),
    /// Rows of raw pictures are shorter than their pixels, or absurdly long.
    #[error("rows of {found} bytes do not fit; a picture of this format and width needs {needed} to {max} bytes a row", max = RawFormat::MAX_ROW_BYTES)]
    RowBytes {
        /// What was asked for.
        found: usize,
        /// The fewest.
        needed: usize,
    },
    /// A raw format was given for something that is not raw.
    #[error("a raw format is only for pipe: and standard input")]
    Raw,
    /// Something that does not end was to begin again.
    #[error("only files and folders begin again; leave out --loop")]
    Repeat,
    /// A text is no raw format.
    #[error(
        "{0:?} is no raw format; give FORMAT:WIDTHxHEIGHT or FORMAT:WIDTHxHEIGHT:ROW_BYTES, with the format rgb24, yuyv, uyvy, nv12 or yuv420"
    )]
    RawText(String),
    /// A text is no way to mirror.
    #[error("{0:?} is no way to flip; give none, horizontal, vertical or both")]
    FlipText(String),
    /// A text is no way to turn.
    #[error("{0:?} is no rotation; give 0, 90, 180 or 270 degrees clockwise")]
    RotationText(String),
}

/// How a picture is mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flip {
    /// Not at all.
    #[default]
    None,
    /// Left becomes right.
    Horizontal,
    /// Top becomes bottom.
    Vertical,
    /// Both, which is half a turn.
    Both,
}

impl Named for Flip {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::None, "none"),
        (Self::Horizontal, "horizontal"),
        (Self::Vertical, "vertical"),
        (Self::Both, "both"),
    ];
}

impl fmt::Display for Flip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_name(f)
    }
}

impl FromStr for Flip {
    type Err = OptionProblem;

    fn from_str(text: &str) -> Result<Self, OptionProblem> {
        Self::named(text).ok_or_else(|| OptionProblem::FlipText(text.to_owned()))
    }
}

/// How a picture is turned, clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// Not at all.
    #[default]
    None,
    /// A quarter to the right.
    Quarter,
    /// Half a turn.
    Half,
    /// A quarter to the left.
    ThreeQuarters,
}

impl Named for Rotation {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::None, "0"),
        (Self::Quarter, "90"),
        (Self::Half, "180"),
        (Self::ThreeQuarters, "270"),
    ];
}

impl fmt::Display for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_name(f)
    }
}

impl FromStr for Rotation {
    type Err = OptionProblem;

    fn from_str(text: &str) -> Result<Self, OptionProblem> {
        Self::named(text).ok_or_else(|| OptionProblem::RotationText(text.to_owned()))
    }
}

/// What raw pictures look like: `yuv420:640x480`, or `yuv420:480x270:512` where rows are padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawFormat {
    /// How pixels are stored.
    pub pixels: PixelFormat,
    /// The size of the picture.
    pub size: ImageSize,
    /// The bytes from one row to the next, of the first plane where there are several; without it rows lie close
    /// together. Planes of half the width have rows of half as many bytes, rounded up.
    pub row_bytes: Option<usize>,
}

impl RawFormat {
    /// The longest row: that of the widest picture, padded without need.
    pub const MAX_ROW_BYTES: usize = 65_536;

    /// Converts a frame; bytes behind it are ignored. `None` for a frame that is too short, and for a size or a length
    /// of rows that cannot be.
    #[must_use]
    pub fn to_rgb(&self, frame: &[u8]) -> Option<RgbImage> {
        self.layout().ok()?.to_rgb(frame).ok()
    }

    /// Gives where everything lies in a frame.
    ///
    /// # Errors
    /// Returns [`OptionProblem`] for a size or a length of rows that cannot be.
    pub(super) fn layout(&self) -> Result<RawLayout, OptionProblem> {
        check_size(self.size)?;
        let needed = self.pixels.min_row_bytes(self.size.width);
        let found = self.row_bytes.unwrap_or(needed);
        if !(needed..=Self::MAX_ROW_BYTES).contains(&found) {
            return Err(OptionProblem::RowBytes { found, needed });
        }
        Ok(RawLayout { pixels: self.pixels, size: self.size, row_bytes: found })
    }
}

impl fmt::Display for RawFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}x{}", self.pixels, self.size.width, self.size.height)?;
        self.row_bytes.map_or(Ok(()), |bytes| write!(f, ":{bytes}"))
    }
}

impl FromStr for RawFormat {
    type Err = OptionProblem;

    fn from_str(text: &str) -> Result<Self, OptionProblem> {
        let parse = || {
            let mut parts = text.split(':');
            let pixels = PixelFormat::named(parts.next()?)?;
            let (width, height) = parts.next()?.split_once('x')?;
            let size = ImageSize { width: width.parse().ok()?, height: height.parse().ok()? };
            let row_bytes = parts.next().map(str::parse).transpose().ok()?;
            parts.next().is_none().then_some(Self { pixels, size, row_bytes })
        };
        let format = parse().ok_or_else(|| OptionProblem::RawText(text.to_owned()))?;
        format.layout().map(|_| format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for &(flip, _) in Flip::NAMES {
            assert_eq!(flip.to_string().parse(), Ok(flip));
        }
        for &(turn, _) in Rotation::NAMES {
            assert_eq!(turn.to_string().parse(), Ok(turn));
        }
        for text in ["yuv420:640x480", "nv12:480x270:512", "rgb24:1x1", "yuyv:5x1:12", "uyvy:8x8"] {
            assert_eq!(text.parse::<RawFormat>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_cannot_be() {
        let rate = |rate| CameraOptions { rate: Some(rate), ..CameraOptions::default() }.check();
        for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e6] {
            assert!(matches!(rate(wrong), Err(OptionProblem::Rate(_))), "{wrong}");
        }
        assert_eq!(rate(0.5), Ok(()));
        let size = ImageSize { width: 0, height: 4 };
        let options = CameraOptions { size: Some(size), ..CameraOptions::default() };
        assert_eq!(options.check(), Err(OptionProblem::Size(0, 4)));
        for text in
            ["", "yuv420", "yuv420:640", "bayer:6x4", "rgb24:6x4:18:1", "rgb24:6x4:x", "rgb24:-6x4"]
        {
            assert_eq!(text.parse::<RawFormat>(), Err(OptionProblem::RawText(text.to_owned())));
        }
        let short = "rgb24:6x4:17".parse::<RawFormat>();
        assert_eq!(short, Err(OptionProblem::RowBytes { found: 17, needed: 18 }));
        assert!("rgb24:6x4:999999999".parse::<RawFormat>().is_err());
        assert!("rgb24:9000x1".parse::<RawFormat>().is_err());
    }

    #[test]
    fn a_rate_is_an_interval() {
        let options = CameraOptions { rate: Some(4.0), ..CameraOptions::default() };
        assert_eq!(options.interval(1.0), Duration::from_millis(250));
        assert_eq!(CameraOptions::default().interval(1.0), Duration::from_secs(1));
    }
}
