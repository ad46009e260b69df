//! The last screen, and its JPEG once somebody wants it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage};
use tokio::sync::watch;

/// The quality of the JPEGs, of 100: text stays clean.
const QUALITY: u8 = 85;

/// What stands between two parts of a stream.
pub(super) const BOUNDARY: &str = "lcam-screen";

/// The last screen.
#[derive(Debug, Default)]
pub(super) struct Screens {
    last: Mutex<Screen>,
    encoded: watch::Sender<Encoded>,
}

/// A screen as it was shown; number 0 is none.
#[derive(Clone, Debug, Default)]
struct Screen {
    number: u64,
    pixels: RgbImage,
}

/// A screen as clients get it. All of them share its bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Encoded {
    /// The screen's number, from 1.
    pub(super) number: u64,
    /// The JPEG.
    pub(super) jpeg: Bytes,
    /// A part of a stream with its headers, and the boundary behind it: a browser shows a part once it ends.
    pub(super) part: Bytes,
}

impl Screens {
    /// Takes a screen. One that is the same as the last is no new one.
    pub(super) fn show(&self, pixels: &RgbImage) {
        let number = {
            let mut last = self.lock();
            if last.number > 0 && last.pixels == *pixels {
                return;
            }
            last.number += 1;
            // Into the same memory.
            last.pixels.clone_from(pixels);
            last.number
        };
        if self.encoded.receiver_count() > 0 {
            self.offer(encode(number, pixels));
        }
    }

    /// Gives the last screen; `None` before the first.
    pub(super) fn current(&self) -> Option<Encoded> {
        let known = self.encoded.borrow().clone();
        let screen = {
            let last = self.lock();
            if last.number == known.number {
                return (known.number > 0).then_some(known);
            }
            last.clone()
        };
        let encoded = encode(screen.number, &screen.pixels);
        self.offer(encoded.clone());
        Some(encoded)
    }

    /// Tells of each new screen. While there is somebody who is told, screens are encoded as they are shown.
    pub(super) fn subscribe(&self) -> watch::Receiver<Encoded> {
        self.encoded.subscribe()
    }

    fn offer(&self, encoded: Encoded) {
        self.encoded.send_if_modified(|known| {
            let is_newer = encoded.number > known.number;
            if is_newer {
                *known = encoded;
            }
            is_newer
        });
    }

    fn lock(&self) -> MutexGuard<'_, Screen> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encode(number: u64, pixels: &RgbImage) -> Encoded {
    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    // Neither can fail: the size is at most 4096 and not 0, and memory takes all that is written.
    let _ = encoder.encode(pixels, pixels.width(), pixels.height(), ExtendedColorType::Rgb8);
    let mut part =
        format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len()).into_bytes();
    let start = part.len();
    part.extend(&jpeg);
    part.extend(format!("\r\n--{BOUNDARY}\r\n").bytes());
    let part = Bytes::from(part);
    Encoded { number, jpeg: part.slice(start..start + jpeg.len()), part }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(level: u8) -> RgbImage {
        RgbImage::from_pixel(32, 16, image::Rgb([level; 3]))
    }

    #[test]
    fn encodes_once_and_only_for_somebody() {
        let screens = Screens::default();
        assert!(screens.current().is_none());
        screens.show(&screen(10));
        assert_eq!(screens.encoded.borrow().number, 0, "nobody watched");
        let first = screens.current().unwrap();
        let decoded = image::load_from_memory(&first.jpeg).unwrap().to_rgb8();
        assert_eq!((first.number, decoded.dimensions()), (1, (32, 16)));
        assert_eq!(screens.current().unwrap().jpeg.as_ptr(), first.jpeg.as_ptr(), "encoded once");
        let mut watcher = screens.subscribe();
        screens.show(&screen(200));
        assert!(watcher.has_changed().unwrap());
        assert_eq!(watcher.borrow_and_update().number, 2);
        screens.show(&screen(200));
        assert!(!watcher.has_changed().unwrap(), "the same screen is no new one");
    }

    #[test]
    fn a_part_tells_its_length() {
        let Encoded { jpeg, part, .. } = encode(1, &screen(99));
        let text = format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
        assert!(part.starts_with(text.as_bytes()));
        assert_eq!(&part[text.len()..text.len() + jpeg.len()], &jpeg[..]);
        assert!(part.ends_with(b"\r\n--lcam-screen\r\n"));
    }
}
