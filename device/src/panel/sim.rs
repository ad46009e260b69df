//! Stand-ins for glass on a bus: they decode what a driver sends into the picture that a person would see, and fail at
//! the first thing that a data sheet forbids.
//!
//! [`DcsSim`] is a controller of MIPI's display command set, [`OledSim`] an SSD1306. Their core takes transfers with the
//! level of the data/command line, from wherever they come: a trace of a kernel, or [`SimBus`] and [`SimPin`], which
//! stand for the bus and the lines in tests.

mod bus;
mod dcs;
mod oled;

use std::time::Duration;

pub use bus::{SimBus, SimError, SimPin, SimRole};
pub use dcs::{DcsSim, SimWindow};
pub use oled::OledSim;

/// The level of the data/command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Low: what is sent is a command.
    Command,
    /// High: what is sent are parameters or pixels.
    Data,
}

/// A chip that decodes what it is sent.
pub trait Chip {
    /// Takes one transfer.
    ///
    /// # Errors
    /// Returns [`ProtocolError`] for what a data sheet forbids.
    fn receive(&mut self, level: Level, bytes: &[u8]) -> Result<(), ProtocolError>;

    /// Takes the end of a reset by its line.
    fn reset(&mut self);

    /// Lets time pass.
    fn wait(&mut self, time: Duration);

    /// Forgets what was begun: the bus failed.
    fn interrupt(&mut self);

    /// Tells whether all that was begun is complete.
    ///
    /// # Errors
    /// Returns [`ProtocolError`] when parameters or pixels are missing.
    fn finish(&mut self) -> Result<(), ProtocolError>;
}

/// A driver sent what the chip does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The bus refuses such transfers.
    #[error("a transfer of {length} bytes; the bus takes 1 to {limit}")]
    Transfer {
        /// Its length.
        length: usize,
        /// The longest.
        limit: usize,
    },
    /// Parameters were sent as commands, or commands as data.
    #[error("{length} bytes {what}: the data/command line has the wrong level")]
    Level {
        /// How many.
        length: usize,
        /// What they are.
        what: &'static str,
    },
    /// The chip has no such command.
    #[error("unknown command {command:#04x}")]
    UnknownCommand {
        /// The command.
        command: u8,
    },
    /// A command came with fewer or more parameters than it has.
    #[error("command {command:#04x} with {found} parameters; it has {expected}")]
    Parameters {
        /// The command.
        command: u8,
        /// How many it has.
        expected: usize,
        /// How many came.
        found: usize,
    },
    /// A parameter has a value that the chip does not know.
    #[error("command {command:#04x}: {what} {value:#04x}")]
    Value {
        /// The command.
        command: u8,
        /// Which.
        what: &'static str,
        /// Its value.
        value: u32,
    },
    /// A window has no pixels, or some beyond the glass.
    #[error(
        "a window of columns {columns:?} and rows {rows:?}; the glass has {width}x{height} here"
    )]
    Window {
        /// First and last column.
        columns: [u16; 2],
        /// First and last row.
        rows: [u16; 2],
        /// The glass's columns, as they are counted now.
        width: u32,
        /// The glass's rows.
        height: u32,
    },
    /// A window got fewer or more pixels than it has.
    #[error("a window of {expected} bytes got {found}")]
    Pixels {
        /// How many it takes.
        expected: usize,
        /// How many came; for surplus ones at least so many.
        found: usize,
    },
    /// Pixels came before the chip was ready to show them.
    #[error("pixels before {what}")]
    TooEarly {
        /// What was missing.
        what: &'static str,
    },
    /// A command came before the chip was done with the one before.
    #[error("command {command:#04x} {left:?} too early after a reset or a wake-up")]
    NotSettled {
        /// The command.
        command: u8,
        /// How much too early.
        left: Duration,
    },
}
