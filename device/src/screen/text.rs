//! Text of any size on a plain background.
//!
//! Glyphs are rasterised with smooth edges, which needs the colour beneath: text goes only where this
//! program filled a rectangle with one colour before. Text that does not fit is set a little smaller, then
//! shortened. Characters that the font lacks show as boxes, control characters as spaces.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, PxScale, PxScaleFont, ScaleFont};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

use super::{fill_with, mix};

/// Text may shrink to this share of its size before it is shortened.
const LEAST_SHRINK: f32 = 0.8;

/// Where text stands in its rectangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Align {
    Left,
    Right,
}

/// How text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// From the top of the tallest letter to the bottom of the lowest, in pixels.
    pub(super) height_px: u32,
    pub(super) color: Rgb888,
    pub(super) background: Rgb888,
    pub(super) align: Align,
}

fn font() -> &'static FontRef<'static> {
    static FONT: OnceLock<FontRef<'static>> = OnceLock::new();
    FONT.get_or_init(|| {
        FontRef::try_from_slice(include_bytes!("../../assets/Roboto-Medium.ttf"))
            .expect("the font is part of the program and a test draws with it")
    })
}

fn scaled(height_px: f32) -> PxScaleFont<&'static FontRef<'static>> {
    font().into_scaled(PxScale::from(height_px.max(1.0)))
}

/// Gives the width of a line in pixels.
pub(super) fn width(text: &str, height_px: u32) -> f32 {
    line_width(text, &scaled(to_f32(height_px)))
}

fn line_width(text: &str, font: &PxScaleFont<&'static FontRef<'static>>) -> f32 {
    glyphs(text, font).last().map_or(0.0, |(_, right)| right)
}

/// Lays out a line: the glyphs with their positions on a base line at 0, and the pen's place after each.
fn glyphs<'a>(
    text: &'a str,
    font: &'a PxScaleFont<&'static FontRef<'static>>,
) -> impl Iterator<Item = (ab_glyph::Glyph, f32)> + 'a {
    let mut pen = 0.0;
    let mut previous = None;
    text.chars().map(move |character| {
        let visible = if character.is_control() { ' ' } else { character };
        let id = font.glyph_id(visible);
        if let Some(previous) = previous.replace(id) {
            pen += font.kern(previous, id);
        }
        let glyph = id.with_scale_and_position(font.scale(), ab_glyph::point(pen, 0.0));
        pen += font.h_advance(id);
        (glyph, pen)
    })
}

/// Fits a line into a width: first smaller, then shortened with an ellipsis.
fn fit(text: &str, height_px: u32, available: f32) -> (String, f32) {
    let full = to_f32(height_px);
    let needed = line_width(text, &scaled(full));
    if needed <= available {
        return (text.to_owned(), full);
    }
    let height = full * (available / needed).max(LEAST_SHRINK);
    let font = scaled(height);
    if line_width(text, &font) <= available {
        return (text.to_owned(), height);
    }
    let mut kept = text.to_owned();
    while kept.pop().is_some() {
        let shortened = format!("{}…", kept.trim_end());
        if line_width(&shortened, &font) <= available {
            return (shortened, height);
        }
    }
    (String::new(), height)
}

/// Breaks a text at spaces into at most `lines` lines of a width; the last takes what is left and may not fit.
pub(super) fn wrap(text: &str, height_px: u32, available: u32, lines: usize) -> Vec<String> {
    let font = scaled(to_f32(height_px));
    let mut broken: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let count = broken.len();
        match broken.last_mut() {
            Some(line)
                if count == lines
                    || line_width(&format!("{line} {word}"), &font) <= to_f32(available) =>
            {
                line.push(' ');
                line.push_str(word);
            }
            _ => broken.push(word.to_owned()),
        }
    }
    broken
}

/// Draws one line, centred in height, over the background that `style` names. Nothing leaves `area`.
pub(super) fn draw<D>(
    target: &mut D,
    area: Rectangle,
    text: &str,
    style: Style,
) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let width = area.size.width as usize;
    let coverage = Setting {
        text: text.to_owned(),
        style_px: style.height_px,
        align: style.align,
        size: area.size,
    };
    let coverage = coverage.cover();
    fill_with(target, area, |x, y| match coverage[y as usize * width + x as usize] {
        0 => style.background,
        share => mix(style.background, style.color, f32::from(share) / 255.0),
    })
}

/// A line as it is set into a rectangle, whatever its colours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Setting {
    text: String,
    style_px: u32,
    align: Align,
    size: Size,
}

/// How many lines are remembered: a live screen writes the same few again and again.
const REMEMBERED: usize = 128;

thread_local! {
    static COVERAGE: RefCell<HashMap<Setting, Rc<[u8]>>> = RefCell::default();
}

impl Setting {
    /// Gives how much of each pixel the glyphs cover, in 255ths; remembered from the last time.
    fn cover(self) -> Rc<[u8]> {
        COVERAGE.with_borrow_mut(|known| {
            if let Some(coverage) = known.get(&self) {
                return Rc::clone(coverage);
            }
            if known.len() >= REMEMBERED {
                known.clear();
            }
            let coverage = self.rasterize();
            known.insert(self, Rc::clone(&coverage));
            coverage
        })
    }

    fn rasterize(&self) -> Rc<[u8]> {
        let Size { width, height } = self.size;
        let (line, height_px) = fit(&self.text, self.style_px, to_f32(width));
        let font = scaled(height_px);
        let room = to_f32(width) - line_width(&line, &font);
        let left = match self.align {
            Align::Left => 0.0,
            Align::Right => room,
        };
        let base = ((to_f32(height) + font.ascent() + font.descent()) / 2.0).round();
        let mut coverage = vec![0.0_f32; width as usize * height as usize];
        for (mut glyph, _) in glyphs(&line, &font) {
            glyph.position.x += left;
            glyph.position.y += base;
            add_coverage(glyph, self.size, &mut coverage);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1")]
        coverage.into_iter().map(|share| (share * 255.0).round() as u8).collect()
    }
}

fn add_coverage(glyph: ab_glyph::Glyph, size: Size, coverage: &mut [f32]) {
    let Some(outline) = font().outline_glyph(glyph) else { return };
    let corner = outline.px_bounds().min;
    outline.draw(|x, y, share| {
        #[expect(clippy::cast_possible_truncation, reason = "saturates, then fails the bounds")]
        let (left, top) = (corner.x as i64 + i64::from(x), corner.y as i64 + i64::from(y));
        let within = (0..i64::from(size.width)).contains(&left)
            && (0..i64::from(size.height)).contains(&top);
        let place = usize::try_from(top * i64::from(size.width) + left);
        if let (true, Ok(place)) = (within, place) {
            coverage[place] = (coverage[place] + share).min(1.0);
        }
    });
}

fn to_f32(length: u32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "screens are far smaller than 2^24 pixels")]
    {
        length as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_fits_and_shortens_what_does_not() {
        assert_eq!(fit("tabby", 20, 200.0), ("tabby".to_owned(), 20.0));
        let (line, height) = fit("tabby cat", 20, width("tabby cat", 20) * 0.9);
        assert!(line == "tabby cat" && height < 20.0, "{line} {height}");
        let (line, height) = fit("black-and-tan coonhound", 20, 100.0);
        assert!(line.ends_with('…') && line.starts_with("black"), "{line}");
        assert!(line_width(&line, &scaled(height)) <= 100.0);
        assert_eq!(fit("anything", 20, 1.0).0, "");
        assert_eq!(fit("", 20, 0.0).0, "");
    }

    #[test]
    fn takes_any_text() {
        for text in ["Äpfel µ Ελλάδα Кошка", "猫と犬", "🐈‍⬛", "a\u{301}\u{0}\n\t", "\u{202e}x"]
        {
            let (line, _) = fit(text, 18, 60.0);
            assert!(line.chars().count() <= text.chars().count() + 1, "{text:?}");
        }
    }

    #[test]
    fn has_every_letter_that_it_should() {
        let missing: String =
            "…%·AZaz09äßéñøłğšžΩЖ".chars().filter(|&c| font().glyph_id(c).0 == 0).collect();
        assert_eq!(missing, "");
    }
}
