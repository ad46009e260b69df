//! A colour controller of MIPI's display command set, with its glass.

use std::time::Duration;

use image::{Rgb, RgbImage};

use super::{Chip, Level, ProtocolError};
use crate::panel::{ColorModel, Glass};

const SWRESET: u8 = 0x01;
const SLPOUT: u8 = 0x11;
const INVOFF: u8 = 0x20;
const INVON: u8 = 0x21;
const DISPOFF: u8 = 0x28;
const DISPON: u8 = 0x29;
const CASET: u8 = 0x2a;
const RASET: u8 = 0x2b;
const RAMWR: u8 = 0x2c;
const MADCTL: u8 = 0x36;
const COLMOD: u8 = 0x3a;

/// Commands and how many parameters they have (data sheets of ILI9341, 8.1, and ST7789V, 9).
const COMMANDS: [(u8, usize); 19] = [
    (0x00, 0),
    (SWRESET, 0),
    (0x10, 0),
    (SLPOUT, 0),
    (0x12, 0),
    (0x13, 0),
    (INVOFF, 0),
    (INVON, 0),
    (0x26, 1),
    (DISPOFF, 0),
    (DISPON, 0),
    (CASET, 4),
    (RASET, 4),
    (0x33, 6),
    (0x34, 0),
    (0x35, 1),
    (MADCTL, 1),
    (0x37, 2),
    (COLMOD, 1),
];

/// No command may follow a reset or a wake-up for so long (ILI9341 data sheet, 8.2.2 and 8.2.12).
const SETTLE: Duration = Duration::from_millis(5);
/// No wake-up may follow a reset for so long (the same).
const BEFORE_WAKE_UP: Duration = Duration::from_millis(120);

/// A window that pixels were sent to, in the order in which they are counted on the rotated glass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimWindow {
    /// First and last column.
    pub columns: [u16; 2],
    /// First and last row.
    pub rows: [u16; 2],
}

/// What is being received.
#[derive(Clone, Debug)]
enum Pending {
    Nothing,
    Parameters { command: u8, bytes: Vec<u8> },
    Vendor,
    Pixels { bytes: Vec<u8>, placed: usize },
}

/// The controller and the glass.
#[derive(Clone, Debug)]
pub struct DcsSim {
    glass: Glass,
    limit: usize,
    memory: RgbImage,
    pending: Pending,
    columns: [u16; 2],
    rows: [u16; 2],
    madctl: u8,
    pixel_bytes: usize,
    is_inverted: bool,
    is_awake: bool,
    is_on: bool,
    now: Duration,
    settled: Duration,
    may_wake: Duration,
    windows: Vec<SimWindow>,
}

impl DcsSim {
    /// Makes a controller with power on, behind a bus that takes so many bytes in a transfer. The glass's rotation does
    /// not matter: the driver rotates.
    #[must_use]
    pub fn new(glass: Glass, limit: usize) -> Self {
        let memory = glass.model.memory();
        let mut sim = Self {
            glass,
            limit,
            memory: noise(memory.width, memory.height),
            pending: Pending::Nothing,
            columns: [0, 0],
            rows: [0, 0],
            madctl: 0,
            pixel_bytes: 3,
            is_inverted: false,
            is_awake: false,
            is_on: false,
            now: Duration::ZERO,
            settled: Duration::ZERO,
            may_wake: Duration::ZERO,
            windows: Vec::new(),
        };
        sim.start_anew();
        sim
    }

    /// Gives what a person sees, with the glass at rotation 0: black while the display is off.
    #[must_use]
    pub fn seen(&self) -> RgbImage {
        let [width, height] = [self.glass.size.width, self.glass.size.height];
        if !self.is_on || !self.is_awake {
            return RgbImage::new(width, height);
        }
        let [left, top] = [self.glass.offset.x, self.glass.offset.y].map(i32::unsigned_abs);
        RgbImage::from_fn(width, height, |x, y| {
            let column = if self.glass.mirror { width - 1 - x } else { x };
            let &Rgb([r, g, b]) = self.memory.get_pixel(left + column, top + y);
            let swapped = self.has(0x08) != self.glass.bgr;
            let color = if swapped { [b, g, r] } else { [r, g, b] };
            let negative = self.is_inverted != self.glass.invert;
            Rgb(if negative { color.map(|value| 255 - value) } else { color })
        })
    }

    /// Takes the windows that pixels were sent to since the last call.
    pub fn take_windows(&mut self) -> Vec<SimWindow> {
        std::mem::take(&mut self.windows)
    }

    fn start_anew(&mut self) {
        self.pending = Pending::Nothing;
        (self.madctl, self.pixel_bytes) = (0, 3);
        (self.is_inverted, self.is_awake, self.is_on) = (false, false, false);
        self.settled = self.now + SETTLE;
        self.may_wake = self.now + BEFORE_WAKE_UP;
    }

    /// Tells whether a bit of the address mode is set.
    fn has(&self, bit: u8) -> bool {
        self.madctl & bit != 0
    }

    fn is_vendors(&self, command: u8) -> bool {
        // The GC9A01's are set down nowhere but in its start-up sequence.
        let first = if self.glass.model == ColorModel::Gc9a01 { 0x60 } else { 0xb0 };
        command >= first
    }

    fn command(&mut self, command: u8) -> Result<(), ProtocolError> {
        self.finish()?;
        let ready = if command == SLPOUT { self.may_wake } else { self.settled };
        if self.now < ready {
            return Err(ProtocolError::NotSettled { command, left: ready - self.now });
        }
        if command == RAMWR {
            return self.begin_pixels();
        }
        if self.is_vendors(command) {
            self.pending = Pending::Vendor;
            return Ok(());
        }
        let known = COMMANDS.iter().find(|known| known.0 == command);
        let &(_, count) = known.ok_or(ProtocolError::UnknownCommand { command })?;
        if count > 0 {
            self.pending = Pending::Parameters { command, bytes: Vec::new() };
            return Ok(());
        }
        self.pending = Pending::Nothing;
        match command {
            SWRESET => self.start_anew(),
            SLPOUT => {
                self.is_awake = true;
                self.settled = self.now + SETTLE;
            }
            INVOFF | INVON => self.is_inverted = command == INVON,
            DISPOFF | DISPON => self.is_on = command == DISPON,
            _ => {}
        }
        Ok(())
    }

    fn begin_pixels(&mut self) -> Result<(), ProtocolError> {
        if !self.is_awake {
            return Err(ProtocolError::TooEarly { what: "sleep-out" });
        }
        if !self.is_on {
            return Err(ProtocolError::TooEarly { what: "display-on" });
        }
        self.check_window()?;
        self.windows.push(SimWindow { columns: self.columns, rows: self.rows });
        self.pending = Pending::Pixels { bytes: Vec::new(), placed: 0 };
        Ok(())
    }

    /// Refuses windows that leave the glass, although the memory may go on there.
    fn check_window(&self) -> Result<(), ProtocolError> {
        let [first_column, last_column] = self.columns;
        let [first_row, last_row] = self.rows;
        let glass = self.glass;
        let (width, height) = if self.has(0x20) {
            (glass.size.height, glass.size.width)
        } else {
            (glass.size.width, glass.size.height)
        };
        let within = first_column <= last_column
            && first_row <= last_row
            && [(first_column, first_row), (last_column, last_row)]
                .into_iter()
                .all(|(column, row)| self.place(column, row).is_some());
        if within {
            return Ok(());
        }
        Err(ProtocolError::Window { columns: self.columns, rows: self.rows, width, height })
    }

    /// Gives the place in memory of a counted column and row; `None` beyond the glass.
    fn place(&self, column: u16, row: u16) -> Option<(u32, u32)> {
        let memory = self.glass.model.memory();
        let (column, row) = (u32::from(column), u32::from(row));
        let (x, y) = if self.has(0x20) { (row, column) } else { (column, row) };
        let turned = |place: u32, length: u32, bit: u8| {
            if self.has(bit) { length.checked_sub(place + 1) } else { Some(place) }
        };
        let (x, y) = (turned(x, memory.width, 0x40)?, turned(y, memory.height, 0x80)?);
        let [left, top] = [self.glass.offset.x, self.glass.offset.y].map(i32::unsigned_abs);
        let on_glass = (left..left + self.glass.size.width).contains(&x)
            && (top..top + self.glass.size.height).contains(&y);
        on_glass.then_some((x, y))
    }

    fn apply(&mut self, command: u8, bytes: &[u8]) -> Result<(), ProtocolError> {
        let value = |what, value: u8| ProtocolError::Value { command, what, value: value.into() };
        match (command, bytes) {
            (CASET | RASET, &[a, b, c, d]) => {
                let ends = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
                *(if command == CASET { &mut self.columns } else { &mut self.rows }) = ends;
            }
            (MADCTL, &[mode]) => self.madctl = mode,
            (COLMOD, &[format]) => {
                // The high half is for the parallel interface.
                self.pixel_bytes = match format & 0x0f {
                    5 => 2,
                    6 => 3,
                    _ => return Err(value("a pixel format that is none", format)),
                };
                // ILI9488 data sheet, 4.2: 16 bits a pixel are not for SPI; the ILI9486's, 7.4.6, likewise.
                let needs_18 =
                    matches!(self.glass.model, ColorModel::Ili9486 | ColorModel::Ili9488);
                if needs_18 && self.pixel_bytes == 2 {
                    return Err(value("a pixel format that is not for SPI", format));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        match std::mem::replace(&mut self.pending, Pending::Nothing) {
            Pending::Nothing => {
                Err(ProtocolError::Level { length: bytes.len(), what: "of data behind no command" })
            }
            Pending::Vendor => {
                self.pending = Pending::Vendor;
                Ok(())
            }
            Pending::Parameters { command, bytes: mut all } => {
                all.extend_from_slice(bytes);
                let expected = parameters(command);
                if all.len() > expected {
                    return Err(ProtocolError::Parameters { command, expected, found: all.len() });
                }
                if all.len() == expected {
                    return self.apply(command, &all);
                }
                self.pending = Pending::Parameters { command, bytes: all };
                Ok(())
            }
            Pending::Pixels { bytes: mut all, placed } => {
                all.extend_from_slice(bytes);
                self.draw(all, placed)
            }
        }
    }

    /// How many pixels the window has.
    fn window_pixels(&self) -> usize {
        let length = |[first, last]: [u16; 2]| usize::from(last - first) + 1;
        length(self.columns) * length(self.rows)
    }

    fn draw(&mut self, bytes: Vec<u8>, mut placed: usize) -> Result<(), ProtocolError> {
        let width = usize::from(self.columns[1] - self.columns[0]) + 1;
        let pixels = bytes.chunks_exact(self.pixel_bytes);
        let rest = pixels.remainder().to_vec();
        for pixel in pixels {
            let all = self.window_pixels();
            if placed == all {
                let (expected, found) = (all * self.pixel_bytes, (all + 1) * self.pixel_bytes);
                return Err(ProtocolError::Pixels { expected, found });
            }
            let [column, row] = [placed % width, placed / width].map(|n| u16::try_from(n).ok());
            if let (Some(column), Some(row)) = (column, row)
                && let Some((x, y)) = self.place(self.columns[0] + column, self.rows[0] + row)
            {
                self.memory.put_pixel(x, y, color(pixel));
            }
            placed += 1;
        }
        self.pending = Pending::Pixels { bytes: rest, placed };
        Ok(())
    }
}

/// Memory as it is after power-on.
fn noise(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let value = (x * 31 + y * 17) % 251;
        Rgb([value.to_le_bytes()[0], 99, 201])
    })
}

fn parameters(command: u8) -> usize {
    COMMANDS.iter().find(|known| known.0 == command).map_or(0, |known| known.1)
}

/// Widens a pixel's channels to 8 bits: the nearest value of the same brightness.
fn color(pixel: &[u8]) -> Rgb<u8> {
    let widen = |value: u16, most: u16| {
        u8::try_from((u32::from(value) * 510 + u32::from(most)) / (2 * u32::from(most)))
            .unwrap_or(u8::MAX)
    };
    match *pixel {
        [high, low] => {
            let bits = u16::from_be_bytes([high, low]);
            Rgb([widen(bits >> 11, 31), widen(bits >> 5 & 63, 63), widen(bits & 31, 31)])
        }
        [r, g, b] => Rgb([r, g, b].map(|channel| widen(u16::from(channel >> 2), 63))),
        _ => Rgb([0, 0, 0]),
    }
}

impl Chip for DcsSim {
    fn receive(&mut self, level: Level, bytes: &[u8]) -> Result<(), ProtocolError> {
        if !(1..=self.limit).contains(&bytes.len()) {
            return Err(ProtocolError::Transfer { length: bytes.len(), limit: self.limit });
        }
        match (level, bytes) {
            (Level::Command, &[command]) => self.command(command),
            (Level::Command, _) => {
                Err(ProtocolError::Level { length: bytes.len(), what: "at once as commands" })
            }
            (Level::Data, _) => self.data(bytes),
        }
    }

    fn reset(&mut self) {
        self.start_anew();
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn interrupt(&mut self) {
        self.pending = Pending::Nothing;
    }

    fn finish(&mut self) -> Result<(), ProtocolError> {
        match std::mem::replace(&mut self.pending, Pending::Nothing) {
            Pending::Nothing | Pending::Vendor => Ok(()),
            Pending::Parameters { command, bytes } => {
                let expected = parameters(command);
                Err(ProtocolError::Parameters { command, expected, found: bytes.len() })
            }
            Pending::Pixels { bytes, placed } => {
                let expected = self.window_pixels() * self.pixel_bytes;
                let found = placed * self.pixel_bytes + bytes.len();
                if found == expected {
                    Ok(())
                } else {
                    Err(ProtocolError::Pixels { expected, found })
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
