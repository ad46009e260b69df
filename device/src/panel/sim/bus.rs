//! A bus and lines with a simulated chip at their end.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use embedded_hal::delay::DelayNs;
use embedded_hal::{digital, i2c, spi};

use super::{Chip, Level, ProtocolError};

/// What went wrong on the bus.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The chip does not take it.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The bus was told to fail.
    #[error("the bus fails as it was told")]
    Told,
    /// The bus was used as no display needs it, or for another chip.
    #[error("{0}")]
    Use(&'static str),
}

#[derive(Debug)]
struct State<C> {
    chip: C,
    level: Level,
    is_held: bool,
    is_lit: bool,
    fails_after: Option<usize>,
    transfers: usize,
    i2c_address: u8,
}

/// The bus. Its clones are the same bus.
#[derive(Debug)]
pub struct SimBus<C>(Arc<Mutex<State<C>>>);

impl<C> Clone for SimBus<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Chip> SimBus<C> {
    /// Puts a chip on a bus; on I2C it has the address 0x3c.
    pub fn new(chip: C) -> Self {
        Self(Arc::new(Mutex::new(State {
            chip,
            level: Level::Command,
            is_held: false,
            is_lit: false,
            fails_after: None,
            transfers: 0,
            i2c_address: 0x3c,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a line of the chip.
    #[must_use]
    pub fn pin(&self, role: SimRole) -> SimPin<C> {
        SimPin { bus: self.clone(), role }
    }

    /// Looks at the chip.
    pub fn chip<T>(&self, look: impl FnOnce(&mut C) -> T) -> T {
        look(&mut self.lock().chip)
    }

    /// Lets the bus fail once, after so many more transfers. The chip does not get the one that fails.
    pub fn fail_after(&self, transfers: usize) {
        self.lock().fails_after = Some(transfers);
    }

    /// Tells whether the glass is lit.
    #[must_use]
    pub fn is_lit(&self) -> bool {
        self.lock().is_lit
    }

    /// Takes how many transfers there were since the last call.
    #[must_use]
    pub fn take_transfers(&self) -> usize {
        std::mem::take(&mut self.lock().transfers)
    }

    fn send(&self, level: Option<Level>, bytes: &[u8]) -> Result<(), SimError> {
        let mut state = self.lock();
        match state.fails_after {
            Some(0) => {
                state.fails_after = None;
                state.chip.interrupt();
                return Err(SimError::Told);
            }
            Some(left) => state.fails_after = Some(left - 1),
            None => {}
        }
        if state.is_held {
            return Err(SimError::Use("a transfer while the chip is held in reset"));
        }
        state.transfers += 1;
        let level = level.unwrap_or(state.level);
        Ok(state.chip.receive(level, bytes)?)
    }
}

impl<C> spi::ErrorType for SimBus<C> {
    type Error = SimError;
}

impl spi::Error for SimError {
    fn kind(&self) -> spi::ErrorKind {
        spi::ErrorKind::Other
    }
}

impl<C: Chip> spi::SpiDevice for SimBus<C> {
    fn transaction(&mut self, operations: &mut [spi::Operation<'_, u8>]) -> Result<(), SimError> {
        for operation in operations {
            match operation {
                spi::Operation::Write(bytes) => self.send(None, bytes)?,
                _ => return Err(SimError::Use("a display on SPI is only written to")),
            }
        }
        Ok(())
    }
}

impl<C> i2c::ErrorType for SimBus<C> {
    type Error = SimError;
}

impl i2c::Error for SimError {
    fn kind(&self) -> i2c::ErrorKind {
        i2c::ErrorKind::Other
    }
}

impl<C: Chip> i2c::I2c for SimBus<C> {
    fn transaction(
        &mut self,
        address: u8,
        operations: &mut [i2c::Operation<'_>],
    ) -> Result<(), SimError> {
        if address != self.lock().i2c_address {
            return Err(SimError::Use("nothing answers at this address"));
        }
        for operation in operations {
            let i2c::Operation::Write(bytes) = operation else {
                return Err(SimError::Use("a display on I2C is only written to"));
            };
            // SSD1306 data sheet, 8.1.5.2: a control byte stands for the data/command line.
            match bytes.split_first() {
                Some((0x00, bytes)) => self.send(Some(Level::Command), bytes)?,
                Some((0x40, bytes)) => self.send(Some(Level::Data), bytes)?,
                _ => return Err(SimError::Use("a control byte that is neither 0x00 nor 0x40")),
            }
        }
        Ok(())
    }
}

impl<C: Chip> DelayNs for SimBus<C> {
    fn delay_ns(&mut self, ns: u32) {
        self.lock().chip.wait(Duration::from_nanos(ns.into()));
    }
}

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimRole {
    /// It tells data from commands.
    DataCommand,
    /// It resets the chip while it is low.
    Reset,
    /// It lights the glass while it is high.
    Backlight,
}

/// A line of the chip.
pub struct SimPin<C> {
    bus: SimBus<C>,
    role: SimRole,
}

impl<C> fmt::Debug for SimPin<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimPin").field("role", &self.role).finish_non_exhaustive()
    }
}

impl<C: Chip> SimPin<C> {
    fn set(&self, is_high: bool) {
        let mut state = self.bus.lock();
        match self.role {
            SimRole::DataCommand => {
                state.level = if is_high { Level::Data } else { Level::Command };
            }
            SimRole::Reset => {
                if state.is_held && is_high {
                    state.chip.reset();
                }
                state.is_held = !is_high;
            }
            SimRole::Backlight => state.is_lit = is_high,
        }
    }
}

impl digital::Error for SimError {
    fn kind(&self) -> digital::ErrorKind {
        digital::ErrorKind::Other
    }
}

impl<C> digital::ErrorType for SimPin<C> {
    type Error = SimError;
}

impl<C: Chip> digital::OutputPin for SimPin<C> {
    fn set_low(&mut self) -> Result<(), SimError> {
        self.set(false);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), SimError> {
        self.set(true);
        Ok(())
    }
}
