//! OLEDs with an SSD1306, on I2C or SPI, driven by the crate of its name.
//!
//! The chip holds pages: rows of bytes, each eight pixels high. Only changed ones go over the bus, which on I2C is slow
//! enough to matter. After a failed transfer the next screen is sent whole.

use std::fmt;

use embedded_graphics::geometry::Size;
use image::RgbImage;
use ssd1306::command::AddrMode;
use ssd1306::mode::BasicMode;
use ssd1306::prelude::{
    DisplayRotation, DisplaySize, DisplaySize64x32, DisplaySize64x48, DisplaySize72x40,
    DisplaySize96x16, DisplaySize128x32, DisplaySize128x64, SPIInterface, WriteOnlyDataCommand,
};
use ssd1306::{I2CDisplayInterface, Ssd1306};

use super::bus::{self, BusError, Pin, Spi, Wires};
use super::changes::changes;
use super::{Ink, OledSize, Panel, PanelError, Rotation, check_size};
use crate::frame::Frame;

/// Which glass is there and how it hangs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Oled {
    pub(super) size: OledSize,
    pub(super) rotation: Rotation,
}

/// Resets an OLED on SPI and sets it up.
pub(super) fn start_spi<SPI: Spi, PIN: Pin>(
    name: String,
    oled: Oled,
    wires: Wires<SPI, PIN>,
    mut delay: impl bus::Delay,
) -> Result<Box<dyn Panel>, PanelError> {
    let Wires { spi, limit, data_command, mut reset, .. } = wires;
    if let Some(line) = &mut reset {
        bus::reset(line, &mut delay)
            .map_err(|error| error.of(&name, "resetting the controller"))?;
    }
    // Kept: a line that is let go may fall.
    let held: Box<dyn Send> = Box::new(reset);
    start(name, oled, SPIInterface::new(spi, data_command), Link { limit, held })
}

/// Sets an OLED on I2C up. Transfers are as short as its interface makes them: 17 bytes.
pub(super) fn start_i2c<I2C>(
    name: String,
    oled: Oled,
    i2c: I2C,
    address: u8,
) -> Result<Box<dyn Panel>, PanelError>
where
    I2C: embedded_hal::i2c::I2c + Send + 'static,
{
    let interface = I2CDisplayInterface::new_custom_address(i2c, address);
    start(name, oled, interface, Link { limit: usize::MAX, held: Box::new(()) })
}

/// What is known of the way to the chip.
struct Link {
    /// The longest write of pixels, in bytes.
    limit: usize,
    held: Box<dyn Send>,
}

fn start<DI: WriteOnlyDataCommand + Send + 'static>(
    name: String,
    oled: Oled,
    interface: DI,
    link: Link,
) -> Result<Box<dyn Panel>, PanelError> {
    match oled.size {
        OledSize::W128H64 => start_size(name, oled, interface, DisplaySize128x64, link),
        OledSize::W128H32 => start_size(name, oled, interface, DisplaySize128x32, link),
        OledSize::W96H16 => start_size(name, oled, interface, DisplaySize96x16, link),
        OledSize::W72H40 => start_size(name, oled, interface, DisplaySize72x40, link),
        OledSize::W64H48 => start_size(name, oled, interface, DisplaySize64x48, link),
        OledSize::W64H32 => start_size(name, oled, interface, DisplaySize64x32, link),
    }
}

fn start_size<DI, S>(
    name: String,
    oled: Oled,
    interface: DI,
    size: S,
    link: Link,
) -> Result<Box<dyn Panel>, PanelError>
where
    DI: WriteOnlyDataCommand + Send + 'static,
    S: DisplaySize + Send + 'static,
{
    let mut display = Ssd1306::new(interface, size, DisplayRotation::Rotate0);
    let started = display.init_with_addr_mode(AddrMode::Horizontal);
    started.map_err(|error| failed(&error).of(&name, "setting the controller up"))?;
    let Link { limit, held: _held } = link;
    Ok(Box::new(OledPanel { name, oled, display, limit, _held, sent: None }))
}

/// The crate's error keeps nothing of what the bus said.
fn failed(error: &impl fmt::Debug) -> BusError {
    BusError(format!("the bus failed ({error:?})"))
}

/// An OLED that was set up.
struct OledPanel<DI, S> {
    name: String,
    oled: Oled,
    display: Ssd1306<DI, S, BasicMode>,
    limit: usize,
    _held: Box<dyn Send>,
    /// The bytes on the glass, page by page; `None` when that is not known.
    sent: Option<Vec<u8>>,
}

impl<DI: WriteOnlyDataCommand, S: DisplaySize> OledPanel<DI, S> {
    /// Sends the pages that have changed.
    fn send(&mut self, next: Vec<u8>) -> Result<(), BusError> {
        let width = usize::from(S::WIDTH);
        let sent = self.sent.take();
        for span in changes(sent.as_deref(), &next, width) {
            // The chip's memory is wider than small glass; its rows are counted in pixels.
            let [left, right] =
                [span.columns.start, span.columns.end].map(|column| small(column) + S::OFFSETX);
            let [top, bottom] = [span.rows.start, span.rows.end].map(|page| small(page * 8));
            self.display
                .set_draw_area((left, top), (right, bottom))
                .map_err(|error| failed(&error))?;
            let bytes: Vec<u8> = span.values(&next, width).collect();
            for part in bytes.chunks(self.limit) {
                self.display.draw(part).map_err(|error| failed(&error))?;
            }
        }
        self.sent = Some(next);
        Ok(())
    }
}

/// A place on an OLED: at most 128.
fn small(place: usize) -> u8 {
    u8::try_from(place).unwrap_or(u8::MAX)
}

/// Packs a picture into pages: a byte holds eight pixels of a column, the topmost in its lowest bit.
fn pages(picture: &RgbImage) -> Vec<u8> {
    let is_on = |x: u32, y: u32| picture.get_pixel_checked(x, y).is_some_and(is_bright);
    let byte = |page: u32, x: u32| {
        (0..8).fold(0, |byte, bit| byte | (u8::from(is_on(x, page * 8 + bit)) << bit))
    };
    let (width, height) = picture.dimensions();
    (0..height.div_ceil(8)).flat_map(|page| (0..width).map(move |x| byte(page, x))).collect()
}

/// Tells whether a colour is brighter than half, by its luma (Rec. ITU-R BT.601).
fn is_bright(&image::Rgb([r, g, b]): &image::Rgb<u8>) -> bool {
    let [r, g, b] = [r, g, b].map(u32::from);
    299 * r + 587 * g + 114 * b > 1000 * 255 / 2
}

impl<DI, S> Panel for OledPanel<DI, S>
where
    DI: WriteOnlyDataCommand + Send,
    S: DisplaySize + Send,
{
    fn size(&self) -> Size {
        self.oled.rotation.size(self.oled.size.size())
    }

    fn ink(&self) -> Ink {
        Ink::Monochrome
    }

    fn show(&mut self, screen: &Frame) -> Result<(), PanelError> {
        check_size(&self.name, self.size(), screen)?;
        let next = pages(&self.oled.rotation.turn(screen.as_image()));
        self.send(next).map_err(|error| error.of(&self.name, "sending a screen"))
    }

    fn description(&self) -> String {
        let Size { width, height } = self.size();
        format!(
            "{}: ssd1306, {width}x{height}, black and white; only changed pages are sent",
            self.name
        )
    }
}

impl<DI, S> fmt::Debug for OledPanel<DI, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OledPanel").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
