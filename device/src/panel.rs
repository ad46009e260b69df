//! Panels: the displays that a drawn screen goes to.
//!
//! Only here is hardware named. A [`Panel`] takes finished screens, all of its own size, and sends what has changed.
//! [`PanelAddress`] says which panel is meant, [`open`] opens it, [`list`] tells what this machine has.
//!
//! The drivers of panels on a bus know no operating system: they are generic over `embedded-hal`'s traits. One thin
//! module opens the devices of Linux for them, and [`sim`] stands in for the glass in tests.

mod address;
mod bus;
mod changes;
mod drm;
mod file;
mod framebuffer;
mod glass;
mod linux;
mod list;
mod mipi;
mod null;
mod oled;
mod parameters;
#[doc(hidden)]
pub mod sim;
mod turn;

use std::path::{Path, PathBuf};
use std::{fmt, io};

use embedded_graphics::geometry::Size;

use crate::board::BoardError;
use crate::frame::Frame;
use crate::gpio::GpioError;

pub use address::{
    DrmAddress, FileAddress, FramebufferAddress, I2cAddress, PanelAddress, SpiAddress, SpiDisplay,
};
pub use glass::{ColorModel, Glass, OledSize};
pub use list::{Found, Kind, list};
pub use parameters::AddressError;
pub(crate) use parameters::read_size;
pub use turn::Rotation;

/// What a panel's pixels can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Any colour, as far as its bits reach.
    Color,
    /// On or off: a screen for it is drawn in black and white alone.
    Monochrome,
}

/// A display that shows screens.
pub trait Panel: fmt::Debug + Send {
    /// Gives its size in pixels, as it hangs: rotated by its wiring's rule.
    fn size(&self) -> Size;

    /// Tells what its pixels can be.
    fn ink(&self) -> Ink {
        Ink::Color
    }

    /// Tells whether each screen is kept beside the last, as pictures of a series are. Such a panel gets the screens of
    /// frames alone, each once: none that says that the program starts or ends, or that something is missing.
    fn keeps_screens(&self) -> bool {
        false
    }

    /// Shows a screen of the panel's size; on a [`Ink::Monochrome`] panel what is brighter than half is on.
    ///
    /// # Errors
    /// Returns [`PanelError`] when the display does not take it. The caller may try again with a later screen, or
    /// drop the panel and open it anew.
    fn show(&mut self, screen: &Frame) -> Result<(), PanelError>;

    /// Tells in one line what was opened.
    fn description(&self) -> String;
}

/// A display could not be opened, or does not take a screen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PanelError {
    /// The screen is not of the panel's size.
    #[error("{panel}: it takes {expected} and was given {found}")]
    Size {
        /// The panel's address.
        panel: String,
        /// The panel's size.
        expected: Size,
        /// The screen's.
        found: Size,
    },
    /// The board that the address names is not usable.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// A GPIO line of the panel cannot be used.
    #[error("{panel}: {problem}")]
    Gpio {
        /// The panel's address.
        panel: String,
        /// What is wrong with the line.
        problem: GpioError,
    },
    /// A device or a file of the panel could not be opened, set up, or written.
    #[error("{panel}: cannot {doing} {}: {source}{remedy}", path.display())]
    Device {
        /// The panel's address.
        panel: String,
        /// What was tried, as a verb.
        doing: &'static str,
        /// The device or file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
        /// What to do, with the words that set it off from the rest; may be empty.
        remedy: &'static str,
    },
    /// The bus or a line failed while something was sent.
    #[error("{panel}: {reason} while {doing}; check the wiring and the power, or give a lower hz=")]
    Bus {
        /// The panel's address.
        panel: String,
        /// What was sent.
        doing: &'static str,
        /// What the bus said.
        reason: String,
    },
    /// The panel is there but cannot be used as it is.
    #[error("{panel}: {reason}")]
    Unusable {
        /// The panel's address.
        panel: String,
        /// Why, and what to do.
        reason: String,
    },
}

impl PanelError {
    /// Explains why a device could not be used, with the remedy for the usual reasons.
    fn device(panel: &str, doing: &'static str, path: &Path, source: io::Error) -> Self {
        let remedy = linux::remedy(path, &source);
        Self::Device { panel: panel.to_owned(), doing, path: path.to_owned(), source, remedy }
    }
}

/// Opens the panel that an address names. Panels on a bus are reset and set up, which takes up to half a second; the
/// glass is dark until the first screen where the address names its backlight.
///
/// # Errors
/// Returns [`PanelError`] when the board, the device or a line is missing, taken, or not usable.
pub fn open(address: &PanelAddress) -> Result<Box<dyn Panel>, PanelError> {
    let name = address.to_string();
    match address {
        PanelAddress::Spi(spi) => linux::open_spi(name, spi),
        PanelAddress::I2c(i2c) => linux::open_i2c(name, i2c),
        PanelAddress::Drm(drm) => drm::open(name, drm),
        PanelAddress::Framebuffer(framebuffer) => framebuffer::open(name, framebuffer),
        PanelAddress::File(file) => file::open(name, file),
        PanelAddress::Null(size) => Ok(Box::new(null::NullPanel::new(name, *size))),
        // A board's own address is never a board's: that is checked when it is read.
        PanelAddress::Board(reference) => open(reference.read_board()?.panel()),
    }
}

/// Opens an ILI9341 whose bus takes everything at once, to measure what a panel costs the processor; `None` for screens
/// of another size than 320x240 and 240x320.
#[must_use]
pub fn open_unwired(size: Size) -> Option<Box<dyn Panel>> {
    null::unwired(size)
}

/// Refuses a screen of another size than the panel's.
fn check_size(panel: &str, expected: Size, screen: &Frame) -> Result<(), PanelError> {
    let (width, height) = screen.as_image().dimensions();
    let found = Size::new(width, height);
    if found == expected {
        return Ok(());
    }
    Err(PanelError::Size { panel: panel.to_owned(), expected, found })
}
