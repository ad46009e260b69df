//! A frame: an RGB picture in memory that can be drawn on and written as PNG.

use std::convert::Infallible;
use std::io::{self, Cursor};

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use image::{ImageFormat, Rgb, RgbImage};

/// An RGB picture to draw on. What is drawn beyond its edges is ignored.
#[derive(Clone, Debug)]
pub struct Frame(RgbImage);

impl Frame {
    /// Makes a black frame.
    #[must_use]
    pub fn new(size: Size) -> Self {
        Self(RgbImage::new(size.width, size.height))
    }

    /// Gives the pixels.
    #[must_use]
    pub fn as_image(&self) -> &RgbImage {
        &self.0
    }

    /// Encodes the frame as a PNG file.
    ///
    /// # Errors
    /// Returns what the encoder says; an empty frame cannot be encoded.
    pub fn to_png(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Cursor::new(Vec::new());
        self.0.write_to(&mut bytes, ImageFormat::Png).map_err(io::Error::other)?;
        Ok(bytes.into_inner())
    }
}

impl From<RgbImage> for Frame {
    fn from(picture: RgbImage) -> Self {
        Self(picture)
    }
}

impl OriginDimensions for Frame {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Frame {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(Point { x, y }, color) in pixels {
            if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
                && let Some(pixel) = self.0.get_pixel_mut_checked(x, y)
            {
                *pixel = Rgb([color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignores_what_lies_beyond_its_edges() {
        let mut frame = Frame::new(Size::new(2, 1));
        let white = Rgb888::WHITE;
        let points = [(-1, 0), (1, 0), (2, 0), (0, 1), (i32::MIN, i32::MAX)];
        frame.draw_iter(points.map(|(x, y)| Pixel(Point::new(x, y), white))).unwrap();
        assert_eq!(frame.as_image().as_raw(), &[0, 0, 0, 255, 255, 255]);
        assert!(frame.to_png().unwrap().starts_with(b"\x89PNG"));
    }
}
