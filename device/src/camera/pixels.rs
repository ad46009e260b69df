//! Raw pictures of cameras, converted to RGB.
//!
//! Luma and chroma are taken as BT.601 of limited range (luma 16 to 235, chroma 16 to 240): that is what V4L2
//! drivers mean where they name no other encoding, what `rpicam-vid` gives below 1280x720 and what Jetson's converter
//! gives. HD pictures in BT.709 come out with slightly shifted greens and reds, which no classifier minds. (The YUV
//! within a JPEG is of full range; its decoder converts that.) Chroma is repeated for the pixels that share it.
//!
//! The sums are done in 16 bits with 5 bits of fraction, which compilers turn into vector instructions everywhere;
//! no value is off by more than 1 from the rounded formula, and all machines compute the same.

use std::fmt;

use image::RgbImage;
use lcam_models::preprocess::ImageSize;

use super::named::Named;

/// How pixels of a raw picture are stored; one byte a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// Red, green, blue.
    Rgb24,
    /// For two pixels: luma, blue chroma, luma, red chroma. V4L2 writes it `YUYV`.
    Yuyv,
    /// For two pixels: blue chroma, luma, red chroma, luma. V4L2 writes it `UYVY`.
    Uyvy,
    /// A plane of luma; then one of both chromas in turn, for 2 x 2 pixels each. V4L2 writes it `NV12`.
    Nv12,
    /// A plane of luma; then one of blue, then one of red chroma, for 2 x 2 pixels each: I420, V4L2's `YU12`.
    Yuv420,
}

impl Named for PixelFormat {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Rgb24, "rgb24"),
        (Self::Yuyv, "yuyv"),
        (Self::Uyvy, "uyvy"),
        (Self::Nv12, "nv12"),
        (Self::Yuv420, "yuv420"),
    ];
}

impl PixelFormat {
    /// Counts the bytes of a row that is not padded.
    pub(super) fn min_row_bytes(self, width: u32) -> usize {
        let width = width as usize;
        match self {
            Self::Rgb24 => 3 * width,
            // Two pixels share their chroma, also where the second is beyond the edge.
            Self::Yuyv | Self::Uyvy => 2 * width.next_multiple_of(2),
            Self::Nv12 => width.next_multiple_of(2),
            Self::Yuv420 => width,
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_name(f)
    }
}

/// Where everything lies in a raw frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawLayout {
    pub(super) pixels: PixelFormat,
    pub(super) size: ImageSize,
    /// The bytes from one row of the first plane to the next; at least [`PixelFormat::min_row_bytes`].
    pub(super) row_bytes: usize,
}

/// A raw frame is shorter than its layout asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame has {found} bytes and not {expected}")]
pub(super) struct ShortFrame {
    found: usize,
    expected: usize,
}

impl RawLayout {
    /// Counts the bytes of a whole frame.
    pub(super) fn frame_bytes(&self) -> usize {
        let (rows, chroma_rows) = self.rows();
        let chroma_planes = match self.pixels {
            PixelFormat::Rgb24 | PixelFormat::Yuyv | PixelFormat::Uyvy => 0,
            PixelFormat::Nv12 => self.row_bytes,
            PixelFormat::Yuv420 => 2 * self.half_row_bytes(),
        };
        self.row_bytes * rows + chroma_planes * chroma_rows
    }

    fn rows(&self) -> (usize, usize) {
        let rows = self.size.height as usize;
        (rows, rows.div_ceil(2))
    }

    fn half_row_bytes(&self) -> usize {
        self.row_bytes.div_ceil(2)
    }

    /// Converts a frame; bytes behind it are ignored.
    pub(super) fn to_rgb(self, frame: &[u8]) -> Result<RgbImage, ShortFrame> {
        let expected = self.frame_bytes();
        let frame = frame.get(..expected).ok_or(ShortFrame { found: frame.len(), expected })?;
        let ImageSize { width, height } = self.size;
        let mut picture = RgbImage::new(width, height);
        let row_length = 3 * width as usize;
        if row_length > 0 {
            for (y, row) in picture.chunks_exact_mut(row_length).enumerate() {
                self.convert_row(frame, y, row);
            }
        }
        Ok(picture)
    }

    fn convert_row(&self, frame: &[u8], y: usize, rgb: &mut [u8]) {
        let row = &frame[y * self.row_bytes..];
        let luma_bytes = self.row_bytes * self.size.height as usize;
        match self.pixels {
            PixelFormat::Rgb24 => rgb.copy_from_slice(&row[..rgb.len()]),
            PixelFormat::Yuyv => convert_packed::<0, 1, 3>(row, rgb),
            PixelFormat::Uyvy => convert_packed::<1, 0, 2>(row, rgb),
            PixelFormat::Nv12 => {
                let chroma = &frame[luma_bytes + y / 2 * self.row_bytes..];
                convert_planar(row, rgb, |at| (chroma[2 * at], chroma[2 * at + 1]));
            }
            PixelFormat::Yuv420 => {
                let half = self.half_row_bytes();
                let (_, chroma_rows) = self.rows();
                let blue = &frame[luma_bytes + y / 2 * half..][..half];
                let red = &frame[luma_bytes + (chroma_rows + y / 2) * half..][..half];
                convert_planar(row, rgb, |at| (blue[at], red[at]));
            }
        }
    }
}

/// Converts a row in which luma and chroma take turns: of 4 bytes for two pixels, the first luma is at `LUMA`, the
/// second 2 further.
fn convert_packed<const LUMA: usize, const BLUE: usize, const RED: usize>(
    row: &[u8],
    rgb: &mut [u8],
) {
    for (rgb, row) in rgb.chunks_mut(3 * Block::PIXELS).zip(row.chunks(2 * Block::PIXELS)) {
        let mut block = Block::default();
        for (at, four) in row.chunks_exact(4).enumerate() {
            block.luma[2 * at] = four[LUMA];
            block.luma[2 * at + 1] = four[LUMA + 2];
            block.set_chroma(at, four[BLUE], four[RED]);
        }
        block.convert(rgb);
    }
}

/// Converts a row of luma; `chroma` gives blue and red chroma of a pair of pixels.
fn convert_planar(luma: &[u8], rgb: &mut [u8], chroma: impl Fn(usize) -> (u8, u8)) {
    let luma = luma[..rgb.len() / 3].chunks(Block::PIXELS);
    for (number, (rgb, luma)) in rgb.chunks_mut(3 * Block::PIXELS).zip(luma).enumerate() {
        let mut block = Block::default();
        block.luma[..luma.len()].copy_from_slice(luma);
        for at in 0..luma.len().div_ceil(2) {
            let (blue, red) = chroma(number * Block::PIXELS / 2 + at);
            block.set_chroma(at, blue, red);
        }
        block.convert(rgb);
    }
}

/// Some pixels of a row, with chroma for each: few enough to stay in the nearest cache, many enough for vectors.
struct Block {
    luma: [u8; Self::PIXELS],
    blue: [u8; Self::PIXELS],
    red: [u8; Self::PIXELS],
}

impl Default for Block {
    fn default() -> Self {
        Self { luma: [0; Self::PIXELS], blue: [0; Self::PIXELS], red: [0; Self::PIXELS] }
    }
}

impl Block {
    const PIXELS: usize = 64;

    fn set_chroma(&mut self, pair: usize, blue: u8, red: u8) {
        self.blue[2 * pair] = blue;
        self.blue[2 * pair + 1] = blue;
        self.red[2 * pair] = red;
        self.red[2 * pair + 1] = red;
    }

    /// Fills so many pixels as `rgb` has room for.
    ///
    /// With luma and chroma stretched to 0..=255 and -127.5..=127.5: R = Y + 1.402 V, G = Y - 0.3441 U - 0.7141 V,
    /// B = Y + 1.772 U (ITU-R BT.601-7, 2.5.1 and 2.5.3). The factors below are 2^14 x 255 / 219 for luma and
    /// 2^13 x 255 / 224 times the above for chroma.
    fn convert(&self, rgb: &mut [u8]) {
        let mut planes = [[0; Self::PIXELS]; 3];
        let samples = self.luma.iter().zip(&self.blue).zip(&self.red);
        for (at, ((&luma, &blue), &red)) in samples.enumerate() {
            let luma = scaled((i16::from(luma) - 16) << 7, 19_077);
            let blue = (i16::from(blue) - 128) << 8;
            let red = (i16::from(red) - 128) << 8;
            planes[0][at] = to_byte(luma + scaled(red, 13_075));
            planes[1][at] = to_byte(luma - scaled(blue, 3_209) - scaled(red, 6_660));
            planes[2][at] = to_byte(luma + scaled(blue, 16_525));
        }
        let [red, green, blue] = &planes;
        for (pixel, ((r, g), b)) in rgb.chunks_exact_mut(3).zip(red.iter().zip(green).zip(blue)) {
            pixel.copy_from_slice(&[*r, *g, *b]);
        }
    }
}

/// The upper half of a product.
fn scaled(value: i16, factor: i16) -> i16 {
    ((i32::from(value) * i32::from(factor)) >> 16) as i16
}

/// Rounds 5 bits of fraction away.
fn to_byte(value: i16) -> u8 {
    #[expect(clippy::cast_sign_loss, reason = "clamped")]
    {
        ((value + 16) >> 5).clamp(0, 255) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds the formula of BT.601-7 in double precision.
    fn formula(luma: u8, blue: u8, red: u8) -> [u8; 3] {
        let y = (f64::from(luma) - 16.0) * 255.0 / 219.0;
        let [u, v] = [blue, red].map(|chroma| (f64::from(chroma) - 128.0) * 255.0 / 224.0);
        let rgb = [y + 1.402 * v, y - 0.344_136 * u - 0.714_136 * v, y + 1.772 * u];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        rgb.map(|value| value.round().clamp(0.0, 255.0) as u8)
    }

    fn assert_near(found: [u8; 3], expected: [u8; 3], what: &str) {
        let near = found.iter().zip(expected).all(|(&a, b)| a.abs_diff(b) <= 1);
        assert!(near, "{what}: {found:?}, expected {expected:?}");
    }

    fn layout(pixels: PixelFormat, width: u32, height: u32, row_bytes: usize) -> RawLayout {
        RawLayout { pixels, size: ImageSize { width, height }, row_bytes }
    }

    /// The samples of a made-up picture: all values occur, neighbours differ.
    fn luma(x: u32, y: u32) -> u8 {
        (x * 37 + y * 101 + 5).to_le_bytes()[0]
    }

    fn chroma(pair: u32, row: u32) -> [u8; 2] {
        [
            (pair * 59 + row * 13 + 90).to_le_bytes()[0],
            (pair * 83 + row * 31 + 200).to_le_bytes()[0],
        ]
    }

    /// Stores that picture in a layout; padding is filled with a value that would show.
    fn store(layout: RawLayout) -> Vec<u8> {
        let mut frame = vec![0xaa; layout.frame_bytes()];
        let ImageSize { width, height } = layout.size;
        let planes = layout.row_bytes * height as usize;
        let half = layout.row_bytes.div_ceil(2);
        for (x, y) in (0..height).flat_map(|y| (0..width).map(move |x| (x, y))) {
            let [column, row, pair] = [x as usize, y as usize, x as usize / 2];
            let at = row * layout.row_bytes;
            match layout.pixels {
                PixelFormat::Rgb24 => {
                    let [blue, red] = chroma(x, y);
                    frame[at + 3 * column..][..3].copy_from_slice(&[luma(x, y), blue, red]);
                }
                PixelFormat::Yuyv | PixelFormat::Uyvy => {
                    let [blue, red] = chroma(x / 2, y);
                    let first = usize::from(layout.pixels == PixelFormat::Uyvy);
                    frame[at + 2 * column + first] = luma(x, y);
                    frame[at + 4 * pair + 1 - first] = blue;
                    frame[at + 4 * pair + 3 - first] = red;
                }
                PixelFormat::Nv12 => {
                    frame[at + column] = luma(x, y);
                    let at = planes + row / 2 * layout.row_bytes + 2 * pair;
                    frame[at..at + 2].copy_from_slice(&chroma(x / 2, y / 2));
                }
                PixelFormat::Yuv420 => {
                    frame[at + column] = luma(x, y);
                    let [blue, red] = chroma(x / 2, y / 2);
                    let at = planes + row / 2 * half + pair;
                    frame[at] = blue;
                    frame[at + half * (height as usize).div_ceil(2)] = red;
                }
            }
        }
        frame
    }

    #[test]
    fn every_colour_is_within_one_of_the_formula() {
        let mut rgb = [0; 3 * Block::PIXELS];
        for blue in (0..=255_u8).step_by(5) {
            for red in (0..=255_u8).step_by(3) {
                for first in (0..=255_u8).step_by(Block::PIXELS) {
                    let mut luma = [0; Block::PIXELS];
                    for (at, value) in luma.iter_mut().zip(first..=255) {
                        *at = value;
                    }
                    let block = Block { luma, blue: [blue; 64], red: [red; 64] };
                    block.convert(&mut rgb);
                    for (pixel, luma) in rgb.chunks_exact(3).zip(luma) {
                        let expected = formula(luma, blue, red);
                        let what = format!("{luma} {blue} {red}");
                        assert_near([pixel[0], pixel[1], pixel[2]], expected, &what);
                    }
                }
            }
        }
    }

    #[test]
    fn known_colours_come_out() {
        // 75 % colour bars of SMPTE EG 1 in 8-bit BT.601.
        let bars = [
            ([180, 128, 128], [191, 191, 191]),
            ([162, 44, 142], [191, 191, 0]),
            ([131, 156, 44], [0, 191, 191]),
            ([112, 72, 58], [0, 191, 0]),
            ([84, 184, 198], [191, 0, 191]),
            ([65, 100, 212], [191, 0, 0]),
            ([35, 212, 114], [0, 0, 191]),
            ([16, 128, 128], [0, 0, 0]),
            ([235, 128, 128], [255, 255, 255]),
        ];
        for ([y, u, v], expected) in bars {
            let frame = [y, u, y, v];
            let picture = layout(PixelFormat::Yuyv, 2, 1, 4).to_rgb(&frame).unwrap();
            assert_near(picture.get_pixel(0, 0).0, expected, "bar");
        }
    }

    #[test]
    fn all_formats_with_odd_sizes_and_padded_rows() {
        for &(pixels, _) in PixelFormat::NAMES {
            for (width, height) in [(1, 1), (2, 2), (5, 3), (63, 4), (64, 1), (65, 2), (130, 5)] {
                for padding in [0, 2, 31] {
                    let row_bytes = pixels.min_row_bytes(width) + padding;
                    let layout = layout(pixels, width, height, row_bytes);
                    let mut frame = store(layout);
                    frame.extend([1, 2, 3]);
                    let picture = layout.to_rgb(&frame).unwrap();
                    assert_eq!(picture.dimensions(), (width, height));
                    for (x, y, pixel) in picture.enumerate_pixels() {
                        let what = format!("{layout:?} at {x},{y}");
                        let [blue, red] = match pixels {
                            PixelFormat::Rgb24 => chroma(x, y),
                            PixelFormat::Yuyv | PixelFormat::Uyvy => chroma(x / 2, y),
                            PixelFormat::Nv12 | PixelFormat::Yuv420 => chroma(x / 2, y / 2),
                        };
                        if pixels == PixelFormat::Rgb24 {
                            assert_eq!(pixel.0, [luma(x, y), blue, red], "{what}");
                        } else {
                            assert_near(pixel.0, formula(luma(x, y), blue, red), &what);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn frames_have_the_known_sizes() {
        let cases = [
            (PixelFormat::Yuv420, 640, 480, 640, 460_800),
            // rpicam-vid pads rows of 480 bytes to 512.
            (PixelFormat::Yuv420, 480, 270, 512, 512 * 270 + 2 * 256 * 135),
            (PixelFormat::Nv12, 5, 3, 6, 6 * 3 + 6 * 2),
            (PixelFormat::Yuyv, 5, 3, 12, 36),
            (PixelFormat::Rgb24, 5, 3, 15, 45),
        ];
        for (pixels, width, height, row_bytes, bytes) in cases {
            let layout = layout(pixels, width, height, row_bytes);
            assert_eq!(layout.frame_bytes(), bytes, "{layout:?}");
            let short = layout.to_rgb(&vec![0; bytes - 1]);
            assert_eq!(short.unwrap_err(), ShortFrame { found: bytes - 1, expected: bytes });
        }
    }
}
