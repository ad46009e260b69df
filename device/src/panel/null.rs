//! Panels that show nothing: for programs that only send results, and for measurements.

use std::convert::Infallible;

use embedded_graphics::geometry::Size;
use embedded_hal::delay::DelayNs;
use embedded_hal::{digital, spi};

use super::bus::Wires;
use super::{ColorModel, Glass, Panel, PanelError, Rotation, check_size, mipi};
use crate::frame::Frame;

/// A display that is not there.
#[derive(Debug)]
pub(super) struct NullPanel {
    name: String,
    size: Size,
}

impl NullPanel {
    pub(super) fn new(name: String, size: Size) -> Self {
        Self { name, size }
    }
}

impl Panel for NullPanel {
    fn size(&self) -> Size {
        self.size
    }

    fn show(&mut self, screen: &Frame) -> Result<(), PanelError> {
        check_size(&self.name, self.size, screen)
    }

    fn description(&self) -> String {
        let Size { width, height } = self.size;
        format!("{}: {width}x{height}, shown nowhere", self.name)
    }
}

/// A bus and its lines with nothing at their end; all is sent at once.
#[derive(Clone, Copy, Debug)]
struct Nowhere;

impl spi::ErrorType for Nowhere {
    type Error = Infallible;
}

impl spi::SpiDevice for Nowhere {
    fn transaction(&mut self, _: &mut [spi::Operation<'_, u8>]) -> Result<(), Infallible> {
        Ok(())
    }
}

impl digital::ErrorType for Nowhere {
    type Error = Infallible;
}

impl digital::OutputPin for Nowhere {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl DelayNs for Nowhere {
    fn delay_ns(&mut self, _: u32) {}
}

/// Gives an ILI9341 that hangs in the air, of which what it costs the processor can be measured; `None` where it has
/// another size than the screen.
pub(super) fn unwired(size: Size) -> Option<Box<dyn Panel>> {
    let usual = Glass::usual(ColorModel::Ili9341, None);
    let fits = |rotation: &Rotation| rotation.size(usual.size) == size;
    let rotation = Rotation::ALL.into_iter().find(fits)?;
    let wires =
        Wires { spi: Nowhere, limit: 4096, data_command: Nowhere, reset: None, backlight: None };
    mipi::start("unwired".to_owned(), &Glass { rotation, ..usual }, wires, Nowhere).ok()
}
