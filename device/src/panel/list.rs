//! What a panel or a button could hang on here: the displays, buses and GPIO lines of this machine.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use super::{drm, framebuffer};
use crate::gpio;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A framebuffer device, for `fb:`.
    Framebuffer,
    /// A card with its connectors, for `drm:`.
    Card,
    /// A device on SPI, for `spi:`.
    Spi,
    /// An I2C bus, for `i2c:`.
    I2c,
    /// A GPIO chip with its lines, for `dc=` and buttons.
    GpioChip,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Framebuffer => "framebuffer",
            Self::Card => "display card",
            Self::Spi => "SPI device",
            Self::I2c => "I2C bus",
            Self::GpioChip => "GPIO chip",
        })
    }
}

/// One device that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: Kind,
    /// Its device.
    pub path: PathBuf,
    /// What it has to offer, a line each: its mode, its connectors, the names of its lines. Otherwise why it cannot be
    /// used, and what to do.
    pub content: Result<Vec<String>, String>,
}

/// Lists what this machine has, in the order of [`Kind`] and of the devices' names. Nothing is changed or taken.
#[must_use]
pub fn list() -> Vec<Found> {
    let mut found = Vec::new();
    let mut add = |kind, paths: Vec<PathBuf>, look: fn(&Path) -> io::Result<Vec<String>>| {
        found.extend(paths.into_iter().map(|path| {
            let content = look(&path)
                .map_err(|error| format!("{error}{}", super::linux::remedy(&path, &error)));
            Found { kind, path, content }
        }));
    };
    add(Kind::Framebuffer, numbered("fb"), look_at_framebuffer);
    add(Kind::Card, drm::cards(), look_at_card);
    add(Kind::Spi, numbered("spidev"), look_at_device);
    add(Kind::I2c, numbered("i2c-"), look_at_device);
    found.extend(gpio::chips().into_iter().map(|(path, content)| {
        let lines = |(label, lines): (String, Vec<gpio::KnownLine>)| describe_lines(&label, &lines);
        Found { kind: Kind::GpioChip, path, content: content.map(lines) }
    }));
    found
}

/// Lists the devices whose names begin so, before a number.
fn numbered(start: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let is_meant = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let rest = name.strip_prefix(start);
        rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_meant).collect();
    paths.sort();
    paths
}

fn look_at_device(path: &Path) -> io::Result<Vec<String>> {
    fs::OpenOptions::new().read(true).write(true).open(path)?;
    Ok(Vec::new())
}

fn look_at_framebuffer(path: &Path) -> io::Result<Vec<String>> {
    let device = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let layout = framebuffer::read(&device)?;
    let (size, bits) = (layout.size, layout.bits_per_pixel);
    Ok(vec![format!("{}x{}, {bits} bits a pixel", size.width, size.height)])
}

fn look_at_card(path: &Path) -> io::Result<Vec<String>> {
    let connectors = drm::look(path)?;
    let describe = |info: &::drm::control::connector::Info| {
        let mode = drm::preferred(info.modes()).map(|mode| {
            let (width, height) = mode.size();
            format!(", {width}x{height} at {} Hz", mode.vrefresh())
        });
        format!("{info}: {}{}", drm::state(info), mode.unwrap_or_default())
    };
    Ok(connectors.iter().map(describe).collect())
}

fn describe_lines(label: &str, lines: &[gpio::KnownLine]) -> Vec<String> {
    let describe = |line: &gpio::KnownLine| {
        let info = &line.info;
        let name = if info.name.is_empty() { String::new() } else { format!(" {}", info.name) };
        let used =
            if info.used { format!(", in use by {:?}", info.consumer) } else { String::new() };
        format!("{}{name}{used}", line.place())
    };
    let head = format!("{label}, {} lines", lines.len());
    [head].into_iter().chain(lines.iter().map(describe)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_what_there_is_in_order_and_says_why_something_cannot_be_used() {
        let found = list();
        assert!(found.is_sorted_by_key(|found| found.kind), "{found:?}");
        for Found { path, content, .. } in &found {
            assert!(path.starts_with("/dev"), "{path:?}");
            assert!(content.as_ref().err().is_none_or(|reason| !reason.is_empty()), "{path:?}");
        }
    }

    #[test]
    fn lines_are_told_with_their_users() {
        let line = |offset, name: &str, consumer: &str| gpio::KnownLine {
            chip: PathBuf::from("/dev/gpiochip0"),
            info: gpiocdev::line::Info {
                offset,
                name: name.to_owned(),
                consumer: consumer.to_owned(),
                used: !consumer.is_empty(),
                ..gpiocdev::line::Info::default()
            },
        };
        let lines = [line(7, "GPIO7", "spi0 CS1"), line(8, "", "")];
        let expected =
            ["pinctrl-rp1, 2 lines", "gpiochip0:7 GPIO7, in use by \"spi0 CS1\"", "gpiochip0:8"];
        assert_eq!(describe_lines("pinctrl-rp1", &lines), expected);
    }
}
