//! What a running camera shows: its newest picture with the newest explanation, or why there is none.

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use image::RgbImage;
use lcam_models::preprocess::{CropBox, ImageSize};

use super::text::{self, Align, Style};
use super::{Explained, Rank, Scene, offset, palette};
use crate::control::DisplayMode;

/// All that a live screen depends on.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a> {
    /// The newest picture; `None` while there is no camera.
    pub picture: Option<&'a RgbImage>,
    /// The part of it that the network sees; the whole before the first pass.
    pub crop: Option<CropBox>,
    /// The explained class; `None` before the first pass.
    pub explained: Option<Explained<'a>>,
    /// Whether the network is sure enough of a class for one to be named.
    pub detected: bool,
    /// The most probable classes, best first.
    pub ranking: &'a [Rank<'a>],
    /// How the explanation is shown.
    pub mode: DisplayMode,
    /// Whether the picture is kept.
    pub frozen: bool,
    /// What is wrong, in a line.
    pub notice: Option<&'a str>,
    /// The program ends: this is the last screen.
    pub stopping: bool,
}

impl Live<'_> {
    /// Gives what a screen without a picture says: a heading and a line.
    pub(super) fn message(&self) -> Option<(&'static str, &str)> {
        if self.stopping {
            return Some(("Stopped", "lcam-device has ended"));
        }
        match (self.picture, self.notice) {
            (Some(_), _) => None,
            (None, Some(notice)) => Some(("No picture", notice)),
            (None, None) => Some(("Starting", "waiting for the camera and the model")),
        }
    }

    /// Gives the marks that stand over the picture: what is wrong comes first.
    pub(super) fn banner(&self) -> Option<(&str, Rgb888)> {
        match self.notice {
            Some(notice) => Some((notice, palette::ALARM)),
            None if self.frozen => Some(("frozen", palette::BAR)),
            None => None,
        }
    }
}

/// Draws a live screen over the whole target.
///
/// # Errors
/// Returns the target's own error.
pub fn draw_live<D>(live: &Live<'_>, target: &mut D) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    if let Some((heading, line)) = live.message() {
        return draw_message(heading, line, target);
    }
    let Some(picture) = live.picture else { return Ok(()) };
    let size = ImageSize::of(picture);
    let explained: Vec<Explained<'_>> = live
        .explained
        .into_iter()
        .map(|explained| if live.detected { explained } else { unsure(explained) })
        .collect();
    let scene = Scene {
        picture,
        crop: live.crop.unwrap_or(CropBox::whole(size)),
        explained: &explained,
        ranking: live.ranking,
        mode: live.mode,
    };
    let Some((text, color)) = live.banner() else { return super::draw(&scene, target) };
    let area = target.bounding_box();
    let banner = Banner::new(text, color, area.size);
    if super::lists_classes(&scene, area) {
        // A picture may be covered, a class's name not.
        super::draw(&scene, &mut target.cropped(&banner.below(area)))?;
    } else {
        super::draw(&scene, target)?;
    }
    banner.draw(target)
}

/// Names nothing, as the network is not sure enough of anything.
fn unsure(explained: Explained<'_>) -> Explained<'_> {
    Explained { class: Rank { label: "…", ..explained.class }, ..explained }
}

/// Draws a screen that says something.
fn draw_message<D>(heading: &str, line: &str, target: &mut D) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let area = target.bounding_box();
    target.fill_solid(&area, palette::BACKGROUND.into())?;
    let Size { width, height } = area.size;
    let text_px = (height / 14).clamp(9, 40);
    let margin = offset(text_px);
    let room = width.saturating_sub(2 * text_px);
    let mut top = offset(height / 2) - 2 * offset(text_px);
    let mut row = |text: &str, height_px: u32, color: Rgb888| {
        let style = Style { height_px, color, background: palette::BACKGROUND, align: Align::Left };
        let place = Rectangle::new(
            area.top_left + Point::new(margin, top),
            Size::new(room, height_px * 5 / 4),
        );
        top += offset(height_px * 5 / 4);
        text::draw(target, place.intersection(&area), text, style)
    };
    row(heading, text_px * 3 / 2, palette::TEXT)?;
    for part in text::wrap(line, text_px, room, 6) {
        row(&part, text_px, palette::FAINT_TEXT)?;
    }
    Ok(())
}

/// A strip at the upper edge, of one line or more.
struct Banner {
    lines: Vec<String>,
    color: Rgb888,
    text_px: u32,
}

impl Banner {
    fn new(text: &str, color: Rgb888, size: Size) -> Self {
        let text_px = (size.height / 18).clamp(9, 28);
        let lines = text::wrap(text, text_px, size.width.saturating_sub(text_px), 3);
        Self { lines, color, text_px }
    }

    fn line_px(&self) -> u32 {
        self.text_px * 3 / 2
    }

    /// Gives what is left of an area below it.
    fn below(&self, area: Rectangle) -> Rectangle {
        let lines = u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
        let high = lines.saturating_mul(self.line_px()).min(area.size.height);
        let size = Size::new(area.size.width, area.size.height - high);
        Rectangle::new(area.top_left + Point::new(0, offset(high)), size)
    }

    fn draw<D>(&self, target: &mut D) -> Result<(), D::Error>
    where
        D: DrawTarget,
        D::Color: From<Rgb888>,
    {
        let area = target.bounding_box();
        let (text_px, color) = (self.text_px, self.color);
        for (index, line) in (0_i32..).zip(&self.lines) {
            let place = Rectangle::new(
                area.top_left + Point::new(0, index * offset(self.line_px())),
                Size::new(area.size.width, self.line_px()),
            );
            let place = place.intersection(&area);
            target.fill_solid(&place, color.into())?;
            let inner = Rectangle::new(
                place.top_left + Point::new(offset(text_px / 2), 0),
                Size::new(place.size.width.saturating_sub(text_px), place.size.height),
            );
            let style = Style {
                height_px: text_px,
                color: palette::TEXT,
                background: color,
                align: Align::Left,
            };
            text::draw(target, inner, line, style)?;
        }
        Ok(())
    }
}
