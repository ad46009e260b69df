//! Picture files, decoded to upright 8-bit RGB.
//!
//! The format is told from the content, not the name. Cameras' rotation marks (EXIF) are followed, 16-bit,
//! grey, palette and CMYK pictures are converted, of an animation the first frame is taken, and
//! transparency is dropped unless it is asked for. A picture of too many pixels is refused before its pixels are decoded, and so is
//! a JPEG that ends too early: its decoder would fill the rest with grey and say nothing.

mod jpeg;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, RgbImage, RgbaImage};

/// The most pixels a picture may have: above the 100 megapixels of the largest common cameras.
pub const MAX_PIXELS: u64 = 120_000_000;

/// The most memory a decoder may take beyond that of the smallest picture: 8 bytes for each pixel.
const MAX_DECODER_BYTES: u64 = 8 * MAX_PIXELS;

/// A picture could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {problem}")]
pub struct PictureError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: PictureProblem,
}

/// What is wrong with a picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureProblem {
    /// The file cannot be opened or read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The content is of no known format.
    #[error("it is not a picture of a known format; give a JPEG, PNG, WebP, GIF or BMP file")]
    UnknownFormat,
    /// The picture has too many pixels, or none.
    #[error("it has {width}x{height} pixels; between 1 and {MAX_PIXELS} are accepted")]
    Size {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The content is damaged or uses an unknown variant of its format.
    #[error("it is damaged or of an unsupported kind ({0})")]
    Damaged(String),
}

/// Reads a picture file.
///
/// # Errors
/// Returns [`PictureError`] when the file cannot be read, is no picture or has too many pixels.
pub fn read_picture(path: &Path) -> Result<RgbImage, PictureError> {
    read(path).map(DynamicImage::into_rgb8)
}

/// Reads a picture file with its transparency (alpha, 0 transparent to 255 opaque, not premultiplied).
///
/// # Errors
/// As [`read_picture`].
pub fn read_cutout(path: &Path) -> Result<RgbaImage, PictureError> {
    read(path).map(DynamicImage::into_rgba8)
}

fn read(path: &Path) -> Result<DynamicImage, PictureError> {
    let read = || {
        // Asked before it is opened: opening a pipe waits for somebody who writes.
        if !std::fs::metadata(path)?.is_file() {
            return Err(PictureProblem::Io(io::Error::other("it is not a file; give a picture")));
        }
        decode(BufReader::new(File::open(path)?))
    };
    read().map_err(|problem| PictureError { path: path.to_owned(), problem })
}

/// Decodes a picture from memory.
///
/// # Errors
/// Returns [`PictureProblem`] when the bytes are no picture or the picture has too many pixels.
pub fn decode_picture(bytes: &[u8]) -> Result<RgbImage, PictureProblem> {
    decode(Cursor::new(bytes)).map(DynamicImage::into_rgb8)
}

fn decode(mut source: impl BufRead + Seek) -> Result<DynamicImage, PictureProblem> {
    if jpeg::is_cut_off(&mut source)? {
        return Err(PictureProblem::Damaged("the file ends too early".to_owned()));
    }
    source.rewind()?;
    let mut reader = ImageReader::new(source).with_guessed_format()?;
    if reader.format().is_none() {
        return Err(PictureProblem::UnknownFormat);
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if !(1..=MAX_PIXELS).contains(&pixels) {
        return Err(PictureProblem::Size { width, height });
    }
    let orientation = decoder.orientation().map_err(damaged)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn damaged(error: ImageError) -> PictureProblem {
    match error {
        ImageError::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            PictureProblem::Io(error)
        }
        error => PictureProblem::Damaged(error.to_string().replace('\n', " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(picture: &DynamicImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        picture.write_to(&mut Cursor::new(&mut bytes), image::ImageFormat::Png).unwrap();
        bytes
    }

    #[test]
    fn converts_grey_and_deep_pictures() {
        let grey = DynamicImage::ImageLuma8(image::GrayImage::from_pixel(2, 1, image::Luma([7])));
        assert_eq!(decode_picture(&png(&grey)).unwrap().get_pixel(1, 0).0, [7, 7, 7]);
        let deep = image::ImageBuffer::from_pixel(1, 1, image::Rgb([257u16 * 200, 0, 65535]));
        let deep = DynamicImage::ImageRgb16(deep);
        assert_eq!(decode_picture(&png(&deep)).unwrap().get_pixel(0, 0).0, [200, 0, 255]);
    }

    #[test]
    fn keeps_transparency_only_where_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cutout.png");
        let cutout = RgbaImage::from_pixel(2, 2, image::Rgba([9, 8, 7, 40]));
        std::fs::write(&path, png(&DynamicImage::ImageRgba8(cutout.clone()))).unwrap();
        assert_eq!(read_cutout(&path).unwrap(), cutout);
        assert_eq!(read_picture(&path).unwrap().get_pixel(1, 1).0, [9, 8, 7]);
    }

    #[test]
    fn refuses_what_is_no_picture() {
        assert!(matches!(decode_picture(b"hello"), Err(PictureProblem::UnknownFormat)));
        assert!(matches!(decode_picture(b""), Err(PictureProblem::UnknownFormat)));
        let mut half = png(&DynamicImage::new_rgb8(300, 300));
        half.truncate(half.len() / 2);
        assert!(decode_picture(&half).is_err());
    }

    #[test]
    fn refuses_a_decompression_bomb_before_decoding_it() {
        // A PNG header that promises 60000 x 60000 pixels.
        let mut bomb = png(&DynamicImage::new_rgb8(1, 1));
        bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
        let checksum = crc32(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
        let refused = decode_picture(&bomb);
        assert!(matches!(refused, Err(PictureProblem::Size { width: 60_000, .. })), "{refused:?}");
    }

    #[test]
    fn refuses_a_jpeg_that_ends_too_early() {
        let picture =
            RgbImage::from_fn(64, 64, |x, y| image::Rgb([(x ^ y).to_le_bytes()[0], 9, 200]));
        let mut bytes = Vec::new();
        let jpeg = image::ImageFormat::Jpeg;
        picture.write_to(&mut Cursor::new(&mut bytes), jpeg).unwrap();
        bytes.extend(b"what some cameras append");
        assert!(decode_picture(&bytes).is_ok());
        for kept in [3, 21, bytes.len() / 2, bytes.len() - 26] {
            let refused = decode_picture(&bytes[..kept]);
            assert!(matches!(refused, Err(PictureProblem::Damaged(_))), "{kept}: {refused:?}");
        }
    }

    #[test]
    fn names_the_file() {
        let error = read_picture(Path::new("no/such.png")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read no/such.png: "), "{error}");
        let error = read_picture(Path::new("src")).unwrap_err().to_string();
        assert!(error.contains("it is not a file"), "{error}");
    }

    /// CRC-32 of a PNG chunk (PNG specification, annex D).
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
        })
    }
}
