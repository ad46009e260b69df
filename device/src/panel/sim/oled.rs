//! An SSD1306 with its glass.

use std::time::Duration;

use image::{Rgb, RgbImage};

use super::{Chip, Level, ProtocolError};
use crate::panel::OledSize;

/// The chip and the glass.
#[derive(Clone, Debug)]
pub struct OledSim {
    size: OledSize,
    limit: usize,
    /// What is lit.
    glass: RgbImage,
    columns: [u8; 2],
    pages: [u8; 2],
    /// How many bytes of the window have come; `None` before a window is set.
    received: Option<usize>,
    is_horizontal: bool,
    is_on: bool,
    is_pumping: bool,
    is_inverted: bool,
    /// Whether column 0 is at the right end of the chip, and row 0 at the lower, as modules have them.
    remap: [bool; 2],
    rows: u8,
    pixel_bytes: usize,
}

impl OledSim {
    /// Makes a chip with power on, behind a bus that takes so many bytes in a transfer.
    #[must_use]
    pub fn new(size: OledSize, limit: usize) -> Self {
        let noise = RgbImage::from_fn(size.size().width, size.size().height, |x, y| {
            Rgb([if (x * 7 + y * 3) % 5 < 2 { 255 } else { 0 }; 3])
        });
        let mut sim = Self {
            size,
            limit,
            glass: noise,
            columns: [0, 0],
            pages: [0, 0],
            received: None,
            is_horizontal: false,
            is_on: false,
            is_pumping: false,
            is_inverted: false,
            remap: [false; 2],
            rows: 64,
            pixel_bytes: 0,
        };
        sim.reset();
        sim
    }

    /// Gives what a person sees: black while the display is off.
    #[must_use]
    pub fn seen(&self) -> RgbImage {
        let mut seen = self.glass.clone();
        for Rgb(value) in seen.pixels_mut() {
            *value = value.map(|on| {
                let lit = (on == 255) != self.is_inverted;
                if lit && self.is_on && self.is_pumping { 255 } else { 0 }
            });
        }
        seen
    }

    /// Gives how many bytes of pixels came since the last call.
    pub fn take_pixel_bytes(&mut self) -> usize {
        std::mem::take(&mut self.pixel_bytes)
    }

    /// Takes a command with its parameters; gives what stands behind them.
    fn command<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], ProtocolError> {
        let Some((&command, rest)) = bytes.split_first() else { return Ok(bytes) };
        // SSD1306 data sheet, table 9-1, and the command table of the charge pump's appendix.
        let expected = match command {
            0x2e | 0x2f | 0x40..=0x7f | 0xa0 | 0xa1 | 0xa4..=0xa7 | 0xae | 0xaf => 0,
            0xc0 | 0xc8 | 0xe3 => 0,
            0x20 | 0x81 | 0x8d | 0xa8 | 0xad | 0xd3 | 0xd5 | 0xd9 | 0xda | 0xdb => 1,
            0x21 | 0x22 => 2,
            _ => return Err(ProtocolError::UnknownCommand { command }),
        };
        let Some((parameters, rest)) = rest.split_at_checked(expected) else {
            return Err(ProtocolError::Parameters { command, expected, found: rest.len() });
        };
        self.apply(command, parameters)?;
        Ok(rest)
    }

    fn apply(&mut self, command: u8, parameters: &[u8]) -> Result<(), ProtocolError> {
        match (command, parameters) {
            (0x20, &[mode]) => self.is_horizontal = mode == 0,
            (0x21, &[first, last]) => {
                self.finish()?;
                self.columns = [first, last];
                self.received = Some(0);
            }
            (0x22, &[first, last]) => {
                self.pages = [first, last];
                self.received = Some(0);
            }
            (0x8d, &[value]) => self.is_pumping = value & 0x04 != 0,
            (0xa8, &[value]) => self.rows = value + 1,
            (0xa0 | 0xa1, _) => self.remap[0] = command == 0xa1,
            (0xc0 | 0xc8, _) => self.remap[1] = command == 0xc8,
            (0xa5, _) => {
                return Err(ProtocolError::Value { command, what: "all pixels on", value: 1 });
            }
            (0xa6 | 0xa7, _) => self.is_inverted = command == 0xa7,
            (0xae | 0xaf, _) => self.is_on = command == 0xaf,
            (0xd3, &[value]) if value != 0 => {
                return Err(ProtocolError::Value {
                    command,
                    what: "an offset of",
                    value: value.into(),
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn window_bytes(&self) -> usize {
        let length = |[first, last]: [u8; 2]| usize::from(last.saturating_sub(first)) + 1;
        length(self.columns) * length(self.pages)
    }

    /// The first column of the glass in the chip's memory: small glass is in its middle, but for that of 96 columns.
    fn left(&self) -> u8 {
        match self.size {
            OledSize::W128H64 | OledSize::W128H32 | OledSize::W96H16 => 0,
            OledSize::W72H40 => 28,
            OledSize::W64H48 | OledSize::W64H32 => 32,
        }
    }

    fn check_ready(&self) -> Result<(), ProtocolError> {
        let (width, height) = (self.size.size().width, self.size.size().height);
        let ready = [
            (self.is_pumping, "the charge pump is on"),
            (self.is_on, "display-on"),
            (self.is_horizontal, "horizontal addressing"),
            (u32::from(self.rows) == height, "the glass's rows are set"),
            (self.received.is_some(), "a window"),
        ];
        if let Some(&(_, what)) = ready.iter().find(|(is_ready, _)| !is_ready) {
            return Err(ProtocolError::TooEarly { what });
        }
        let [first, last] = self.columns;
        let beyond = first < self.left()
            || u32::from(last) >= u32::from(self.left()) + width
            || u32::from(self.pages[1]) >= height.div_ceil(8)
            || first > last
            || self.pages[0] > self.pages[1];
        if beyond {
            let [columns, rows] = [self.columns, self.pages].map(|ends| ends.map(u16::from));
            return Err(ProtocolError::Window { columns, rows, width, height: height.div_ceil(8) });
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        self.check_ready()?;
        let width = usize::from(self.columns[1] - self.columns[0]) + 1;
        let (expected, mut received) = (self.window_bytes(), self.received.unwrap_or(0));
        for &byte in bytes {
            if received == expected {
                return Err(ProtocolError::Pixels { expected, found: expected + 1 });
            }
            let column = u32::from(self.columns[0] - self.left()) + to_u32(received % width);
            let page = u32::from(self.pages[0]) + to_u32(received / width);
            (0..8).for_each(|bit| self.light(column, page * 8 + bit, byte >> bit & 1 == 1));
            received += 1;
        }
        self.pixel_bytes += bytes.len();
        self.received = Some(received);
        Ok(())
    }

    fn light(&mut self, column: u32, row: u32, is_on: bool) {
        let (width, height) = self.glass.dimensions();
        let turned = |place: u32, length: u32, is_upright: bool| {
            if is_upright { Some(place) } else { length.checked_sub(place + 1) }
        };
        if let (Some(x), Some(y)) =
            (turned(column, width, self.remap[0]), turned(row, height, self.remap[1]))
            && let Some(pixel) = self.glass.get_pixel_mut_checked(x, y)
        {
            *pixel = Rgb([if is_on { 255 } else { 0 }; 3]);
        }
    }
}

fn to_u32(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

impl Chip for OledSim {
    fn receive(&mut self, level: Level, bytes: &[u8]) -> Result<(), ProtocolError> {
        if !(1..=self.limit).contains(&bytes.len()) {
            return Err(ProtocolError::Transfer { length: bytes.len(), limit: self.limit });
        }
        if level == Level::Data {
            return self.data(bytes);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = self.command(rest)?;
        }
        Ok(())
    }

    fn reset(&mut self) {
        // SSD1306 data sheet, 8.9.
        (self.is_on, self.is_pumping, self.is_horizontal) = (false, false, false);
        (self.is_inverted, self.remap, self.rows) = (false, [false; 2], 64);
        self.received = None;
    }

    fn wait(&mut self, _time: Duration) {}

    fn interrupt(&mut self) {
        self.received = None;
    }

    fn finish(&mut self) -> Result<(), ProtocolError> {
        let expected = self.window_bytes();
        match self.received {
            Some(found) if found != expected => Err(ProtocolError::Pixels { expected, found }),
            _ => Ok(()),
        }
    }
}
