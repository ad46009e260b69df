//! The Huffman tables that MJPEG leaves out.
//!
//! Many webcams send JPEGs without tables and mean the ones of the standard's annex K. Some decoders know that;
//! browsers do not all, so that the tables are put back before anything else is done.

use std::borrow::Cow;

const START_OF_SCAN: u8 = 0xda;
const HUFFMAN_TABLES: u8 = 0xc4;

/// Inserts the standard Huffman tables before the first scan of a JPEG that has none of its own.
///
/// What has tables, or is no JPEG, comes back as it is.
#[must_use]
pub fn with_huffman_tables(jpeg: &[u8]) -> Cow<'_, [u8]> {
    let Some(scan) = scan_without_tables(jpeg) else { return Cow::Borrowed(jpeg) };
    let (header, rest) = jpeg.split_at(scan);
    let mut whole = Vec::with_capacity(jpeg.len() + 420);
    whole.extend_from_slice(header);
    whole.extend_from_slice(&standard_tables());
    whole.extend_from_slice(rest);
    Cow::Owned(whole)
}

/// Finds the first scan, if no tables come before it.
fn scan_without_tables(jpeg: &[u8]) -> Option<usize> {
    let mut at = 2;
    jpeg.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let &[mark, kind] = jpeg.get(at..at + 2)?.first_chunk()?;
        match (mark, kind) {
            // Before a marker there may be any number of these.
            (0xff, 0xff) => at += 1,
            (0xff, HUFFMAN_TABLES) => return None,
            (0xff, START_OF_SCAN) => return Some(at),
            (0xff, _) => {
                let &length = jpeg.get(at + 2..at + 4)?.first_chunk()?;
                at += 2 + usize::from(u16::from_be_bytes(length));
            }
            _ => return None,
        }
    }
}

/// A table: how many codes there are of each length from 1 to 16, and what they mean in the order of the codes.
struct Table {
    /// 0x00 and 0x01: DC of luma and chroma; 0x10 and 0x11: AC.
    class_and_place: u8,
    lengths: [u8; 16],
    values: &'static [u8],
}

fn standard_tables() -> Vec<u8> {
    let mut body = Vec::new();
    for table in TABLES {
        body.push(table.class_and_place);
        body.extend(table.lengths);
        body.extend(table.values);
    }
    let length = u16::try_from(body.len() + 2).unwrap_or(0).to_be_bytes();
    [&[0xff, HUFFMAN_TABLES], &length[..], &body].concat()
}

const DC_VALUES: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/// ITU-T T.81, annex K, tables K.3 to K.6.
const TABLES: [Table; 4] = [
    Table {
        class_and_place: 0x00,
        lengths: [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        values: &DC_VALUES,
    },
    Table {
        class_and_place: 0x10,
        lengths: [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125],
        values: &[
            0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51,
            0x61, 0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1,
            0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18,
            0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39,
            0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57,
            0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75,
            0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92,
            0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
            0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
            0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8,
            0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2,
            0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
        ],
    },
    Table {
        class_and_place: 0x01,
        lengths: [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        values: &DC_VALUES,
    },
    Table {
        class_and_place: 0x11,
        lengths: [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119],
        values: &[
            0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07,
            0x61, 0x71, 0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09,
            0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25,
            0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38,
            0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56,
            0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74,
            0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
            0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5,
            0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
            0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6,
            0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2,
            0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::super::decode;
    use super::super::tests::jpeg;
    use super::*;

    /// Takes every Huffman table out of a JPEG's header.
    fn without_tables(jpeg: &[u8]) -> Vec<u8> {
        let mut left = jpeg[..2].to_vec();
        let mut at = 2;
        while jpeg[at + 1] != START_OF_SCAN {
            let length = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            if jpeg[at + 1] != HUFFMAN_TABLES {
                left.extend_from_slice(&jpeg[at..at + length]);
            }
            at += length;
        }
        left.extend_from_slice(&jpeg[at..]);
        left
    }

    #[test]
    fn puts_back_what_a_webcam_leaves_out() {
        let whole = jpeg(80, 48, 120);
        let bare = without_tables(&whole);
        assert!(bare.len() <= whole.len() - 420, "{} {}", bare.len(), whole.len());
        let mended = with_huffman_tables(&bare);
        assert_eq!(mended.len(), bare.len() + 420);
        assert_eq!(decode(&mended).unwrap(), decode(&whole).unwrap());
        assert_eq!(decode(&bare).unwrap(), decode(&whole).unwrap());
    }

    #[test]
    fn leaves_everything_else_alone() {
        let whole = jpeg(16, 16, 1);
        let cases: [&[u8]; 6] =
            [&whole, &whole[..40], b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\xff\xff", b"no picture"];
        for bytes in cases {
            assert!(matches!(with_huffman_tables(bytes), Cow::Borrowed(same) if same == bytes));
        }
    }

    #[test]
    fn tables_are_whole() {
        for table in TABLES {
            let codes: usize = table.lengths.iter().map(|&count| usize::from(count)).sum();
            assert_eq!(codes, table.values.len(), "{:#x}", table.class_and_place);
        }
    }
}
