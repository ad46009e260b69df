//! Quarter turns of a picture.

use std::borrow::Cow;
use std::fmt;

use embedded_graphics::geometry::Size;
use image::{RgbImage, imageops};

/// How far the picture is turned clockwise on the glass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// As the controller counts its rows and columns.
    #[default]
    Deg0,
    /// A quarter turn.
    Deg90,
    /// Upside down.
    Deg180,
    /// Three quarter turns.
    Deg270,
}

impl Rotation {
    /// All turns.
    pub const ALL: [Self; 4] = [Self::Deg0, Self::Deg90, Self::Deg180, Self::Deg270];

    /// Gives it in degrees.
    #[must_use]
    pub fn degrees(self) -> u16 {
        match self {
            Self::Deg0 => 0,
            Self::Deg90 => 90,
            Self::Deg180 => 180,
            Self::Deg270 => 270,
        }
    }

    /// Gives the size that a picture must have to cover glass of this size after the turn.
    #[must_use]
    pub fn size(self, Size { width, height }: Size) -> Size {
        match self {
            Self::Deg0 | Self::Deg180 => Size::new(width, height),
            Self::Deg90 | Self::Deg270 => Size::new(height, width),
        }
    }

    /// Turns a picture.
    pub(super) fn turn(self, picture: &RgbImage) -> Cow<'_, RgbImage> {
        match self {
            Self::Deg0 => Cow::Borrowed(picture),
            Self::Deg90 => Cow::Owned(imageops::rotate90(picture)),
            Self::Deg180 => Cow::Owned(imageops::rotate180(picture)),
            Self::Deg270 => Cow::Owned(imageops::rotate270(picture)),
        }
    }
}

impl fmt::Display for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.degrees())
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn turns_clockwise() {
        let mut picture = RgbImage::new(3, 2);
        picture.put_pixel(0, 0, Rgb([1, 2, 3]));
        let cases = [
            (Rotation::Deg0, (3, 2), (0, 0)),
            (Rotation::Deg90, (2, 3), (1, 0)),
            (Rotation::Deg180, (3, 2), (2, 1)),
            (Rotation::Deg270, (2, 3), (0, 2)),
        ];
        for (rotation, size, (x, y)) in cases {
            let turned = rotation.turn(&picture);
            assert_eq!(turned.dimensions(), size, "{rotation}");
            assert_eq!(turned.get_pixel(x, y), &Rgb([1, 2, 3]), "{rotation}");
            assert_eq!(rotation.size(Size::new(size.0, size.1)), Size::new(3, 2), "{rotation}");
        }
    }
}
