//! Addresses of panels: what the command line, a configuration and a board file call a display.
//!
//! | address | panel |
//! | --- | --- |
//! | `drm:`, `drm:/dev/dri/card0` | HDMI or DSI: the first connected connector in its preferred mode |
//! | `fb:/dev/fb0` | a framebuffer of the kernel |
//! | `spi://BUS.CS?model=ili9341&dc=GPIO25&reset=GPIO24` | a colour panel or an OLED on /dev/spidevBUS.CS |
//! | `i2c://BUS?addr=0x3c&size=128x64` | an OLED on /dev/i2c-BUS |
//! | `file://out/%06d.png`, `file:///dir/last.png` | picture files, numbered or replaced |
//! | `null:320x240` | nothing |
//! | `board://NAME`, `board:///path/of/board.toml` | the panel of a board file |
//!
//! Parameters: `rotate` turns the picture clockwise by 0, 90, 180 or 270 degrees. On SPI, `dc`, `reset` and
//! `backlight` are GPIO lines by name or as `gpiochip0:25`, `hz` is the clock; `size` and `offset` say which part of the
//! controller's memory the glass shows, `mirror`, `bgr` and `invert` (`true` or `false`) how it is mounted. What is not
//! given is as usual for the model. A path has no `?`; nothing is percent-encoded.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use embedded_graphics::geometry::Size;

use super::file::Pattern;
use super::parameters::{AddressError, Parameters, read_size};
use super::{ColorModel, Glass, OledSize, Rotation};
use crate::board::BoardReference;
use crate::gpio::LineAddress;

mod show;

/// What panels' addresses begin with.
const KINDS: &str = "drm:, fb:/dev/fb0, spi://BUS.CS?model=..., i2c://BUS?addr=0x3c, file://FOLDER/%06d.png, \
                     null:WIDTHxHEIGHT, board://NAME";

/// Which panel is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PanelAddress {
    /// A display on HDMI or DSI.
    Drm(DrmAddress),
    /// A framebuffer device.
    Framebuffer(FramebufferAddress),
    /// A panel on SPI.
    Spi(SpiAddress),
    /// An OLED on I2C.
    I2c(I2cAddress),
    /// Picture files.
    File(FileAddress),
    /// Nothing of a size.
    Null(Size),
    /// The panel of a board.
    Board(BoardReference),
}

/// A display of the kernel's mode setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrmAddress {
    /// The card's device; the first with a connected display when not given.
    pub card: Option<PathBuf>,
    /// The connector's name as in `HDMI-A-1`; the first connected when not given.
    pub connector: Option<String>,
    /// How far the picture is turned.
    pub rotation: Rotation,
}

/// A framebuffer device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramebufferAddress {
    /// The device.
    pub device: PathBuf,
    /// How far the picture is turned.
    pub rotation: Rotation,
}

/// A panel on SPI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiAddress {
    /// The bus: the first number of /dev/spidev0.1.
    pub bus: u16,
    /// The chip select: the second number of /dev/spidev0.1.
    pub chip_select: u16,
    /// What is on the bus.
    pub display: SpiDisplay,
    /// The line that tells data from commands.
    pub data_command: LineAddress,
    /// The line that resets the controller.
    pub reset: Option<LineAddress>,
    /// The line that lights the glass.
    pub backlight: Option<LineAddress>,
    /// The bus's clock in Hz.
    pub clock_hz: u32,
}

/// What a panel on SPI is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpiDisplay {
    /// A colour panel.
    Color(Glass),
    /// An OLED with an SSD1306.
    Oled(OledSize, Rotation),
}

/// An OLED with an SSD1306 on I2C.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct I2cAddress {
    /// The bus: the number of /dev/i2c-1.
    pub bus: u16,
    /// The chip's address, 7 bits.
    pub address: u8,
    /// The glass.
    pub size: OledSize,
    /// How far the picture is turned.
    pub rotation: Rotation,
}

/// Picture files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAddress {
    /// One file, or a numbered series of them.
    pub(super) pattern: Pattern,
    /// The pictures' size.
    pub size: Size,
}

/// The size of pictures and of nothing when none is given: a common small panel's.
const DEFAULT_SIZE: Size = Size::new(320, 240);
/// An SSD1306's address with its pin SA0 low, as most modules have it (data sheet, 8.1.5).
const DEFAULT_I2C_ADDRESS: u8 = 0x3c;
/// The SSD1306 takes a bit in 100 ns (data sheet, table 13-4).
const OLED_CLOCK_HZ: u32 = 8_000_000;
/// How many numbered pictures are kept when it is not said: a few hundred megabytes at most at 320x240.
const DEFAULT_KEEP: usize = 1000;

impl FromStr for PanelAddress {
    type Err = AddressError;

    fn from_str(address: &str) -> Result<Self, AddressError> {
        let (place, query) =
            address.split_once('?').map_or((address, None), |(place, query)| (place, Some(query)));
        let Some((kind, rest)) = place.split_once(':') else { return Err(unknown(address)) };
        // One slash begins a path, two the place on a bus or a name.
        let below = rest.strip_prefix("//");
        match (kind, below) {
            ("drm", None) => read_drm(address, rest, query).map(Self::Drm),
            ("fb", None) => read_framebuffer(address, rest, query).map(Self::Framebuffer),
            ("spi", Some(place)) => read_spi(address, place, query).map(Self::Spi),
            ("i2c", Some(place)) => read_i2c(address, place, query).map(Self::I2c),
            ("file", Some(path)) => read_file(address, path, query).map(Self::File),
            ("null", None) => read_null(address, rest, query).map(Self::Null),
            ("board", Some(name)) => read_board(address, name, query).map(Self::Board),
            _ => Err(unknown(address)),
        }
    }
}

fn unknown(address: &str) -> AddressError {
    AddressError::UnknownKind { address: address.to_owned(), expected: KINDS }
}

fn form(address: &str, expected: &'static str) -> AddressError {
    AddressError::Form { address: address.to_owned(), expected }
}

fn read_drm(address: &str, place: &str, query: Option<&str>) -> Result<DrmAddress, AddressError> {
    let parameters = Parameters::read(address, query, &["connector", "rotate"])?;
    let card = match place {
        "" => None,
        path if path.starts_with('/') => Some(PathBuf::from(path)),
        _ => return Err(form(address, "drm: or a card's device as in drm:/dev/dri/card0")),
    };
    let name = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let connector = parameters.read_by("connector", "a name as in HDMI-A-1", name)?;
    Ok(DrmAddress { card, connector, rotation: parameters.rotation()? })
}

fn read_framebuffer(
    address: &str,
    place: &str,
    query: Option<&str>,
) -> Result<FramebufferAddress, AddressError> {
    let parameters = Parameters::read(address, query, &["rotate"])?;
    if !place.starts_with('/') {
        return Err(form(address, "a device as in fb:/dev/fb0"));
    }
    Ok(FramebufferAddress { device: PathBuf::from(place), rotation: parameters.rotation()? })
}

fn read_spi(address: &str, place: &str, query: Option<&str>) -> Result<SpiAddress, AddressError> {
    const KNOWN: [&str; 11] = [
        "model",
        "dc",
        "reset",
        "backlight",
        "rotate",
        "size",
        "offset",
        "mirror",
        "bgr",
        "invert",
        "hz",
    ];
    let parameters = Parameters::read(address, query, &KNOWN)?;
    let numbers = place
        .split_once('.')
        .and_then(|(bus, chip_select)| Some((bus.parse().ok()?, chip_select.parse().ok()?)));
    let Some((bus, chip_select)) = numbers else {
        return Err(form(address, "spi://BUS.CS with the numbers of /dev/spidevBUS.CS"));
    };
    let display = read_display(&parameters)?;
    let line = "the line that tells data from commands as in dc=GPIO25";
    let data_command = parameters.parsed("dc")?.ok_or_else(|| parameters.missing("dc", line))?;
    let clock = |text: &str| text.parse().ok().filter(|hz| (10_000..=200_000_000).contains(hz));
    let clock_hz = parameters.read_by("hz", "a clock from 10000 to 200000000", clock)?;
    Ok(SpiAddress {
        bus,
        chip_select,
        clock_hz: clock_hz.unwrap_or(display.clock_hz()),
        display,
        data_command,
        reset: parameters.parsed("reset")?,
        backlight: parameters.parsed("backlight")?,
    })
}

fn read_display(parameters: &Parameters<'_>) -> Result<SpiDisplay, AddressError> {
    let names = ColorModel::ALL.map(ColorModel::name).join(", ");
    let models = format!("one of {names}, ssd1306");
    let named = parameters.text("model");
    let named = named.ok_or_else(|| parameters.missing("model", &models))?;
    if let Some(model) = ColorModel::ALL.into_iter().find(|known| known.name() == named) {
        return read_glass(parameters, model).map(SpiDisplay::Color);
    }
    if named != "ssd1306" {
        return Err(parameters.wrong("model", named, models));
    }
    for name in ["offset", "mirror", "bgr", "invert", "backlight"] {
        if let Some(value) = parameters.text(name) {
            return Err(parameters.wrong(name, value, "nothing: an OLED has none".to_owned()));
        }
    }
    Ok(SpiDisplay::Oled(read_oled_size(parameters)?, parameters.rotation()?))
}

fn read_glass(parameters: &Parameters<'_>, model: ColorModel) -> Result<Glass, AddressError> {
    let Size { width, height } = model.memory();
    let limits = format!("a size at rotation 0 within {width}x{height}");
    let usual = Glass::usual(model, parameters.size(&limits)?);
    let glass = Glass {
        offset: parameters.offset()?.unwrap_or(usual.offset),
        rotation: parameters.rotation()?,
        mirror: parameters.flag("mirror")?.unwrap_or(usual.mirror),
        bgr: parameters.flag("bgr")?.unwrap_or(usual.bgr),
        invert: parameters.flag("invert")?.unwrap_or(usual.invert),
        ..usual
    };
    if !glass.fits() {
        let name = if parameters.text("offset").is_some() { "offset" } else { "size" };
        let value = parameters.text(name).unwrap_or_default();
        let expected = format!("size and offset within the controller's {width}x{height}");
        return Err(parameters.wrong(name, value, expected));
    }
    Ok(glass)
}

fn read_oled_size(parameters: &Parameters<'_>) -> Result<OledSize, AddressError> {
    let name = |size: OledSize| format!("{}x{}", size.size().width, size.size().height);
    let expected = OledSize::ALL.map(name).join(", ");
    let rule = |text: &str| OledSize::ALL.into_iter().find(|&size| name(size) == text);
    Ok(parameters.read_by("size", expected, rule)?.unwrap_or(OledSize::W128H64))
}

fn read_i2c(address: &str, place: &str, query: Option<&str>) -> Result<I2cAddress, AddressError> {
    let parameters = Parameters::read(address, query, &["model", "addr", "size", "rotate"])?;
    let Ok(bus) = place.parse() else {
        return Err(form(address, "i2c://BUS with the number of /dev/i2c-BUS"));
    };
    parameters.read_by("model", "ssd1306", |model| (model == "ssd1306").then_some(()))?;
    let chip = parameters.read_by("addr", "7 bits as in 0x3c", |text| {
        let hex = text.strip_prefix("0x")?;
        // What the bus keeps for itself lies below and above (I2C specification, table 4).
        u8::from_str_radix(hex, 16).ok().filter(|chip| (0x08..=0x77).contains(chip))
    })?;
    Ok(I2cAddress {
        bus,
        address: chip.unwrap_or(DEFAULT_I2C_ADDRESS),
        size: read_oled_size(&parameters)?,
        rotation: parameters.rotation()?,
    })
}

fn read_file(address: &str, path: &str, query: Option<&str>) -> Result<FileAddress, AddressError> {
    const FORM: &str =
        "a path that ends in .png, with one %d or %06d in its file name for a series";
    let parameters = Parameters::read(address, query, &["size", "keep"])?;
    let rule = |text: &str| text.parse().ok().filter(|&keep| keep > 0);
    let keep = parameters.read_by("keep", "how many pictures are kept, at least 1", rule)?;
    let pattern = Pattern::read(Path::new(path), keep.unwrap_or(DEFAULT_KEEP));
    let pattern = pattern.ok_or_else(|| form(address, FORM))?;
    if let (Pattern::One(_), Some(value)) = (&pattern, parameters.text("keep")) {
        let expected = "nothing: one file that is replaced keeps nothing".to_owned();
        return Err(parameters.wrong("keep", value, expected));
    }
    let size = parameters.size("WIDTHxHEIGHT, each from 1 to 8192")?;
    Ok(FileAddress { pattern, size: size.unwrap_or(DEFAULT_SIZE) })
}

fn read_null(address: &str, place: &str, query: Option<&str>) -> Result<Size, AddressError> {
    Parameters::read(address, query, &[])?;
    if place.is_empty() {
        return Ok(DEFAULT_SIZE);
    }
    read_size(place).ok_or_else(|| form(address, "null:WIDTHxHEIGHT, each from 1 to 8192"))
}

fn read_board(
    address: &str,
    place: &str,
    query: Option<&str>,
) -> Result<BoardReference, AddressError> {
    Parameters::read(address, query, &[])?;
    let reference = BoardReference::read(place);
    reference.ok_or_else(|| form(address, "board://NAME or board:///path/of/board.toml"))
}

impl SpiDisplay {
    /// Gives the clock that is used when none is given, in Hz.
    fn clock_hz(&self) -> u32 {
        match self {
            Self::Color(glass) => glass.model.clock_hz(),
            Self::Oled(..) => OLED_CLOCK_HZ,
        }
    }
}
