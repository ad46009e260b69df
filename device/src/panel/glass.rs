//! The controllers that are driven over a bus, and how their glass is usually mounted.

use embedded_graphics::geometry::{Point, Size};

use super::Rotation;

/// A controller of a colour panel on SPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorModel {
    /// GC9A01: 240x240, mostly round.
    Gc9a01,
    /// ILI9341: 240x320.
    Ili9341,
    /// ILI9342C: 320x240.
    Ili9342c,
    /// ILI9486: 320x480, 18 bits a pixel. HATs that put shift registers before it speak another protocol.
    Ili9486,
    /// ILI9488: 320x480; on SPI it takes 18 bits a pixel alone.
    Ili9488,
    /// ST7735: up to 132x162.
    St7735,
    /// ST7789: up to 240x320.
    St7789,
}

/// What is usual of the glass before a controller.
#[derive(Clone, Copy, Debug)]
struct Usual {
    name: &'static str,
    /// The controller's memory.
    memory: Size,
    /// The glass when no size is given.
    size: Size,
    mirror: bool,
    bgr: bool,
    invert: bool,
    /// A clock that modules on short wires take; beyond some of the data sheets, as all vendors' own drivers are.
    clock_hz: u32,
}

/// Glass that covers a part of its controller's memory, with its first column and row there at rotation 0.
///
/// ST7789: TFT_eSPI's and the kernel's st7789v overlays' values. ST7735: centred.
const PARTS: [(ColorModel, Size, Point); 5] = [
    (ColorModel::St7789, Size::new(135, 240), Point::new(52, 40)),
    (ColorModel::St7789, Size::new(170, 320), Point::new(35, 0)),
    (ColorModel::St7789, Size::new(172, 320), Point::new(34, 0)),
    (ColorModel::St7735, Size::new(128, 160), Point::new(2, 1)),
    (ColorModel::St7735, Size::new(80, 160), Point::new(26, 1)),
];

impl ColorModel {
    /// All models, by name.
    pub const ALL: [Self; 7] = [
        Self::Gc9a01,
        Self::Ili9341,
        Self::Ili9342c,
        Self::Ili9486,
        Self::Ili9488,
        Self::St7735,
        Self::St7789,
    ];

    /// Tells what is usual. Mirrored columns and blue first are how the kernel's and Adafruit's drivers set up Ilitek's
    /// controllers: MADCTL 0x48 at rotation 0. The GC9A01 is set up to count its columns from the other side already.
    const fn usual(self) -> Usual {
        let (quarter, large) = (Size::new(240, 320), Size::new(320, 480));
        let ili = Usual {
            name: "ili9341",
            memory: quarter,
            size: quarter,
            mirror: true,
            bgr: true,
            invert: false,
            clock_hz: 32_000_000,
        };
        let st = Usual { name: "st7789", mirror: false, bgr: false, invert: true, ..ili };
        match self {
            Self::Gc9a01 => {
                let size = Size::new(240, 240);
                Usual { name: "gc9a01", memory: size, size, mirror: false, invert: true, ..ili }
            }
            Self::Ili9341 => ili,
            Self::Ili9342c => {
                let size = Size::new(320, 240);
                Usual { name: "ili9342c", memory: size, size, mirror: false, invert: true, ..ili }
            }
            Self::Ili9486 => {
                Usual { name: "ili9486", memory: large, size: large, clock_hz: 16_000_000, ..ili }
            }
            Self::Ili9488 => {
                Usual { name: "ili9488", memory: large, size: large, clock_hz: 16_000_000, ..ili }
            }
            Self::St7735 => Usual {
                name: "st7735",
                memory: Size::new(132, 162),
                size: Size::new(128, 160),
                invert: false,
                clock_hz: 16_000_000,
                ..st
            },
            Self::St7789 => st,
        }
    }

    /// Gives the name in addresses.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.usual().name
    }

    /// Gives the size of the controller's memory at rotation 0: the largest glass.
    #[must_use]
    pub fn memory(self) -> Size {
        self.usual().memory
    }

    /// Gives the clock that modules with it usually take, in Hz.
    #[must_use]
    pub fn clock_hz(self) -> u32 {
        self.usual().clock_hz
    }
}

/// A colour panel: its controller and how the glass before it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glass {
    /// The controller.
    pub model: ColorModel,
    /// Columns and rows at rotation 0.
    pub size: Size,
    /// The glass's first column and row in the controller's memory at rotation 0.
    pub offset: Point,
    /// How far the picture is turned.
    pub rotation: Rotation,
    /// Whether the glass counts its columns from the other side.
    pub mirror: bool,
    /// Whether the glass has blue where the controller has red.
    pub bgr: bool,
    /// Whether the glass shows the negative, as IPS glass does.
    pub invert: bool,
}

impl Glass {
    /// Gives the usual glass of a model and a size; of its usual size when none is given.
    #[must_use]
    pub fn usual(model: ColorModel, size: Option<Size>) -> Self {
        let usual = model.usual();
        let size = size.unwrap_or(usual.size);
        let part = PARTS.iter().find(|part| part.0 == model && part.1 == size);
        Self {
            model,
            size,
            offset: part.map_or(Point::zero(), |part| part.2),
            rotation: Rotation::Deg0,
            mirror: usual.mirror,
            bgr: usual.bgr,
            invert: usual.invert,
        }
    }

    /// Tells whether the glass lies within the controller's memory.
    #[must_use]
    pub fn fits(&self) -> bool {
        let memory = self.model.memory();
        let fits = |offset: i32, length: u32, all: u32| {
            u32::try_from(offset).is_ok_and(|offset| {
                length > 0 && offset.checked_add(length).is_some_and(|end| end <= all)
            })
        };
        fits(self.offset.x, self.size.width, memory.width)
            && fits(self.offset.y, self.size.height, memory.height)
    }
}

/// The sizes of OLEDs with an SSD1306.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OledSize {
    /// 128x64, the most common.
    W128H64,
    /// 128x32.
    W128H32,
    /// 96x16.
    W96H16,
    /// 72x40.
    W72H40,
    /// 64x48.
    W64H48,
    /// 64x32.
    W64H32,
}

impl OledSize {
    /// All sizes.
    pub const ALL: [Self; 6] =
        [Self::W128H64, Self::W128H32, Self::W96H16, Self::W72H40, Self::W64H48, Self::W64H32];

    /// Gives it in pixels.
    #[must_use]
    pub fn size(self) -> Size {
        match self {
            Self::W128H64 => Size::new(128, 64),
            Self::W128H32 => Size::new(128, 32),
            Self::W96H16 => Size::new(96, 16),
            Self::W72H40 => Size::new(72, 40),
            Self::W64H48 => Size::new(64, 48),
            Self::W64H32 => Size::new(64, 32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_usual_glass_lies_within_its_controllers_memory() {
        let known = PARTS.iter().map(|&(model, size, _)| Glass::usual(model, Some(size)));
        for glass in ColorModel::ALL.map(|model| Glass::usual(model, None)).into_iter().chain(known)
        {
            assert!(glass.fits(), "{glass:?}");
            let beyond = Glass { offset: glass.offset + Point::new(300, 0), ..glass };
            assert!(!beyond.fits() && !Glass { size: Size::zero(), ..glass }.fits(), "{glass:?}");
        }
    }
}
