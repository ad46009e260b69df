//! A stream of bytes, split into JPEGs.
//!
//! A frame is followed marker by marker (ITU-T T.81, annex B): segments are stepped over by their length, so that a
//! preview within one ends nothing, and within a scan only an end marker ends the frame. What is between frames, as
//! the headers of a network camera's multipart stream, is skipped. A frame that breaks off, or is too long, is
//! counted, and the search goes on right behind its beginning: no whole frame behind it is lost.

const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
const FIRST_RESTART: u8 = 0xd0;
const LAST_RESTART: u8 = 0xd7;
const HUFFMAN_TABLES: u8 = 0xc4;
const JPEG_EXTENSION: u8 = 0xc8;
const ARITHMETIC_TABLES: u8 = 0xcc;
const LAST_FRAME_HEADER: u8 = 0xcf;
/// The first marker that begins a segment with a length; all below it are reserved.
const FIRST_SEGMENT: u8 = 0xc0;

/// The longest frame: ten times what a camera makes of 8 megapixels in good quality.
const MAX_FRAME_BYTES: usize = 32 << 20;

/// What has been read and not been given yet.
#[derive(Debug)]
pub(in crate::camera) struct Splitter {
    bytes: Vec<u8>,
    /// Up to where the bytes have been looked at; within a header it may be behind their end.
    at: usize,
    place: Place,
    /// Whether the header that tells the picture's size has come; a second one is of another frame.
    has_size: bool,
    max_frame_bytes: usize,
    has_ended: bool,
    broken: u64,
    skipped: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Between frames.
    Outside,
    /// Before a marker with a segment.
    Header,
    /// Within compressed data.
    Scan,
}

/// What the bytes at a place say.
enum Step {
    /// The frame goes on.
    On,
    /// The frame ends here.
    Whole,
    /// This cannot be a frame.
    Broken,
    /// More bytes are needed.
    Wait,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new(MAX_FRAME_BYTES)
    }
}

impl Splitter {
    fn new(max_frame_bytes: usize) -> Self {
        let place = Place::Outside;
        Self {
            bytes: Vec::new(),
            at: 0,
            place,
            has_size: false,
            max_frame_bytes,
            has_ended: false,
            broken: 0,
            skipped: 0,
        }
    }

    /// Takes more of the stream. Take all frames out before the next call.
    pub(in crate::camera) fn feed(&mut self, bytes: &[u8]) {
        self.has_ended = false;
        self.bytes.extend_from_slice(bytes);
    }

    /// Says that the stream ends here, or begins anew: a frame that is not whole will never be.
    pub(in crate::camera) fn end(&mut self) {
        self.has_ended = true;
    }

    /// Writes the next whole frame over `frame`, and gives whether there is one.
    pub(in crate::camera) fn next_frame(&mut self, frame: &mut Vec<u8>) -> bool {
        loop {
            let step = match self.place {
                Place::Outside => self.find_start(),
                Place::Header => self.step_header(),
                Place::Scan => self.step_scan(),
            };
            match step {
                Step::On => {}
                Step::Whole => {
                    frame.clear();
                    frame.extend_from_slice(&self.bytes[..self.at]);
                    self.forget(self.at);
                    self.skipped = 0;
                    return true;
                }
                Step::Wait if self.place == Place::Outside => return false,
                Step::Wait if self.may_go_on() => return false,
                Step::Broken | Step::Wait => self.give_up(),
            }
        }
    }

    /// Counts the frames that broke off or were too long.
    pub(in crate::camera) fn broken(&self) -> u64 {
        self.broken
    }

    /// Counts the bytes since the last frame that belong to none.
    pub(in crate::camera) fn skipped(&self) -> usize {
        self.skipped
    }

    /// Counts the bytes of a frame that has begun and not ended.
    pub(in crate::camera) fn pending(&self) -> usize {
        if self.place == Place::Outside { 0 } else { self.bytes.len() }
    }

    fn may_go_on(&self) -> bool {
        !self.has_ended && self.bytes.len().max(self.at) <= self.max_frame_bytes
    }

    /// Goes back to what is behind the beginning of this frame.
    fn give_up(&mut self) {
        self.broken += 1;
        self.skipped += 2;
        self.forget(2);
    }

    fn forget(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.at = 0;
        self.place = Place::Outside;
        self.has_size = false;
    }

    fn find_start(&mut self) -> Step {
        let start = [0xff, START_OF_IMAGE, 0xff];
        let found = self.bytes.windows(3).position(|three| three == start);
        // The last two bytes may be the beginning of a start.
        let useless = found.unwrap_or(self.bytes.len().saturating_sub(2));
        self.skipped += useless;
        self.forget(useless);
        if found.is_none() {
            return Step::Wait;
        }
        self.at = 2;
        self.place = Place::Header;
        Step::On
    }

    fn step_header(&mut self) -> Step {
        let Some(&[mark, kind]) = self.at_most(2).first_chunk() else { return Step::Wait };
        match (mark, kind) {
            (0xff, 0xff) => self.at += 1,
            // None of these stands in a header, and a picture without a scan is none.
            (0xff, START_OF_IMAGE | END_OF_IMAGE | FIRST_RESTART..=LAST_RESTART) => {
                return Step::Broken;
            }
            (0xff, FIRST_SEGMENT..) => {
                let Some(&[_, _, high, low]) = self.at_most(4).first_chunk() else {
                    return Step::Wait;
                };
                let length = usize::from(u16::from_be_bytes([high, low]));
                let tells_size = is_frame_header(kind);
                if length < 2 || tells_size && self.has_size {
                    return Step::Broken;
                }
                self.has_size |= tells_size;
                self.at += 2 + length;
                if kind == START_OF_SCAN {
                    self.place = Place::Scan;
                }
            }
            _ => return Step::Broken,
        }
        Step::On
    }

    fn step_scan(&mut self) -> Step {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(mark) = rest.iter().position(|&byte| byte == 0xff) else {
            self.at = self.at.max(self.bytes.len());
            return Step::Wait;
        };
        self.at += mark;
        let Some(&[_, kind]) = self.at_most(2).first_chunk() else { return Step::Wait };
        match kind {
            0xff => self.at += 1,
            0 | FIRST_RESTART..=LAST_RESTART => self.at += 2,
            END_OF_IMAGE => {
                self.at += 2;
                return Step::Whole;
            }
            START_OF_IMAGE | 1..FIRST_SEGMENT => return Step::Broken,
            FIRST_SEGMENT.. => self.place = Place::Header,
        }
        Step::On
    }

    fn at_most(&self, count: usize) -> &[u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        rest.get(..count).unwrap_or(rest)
    }
}

/// Tells whether a segment is a frame header, of whatever process (T.81, table B.1).
fn is_frame_header(kind: u8) -> bool {
    (FIRST_SEGMENT..=LAST_FRAME_HEADER).contains(&kind)
        && ![HUFFMAN_TABLES, JPEG_EXTENSION, ARITHMETIC_TABLES].contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::super::tests::jpeg;
    use super::*;

    /// Feeds a stream in pieces of random lengths and collects the frames.
    fn split(splitter: &mut Splitter, stream: &[u8], random: &mut fastrand::Rng) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut rest = stream;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(random.usize(1..=rest.len().min(700)));
            splitter.feed(piece);
            let mut frame = Vec::new();
            while splitter.next_frame(&mut frame) {
                frames.push(frame.clone());
            }
            rest = behind;
        }
        frames
    }

    /// Bytes that look like frames, or like anything.
    fn garbage(random: &mut fastrand::Rng) -> Vec<u8> {
        let whole = jpeg(24, 24, random.u8(..));
        match random.u8(0..6) {
            0 => Vec::new(),
            1 => {
                b"\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 1234\r\n\r\n".to_vec()
            }
            2 => {
                let length = random.usize(0..3000);
                std::iter::repeat_with(|| random.u8(..)).take(length).collect()
            }
            3 => whole[..random.usize(..whole.len())].to_vec(),
            4 => whole[random.usize(1..whole.len())..].to_vec(),
            _ => vec![[0xff, 0xd8, 0xff, 0xe0, 0x00, 0x30]; random.usize(1..20)].concat(),
        }
    }

    #[test]
    fn finds_every_whole_frame_whatever_is_between() {
        let mut random = fastrand::Rng::with_seed(20_260_101);
        for round in 0..150 {
            let mut stream = Vec::new();
            let frames: Vec<Vec<u8>> = (0..6).map(|number| jpeg(32, 16, number * 40)).collect();
            for frame in &frames {
                stream.extend(garbage(&mut random));
                stream.extend(frame);
            }
            let mut splitter = Splitter::default();
            let mut found = split(&mut splitter, &stream, &mut random);
            // What stands behind a last false beginning comes out at the end.
            splitter.end();
            let mut frame = Vec::new();
            while splitter.next_frame(&mut frame) {
                found.push(frame.clone());
            }
            let mut expected = frames.iter();
            let mut next = expected.next();
            for frame in &found {
                // A segment that was cut off by two bytes or less takes the beginning of the frame behind it; all that
                // makes the picture is there.
                if next.is_some_and(|next| frame.ends_with(&next[2..])) {
                    next = expected.next();
                }
            }
            assert_eq!(next, None, "round {round}: {} frames found", found.len());
        }
    }

    #[test]
    fn counts_what_broke_off() {
        let mut random = fastrand::Rng::with_seed(1);
        let whole = jpeg(32, 32, 9);
        let stream =
            [&whole[..whole.len() / 2], &whole, &whole[..whole.len() - 2], &whole].concat();
        let mut splitter = Splitter::default();
        assert_eq!(split(&mut splitter, &stream, &mut random), [whole.clone(), whole.clone()]);
        assert_eq!((splitter.broken(), splitter.skipped()), (2, 0));
        assert_eq!(splitter.pending(), 0);
        splitter.feed(&whole[..50]);
        assert!(!splitter.next_frame(&mut Vec::new()) && splitter.pending() == 50);
        splitter.end();
        assert!(!splitter.next_frame(&mut Vec::new()) && splitter.pending() == 0);
        assert_eq!(splitter.broken(), 3);
    }

    #[test]
    fn steps_over_a_preview() {
        let preview = jpeg(8, 8, 1);
        let whole = jpeg(32, 32, 2);
        let length = u16::try_from(preview.len() + 2).unwrap().to_be_bytes();
        let frame = [&whole[..2], &[0xff, 0xe1], &length[..], &preview, &whole[2..]].concat();
        let mut splitter = Splitter::default();
        let stream = [&frame[..], &frame].concat();
        let found = split(&mut splitter, &stream, &mut fastrand::Rng::with_seed(2));
        assert_eq!(found, [frame.clone(), frame]);
        assert_eq!(splitter.broken(), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut splitter = Splitter::new(10_000);
        let endless = [&jpeg(32, 32, 2)[..700], &[7; 500]].concat();
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            assert!(split(&mut splitter, &[5; 1000], &mut random).is_empty());
            assert!(split(&mut splitter, &endless[..600], &mut random).is_empty());
            assert!(splitter.bytes.len() <= 11_000, "{}", splitter.bytes.len());
        }
        assert!(splitter.broken() > 0 && splitter.skipped() > 100_000);
        let whole = jpeg(16, 16, 3);
        splitter.feed(&[0; 20_000]);
        let found = split(&mut splitter, &whole, &mut random);
        assert_eq!(found, [whole]);
    }
}
