//! A frame: an RGB picture in memory that can be drawn on and written as PNG.

use std::convert::Infallible;
use std::io::{self, Cursor};

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{PointsIter, Rectangle};
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

    fn fill_contiguous<I>(&mut self, area: &Rectangle, colors: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Rgb888>,
    {
        if area.intersection(&self.bounding_box()) != *area {
            let pixels = area.points().zip(colors).map(|(point, color)| Pixel(point, color));
            return self.draw_iter(pixels);
        }
        let mut colors = colors.into_iter();
        self.rows_of(*area).for_each(|row| {
            for (pixel, color) in row.iter_mut().zip(&mut colors) {
                *pixel = [color.r(), color.g(), color.b()];
            }
        });
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, color: Rgb888) -> Result<(), Infallible> {
        let area = area.intersection(&self.bounding_box());
        self.rows_of(area).for_each(|row| row.fill([color.r(), color.g(), color.b()]));
        Ok(())
    }
}

impl Frame {
    /// Gives the pixels of an area within the frame, row by row.
    fn rows_of(&mut self, area: Rectangle) -> impl Iterator<Item = &mut [[u8; 3]]> {
        let Rectangle { top_left: Point { x, y }, size } = area;
        let stride = self.0.width() as usize;
        let (left, top) = (x.unsigned_abs() as usize, y.unsigned_abs() as usize);
        let (width, height) = (size.width as usize, size.height as usize);
        let pixels = self.0.as_chunks_mut::<3>().0;
        pixels
            .chunks_mut(stride.max(1))
            .skip(top)
            .take(height)
            .map(move |row| &mut row[left..left + width])
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

    /// Draws pixel by pixel alone, as the trait's own methods do.
    struct Slow(Frame);

    impl OriginDimensions for Slow {
        fn size(&self) -> Size {
            self.0.size()
        }
    }

    impl DrawTarget for Slow {
        type Color = Rgb888;
        type Error = Infallible;

        fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
        where
            I: IntoIterator<Item = Pixel<Rgb888>>,
        {
            self.0.draw_iter(pixels)
        }
    }

    #[test]
    fn fills_areas_as_pixels_one_by_one_would() {
        let colors =
            |count: u32| (0..count).map(|i| Rgb888::new(u8::try_from(i % 250).unwrap() + 1, 7, 9));
        for (x, y, width, height) in [
            (0, 0, 5, 4),
            (1, 1, 3, 2),
            (-2, -1, 4, 4),
            (3, 2, 9, 9),
            (7, 7, 2, 2),
            (2, 2, 0, 3),
            (-9, 0, 3, 1),
        ] {
            let area = Rectangle::new(Point::new(x, y), Size::new(width, height));
            for given in [width * height, width * height / 2] {
                let (mut fast, mut slow) =
                    (Frame::new(Size::new(5, 4)), Slow(Frame::new(Size::new(5, 4))));
                fast.fill_contiguous(&area, colors(given)).unwrap();
                slow.fill_contiguous(&area, colors(given)).unwrap();
                assert_eq!(fast.as_image(), slow.0.as_image(), "{area:?}");
                fast.fill_solid(&area, Rgb888::CYAN).unwrap();
                slow.fill_solid(&area, Rgb888::CYAN).unwrap();
                assert_eq!(fast.as_image(), slow.0.as_image(), "{area:?}");
            }
        }
    }
}
