//! A test picture that moves: what a camera would show, without one.
//!
//! A red, green or blue patch wanders over black; below are colour bars and the number of the frame in black and
//! white. Every frame depends on its number alone and differs from all others of the first 2^32. The tiny model of
//! [`crate::tiny_model`] names the patch: the bars hold as much of each colour.

use std::time::Duration;

use image::{Rgb, RgbImage};
use lcam_models::preprocess::ImageSize;

use super::options::{CameraOptions, OptionProblem};
use super::pace::Clock;
use super::{Camera, CameraAddress, CameraError, Capture};

/// The usual size.
const SIZE: ImageSize = ImageSize { width: 640, height: 480 };
/// Frames a second, unless it is asked for more or less.
const RATE: f32 = 30.0;
/// The least side: each of the number's bits is a pixel wide at least.
const MIN_SIDE: u32 = NUMBER_BITS;
const NUMBER_BITS: u32 = 32;
/// How many frames the patch keeps its colour.
const FRAMES_PER_COLOR: u64 = 60;

const PATCHES: [[u8; 3]; 3] = [[255, 0, 0], [0, 255, 0], [0, 0, 255]];
/// The colour bars of television, brightest first.
const BARS: [[u8; 3]; 8] = [
    [255, 255, 255],
    [255, 255, 0],
    [0, 255, 255],
    [0, 255, 0],
    [255, 0, 255],
    [255, 0, 0],
    [0, 0, 255],
    [0, 0, 0],
];

/// The test picture as a camera.
#[derive(Debug)]
pub(super) struct Bars {
    size: ImageSize,
    clock: Clock,
}

impl Bars {
    pub(super) fn open(options: &CameraOptions) -> Result<Self, CameraError> {
        let size = options.size.unwrap_or(SIZE);
        if size.width.min(size.height) < MIN_SIDE {
            let remedy = "the test picture needs 32x32";
            let problem = OptionProblem::SizeHere(size.width, size.height, remedy);
            return Err(CameraError::Option { camera: CameraAddress::Bars.to_string(), problem });
        }
        Ok(Self { size, clock: Clock::new(options.interval(RATE)) })
    }
}

impl Camera for Bars {
    fn capture(&mut self, patience: Duration) -> Result<Capture, CameraError> {
        let number = self.clock.wait(patience);
        Ok(number.map_or(Capture::Nothing, |number| Capture::Picture(picture(number, self.size))))
    }

    fn description(&self) -> String {
        let ImageSize { width, height } = self.size;
        let rate = self.clock.rate();
        format!("{}: test picture, {width}x{height} at {rate} pictures/s", CameraAddress::Bars)
    }
}

/// Draws a frame of the test picture by its number, from 0.
#[must_use]
pub fn picture(number: u64, size: ImageSize) -> RgbImage {
    let ImageSize { width, height } = size;
    let mut picture = RgbImage::new(width, height);
    // Of the height, an eighth are bars and a sixteenth is the number.
    let field_height = height - height / 8 - height / 16;
    let bars_end = height - height / 16;
    let bars = |x: u32| BARS[(x * 8 / width) as usize % BARS.len()];
    let bit = |x: u32| number >> (NUMBER_BITS - 1 - x * NUMBER_BITS / width) & 1;
    fill(&mut picture, field_height..bars_end, 0..width, bars);
    fill(&mut picture, bars_end..height, 0..width, |x| if bit(x) == 1 { [255; 3] } else { [0; 3] });
    // The network sees the middle of wide and of tall pictures: the patch stays there.
    let field = width.min(field_height);
    let side = field / 2;
    // Steps of a 48th of the way, and of a 37th: the path repeats itself after 3552 frames.
    let left = (width - field) / 2 + swing(number, 48, field - side);
    let top = (field_height - field) / 2 + swing(number, 37, field - side);
    let color = PATCHES[usize::try_from(number / FRAMES_PER_COLOR % 3).unwrap_or(0)];
    fill(&mut picture, top..top + side, left..left + side, |_| color);
    picture
}

/// Goes from 0 to `way` and back again in twice so many frames.
fn swing(number: u64, frames: u64, way: u32) -> u32 {
    let phase = number % (2 * frames);
    let share = phase.min(2 * frames - phase);
    u32::try_from(u64::from(way) * share / frames).unwrap_or(way)
}

fn fill(
    picture: &mut RgbImage,
    rows: std::ops::Range<u32>,
    columns: std::ops::Range<u32>,
    color: impl Fn(u32) -> [u8; 3],
) {
    for y in rows {
        for x in columns.clone() {
            picture.put_pixel(x, y, Rgb(color(x)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::tiny_model::{CLASSES, tiny_model};
    use lcam_models::explained::ExplainedModel;
    use std::collections::HashSet;

    #[test]
    fn the_tiny_model_names_the_patch() {
        let model = ExplainedModel::new(tiny_model()).unwrap();
        let mut engine = Engine::new(model, std::num::NonZeroUsize::MIN).unwrap();
        for (width, height) in
            [(640, 480), (320, 240), (1280, 720), (240, 240), (240, 320), (32, 32)]
        {
            for number in (0..360).step_by(7) {
                let picture = picture(number, ImageSize { width, height });
                let named = engine.explain(&picture).unwrap().predicted();
                let color = usize::try_from(number / FRAMES_PER_COLOR % 3).unwrap();
                assert_eq!(CLASSES[named.0], CLASSES[color], "{width}x{height}, frame {number}");
            }
        }
    }

    #[test]
    fn every_frame_differs_and_depends_on_its_number() {
        let size = ImageSize { width: 40, height: 32 };
        let frames: HashSet<Vec<u8>> = (0..4000).map(|n| picture(n, size).into_raw()).collect();
        assert_eq!(frames.len(), 4000);
        assert_eq!(picture(77, size), picture(77, size));
        assert_ne!(picture(0, size), picture(u64::from(u32::MAX), size));
    }

    #[test]
    fn gives_what_was_asked_for_at_its_pace() {
        let size = ImageSize { width: 64, height: 48 };
        let options =
            CameraOptions { size: Some(size), rate: Some(200.0), ..CameraOptions::default() };
        let mut bars = Bars::open(&options).unwrap();
        let start = std::time::Instant::now();
        for _ in 0..5 {
            let capture = bars.capture(Duration::from_secs(5)).unwrap();
            assert!(
                matches!(capture, Capture::Picture(picture) if ImageSize::of(&picture) == size)
            );
        }
        assert!(start.elapsed() >= Duration::from_millis(20));
        assert_eq!(bars.description(), "test://bars: test picture, 64x48 at 200 pictures/s");
    }

    #[test]
    fn refuses_to_be_too_small() {
        let size = Some(ImageSize { width: 640, height: 31 });
        let error = Bars::open(&CameraOptions { size, ..CameraOptions::default() }).unwrap_err();
        assert!(error.to_string().contains("the test picture needs 32x32"), "{error}");
    }
}
