//! Colour panels on SPI, driven by `mipidsi`.
//!
//! Only what has changed since the last screen goes over the bus: a rectangle for each run of changed rows, in one
//! window and transfers of the bus's greatest length. After a failed transfer nothing is known of the glass, and the
//! next screen is sent whole. The glass is lit when the first screen is on it.

mod wire;

use std::convert::Infallible;
use std::fmt;

use embedded_graphics::geometry::Size;
use embedded_graphics::pixelcolor::{Rgb565, Rgb666, Rgb888, RgbColor};
use mipidsi::interface::InterfacePixelFormat;
use mipidsi::models::{
    GC9A01, ILI9341Rgb565, ILI9342CRgb565, ILI9486Rgb666, ILI9488Rgb666, Model, ST7735s, ST7789,
};
use mipidsi::options::{ColorInversion, ColorOrder, Orientation, Rotation as Turn};
use mipidsi::{Builder, Display, InitError, NoResetPin};

use super::bus::{self, BusError, Delay, Pin, Spi, Wires};
use super::changes::changes;
use super::{ColorModel, Glass, Panel, PanelError, Rotation, check_size};
use crate::frame::Frame;
use wire::Wire;

/// Resets a panel and sets it up.
pub(super) fn start<SPI: Spi, PIN: Pin>(
    name: String,
    glass: &Glass,
    wires: Wires<SPI, PIN>,
    delay: impl Delay,
) -> Result<Box<dyn Panel>, PanelError> {
    match glass.model {
        ColorModel::Gc9a01 => start_model(GC9A01, name, glass, wires, delay),
        ColorModel::Ili9341 => start_model(ILI9341Rgb565, name, glass, wires, delay),
        ColorModel::Ili9342c => start_model(ILI9342CRgb565, name, glass, wires, delay),
        ColorModel::Ili9486 => start_model(ILI9486Rgb666, name, glass, wires, delay),
        ColorModel::Ili9488 => start_model(ILI9488Rgb666, name, glass, wires, delay),
        ColorModel::St7735 => start_model(ST7735s, name, glass, wires, delay),
        ColorModel::St7789 => start_model(ST7789, name, glass, wires, delay),
    }
}

/// A colour that a controller takes.
trait Color: RgbColor + InterfacePixelFormat<u8> + Send + 'static {
    /// Gives the nearest colour that the controller has.
    fn nearest(color: Rgb888) -> Self;
}

impl Color for Rgb565 {
    fn nearest(color: Rgb888) -> Self {
        color.into()
    }
}

impl Color for Rgb666 {
    fn nearest(color: Rgb888) -> Self {
        color.into()
    }
}

/// A panel that was set up.
struct MipiPanel<SPI: Spi, PIN: Pin, D: Delay, M: Model<ColorFormat: Color>> {
    name: String,
    glass: Glass,
    display: Display<Wire<SPI, PIN, D>, M, NoResetPin>,
    /// Held up for as long as the panel is in use.
    _reset: Option<PIN>,
    backlight: Option<PIN>,
    is_lit: bool,
    /// What is on the glass; `None` when that is not known.
    sent: Option<Vec<M::ColorFormat>>,
}

fn start_model<SPI: Spi, PIN: Pin, M>(
    model: M,
    name: String,
    glass: &Glass,
    wires: Wires<SPI, PIN>,
    mut delay: impl Delay,
) -> Result<Box<dyn Panel>, PanelError>
where
    M: Model<ColorFormat: Color> + Send + 'static,
{
    const DOING: &str = "setting the controller up";
    let Wires { spi, limit, data_command, mut reset, mut backlight } = wires;
    if let Some(line) = &mut backlight {
        line.set_low().map_err(|error| BusError::new(error).of(&name, "turning the light off"))?;
    }
    if let Some(line) = &mut reset {
        bus::reset(line, &mut delay)
            .map_err(|error| error.of(&name, "resetting the controller"))?;
    }
    // A reset by command follows, since not every module has the line: as the kernel does it.
    let mut waiting = wire::Shared::new(delay);
    let wire = Wire::new(spi, data_command, waiting.clone(), limit);
    let display = builder(model, wire, glass).init(&mut waiting).map_err(
        |error: InitError<BusError, Infallible>| match error {
            InitError::Interface(error) => error.of(&name, DOING),
            InitError::ResetPin(never) => match never {},
            InitError::InvalidConfiguration(reason) => PanelError::Unusable {
                panel: name.clone(),
                reason: format!("the controller cannot be set up so: {reason:?}"),
            },
        },
    )?;
    let (glass, is_lit) = (*glass, false);
    Ok(Box::new(MipiPanel { name, glass, display, _reset: reset, backlight, is_lit, sent: None }))
}

/// Says to `mipidsi` how the glass is mounted.
fn builder<SPI: Spi, PIN: Pin, D: Delay, M: Model<ColorFormat: Color>>(
    model: M,
    wire: Wire<SPI, PIN, D>,
    glass: &Glass,
) -> Builder<Wire<SPI, PIN, D>, M, NoResetPin> {
    let [width, height] = [glass.size.width, glass.size.height].map(to_u16);
    let [x, y] = [glass.offset.x, glass.offset.y].map(|place| to_u16(place.unsigned_abs()));
    Builder::new(model, wire)
        .display_size(width, height)
        .display_offset(x, y)
        .orientation(orientation(glass))
        .color_order(if glass.bgr { ColorOrder::Bgr } else { ColorOrder::Rgb })
        .invert_colors(if glass.invert { ColorInversion::Inverted } else { ColorInversion::Normal })
}

/// Addresses keep sizes and offsets within a controller's memory, which is far smaller.
fn to_u16(length: u32) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn orientation(glass: &Glass) -> Orientation {
    let turn = match glass.rotation {
        Rotation::Deg0 => Turn::Deg0,
        Rotation::Deg90 => Turn::Deg90,
        Rotation::Deg180 => Turn::Deg180,
        Rotation::Deg270 => Turn::Deg270,
    };
    Orientation { rotation: turn, mirrored: glass.mirror }
}

impl<SPI: Spi, PIN: Pin, D: Delay, M: Model<ColorFormat: Color>> MipiPanel<SPI, PIN, D, M> {
    /// Sends what differs from what is on the glass, and notes that it is there.
    fn send(&mut self, next: Vec<M::ColorFormat>) -> Result<(), BusError> {
        let width = self.glass.rotation.size(self.glass.size).width as usize;
        // Taken out: if a transfer fails, nothing is known of the glass.
        let sent = self.sent.take();
        for span in changes(sent.as_deref(), &next, width) {
            let [left, right] = [span.columns.start, span.columns.end - 1].map(place);
            let [top, bottom] = [span.rows.start, span.rows.end - 1].map(place);
            self.display.set_pixels(left, top, right, bottom, span.values(&next, width))?;
        }
        self.sent = Some(next);
        Ok(())
    }

    fn light(&mut self) -> Result<(), BusError> {
        if let (Some(line), false) = (&mut self.backlight, self.is_lit) {
            line.set_high().map_err(BusError::new)?;
        }
        self.is_lit = true;
        Ok(())
    }
}

/// A place on a screen, which is smaller than a controller's memory.
fn place(place: usize) -> u16 {
    u16::try_from(place).unwrap_or(u16::MAX)
}

impl<SPI: Spi, PIN: Pin, D: Delay, M> Panel for MipiPanel<SPI, PIN, D, M>
where
    M: Model<ColorFormat: Color> + Send,
{
    fn size(&self) -> Size {
        self.glass.rotation.size(self.glass.size)
    }

    fn show(&mut self, screen: &Frame) -> Result<(), PanelError> {
        check_size(&self.name, self.size(), screen)?;
        let nearest = |&image::Rgb([r, g, b]): &_| Color::nearest(Rgb888::new(r, g, b));
        let next = screen.as_image().pixels().map(nearest).collect();
        self.send(next).map_err(|error| error.of(&self.name, "sending a screen"))?;
        self.light().map_err(|error| error.of(&self.name, "turning the light on"))
    }

    fn description(&self) -> String {
        let Size { width, height } = self.size();
        let model = self.glass.model.name();
        format!("{}: {model}, {width}x{height}; only changed rows are sent", self.name)
    }
}

impl<SPI: Spi, PIN: Pin, D: Delay, M: Model<ColorFormat: Color>> fmt::Debug
    for MipiPanel<SPI, PIN, D, M>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MipiPanel").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
