//! The four wires of a controller, as `mipidsi` uses them.
//!
//! Its own interface is not used: that one borrows its buffer, ends what fills the buffer with an empty transfer, and
//! leaves the waiting after a wake-up to the models, of which the ILI948x do not wait.

use std::sync::{Arc, Mutex, PoisonError};

use embedded_hal::delay::DelayNs;
use mipidsi::interface::{Interface, InterfaceKind};

use crate::panel::bus::{BusError, Delay, Pin, Spi};

/// After a reset and a wake-up no command may follow for 5 ms (data sheets of ILI9341, 8.2.2 and 8.2.12; ST7789V,
/// 9.1.2 and 9.1.12).
const SETTLE_MS: u32 = 5;
const SOFTWARE_RESET: u8 = 0x01;
const SLEEP_OUT: u8 = 0x11;

/// The wires of one controller.
pub(super) struct Wire<SPI, PIN, D> {
    spi: SPI,
    data_command: PIN,
    delay: Shared<D>,
    limit: usize,
    buffer: Vec<u8>,
}

impl<SPI: Spi, PIN: Pin, D: Delay> Wire<SPI, PIN, D> {
    /// Takes the wires; no transfer will be longer than `limit` bytes.
    pub(super) fn new(spi: SPI, data_command: PIN, delay: Shared<D>, limit: usize) -> Self {
        Self { spi, data_command, delay, limit, buffer: Vec::with_capacity(limit) }
    }

    fn flush(&mut self) -> Result<(), BusError> {
        let written = self.spi.write(&self.buffer).map_err(BusError::new);
        self.buffer.clear();
        written
    }
}

impl<SPI: Spi, PIN: Pin, D: Delay> Interface for Wire<SPI, PIN, D> {
    type Word = u8;
    type Error = BusError;

    const KIND: InterfaceKind = InterfaceKind::Serial4Line;

    fn send_command(&mut self, command: u8, args: &[u8]) -> Result<(), BusError> {
        self.data_command.set_low().map_err(BusError::new)?;
        self.spi.write(&[command]).map_err(BusError::new)?;
        self.data_command.set_high().map_err(BusError::new)?;
        for part in args.chunks(self.limit) {
            self.spi.write(part).map_err(BusError::new)?;
        }
        if matches!(command, SOFTWARE_RESET | SLEEP_OUT) {
            self.delay.delay_ms(SETTLE_MS);
        }
        Ok(())
    }

    fn send_pixels<const N: usize>(
        &mut self,
        pixels: impl IntoIterator<Item = [u8; N]>,
    ) -> Result<(), BusError> {
        for pixel in pixels {
            self.buffer.extend_from_slice(&pixel);
            if self.buffer.len() + N > self.limit {
                self.flush()?;
            }
        }
        if self.buffer.is_empty() { Ok(()) } else { self.flush() }
    }

    fn send_repeated_pixel<const N: usize>(
        &mut self,
        pixel: [u8; N],
        count: u32,
    ) -> Result<(), BusError> {
        self.send_pixels((0..count).map(|_| pixel))
    }
}

/// A delay that the wires and the set-up share.
pub(super) struct Shared<D>(Arc<Mutex<D>>);

impl<D> Shared<D> {
    pub(super) fn new(delay: D) -> Self {
        Self(Arc::new(Mutex::new(delay)))
    }
}

impl<D> Clone for Shared<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: DelayNs> DelayNs for Shared<D> {
    fn delay_ns(&mut self, ns: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).delay_ns(ns);
    }
}
