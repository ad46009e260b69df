//! How an address is written: what is as usual is left out, so that reading it back gives the same.

use std::fmt;

use embedded_graphics::geometry::{Point, Size};

use super::super::file::Pattern;
use super::{
    DEFAULT_I2C_ADDRESS, DEFAULT_KEEP, DEFAULT_SIZE, DrmAddress, FileAddress, FramebufferAddress,
    I2cAddress, OledSize, PanelAddress, Rotation, SpiAddress, SpiDisplay,
};
use crate::panel::Glass;

/// Writes parameters: the first behind `?`, the others behind `&`.
struct Query<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    mark: char,
}

impl<'a, 'b> Query<'a, 'b> {
    fn new(f: &'a mut fmt::Formatter<'b>) -> Self {
        Self { f, mark: '?' }
    }

    fn add(&mut self, name: &str, value: impl fmt::Display) -> fmt::Result {
        write!(self.f, "{}{name}={value}", self.mark)?;
        self.mark = '&';
        Ok(())
    }

    fn add_unless<T: PartialEq + fmt::Display>(
        &mut self,
        name: &str,
        value: T,
        usual: T,
    ) -> fmt::Result {
        if value == usual { Ok(()) } else { self.add(name, value) }
    }

    fn add_some(&mut self, name: &str, value: Option<impl fmt::Display>) -> fmt::Result {
        value.map_or(Ok(()), |value| self.add(name, value))
    }

    fn add_rotation(&mut self, rotation: Rotation) -> fmt::Result {
        self.add_unless("rotate", rotation, Rotation::Deg0)
    }

    fn add_size(&mut self, size: Size, usual: Size) -> fmt::Result {
        self.add_unless("size", by(size), by(usual))
    }

    fn add_glass(&mut self, glass: &Glass) -> fmt::Result {
        self.add_size(glass.size, Glass::usual(glass.model, None).size)?;
        let usual = Glass::usual(glass.model, Some(glass.size));
        let place = |Point { x, y }| format!("{x},{y}");
        self.add_unless("offset", place(glass.offset), place(usual.offset))?;
        self.add_rotation(glass.rotation)?;
        self.add_unless("mirror", glass.mirror, usual.mirror)?;
        self.add_unless("bgr", glass.bgr, usual.bgr)?;
        self.add_unless("invert", glass.invert, usual.invert)
    }
}

fn by(size: Size) -> String {
    format!("{}x{}", size.width, size.height)
}

impl fmt::Display for PanelAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drm(drm) => drm.fmt(f),
            Self::Framebuffer(framebuffer) => framebuffer.fmt(f),
            Self::Spi(spi) => spi.fmt(f),
            Self::I2c(i2c) => i2c.fmt(f),
            Self::File(file) => file.fmt(f),
            Self::Null(size) => write!(f, "null:{}", by(*size)),
            Self::Board(board) => board.fmt(f),
        }
    }
}

impl fmt::Display for DrmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("drm:")?;
        if let Some(card) = &self.card {
            write!(f, "{}", card.display())?;
        }
        let mut query = Query::new(f);
        query.add_some("connector", self.connector.as_ref())?;
        query.add_rotation(self.rotation)
    }
}

impl fmt::Display for FramebufferAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fb:{}", self.device.display())?;
        Query::new(f).add_rotation(self.rotation)
    }
}

impl fmt::Display for SpiAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spi://{}.{}", self.bus, self.chip_select)?;
        let mut query = Query::new(f);
        match &self.display {
            SpiDisplay::Color(glass) => query.add("model", glass.model.name())?,
            SpiDisplay::Oled(..) => query.add("model", "ssd1306")?,
        }
        query.add("dc", &self.data_command)?;
        query.add_some("reset", self.reset.as_ref())?;
        query.add_some("backlight", self.backlight.as_ref())?;
        match &self.display {
            SpiDisplay::Color(glass) => query.add_glass(glass)?,
            SpiDisplay::Oled(size, rotation) => {
                query.add_size(size.size(), OledSize::W128H64.size())?;
                query.add_rotation(*rotation)?;
            }
        }
        query.add_unless("hz", self.clock_hz, self.display.clock_hz())
    }
}

impl fmt::Display for I2cAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "i2c://{}", self.bus)?;
        let mut query = Query::new(f);
        let chip = |address: u8| format!("{address:#04x}");
        query.add_unless("addr", chip(self.address), chip(DEFAULT_I2C_ADDRESS))?;
        query.add_size(self.size.size(), OledSize::W128H64.size())?;
        query.add_rotation(self.rotation)
    }
}

impl fmt::Display for FileAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file://{}", self.pattern)?;
        let mut query = Query::new(f);
        query.add_size(self.size, DEFAULT_SIZE)?;
        match self.pattern {
            Pattern::One(_) => Ok(()),
            Pattern::Series { keep, .. } => query.add_unless("keep", keep, DEFAULT_KEEP),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let cases = [
            "drm:",
            "drm:/dev/dri/card1?connector=HDMI-A-1&rotate=90",
            "fb:/dev/fb0",
            "fb:/dev/fb1?rotate=270",
            "spi://0.0?model=ili9341&dc=GPIO25",
            "spi://0.1?model=st7789&dc=GPIO9&reset=gpiochip0:27&backlight=GPIO13&size=135x240&rotate=90",
            "spi://1.0?model=st7735&dc=PBB.00&size=80x160&offset=24,0&mirror=true&bgr=true&invert=true&hz=8000000",
            "spi://0.0?model=ssd1306&dc=GPIO24&reset=GPIO25&size=128x32&rotate=180",
            "i2c://1",
            "i2c://1?addr=0x3d&size=72x40&rotate=180",
            "file://out/%06d.png?keep=20",
            "file:///dir/last.png?size=640x480",
            "null:640x480",
            "board://display-hat-mini",
            "board:///etc/lcam/my-board.toml",
        ];
        for case in cases {
            let address: PanelAddress = case.parse().unwrap_or_else(|e| panic!("{case}: {e}"));
            assert_eq!(address.to_string(), case);
        }
        for (longer, shorter) in [
            ("i2c://1?addr=0x3c&model=ssd1306&size=128x64&rotate=0", "i2c://1"),
            ("null:", "null:320x240"),
            (
                "spi://0.0?model=ili9341&dc=GPIO25&hz=32000000&mirror=true&size=240x320",
                "spi://0.0?model=ili9341&dc=GPIO25",
            ),
        ] {
            assert_eq!(longer.parse::<PanelAddress>().unwrap().to_string(), shorter);
        }
    }

    #[test]
    fn every_mistake_is_one_line_that_tells_what_is_expected() {
        let cases = [
            ("", "is no panel; give one of drm:"),
            ("hdmi", "is no panel"),
            ("http://127.0.0.1:8080", "is no panel"),
            ("spi:0.0?model=ili9341&dc=GPIO25", "is no panel"),
            ("fb://dev/fb0", "is no panel"),
            ("fb:", "expected a device as in fb:/dev/fb0"),
            ("drm:card0", "expected drm: or a card's device"),
            ("drm:?rotate=45", "rotate=45: expected 0, 90, 180 or 270"),
            ("drm:?rotate=90&rotate=90", "rotate is given twice"),
            ("drm:?connector=", "connector=: expected a name"),
            ("spi://0?model=ili9341&dc=GPIO25", "expected spi://BUS.CS"),
            ("spi://0.0?dc=GPIO25", "model is missing; give one of gc9a01, ili9341"),
            ("spi://0.0?model=ili9340&dc=GPIO25", "model=ili9340: expected one of gc9a01"),
            ("spi://0.0?model=ili9341", "dc is missing"),
            ("spi://0.0?model=ili9341&dc=", "dc=: expected"),
            ("spi://0.0?model=ili9341&dc=gpiochip0:x", "dc=gpiochip0:x: expected"),
            ("spi://0.0?model=ili9341&dc=25", "dc=25: expected"),
            (
                "spi://0.0?model=ili9341&dc=GPIO25&led=GPIO18",
                "unknown parameter \"led\"; known are",
            ),
            ("spi://0.0?model=ili9341&dc=GPIO25&hz=1", "hz=1: expected a clock from 10000"),
            ("spi://0.0?model=ili9341&dc=GPIO25&bgr=yes", "bgr=yes: expected true or false"),
            ("spi://0.0?model=ili9341&dc=GPIO25&size=320x240", "size and offset within"),
            ("spi://0.0?model=st7789&dc=GPIO25&offset=0,81", "offset=0,81: expected"),
            ("spi://0.0?model=st7789&dc=GPIO25&offset=-1,0", "offset=-1,0: expected COLUMN,ROW"),
            ("spi://0.0?model=ssd1306&dc=GPIO25&bgr=true", "bgr=true: expected nothing"),
            (
                "spi://0.0?model=ssd1306&dc=GPIO25&size=128x128",
                "size=128x128: expected 128x64, 128x32",
            ),
            ("i2c://x", "expected i2c://BUS"),
            ("i2c://1?addr=60", "addr=60: expected 7 bits as in 0x3c"),
            ("i2c://1?addr=0x80", "addr=0x80: expected"),
            ("i2c://1?model=sh1106", "model=sh1106: expected ssd1306"),
            ("file://", "ends in .png"),
            ("file://out/last.jpg", "ends in .png"),
            ("file://out/%d-%d.png", "one %d or %06d"),
            ("file://%d/last.png", "one %d or %06d"),
            ("file://out/%s.png", "one %d or %06d"),
            ("file://out/%d.png?keep=0", "keep=0: expected how many"),
            ("file://out/last.png?keep=3", "keep=3: expected nothing"),
            ("null:0x240", "expected null:WIDTHxHEIGHT"),
            ("null:+9x240", "expected null:WIDTHxHEIGHT"),
            ("null:320x9000", "expected null:WIDTHxHEIGHT"),
            ("null:320x240?rotate=90", "unknown parameter \"rotate\"; known are none"),
            ("board://", "expected board://NAME"),
            ("board://a/b", "expected board://NAME"),
        ];
        for (case, expected) in cases {
            let message = case.parse::<PanelAddress>().unwrap_err().to_string();
            assert!(message.contains(expected), "{case}: {message}");
            assert!(!message.contains('\n') && !message.ends_with('.'), "{case}: {message}");
        }
    }
}
