//! Screens of a display whose pixels are on or off.
//!
//! The picture is dithered; where the evidence lies it is shown as it is, inside of a line, and elsewhere at a third
//! of its brightness, so that the place is seen from afar. Beside it stand the name and the confidence.

use embedded_graphics::mono_font::iso_8859_1::{FONT_5X8, FONT_6X10, FONT_9X15_BOLD};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Baseline, Text};
use lcam_models::map::{ExplanationMap, GridSize};
use lcam_models::preprocess::{CropBox, ImageSize, resample};

use super::{Live, caption, contour, fill_with, offset};
use crate::control::DisplayMode;

/// Bayer's matrix of 4 x 4 thresholds (Bayer 1973): ordered dithering, which holds still between frames.
const BAYER: [[u16; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];
/// The share of the brightness that is left of what is no evidence.
const DIMMED: f32 = 0.33;

/// Draws a live screen in black and white.
///
/// # Errors
/// Returns the target's own error.
pub fn draw_monochrome<D>(live: &Live<'_>, target: &mut D) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let area = target.bounding_box();
    target.fill_solid(&area, Rgb888::BLACK.into())?;
    if let Some((heading, line)) = live.message() {
        return write(&[(heading, &FONT_9X15_BOLD), (line, &FONT_6X10)], area, target);
    }
    let side = area.size.height.min(area.size.width / 2);
    let square = Rectangle::new(area.top_left, Size::new_equal(side));
    draw_picture(live, square, target)?;
    let left = offset(side) + 3;
    let room = Rectangle::new(
        area.top_left + Point::new(left, 0),
        Size::new(area.size.width.saturating_sub(side + 3), area.size.height),
    );
    let state = live.notice.or(live.frozen.then_some("frozen")).unwrap_or_default();
    let class = live.explained.map(|explained| explained.class);
    let percent = class.map(|class| caption::percent(class.confidence)).unwrap_or_default();
    let label = class.filter(|_| live.detected).map_or("…", |class| class.label);
    let small = if area.size.height < 48 { &FONT_5X8 } else { &FONT_6X10 };
    let large = if area.size.height < 48 { small } else { &FONT_9X15_BOLD };
    write(&[(&percent, large), (label, small), (state, &FONT_5X8)], room, target)
}

fn draw_picture<D>(live: &Live<'_>, square: Rectangle, target: &mut D) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let (Some(picture), side) = (live.picture, square.size.width) else { return Ok(()) };
    if side == 0 {
        return Ok(());
    }
    let crop = live.crop.unwrap_or(CropBox::whole(ImageSize::of(picture)));
    let view = resample(picture, crop, ImageSize { width: side, height: side });
    let map = live.explained.filter(|_| live.mode != DisplayMode::Off).map(|explained| {
        let cells = side as usize;
        explained.map.upsample(GridSize { height: cells, width: cells })
    });
    let lines = map.as_ref().map(|map| contour::lines(map, 1));
    let spread = Contrast::of(&view);
    fill_with(target, square, |x, y| {
        let cell = y as usize * side as usize + x as usize;
        let is_line = lines.as_ref().is_some_and(|lines| lines[cell].is_some());
        let strength = map.as_ref().map_or(1.0, |map| evidence(map, cell));
        let threshold = BAYER[y as usize % 4][x as usize % 4];
        let level = spread.level(view.get_pixel(x, y).0) * strength;
        if is_line || level * 16.0 > f32::from(threshold) + 0.5 {
            Rgb888::WHITE
        } else {
            Rgb888::BLACK
        }
    })
}

fn evidence(map: &ExplanationMap, cell: usize) -> f32 {
    if map.values()[cell] >= contour::LEVELS[0] { 1.0 } else { DIMMED }
}

/// The brightness of a picture, spread over all of 0 to 1: two colours are few enough.
struct Contrast {
    low: f32,
    high: f32,
}

impl Contrast {
    fn of(view: &image::RgbImage) -> Self {
        let mut levels: Vec<f32> = view.pixels().map(|pixel| brightness(pixel.0)).collect();
        levels.sort_by(f32::total_cmp);
        // Without the darkest and the brightest twentieth, which may be a lamp or a hole.
        let at = |twentieths: usize| levels.get(levels.len() * twentieths / 20).copied();
        let (low, high) = (at(1).unwrap_or(0.0), at(19).unwrap_or(1.0));
        Self { low, high: high.max(low + 0.05) }
    }

    fn level(&self, rgb: [u8; 3]) -> f32 {
        ((brightness(rgb) - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// Gives the luma of ITU-R BT.601, 0 to 1.
fn brightness([r, g, b]: [u8; 3]) -> f32 {
    (0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b)) / 255.0
}

/// Writes texts below one another, each broken into lines where it must be; what does not fit is left out.
fn write<D>(
    texts: &[(&str, &MonoFont<'_>)],
    area: Rectangle,
    target: &mut D,
) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let mut top = 0;
    for (text, font) in texts {
        let columns = (area.size.width / font.character_size.width) as usize;
        for line in break_lines(text, columns) {
            let height = font.character_size.height;
            if top + height > area.size.height {
                return Ok(());
            }
            let place = area.top_left + Point::new(0, offset(top));
            let style = MonoTextStyle::new(font, Rgb888::WHITE.into());
            let mut inside = target.clipped(&area);
            Text::with_baseline(&line, place, style, Baseline::Top).draw(&mut inside)?;
            top += height;
        }
    }
    Ok(())
}

/// Breaks a text at spaces, and within words that are longer than a line.
fn break_lines(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    if columns == 0 {
        return lines;
    }
    for word in text.split_whitespace() {
        let characters: Vec<char> = word.chars().collect();
        for (index, piece) in characters.chunks(columns).enumerate() {
            match lines.last_mut() {
                Some(line) if index == 0 && line.chars().count() + 1 + piece.len() <= columns => {
                    line.push(' ');
                    line.extend(piece);
                }
                _ => lines.push(piece.iter().collect()),
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_at_spaces_and_within_long_words() {
        assert_eq!(
            break_lines("black-and-tan dog at home", 8),
            ["black-an", "d-tan", "dog at", "home"]
        );
        assert!(break_lines("cat", 0).is_empty() && break_lines(" ", 9).is_empty());
    }
}
