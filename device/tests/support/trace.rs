//! A kernel's trace of a display on SPI, played to the simulated chip.

use std::time::Duration;

use embedded_hal::digital::OutputPin;
use embedded_hal::i2c::I2c;
use embedded_hal::spi::SpiDevice;
use lcam_device::panel::sim::{Chip, SimBus, SimPin, SimRole};

/// Which lines of a trace are the display's, by the kernel's numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    pub(crate) data_command: u32,
    pub(crate) reset: u32,
    pub(crate) backlight: u32,
}

/// What a line of a trace tells.
#[derive(Debug, PartialEq)]
enum Event {
    /// A GPIO line was driven.
    Line(u32, bool),
    /// Bytes were sent.
    Transfer(Vec<u8>),
    /// Bytes were sent to an address.
    Addressed(u8, Vec<u8>),
}

/// Plays the events `gpio_value`, `spi_transfer_start` and `i2c_write` of a trace, with the time between them, to the chip
/// on a bus. Gives how many transfers there were.
pub(crate) fn play<C: Chip>(trace: &str, lines: Lines, bus: &SimBus<C>) -> usize {
    let mut device = bus.clone();
    let mut pins: Vec<(u32, SimPin<C>)> = [
        (lines.data_command, SimRole::DataCommand),
        (lines.reset, SimRole::Reset),
        (lines.backlight, SimRole::Backlight),
    ]
    .map(|(line, role)| (line, bus.pin(role)))
    .into();
    let (mut before, mut transfers) = (None, 0);
    for line in trace.lines() {
        let Some((time, event)) = read(line) else { continue };
        let passed = time.saturating_sub(before.unwrap_or(time));
        before = Some(time);
        bus.chip(|chip| chip.wait(passed));
        match event {
            Event::Line(number, is_high) => {
                let pin = pins.iter_mut().find(|(line, _)| *line == number);
                let (_, pin) = pin.unwrap_or_else(|| panic!("another line: {line}"));
                if is_high { pin.set_high() } else { pin.set_low() }.unwrap();
            }
            Event::Transfer(bytes) => {
                transfers += 1;
                let sent = SpiDevice::write(&mut device, &bytes);
                sent.unwrap_or_else(|error| panic!("{error}: {line}"));
            }
            Event::Addressed(address, bytes) => {
                transfers += 1;
                let sent = I2c::<u8>::write(&mut device, address, &bytes);
                sent.unwrap_or_else(|error| panic!("{error}: {line}"));
            }
        }
    }
    transfers
}

/// Reads a line of a trace, as `sh-70 [000] ..... 9.123456: gpio_value: 508 set 1`; `None` for a comment.
fn read(line: &str) -> Option<(Duration, Event)> {
    let (time, name, rest) =
        ["gpio_value", "spi_transfer_start", "i2c_write"].iter().find_map(|name| {
            let (head, rest) = line.split_once(&format!(": {name}: "))?;
            Some((head.split_whitespace().last()?, *name, rest))
        })?;
    let time = Duration::from_secs_f64(time.parse().expect("a time in seconds"));
    let field = |name: &str| rest.split_whitespace().find_map(|word| word.strip_prefix(name));
    let event = match name {
        "gpio_value" => {
            let mut words = rest.split_whitespace();
            let number = words.next()?.parse().expect("a line's number");
            assert_eq!(words.next(), Some("set"), "{line}");
            Event::Line(number, words.next() == Some("1"))
        }
        "spi_transfer_start" => Event::Transfer(bytes(line, field("len=")?, field("tx=")?)),
        _ => {
            let address = u8::from_str_radix(field("a=")?, 16).expect("seven bits");
            Event::Addressed(address, bytes(line, field("l=")?, rest.split_whitespace().last()?))
        }
    };
    Some((time, event))
}

/// Reads bytes as `[2a-00-ef]`.
fn bytes(line: &str, length: &str, text: &str) -> Vec<u8> {
    let text = text.trim_start_matches('[').trim_end_matches(']');
    let byte = |text| u8::from_str_radix(text, 16).expect("a byte in hexadecimal");
    let bytes: Vec<u8> = text.split('-').map(byte).collect();
    let length: usize = length.parse().expect("a length");
    assert_eq!(bytes.len(), length, "the kernel tells 64 bytes of a transfer at most: {line}");
    bytes
}

#[test]
fn reads_what_the_kernel_writes() {
    let line = "     lcam-device-88      [000] .....    13.131234: gpio_value: 508 set 1";
    assert_eq!(read(line), Some((Duration::from_micros(13_131_234), Event::Line(508, true))));
    let line = " display-9 [000] ..... 14.5: spi_transfer_start: spi0.0 000000001f len=3 tx=[2a-00-ef] rx=[]";
    let bytes = vec![0x2a, 0x00, 0xef];
    assert_eq!(read(line), Some((Duration::from_millis(14_500), Event::Transfer(bytes))));
    let line = " sh-9 [000] ..... 0.25: i2c_write: i2c-1 #0 a=03c f=0000 l=2 [00-e3]";
    let event = Event::Addressed(0x3c, vec![0x00, 0xe3]);
    assert_eq!(read(line), Some((Duration::from_millis(250), event)));
    assert_eq!(read("# tracer: nop"), None);
}
