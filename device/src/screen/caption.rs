//! The caption bar: the class's name, the confidence as a number and as a bar.

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

use super::layout::Caption;
use super::text::{self, Align, Style};
use super::{Rank, offset, palette, pixels};

/// Draws the caption's texts and confidence bar over its filled background.
pub(super) fn draw<D>(class: Rank<'_>, caption: &Caption, target: &mut D) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    draw_bar(class.confidence, caption.confidence_bar, target)?;
    draw_line(class, caption.title, caption.text_px, palette::BAR, target)
}

/// Draws a name on the left and its confidence on the right.
pub(super) fn draw_line<D>(
    class: Rank<'_>,
    area: Rectangle,
    text_px: u32,
    background: Rgb888,
    target: &mut D,
) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let number = percent(class.confidence);
    // As wide as the widest number, so that columns of numbers align.
    let number_width = pixels(text::width("100 %", text_px).into()) + 2;
    let number_width = number_width.min(area.size.width);
    let name_width = area.size.width.saturating_sub(number_width + text_px / 3);
    let name = Rectangle::new(area.top_left, Size::new(name_width, area.size.height));
    let corner = area.top_left + Point::new(offset(area.size.width - number_width), 0);
    let confidence = Rectangle::new(corner, Size::new(number_width, area.size.height));
    let style = Style { height_px: text_px, color: palette::TEXT, background, align: Align::Left };
    text::draw(target, name, class.label, style)?;
    text::draw(target, confidence, &number, Style { align: Align::Right, ..style })
}

/// Draws a bar that is filled as far as the confidence goes.
pub(super) fn draw_bar<D>(confidence: f32, area: Rectangle, target: &mut D) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let filled = pixels(f64::from(area.size.width) * f64::from(confidence.clamp(0.0, 1.0)));
    target.fill_solid(&area, palette::TRACK.into())?;
    let filled = Rectangle::new(area.top_left, Size::new(filled, area.size.height));
    target.fill_solid(&filled, palette::ACCENT.into())
}

/// Writes a confidence as a person reads it: whole percents, and never 0 or 100 for what is not.
pub(super) fn percent(confidence: f32) -> String {
    let percents = f64::from(confidence.clamp(0.0, 1.0)) * 100.0;
    match percents {
        p if p > 0.0 && p < 0.5 => "<1 %".to_owned(),
        p if (99.5..100.0).contains(&p) => ">99 %".to_owned(),
        p => format!("{p:.0} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_percents_for_people() {
        for (confidence, text) in [
            (0.0, "0 %"),
            (0.001, "<1 %"),
            (0.394, "39 %"),
            (0.9901, "99 %"),
            (0.9999, ">99 %"),
            (1.0, "100 %"),
            (f32::NAN, "NaN %"),
        ] {
            assert_eq!(percent(confidence), text);
        }
    }
}
