//! The legend: the colour map between words for its ends.

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

use super::text::{self, Align, Style};
use super::{fill_with, heat, mix, offset, palette, pixels};

/// How the ends of the colour map are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// Where there is little room.
    Short,
    /// What the colours mean.
    Long,
}

/// Draws the legend into one row of a plain background.
pub(super) fn draw<D>(
    area: Rectangle,
    background: Rgb888,
    words: Words,
    target: &mut D,
) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let (low, high) = match words {
        Words::Short => ("low", "high"),
        Words::Long => ("unimportant", "important"),
    };
    let height_px = area.size.height;
    let space = height_px / 2;
    let widths = [low, high].map(|word| pixels(text::width(word, height_px).into()) + 1);
    let bar_width = area.size.width.saturating_sub(widths[0] + widths[1] + 2 * space);
    if bar_width < height_px {
        return Ok(());
    }
    let style = Style { height_px, color: palette::FAINT_TEXT, background, align: Align::Left };
    let at = |left: u32, width: u32| {
        Rectangle::new(area.top_left + Point::new(offset(left), 0), Size::new(width, height_px))
    };
    text::draw(target, at(0, widths[0]), low, style)?;
    draw_bar(at(widths[0] + space, bar_width), background, target)?;
    text::draw(target, at(area.size.width - widths[1], widths[1]), high, style)
}

/// Draws the colours as they look over a mid-grey photograph.
fn draw_bar<D>(area: Rectangle, background: Rgb888, target: &mut D) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let Size { width, height } = area.size;
    let thickness = (height * 5 / 8).max(3).min(height);
    let corner = area.top_left + Point::new(0, offset((height - thickness).div_ceil(2)));
    let bar = Rectangle::new(corner, Size::new(width, thickness));
    fill_with(target, bar, |x, _| {
        #[expect(clippy::cast_precision_loss, reason = "screens are far smaller than 2^24 pixels")]
        let value = x as f32 / (width - 1).max(1) as f32;
        // Strength is shown as well: towards the low end the colour gives way to what lies beneath.
        mix(background, heat::color(value), (heat::strength(value) * 1.47).max(0.12))
    })
}
