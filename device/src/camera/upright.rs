//! Turns and mirrors pictures, of whatever source.

use std::time::Duration;

use image::{RgbImage, imageops};

use super::options::{CameraOptions, Flip, Rotation};
use super::{Camera, CameraError, Capture, Unreadable};

/// A camera whose pictures are turned, and then mirrored.
#[derive(Debug)]
pub(super) struct Upright {
    camera: Box<dyn Camera>,
    rotate: Rotation,
    flip: Flip,
}

impl Upright {
    /// Wraps a camera, if there is anything to do.
    pub(super) fn wrap(camera: Box<dyn Camera>, options: &CameraOptions) -> Box<dyn Camera> {
        let (rotate, flip) = (options.rotate, options.flip);
        if (rotate, flip) == (Rotation::None, Flip::None) {
            return camera;
        }
        Box::new(Self { camera, rotate, flip })
    }
}

impl Camera for Upright {
    fn capture(&mut self, patience: Duration) -> Result<Capture, CameraError> {
        Ok(match self.camera.capture(patience)? {
            Capture::Picture(picture) => Capture::Picture(turn(picture, self.rotate, self.flip)),
            other => other,
        })
    }

    fn description(&self) -> String {
        let mut description = self.camera.description();
        if self.rotate != Rotation::None {
            description += &format!(", turned by {} degrees", self.rotate);
        }
        match self.flip {
            Flip::None => {}
            Flip::Horizontal => description += ", mirrored",
            Flip::Vertical => description += ", mirrored upside down",
            Flip::Both => description += ", mirrored both ways",
        }
        description
    }

    fn unreadable(&self) -> Unreadable {
        self.camera.unreadable()
    }
}

fn turn(mut picture: RgbImage, rotate: Rotation, flip: Flip) -> RgbImage {
    match rotate {
        Rotation::None => {}
        Rotation::Quarter => picture = imageops::rotate90(&picture),
        Rotation::Half => imageops::rotate180_in_place(&mut picture),
        Rotation::ThreeQuarters => picture = imageops::rotate270(&picture),
    }
    match flip {
        Flip::None => {}
        Flip::Horizontal => imageops::flip_horizontal_in_place(&mut picture),
        Flip::Vertical => imageops::flip_vertical_in_place(&mut picture),
        Flip::Both => imageops::rotate180_in_place(&mut picture),
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn turns_clockwise_and_then_mirrors() {
        // 1 2 3
        // 4 5 6
        let picture = RgbImage::from_fn(3, 2, |x, y| Rgb([(y * 3 + x + 1).to_le_bytes()[0]; 3]));
        let rows = |rotate, flip| -> Vec<Vec<u8>> {
            let turned = turn(picture.clone(), rotate, flip);
            turned.rows().map(|row| row.map(|pixel| pixel.0[0]).collect()).collect()
        };
        let cases: [(Rotation, Flip, &[&[u8]]); 8] = [
            (Rotation::None, Flip::None, &[&[1, 2, 3], &[4, 5, 6]]),
            (Rotation::Quarter, Flip::None, &[&[4, 1], &[5, 2], &[6, 3]]),
            (Rotation::Half, Flip::None, &[&[6, 5, 4], &[3, 2, 1]]),
            (Rotation::ThreeQuarters, Flip::None, &[&[3, 6], &[2, 5], &[1, 4]]),
            (Rotation::None, Flip::Horizontal, &[&[3, 2, 1], &[6, 5, 4]]),
            (Rotation::None, Flip::Vertical, &[&[4, 5, 6], &[1, 2, 3]]),
            (Rotation::None, Flip::Both, &[&[6, 5, 4], &[3, 2, 1]]),
            (Rotation::Quarter, Flip::Horizontal, &[&[1, 4], &[2, 5], &[3, 6]]),
        ];
        for (rotate, flip, expected) in cases {
            assert_eq!(rows(rotate, flip), expected, "{rotate:?} {flip:?}");
        }
    }
}
