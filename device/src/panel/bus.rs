//! What panels on a bus have in common: their wires, and how a failure of them is told.

use std::fmt::Display;

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::OutputPin;
use embedded_hal::spi::SpiDevice;

use super::PanelError;

/// The wires of a panel on SPI.
#[derive(Debug)]
pub(super) struct Wires<SPI, PIN> {
    pub(super) spi: SPI,
    /// The longest transfer that the bus takes, in bytes.
    pub(super) limit: usize,
    pub(super) data_command: PIN,
    pub(super) reset: Option<PIN>,
    pub(super) backlight: Option<PIN>,
}

/// A device on SPI that can say what went wrong.
pub(super) trait Spi: SpiDevice<Error: Display> + Send + 'static {}

impl<T: SpiDevice<Error: Display> + Send + 'static> Spi for T {}

/// A line that can say what went wrong.
pub(super) trait Pin: OutputPin<Error: Display> + Send + 'static {}

impl<T: OutputPin<Error: Display> + Send + 'static> Pin for T {}

/// Something that waits.
pub(super) trait Delay: DelayNs + Send + 'static {}

impl<T: DelayNs + Send + 'static> Delay for T {}

/// A bus or a line failed; embedded-hal's errors have nothing in common but their words.
#[derive(Debug)]
pub(super) struct BusError(pub(super) String);

impl BusError {
    pub(super) fn new(error: impl Display) -> Self {
        Self(error.to_string())
    }

    pub(super) fn of(self, panel: &str, doing: &'static str) -> PanelError {
        PanelError::Bus { panel: panel.to_owned(), doing, reason: self.0 }
    }
}

/// How long a reset is held, in ms: a thousand times what the controllers ask for, and nobody notices.
const RESET_MS: u32 = 10;
/// How long a controller that was awake needs after a reset before it can be woken (ILI9341 data sheet, 15.4).
const RECOVER_MS: u32 = 120;

/// Resets a controller by its line.
pub(super) fn reset<PIN: Pin>(line: &mut PIN, delay: &mut impl DelayNs) -> Result<(), BusError> {
    line.set_low().map_err(BusError::new)?;
    delay.delay_ms(RESET_MS);
    line.set_high().map_err(BusError::new)?;
    delay.delay_ms(RECOVER_MS);
    Ok(())
}
