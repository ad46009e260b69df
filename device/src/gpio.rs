//! GPIO lines of Linux: found by name, requested through the character device.
//!
//! Lines have no global numbers here: those of `/sys/class/gpio` differ from kernel to kernel. A line is named as its
//! board names it (`GPIO25` on a Raspberry Pi, `PQ.05` on a Jetson Orin; `lcam-device probe` lists them), or by its
//! chip and offset as in `gpiochip0:25`.
//!
//! The crate `gpiocdev` is used rather than the one behind `linux-embedded-hal`, because it speaks both versions of the
//! kernel's interface: the second, of 5.10 on, and the first, which is all that older Jetsons have.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use embedded_hal::digital::{Error, ErrorKind, ErrorType, OutputPin};
use gpiocdev::line::{Info, Offset, Value};
use gpiocdev::{Chip, Request, chip};

/// Which line is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LineAddress {
    /// By the name that the board gives it.
    Name(String),
    /// By its chip's device and its offset there.
    Offset {
        /// The chip's name as in `gpiochip0`.
        chip: String,
        /// The line's number on the chip, from 0.
        offset: Offset,
    },
}

impl FromStr for LineAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str =
            "expected a line's name as in GPIO25, or its chip and offset as in gpiochip0:25";
        if let Some((chip, offset)) = text.split_once(':') {
            let number = chip.strip_prefix("gpiochip").ok_or(EXPECTED)?;
            number.parse::<u16>().map_err(|_| EXPECTED)?;
            let offset = offset.parse().map_err(|_| EXPECTED)?;
            return Ok(Self::Offset { chip: chip.to_owned(), offset });
        }
        // A number alone would be taken for a global one.
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number || text.contains(char::is_whitespace) {
            return Err(EXPECTED);
        }
        Ok(Self::Name(text.to_owned()))
    }
}

impl fmt::Display for LineAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Offset { chip, offset } => write!(f, "{chip}:{offset}"),
        }
    }
}

/// A line could not be found or requested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpioError {
    /// No chip has it.
    #[error("there is no GPIO line {line} here; {near}")]
    Unknown {
        /// The line.
        line: String,
        /// The names that are most like it, or what is there at all.
        near: String,
    },
    /// Several lines have the name.
    #[error("GPIO line {line} is not the only one of its name; give one of {places}")]
    Ambiguous {
        /// The line.
        line: String,
        /// The lines by chip and offset.
        places: String,
    },
    /// Somebody has it.
    #[error(
        "GPIO line {line} is in use by {consumer:?}; stop that program, or remove its dtoverlay from config.txt"
    )]
    Taken {
        /// The line.
        line: String,
        /// What the user of the line calls itself.
        consumer: String,
    },
    /// The kernel does not give it.
    #[error("GPIO line {line}: {reason}{remedy}")]
    Refused {
        /// The line.
        line: String,
        /// What the kernel said.
        reason: String,
        /// What to do; may be empty.
        remedy: &'static str,
    },
}

/// A line that a chip has.
#[derive(Clone, Debug)]
pub(crate) struct KnownLine {
    pub(crate) chip: PathBuf,
    pub(crate) info: Info,
}

impl KnownLine {
    /// Gives its chip and offset as an address gives them.
    pub(crate) fn place(&self) -> String {
        let chip = self.chip.file_name().unwrap_or_default().to_string_lossy();
        format!("{chip}:{}", self.info.offset)
    }
}

/// A chip with its label and its lines; or why they cannot be read.
pub(crate) type ChipContent = Result<(String, Vec<KnownLine>), String>;

/// Lists all chips and what they have.
pub(crate) fn chips() -> Vec<(PathBuf, ChipContent)> {
    let paths = chip::chips().unwrap_or_default();
    paths.into_iter().map(|path| (path.clone(), read_chip(&path))).collect()
}

fn read_chip(path: &Path) -> ChipContent {
    let read = || -> gpiocdev::Result<_> {
        let chip = Chip::from_path(path)?;
        let label = chip.info()?.label;
        let lines = chip
            .line_info_iter()?
            .map(|info| info.map(|info| KnownLine { chip: path.to_owned(), info }));
        Ok((label, lines.collect::<gpiocdev::Result<Vec<_>>>()?))
    };
    read().map_err(|error| plain(&error))
}

/// Finds a line on this machine.
pub(crate) fn find(line: &LineAddress) -> Result<KnownLine, GpioError> {
    let chips = chips();
    let lines: Vec<KnownLine> =
        chips.iter().flat_map(|(_, content)| content.iter().flat_map(|c| c.1.clone())).collect();
    let closed = chips.iter().find_map(|(path, content)| {
        content.as_ref().err().map(|reason| format!("{} cannot be read: {reason}", path.display()))
    });
    choose(line, &lines, closed)
}

/// Finds the one line that is meant; `closed` tells of a chip that could not be looked at.
fn choose(
    line: &LineAddress,
    lines: &[KnownLine],
    closed: Option<String>,
) -> Result<KnownLine, GpioError> {
    let is_meant = |known: &&KnownLine| match line {
        LineAddress::Name(name) => known.info.name == *name,
        LineAddress::Offset { .. } => known.place() == line.to_string(),
    };
    let found: Vec<&KnownLine> = lines.iter().filter(is_meant).collect();
    match found.as_slice() {
        [only] => Ok((*only).clone()),
        [] => {
            let near = closed.unwrap_or_else(|| near(line, lines));
            Err(GpioError::Unknown { line: line.to_string(), near })
        }
        several => {
            let places: Vec<String> = several.iter().map(|known| known.place()).collect();
            Err(GpioError::Ambiguous { line: line.to_string(), places: places.join(", ") })
        }
    }
}

/// How many names like the wanted one are told.
const NEAR: usize = 5;

fn near(wanted: &LineAddress, lines: &[KnownLine]) -> String {
    if lines.is_empty() {
        return "this machine has no GPIO chip in /dev".to_owned();
    }
    let wanted = match wanted {
        LineAddress::Name(name) => name.to_lowercase(),
        LineAddress::Offset { .. } => String::new(),
    };
    let distance = |name: &str| strsim::damerau_levenshtein(&wanted, &name.to_lowercase());
    let named = lines.iter().map(|known| known.info.name.as_str()).filter(|name| !name.is_empty());
    let mut names: Vec<(usize, &str)> = named.map(|name| (distance(name), name)).collect();
    if wanted.is_empty() || names.is_empty() {
        let mut chips: Vec<String> =
            lines.iter().map(|known| known.chip.display().to_string()).collect();
        chips.dedup();
        return format!("there are {} lines on {}", lines.len(), chips.join(", "));
    }
    names.sort_unstable();
    names.dedup();
    let names: Vec<&str> = names.into_iter().take(NEAR).map(|(_, name)| name).collect();
    format!("its names are like {}; lcam-device probe lists all", names.join(", "))
}

/// Gives what the kernel said, without the crate's words around it.
fn plain(error: &gpiocdev::Error) -> String {
    let text = match error {
        gpiocdev::Error::Uapi(_, inner) => inner.to_string(),
        other => other.to_string(),
    };
    text.trim_end_matches('.').to_owned()
}

/// Makes the error for a line that was found but not given.
pub(crate) fn refused(line: &LineAddress, known: &KnownLine, error: &gpiocdev::Error) -> GpioError {
    if known.info.used {
        let consumer = known.info.consumer.clone();
        return GpioError::Taken { line: line.to_string(), consumer };
    }
    let reason = plain(error);
    let is_closed = reason.to_lowercase().contains("permission") || reason.contains("EACCES");
    let remedy = if is_closed { "; add the user to the group gpio, or run as root" } else { "" };
    GpioError::Refused { line: line.to_string(), reason, remedy }
}

/// A line that this program drives. When it is dropped, the kernel takes it back.
#[derive(Debug)]
pub(crate) struct Output {
    request: Request,
    offset: Offset,
}

impl Output {
    /// Finds a line and drives it low.
    pub(crate) fn open(line: &LineAddress) -> Result<Self, GpioError> {
        let known = find(line)?;
        let offset = known.info.offset;
        let request = Request::builder()
            .on_chip(&known.chip)
            .with_consumer("lcam-device")
            .with_line(offset)
            .as_output(Value::Inactive)
            .request()
            .map_err(|error| refused(line, &known, &error))?;
        Ok(Self { request, offset })
    }
}

/// A line could not be driven.
#[derive(Debug, thiserror::Error)]
#[error("{}", plain(.0))]
pub(crate) struct OutputError(gpiocdev::Error);

impl Error for OutputError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl ErrorType for Output {
    type Error = OutputError;
}

impl OutputPin for Output {
    fn set_low(&mut self) -> Result<(), OutputError> {
        self.request.set_value(self.offset, Value::Inactive).map_err(OutputError)
    }

    fn set_high(&mut self) -> Result<(), OutputError> {
        self.request.set_value(self.offset, Value::Active).map_err(OutputError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(names: &[(&str, u32, &str)]) -> Vec<KnownLine> {
        let line = |&(chip, offset, name): &(&str, u32, &str)| KnownLine {
            chip: Path::new("/dev").join(chip),
            info: Info { offset, name: name.to_owned(), ..Info::default() },
        };
        names.iter().map(line).collect()
    }

    #[test]
    fn finds_a_line_by_name_wherever_its_chip_is_numbered() {
        let lines = lines(&[
            ("gpiochip0", 0, "RGMII_MDIO"),
            ("gpiochip4", 24, "GPIO24"),
            ("gpiochip4", 25, "GPIO25"),
        ]);
        for address in ["GPIO25", "gpiochip4:25"] {
            let found = choose(&address.parse().unwrap(), &lines, None).unwrap();
            assert_eq!(found.place(), "gpiochip4:25", "{address}");
        }
    }

    #[test]
    fn tells_names_that_are_like_an_unknown_one() {
        let pi = lines(&[
            ("gpiochip0", 0, "ID_SDA"),
            ("gpiochip0", 24, "GPIO24"),
            ("gpiochip0", 25, "GPIO25"),
            ("gpiochip0", 26, ""),
        ]);
        let wrong = |address: &str, lines: &[KnownLine], closed: Option<&str>| {
            choose(&address.parse().unwrap(), lines, closed.map(str::to_owned))
                .unwrap_err()
                .to_string()
        };
        let error = wrong("gpio25", &pi, None);
        assert!(error.contains("like GPIO25, GPIO24, ID_SDA"), "{error}");
        assert!(wrong("gpiochip0:99", &pi, None).contains("4 lines on /dev/gpiochip0"));
        assert!(wrong("GPIO25", &[], None).contains("no GPIO chip"));
        let error = wrong("GPIO7", &pi, Some("/dev/gpiochip1 cannot be read: permission denied"));
        assert!(error.ends_with("/dev/gpiochip1 cannot be read: permission denied"), "{error}");
    }

    #[test]
    fn a_name_that_two_lines_have_is_refused() {
        let lines = lines(&[("gpiochip0", 25, "GPIO25"), ("gpiochip4", 7, "GPIO25")]);
        let error = choose(&"GPIO25".parse().unwrap(), &lines, None).unwrap_err().to_string();
        assert!(error.ends_with("give one of gpiochip0:25, gpiochip4:7"), "{error}");
    }

    #[test]
    fn says_who_has_a_line() {
        let mut known = lines(&[("gpiochip0", 25, "GPIO25")]).remove(0);
        let line = "GPIO25".parse().unwrap();
        let error = gpiocdev::Error::InvalidArgument("resource busy".to_owned());
        assert_eq!(refused(&line, &known, &error).to_string(), "GPIO line GPIO25: resource busy");
        (known.info.used, known.info.consumer) = (true, "fb_ili9341".to_owned());
        let error = refused(&line, &known, &error).to_string();
        assert!(error.contains("in use by \"fb_ili9341\""), "{error}");
    }
}
