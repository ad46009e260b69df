//! The side panel of a large screen: the explained class, the best classes, the legend.

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

use super::layout::Side;
use super::text::{self, Align, Style};
use super::{Scene, caption, legend, offset, palette};

/// Draws the side panel over the screen's background.
pub(super) fn draw<D>(scene: &Scene<'_>, side: &Side, target: &mut D) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    if let Some(explained) = scene.explained.first() {
        draw_title(explained.class, side, target)?;
    }
    for (row, rank) in side.rows.iter().zip(scene.ranking) {
        caption::draw_line(*rank, row.text, side.row_px, palette::BACKGROUND, target)?;
        caption::draw_bar(rank.confidence, row.bar, target)?;
    }
    let note = Style {
        height_px: side.row_px * 4 / 5,
        color: palette::FAINT_TEXT,
        background: palette::BACKGROUND,
        align: Align::Left,
    };
    text::draw(target, side.note, "Framed: what the network saw", note)?;
    legend::draw(side.legend, palette::BACKGROUND, legend::Words::Long, target)
}

/// Draws the explained class in large letters over a smaller line with its confidence.
fn draw_title<D>(class: super::Rank<'_>, side: &Side, target: &mut D) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let Rectangle { top_left, size } = side.title;
    let name_height = (side.title_px * 3 / 2).min(size.height);
    let name = Rectangle::new(top_left, Size::new(size.width, name_height));
    let below = Rectangle::new(
        top_left + Point::new(0, offset(name_height)),
        Size::new(size.width, (side.title_px).min(size.height - name_height)),
    );
    let style = Style {
        height_px: side.title_px * 5 / 4,
        color: palette::TEXT,
        background: palette::BACKGROUND,
        align: Align::Left,
    };
    text::draw(target, name, class.label, style)?;
    let line = format!("{} confident", caption::percent(class.confidence));
    let small = Style { height_px: side.title_px * 3 / 4, color: palette::ACCENT, ..style };
    text::draw(target, below, &line, small)
}
