//! Cameras of the kernel's video system (V4L2): USB cameras, and capture cards.
//!
//! Of the offered formats the best is asked for and what the driver sets is read back: neither size nor length of
//! rows is taken for granted. Frames arrive in memory that is shared with the driver and are converted from there.

mod formats;
mod kernel;
mod list;
mod newest;
mod sys;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use image::RgbImage;
use lcam_models::preprocess::ImageSize;

use super::options::RawFormat;
use super::pixels::RawLayout;
use super::{
    Camera, CameraAddress, CameraError, CameraOptions, Capture, Damage, Unreadable, mjpeg,
};
use formats::{Candidate, Code, Encoding};
use kernel::PixFormat;
use sys::{Node, Readiness, Stream};

pub use formats::{OfferedFormat, OfferedSizes};
pub use list::{FoundCamera, list};

/// One that is converted, and enough for the driver not to run out while that lasts.
const BUFFERS: u32 = 4;

/// What the driver's buffers hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Raw(RawLayout),
    Jpeg,
}

/// An open camera.
#[derive(Debug)]
pub(super) struct Video {
    address: String,
    description: String,
    content: Content,
    stream: Stream,
    damage: Damage,
}

impl Video {
    /// Opens a device and starts it.
    pub(super) fn open(device: &Path, options: &CameraOptions) -> Result<Self, CameraError> {
        let address = CameraAddress::Video(device.to_owned()).to_string();
        let open = |source| CameraError::Open { camera: address.clone(), source };
        let node = Node::open(device).map_err(open)?;
        let about = list::about(&node)
            .map_err(|problem| CameraError::NotACamera { camera: address.clone(), problem })?;
        let (Candidate { code, rate, .. }, given) = set_format(&node, &address, options)?;
        let content = content(&given, code).map_err(|given| CameraError::Refused {
            camera: address.clone(),
            asked: code.to_string(),
            given,
        })?;
        let rate = set_rate(&node, options.rate.or(usual_rate(rate)));
        let PixFormat { width, height, .. } = given;
        let rate = rate.map_or_else(
            || "at a rate of its own".to_owned(),
            |rate| format!("at {} pictures/s", (rate * 100.0).round() / 100.0),
        );
        let (card, driver) = (about.card, about.driver);
        let description = format!("{address}: {card} ({driver}), {width}x{height} {code} {rate}");
        let stream = Stream::start(node, BUFFERS).map_err(open)?;
        Ok(Self { address, description, content, stream, damage: Damage::default() })
    }

    fn lost(&self, error: &io::Error) -> CameraError {
        CameraError::Lost { camera: self.address.clone(), reason: error.to_string() }
    }

    fn decode(&self, bytes: &[u8]) -> Result<RgbImage, String> {
        match self.content {
            Content::Raw(layout) => layout.to_rgb(bytes).map_err(|short| short.to_string()),
            Content::Jpeg => mjpeg::decode(bytes),
        }
    }
}

impl Camera for Video {
    fn capture(&mut self, patience: Duration) -> Result<Capture, CameraError> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.stream.wait(left).map_err(|error| self.lost(&error))? {
                Readiness::Nothing => return Ok(Capture::Nothing),
                Readiness::Failed => {
                    let reason = "the driver reports an error, or it was unplugged".to_owned();
                    return Err(CameraError::Lost { camera: self.address.clone(), reason });
                }
                Readiness::Ready => {}
            }
            let newest = newest::take(&mut self.stream).map_err(|error| self.lost(&error))?;
            let Some(filled) = newest else { continue };
            let decoded = if filled.is_damaged {
                Err("the driver says that it is damaged".to_owned())
            } else {
                self.decode(self.stream.bytes(&filled))
            };
            self.stream.enqueue(filled).map_err(|error| self.lost(&error))?;
            match decoded {
                Ok(picture) => {
                    self.damage.mend();
                    return Ok(Capture::Picture(picture));
                }
                Err(problem) => self.damage.add(&self.address, problem)?,
            }
        }
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn unreadable(&self) -> Unreadable {
        self.damage.total.clone()
    }
}

/// Chooses a format, asks for it and gives what the driver set.
fn set_format(
    node: &Node,
    address: &str,
    options: &CameraOptions,
) -> Result<(Candidate, PixFormat), CameraError> {
    let open = |source| CameraError::Open { camera: address.to_owned(), source };
    let offered = list::formats(node).map_err(open)?;
    let mut candidates = formats::candidates(&offered, options.size);
    for candidate in &mut candidates {
        candidate.rate = list::fastest(node, candidate.code, candidate.size).map_err(open)?;
    }
    let Some(best) = formats::choose(&candidates, options.size, options.rate) else {
        let is_bare_sensor = formats::is_bare_sensor(&offered);
        let name = |format: &OfferedFormat| format!("{} ({})", format.code.trim(), format.name);
        let offered = offered.iter().map(name).collect();
        return Err(CameraError::Format { camera: address.to_owned(), offered, is_bare_sensor });
    };
    let ImageSize { width, height } = best.size;
    let asked =
        PixFormat { width, height, code: best.code.0, field: PROGRESSIVE, ..PixFormat::default() };
    let given = node.set_format(asked).map_err(open)?;
    Ok((best, given))
}

/// The most pictures a second that are asked for when nobody says how many: what is fluent. Drivers keep what the last
/// program asked for, and some begin with fewer than they can.
const USUAL_RATE: f32 = 30.0;

fn usual_rate(fastest: Option<f32>) -> Option<f32> {
    fastest.map(|fastest| fastest.min(USUAL_RATE))
}

/// `V4L2_FIELD_NONE`: whole frames, and not every other row.
const PROGRESSIVE: u32 = 1;

/// Makes out what the buffers hold; the error tells what was given.
fn content(given: &PixFormat, asked: Code) -> Result<Content, String> {
    let &PixFormat { width, height, row_bytes, .. } = given;
    let told = || format!("{width}x{height} {} in rows of {row_bytes} bytes", Code(given.code));
    if Code(given.code) != asked {
        return Err(told());
    }
    match formats::encoding(asked).ok_or_else(told)? {
        Encoding::Jpeg => Ok(Content::Jpeg),
        Encoding::Raw(pixels) => {
            // Some drivers leave the length of rows at 0 and mean that nothing is between them.
            let row_bytes = (row_bytes > 0).then_some(row_bytes as usize);
            let raw = RawFormat { pixels, size: ImageSize { width, height }, row_bytes };
            raw.layout().map(Content::Raw).map_err(|problem| format!("{}: {problem}", told()))
        }
    }
}

/// Asks for a rate, if any, and gives the one that is set; `None` where the driver knows of none.
fn set_rate(node: &Node, rate: Option<f32>) -> Option<f32> {
    let interval = match rate {
        // Never asked for 0, which some drivers take for the slowest rate.
        None => node.interval(),
        Some(rate) => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
            let per_thousand_seconds = (rate * 1e3).round() as u32;
            node.set_interval([1000, per_thousand_seconds])
        }
    };
    // Not all drivers can; the description tells it.
    list::rate(interval.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::PixelFormat;

    fn given(code: &[u8; 4], width: u32, height: u32, row_bytes: u32) -> PixFormat {
        let code = u32::from_le_bytes(*code);
        PixFormat { width, height, code, row_bytes, ..PixFormat::default() }
    }

    #[test]
    fn takes_what_the_driver_set() {
        let yuyv = Code(u32::from_le_bytes(*b"YUYV"));
        let layout = |row_bytes| {
            let size = ImageSize { width: 320, height: 180 };
            Content::Raw(RawLayout { pixels: PixelFormat::Yuyv, size, row_bytes })
        };
        assert_eq!(content(&given(b"YUYV", 320, 180, 704), yuyv), Ok(layout(704)));
        assert_eq!(content(&given(b"YUYV", 320, 180, 0), yuyv), Ok(layout(640)));
        let mjpg = Code(u32::from_le_bytes(*b"MJPG"));
        assert_eq!(content(&given(b"MJPG", 320, 180, 0), mjpg), Ok(Content::Jpeg));
    }

    #[test]
    fn asks_for_as_many_pictures_as_the_camera_promises_up_to_thirty() {
        let cases = [(Some(25.0), Some(25.0)), (Some(120.0), Some(30.0)), (None, None)];
        for (fastest, expected) in cases {
            assert_eq!(usual_rate(fastest), expected, "{fastest:?}");
        }
    }

    #[test]
    fn refuses_what_was_not_asked_for() {
        let yuyv = Code(u32::from_le_bytes(*b"YUYV"));
        for wrong in [
            given(b"H264", 320, 180, 640),
            given(b"YUYV", 320, 180, 639),
            given(b"YUYV", 0, 180, 640),
            given(b"YUYV", 320, u32::MAX, 640),
        ] {
            assert!(content(&wrong, yuyv).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn tells_why_it_cannot_be_opened() {
        let open =
            |path: &str| Video::open(Path::new(path), &CameraOptions::default()).unwrap_err();
        let missing = open("/dev/video-none").to_string();
        assert!(missing.contains("is it plugged in") && missing.contains("csi://0"), "{missing}");
        let null = open("/dev/null").to_string();
        assert!(null.starts_with("/dev/null: ") && null.contains("no video device"), "{null}");
    }
}
