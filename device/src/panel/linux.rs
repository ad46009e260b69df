//! The devices of Linux that panels hang on: spidev, i2c-dev and GPIO lines.

use std::io;
use std::path::{Path, PathBuf};

use embedded_hal::i2c::I2c;
use linux_embedded_hal::spidev::{SpiModeFlags, SpidevOptions};
use linux_embedded_hal::{Delay, I2cdev, SpidevDevice};

use super::address::SpiDisplay;
use super::bus::Wires;
use super::oled::Oled;
use super::{I2cAddress, Panel, PanelError, SpiAddress, mipi, oled};
use crate::gpio::{LineAddress, Output};

/// Opens what an address names on SPI.
pub(super) fn open_spi(name: String, address: &SpiAddress) -> Result<Box<dyn Panel>, PanelError> {
    let path = PathBuf::from(format!("/dev/spidev{}.{}", address.bus, address.chip_select));
    let failed = |doing| {
        let (name, path) = (name.clone(), path.clone());
        move |error: io::Error| PanelError::device(&name, doing, &path, error)
    };
    let mut spi = SpidevDevice::open(&path)
        .map_err(|error| failed("open")(io::Error::new(error.inner().kind(), error.to_string())))?;
    let options = SpidevOptions::new()
        .bits_per_word(8)
        .max_speed_hz(address.clock_hz)
        .mode(SpiModeFlags::SPI_MODE_0)
        .build();
    spi.configure(&options).map_err(failed("set up"))?;
    let line = |line: &LineAddress| {
        Output::open(line).map_err(|problem| PanelError::Gpio { panel: name.clone(), problem })
    };
    let wires = Wires {
        spi,
        limit: transfer_limit(),
        data_command: line(&address.data_command)?,
        reset: address.reset.as_ref().map(line).transpose()?,
        backlight: address.backlight.as_ref().map(line).transpose()?,
    };
    match &address.display {
        SpiDisplay::Color(glass) => mipi::start(name, glass, wires, Delay),
        &SpiDisplay::Oled(size, rotation) => {
            oled::start_spi(name, Oled { size, rotation }, wires, Delay)
        }
    }
}

/// What spidev takes in one transfer when it does not say (drivers/spi/spidev.c).
const USUAL_LIMIT: usize = 4096;
/// A larger limit is not used: at 32 MHz this is 16 ms, and the gaps between transfers count for nothing.
const LARGEST_LIMIT: usize = 65_536;

/// Kernels since 5.16 count a transfer's length up to a multiple of this on 64-bit ARM (`ARCH_DMA_MINALIGN`).
const ALIGNMENT: usize = 128;

/// Reads how much spidev takes in one transfer. More is given by `spidev.bufsiz=65536` on the kernel's command line.
fn transfer_limit() -> usize {
    let text = std::fs::read_to_string("/sys/module/spidev/parameters/bufsiz").unwrap_or_default();
    parse_limit(&text)
}

fn parse_limit(text: &str) -> usize {
    // Below a window command's parameters nothing works; such a value is not the kernel's.
    let limit = text.trim().parse().ok().filter(|&limit: &usize| limit >= 16);
    let limit = limit.unwrap_or(USUAL_LIMIT).min(LARGEST_LIMIT);
    if limit < ALIGNMENT { limit } else { limit - limit % ALIGNMENT }
}

/// An SSD1306's command that does nothing, behind the byte that says that a command follows.
const NOP: [u8; 2] = [0x00, 0xe3];

/// Opens what an address names on I2C. The chip is greeted first: its driver would not say why nothing answers.
pub(super) fn open_i2c(name: String, address: &I2cAddress) -> Result<Box<dyn Panel>, PanelError> {
    let path = PathBuf::from(format!("/dev/i2c-{}", address.bus));
    let mut i2c = I2cdev::new(&path)
        .map_err(|error| PanelError::device(&name, "open", &path, io::Error::from(error)))?;
    I2c::<u8>::write(&mut i2c, address.address, &NOP).map_err(|error| PanelError::Unusable {
        panel: name.clone(),
        reason: format!(
            "nothing answers at {:#04x} on {} ({error}); check the wiring, and see i2cdetect -y {} for its address",
            address.address,
            path.display(),
            address.bus
        ),
    })?;
    let oled = Oled { size: address.size, rotation: address.rotation };
    oled::start_i2c(name, oled, i2c, address.address)
}

/// Gives what to do about a device that cannot be used, with the words that set it off from the rest.
pub(super) fn remedy(path: &Path, error: &io::Error) -> &'static str {
    let path = path.to_string_lossy();
    let is = |start: &str| path.starts_with(start);
    match error.kind() {
        io::ErrorKind::NotFound if is("/dev/spidev") => {
            "; turn SPI on (raspi-config, or jetson-io.py) and remove a dtoverlay that takes the panel"
        }
        io::ErrorKind::NotFound if is("/dev/i2c") => {
            "; turn I2C on (raspi-config), and load the module i2c-dev"
        }
        io::ErrorKind::NotFound if is("/dev/") => "; lcam-device probe lists what is here",
        io::ErrorKind::PermissionDenied if is("/dev/spidev") => "; add the user to the group spi",
        io::ErrorKind::PermissionDenied if is("/dev/i2c") => "; add the user to the group i2c",
        io::ErrorKind::PermissionDenied if is("/dev/") => "; add the user to the group video",
        io::ErrorKind::PermissionDenied => "; make it writable for this user",
        io::ErrorKind::StorageFull => "; free some room or keep fewer pictures",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::PanelAddress;

    #[test]
    fn takes_transfers_as_long_as_spidev_does() {
        let cases = [
            ("4096\n", 4096),
            ("131072\n", 65_536),
            ("5000", 4992),
            ("", 4096),
            ("1", 4096),
            ("64", 64),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_limit(text), expected, "{text:?}");
        }
    }

    #[test]
    fn says_what_to_do_about_a_bus_that_is_not_there() {
        let cases = [
            (
                "spi://250.7?model=ili9341&dc=GPIO25",
                "cannot open /dev/spidev250.7: ",
                "turn SPI on",
            ),
            ("i2c://250", "cannot open /dev/i2c-250: ", "turn I2C on"),
        ];
        for (address, what, remedy) in cases {
            let address: PanelAddress = address.parse().unwrap();
            let error = crate::panel::open(&address).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains(remedy), "{error}");
            assert!(error.starts_with(&address.to_string()), "{error}");
        }
    }
}
