//! MJPEG: one JPEG after another, as webcams and network cameras send them.

mod huffman;
mod splitter;

use image::RgbImage;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::options::CameraOptions;
use crate::isolate;

pub use huffman::with_huffman_tables;
pub(super) use splitter::Splitter;

/// Decodes a frame to RGB. What the decoder finds damaged is refused: half a grey picture would be explained as if it
/// were seen. Bytes that are wrong and still mean something, as flipped bits within a scan, are not found.
///
/// The error is the decoder's own words, in one line.
pub(super) fn decode(jpeg: &[u8]) -> Result<RgbImage, String> {
    let jpeg = with_huffman_tables(jpeg);
    isolate::catch(|| decode_whole(&jpeg))
        .unwrap_or_else(|panic| Err(format!("the decoder broke off ({panic})")))
}

fn decode_whole(jpeg: &[u8]) -> Result<RgbImage, String> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(CameraOptions::MAX_SIDE as usize)
        .set_max_height(CameraOptions::MAX_SIDE as usize)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    let one_line = |error: zune_jpeg::errors::DecodeErrors| {
        error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let pixels = decoder.decode().map_err(one_line)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let [width, height] = [width, height].map(|side| u32::try_from(side).unwrap_or(0));
    RgbImage::from_raw(width, height, pixels)
        .filter(|picture| picture.width() > 0 && picture.height() > 0)
        .ok_or_else(|| "it has no pixels, or colours of an unknown kind".to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, Rgb};

    /// Encodes a picture whose colours tell `number`, with the standard Huffman tables.
    pub(crate) fn jpeg(width: u32, height: u32, number: u8) -> Vec<u8> {
        let picture = RgbImage::from_fn(width, height, |x, y| {
            Rgb([number, (x * 9).to_le_bytes()[0], (y * 5).to_le_bytes()[0]])
        });
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&picture).unwrap();
        bytes
    }

    /// Encodes a picture and changes its number of bits a sample to one that no decoder takes.
    pub(crate) fn undecodable_jpeg() -> Vec<u8> {
        let mut bytes = jpeg(64, 64, 100);
        let header = bytes.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        bytes[header + 4] = 9;
        bytes
    }

    #[test]
    fn decodes_colour_and_grey() {
        let picture = decode(&jpeg(37, 21, 200)).unwrap();
        assert_eq!(picture.dimensions(), (37, 21));
        // Quality 90 is far closer than 12.
        assert!(picture.get_pixel(3, 4).0[0].abs_diff(200) < 12, "{:?}", picture.get_pixel(3, 4));
        let mut grey = Vec::new();
        JpegEncoder::new(&mut grey).encode(&[77; 64], 8, 8, ExtendedColorType::L8).unwrap();
        assert_eq!(decode(&grey).unwrap().get_pixel(5, 5).0, [77; 3]);
    }

    #[test]
    fn refuses_damage() {
        let whole = jpeg(64, 64, 3);
        for kept in [0, 2, 30, whole.len() / 2] {
            let error = decode(&whole[..kept]).unwrap_err();
            assert!(!error.contains('\n'), "{error}");
        }
        let mut damaged = whole.clone();
        let middle = whole.len() * 3 / 4;
        damaged[middle..middle + 40].fill(0xff);
        assert!(decode(&damaged).is_err());
        assert!(decode(&undecodable_jpeg()).is_err());
    }
}
