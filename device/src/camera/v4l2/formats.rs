//! Which of a camera's formats is taken.
//!
//! Pure: what the driver lists goes in, what to ask it for comes out.

use std::fmt;

use lcam_models::preprocess::ImageSize;
use serde::Serialize;

use crate::camera::pixels::PixelFormat;

/// What is taken when nothing was asked for: all cameras have it, and networks see less.
const SIZE: ImageSize = ImageSize { width: 640, height: 480 };
/// The rate below which another format is tried, when nothing was asked for.
const ENOUGH_RATE: f32 = 15.0;

/// A four-character code of V4L2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(pub(super) u32);

impl Code {
    const fn new(letters: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(letters))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The highest bit stands for the other byte order.
        for letter in (self.0 & 0x7fff_ffff).to_le_bytes() {
            let letter = char::from(letter);
            write!(f, "{}", if letter.is_ascii_graphic() { letter } else { ' ' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What is done with a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Raw(PixelFormat),
    Jpeg,
}

/// The formats that can be used, the one that costs least first.
const USABLE: [(Code, Encoding); 6] = [
    (Code::new(*b"YUYV"), Encoding::Raw(PixelFormat::Yuyv)),
    (Code::new(*b"UYVY"), Encoding::Raw(PixelFormat::Uyvy)),
    (Code::new(*b"NV12"), Encoding::Raw(PixelFormat::Nv12)),
    (Code::new(*b"YU12"), Encoding::Raw(PixelFormat::Yuv420)),
    (Code::new(*b"MJPG"), Encoding::Jpeg),
    (Code::new(*b"JPEG"), Encoding::Jpeg),
];

/// Tells what is done with a format; `None` if nothing can be.
pub(super) fn encoding(code: Code) -> Option<Encoding> {
    USABLE.iter().find(|(usable, _)| *usable == code).map(|&(_, encoding)| encoding)
}

/// A format that a camera offers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfferedFormat {
    /// Its four-character code, as `YUYV`.
    pub code: String,
    /// Its name in the driver's words.
    pub name: String,
    /// Whether it can be used here.
    pub is_usable: bool,
    /// The sizes it comes in.
    pub sizes: OfferedSizes,
    #[serde(skip)]
    pub(super) number: u32,
}

impl fmt::Display for OfferedFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usable = if self.is_usable { "" } else { ", not usable here" };
        write!(f, "{} ({}): {}{usable}", self.code, self.name, self.sizes)
    }
}

/// The sizes that a format comes in.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OfferedSizes {
    /// The driver lists none.
    Unknown,
    /// Exactly these: width and height in pixels.
    Listed(Vec<[u32; 2]>),
    /// All between two sizes.
    Between {
        /// The least width and height.
        least: [u32; 2],
        /// The greatest.
        most: [u32; 2],
        /// Each is the least and some of these steps.
        step: [u32; 2],
    },
}

impl fmt::Display for OfferedSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |[width, height]: &[u32; 2]| format!("{width}x{height}");
        match self {
            Self::Unknown => f.write_str("sizes unknown"),
            Self::Listed(sizes) => {
                f.write_str(&sizes.iter().map(size).collect::<Vec<_>>().join(" "))
            }
            Self::Between { least, most, .. } => write!(f, "{} to {}", size(least), size(most)),
        }
    }
}

impl OfferedSizes {
    /// Gives the size that is nearest to a wanted one; of equally near ones the largest.
    fn nearest(&self, wanted: ImageSize) -> ImageSize {
        let ImageSize { width, height } = wanted;
        let [width, height] = match self {
            Self::Unknown => [width, height],
            Self::Listed(sizes) => {
                let smaller_last = |&&[w, h]: &&[u32; 2]| {
                    (distance([w, h], wanted), u64::MAX - u64::from(w) * u64::from(h))
                };
                sizes.iter().min_by_key(smaller_last).copied().unwrap_or([width, height])
            }
            Self::Between { least, most, step } => {
                let snap = |at: usize, side: u32| {
                    let side = side.clamp(least[at], most[at].max(least[at]));
                    side - (side - least[at]) % step[at].max(1)
                };
                [snap(0, width), snap(1, height)]
            }
        };
        ImageSize { width, height }
    }
}

fn distance([width, height]: [u32; 2], wanted: ImageSize) -> u64 {
    u64::from(width.abs_diff(wanted.width)) + u64::from(height.abs_diff(wanted.height))
}

/// A format and a size to ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) code: Code,
    pub(super) size: ImageSize,
    /// The most pictures a second that the driver promises; `None` if it promises nothing.
    pub(super) rate: Option<f32>,
}

/// Gives the nearest size of each usable format, without its rate.
pub(super) fn candidates(offered: &[OfferedFormat], size: Option<ImageSize>) -> Vec<Candidate> {
    let size = size.unwrap_or(SIZE);
    let usable = offered.iter().filter(|format| format.is_usable);
    let nearest = |format: &OfferedFormat| Candidate {
        code: Code(format.number),
        size: format.sizes.nearest(size),
        rate: None,
    };
    usable.map(nearest).collect()
}

/// Chooses the candidate whose size is nearest, of those the ones that are fast enough or else the fastest, of those
/// the one that costs least.
pub(super) fn choose(
    candidates: &[Candidate],
    size: Option<ImageSize>,
    rate: Option<f32>,
) -> Option<Candidate> {
    let (size, rate) = (size.unwrap_or(SIZE), rate.unwrap_or(ENOUGH_RATE));
    let cost = |code: Code| USABLE.iter().position(|(usable, _)| *usable == code);
    let distance = |it: &Candidate| distance([it.size.width, it.size.height], size);
    // Rates are told as fractions: 29.97 is 30.
    let shortfall = |it: &Candidate| it.rate.map_or(0.0, |given| (rate * 0.98 - given).max(0.0));
    let better = |a: &&Candidate, b: &&Candidate| {
        let by_distance = distance(a).cmp(&distance(b));
        let by_rate = || shortfall(a).total_cmp(&shortfall(b));
        by_distance.then_with(by_rate).then_with(|| cost(a.code).cmp(&cost(b.code)))
    };
    candidates.iter().min_by(better).copied()
}

/// Tells whether all these formats are what a bare sensor gives: Bayer patterns or grey, of 8 to 16 bits.
pub(super) fn is_bare_sensor(offered: &[OfferedFormat]) -> bool {
    let is_bayer = |code: &str| {
        let letters = code.as_bytes();
        // pRAA, BG10, GRBG, BA81, Y10P ...: the kernel's names of raw formats.
        matches!(letters, [b'p', ..] | [b'B' | b'G' | b'R', b'A' | b'B' | b'G' | b'R', ..])
            || matches!(letters, [b'Y', b'1', ..])
    };
    !offered.is_empty() && offered.iter().all(|format| is_bayer(&format.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(code: [u8; 4], sizes: OfferedSizes) -> OfferedFormat {
        let code = Code::new(code);
        OfferedFormat {
            code: code.to_string(),
            name: "some format".to_owned(),
            is_usable: encoding(code).is_some(),
            sizes,
            number: code.0,
        }
    }

    fn size(width: u32, height: u32) -> ImageSize {
        ImageSize { width, height }
    }

    #[test]
    fn takes_the_nearest_size() {
        let listed = OfferedSizes::Listed(vec![[320, 180], [640, 360], [640, 480], [1280, 720]]);
        let between = OfferedSizes::Between { least: [16, 16], most: [1920, 1080], step: [8, 2] };
        let cases = [
            (&listed, size(640, 480), size(640, 480)),
            (&listed, size(320, 240), size(320, 180)),
            (&listed, size(4000, 3000), size(1280, 720)),
            (&listed, size(640, 420), size(640, 480)),
            (&between, size(641, 481), size(640, 480)),
            (&between, size(1, 9000), size(16, 1080)),
            (&OfferedSizes::Unknown, size(123, 45), size(123, 45)),
            (&OfferedSizes::Listed(Vec::new()), size(123, 45), size(123, 45)),
        ];
        for (sizes, wanted, expected) in cases {
            assert_eq!(sizes.nearest(wanted), expected, "{sizes:?} {wanted:?}");
        }
        // What a driver may say and must not.
        let odd = OfferedSizes::Between { least: [64, 64], most: [32, 32], step: [0, 0] };
        assert_eq!(odd.nearest(size(640, 480)), size(64, 64));
    }

    #[test]
    fn takes_size_then_rate_then_cost() {
        let candidate =
            |code: &[u8; 4], size, rate| Candidate { code: Code::new(*code), size, rate };
        let (vga, hd) = (size(640, 480), size(1280, 720));
        let yuyv_vga = candidate(b"YUYV", vga, Some(30.0));
        let mjpg_vga = candidate(b"MJPG", vga, Some(30.0));
        // Over USB 2, uncompressed HD is slow.
        let yuyv_hd = candidate(b"YUYV", hd, Some(10.0));
        let mjpg_hd = candidate(b"MJPG", hd, Some(30.0));
        let nv12_hd = candidate(b"NV12", hd, None);
        let cases = [
            (vec![mjpg_vga, yuyv_vga], None, None, Some(yuyv_vga)),
            (vec![yuyv_hd, mjpg_hd], Some(hd), None, Some(mjpg_hd)),
            (vec![yuyv_hd, mjpg_hd], Some(hd), Some(5.0), Some(yuyv_hd)),
            (vec![yuyv_hd, mjpg_hd], Some(hd), Some(60.0), Some(mjpg_hd)),
            (vec![yuyv_hd, mjpg_hd, nv12_hd], Some(hd), Some(60.0), Some(nv12_hd)),
            (vec![yuyv_vga, mjpg_hd], Some(hd), None, Some(mjpg_hd)),
            (vec![], Some(hd), None, None),
        ];
        for (candidates, size, rate, expected) in cases {
            assert_eq!(choose(&candidates, size, rate), expected, "{candidates:?} {rate:?}");
        }
    }

    #[test]
    fn formats_that_cannot_be_used_are_no_candidates() {
        let offered = [
            format(*b"H264", OfferedSizes::Unknown),
            format(*b"UYVY", OfferedSizes::Listed(vec![[800, 600]])),
        ];
        let found = candidates(&offered, None);
        let expected = Candidate { code: Code::new(*b"UYVY"), size: size(800, 600), rate: None };
        assert_eq!(found, [expected]);
        assert_eq!(encoding(Code::new(*b"MJPG")), Some(Encoding::Jpeg));
        assert_eq!(encoding(Code::new(*b"H264")), None);
    }

    #[test]
    fn tells_bare_sensors() {
        let of = |codes: &[[u8; 4]]| -> bool {
            let offered: Vec<_> =
                codes.iter().map(|&code| format(code, OfferedSizes::Unknown)).collect();
            is_bare_sensor(&offered)
        };
        assert!(of(&[*b"pRAA", *b"BG10", *b"RGGB", *b"BA81", *b"GBRG", *b"Y10P", *b"Y12 "]));
        assert!(!of(&[*b"YUYV"]) && !of(&[*b"H264"]) && !of(&[*b"RG10", *b"NV12"]) && !of(&[]));
    }

    #[test]
    fn codes_are_written_as_people_know_them() {
        assert_eq!(Code::new(*b"YUYV").to_string(), "YUYV");
        assert_eq!(Code::new(*b"Y12 ").to_string(), "Y12 ");
        assert_eq!(Code(u32::from_le_bytes(*b"Y16 ") | 1 << 31).to_string(), "Y16 ");
        assert_eq!(Code(0x0a).to_string(), "    ");
    }
}
