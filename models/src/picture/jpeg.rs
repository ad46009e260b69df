//! Whether a JPEG file is whole.
//!
//! The file is a row of segments, each with its length, up to the first scan; after that an end marker must
//! follow (ITU-T T.81, annex B). A preview within an early segment has an end marker of its own, which is
//! why the segments are stepped over.

use std::io::{self, BufRead, ErrorKind, Read, Seek, SeekFrom};

const START_OF_IMAGE: [u8; 2] = [0xff, 0xd8];
const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// Tells whether this is a JPEG file without its end. What is no JPEG file is not cut off.
pub(super) fn is_cut_off(source: &mut (impl BufRead + Seek)) -> io::Result<bool> {
    match reaches_end(source) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(true),
        result => result.map(|whole| !whole),
    }
}

fn reaches_end(source: &mut (impl BufRead + Seek)) -> io::Result<bool> {
    let mut start = Vec::new();
    source.take(2).read_to_end(&mut start)?;
    if start != START_OF_IMAGE {
        return Ok(true);
    }
    loop {
        let [mark, kind] = read(source)?;
        if mark != 0xff {
            // Not a row of segments: the decoder will say what is wrong.
            return Ok(true);
        }
        match kind {
            // A fill byte: what follows may be the marker's kind.
            0xff => {
                source.seek(SeekFrom::Current(-1))?;
            }
            START_OF_SCAN => return has_end_marker(source),
            _ => {
                let length = i64::from(u16::from_be_bytes(read(source)?));
                source.seek(SeekFrom::Current((length - 2).max(0)))?;
            }
        }
    }
}

/// Within a scan 0xff is followed by 0 unless it begins a marker, so these two bytes mean the end.
fn has_end_marker(source: &mut impl BufRead) -> io::Result<bool> {
    let mut after_mark = false;
    loop {
        let part = source.fill_buf()?;
        let Some(&last) = part.last() else { return Ok(false) };
        let ends = (after_mark && part[0] == END_OF_IMAGE)
            || part.windows(2).any(|pair| pair == [0xff, END_OF_IMAGE]);
        if ends {
            return Ok(true);
        }
        after_mark = last == 0xff;
        let length = part.len();
        source.consume(length);
    }
}

fn read(source: &mut impl Read) -> io::Result<[u8; 2]> {
    let mut bytes = [0; 2];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}
