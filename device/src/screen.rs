//! What a person sees: the photograph, where the evidence lies, the class and how sure the network is.
//!
//! Pure drawing on any [`DrawTarget`], from 240x240 pixels up: a picture file, a window and a panel get the
//! same pixels. Small screens show the explained picture above a caption; large ones list the best classes
//! beside it. Several explanations of one picture stand side by side.
//!
//! The heat map covers exactly the part of the picture that the network saw; what it did not see is dimmed.
//! Nothing is drawn outside of the target. No hardware is known here.

mod caption;
mod contour;
mod heat;
mod layout;
mod legend;
mod live;
mod monochrome;
mod photograph;
mod ranking;
mod text;

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use image::RgbImage;
use lcam_models::map::ExplanationMap;
use lcam_models::preprocess::CropBox;

use crate::control::DisplayMode;
use layout::{Layout, Pane};
pub use live::{Live, draw_live};
pub use monochrome::draw_monochrome;
use photograph::Overlay;

/// The colours of everything that is no photograph: light text on near black.
mod palette {
    use embedded_graphics::pixelcolor::Rgb888;

    pub(super) const BACKGROUND: Rgb888 = Rgb888::new(14, 16, 20);
    pub(super) const BAR: Rgb888 = Rgb888::new(27, 30, 37);
    pub(super) const TRACK: Rgb888 = Rgb888::new(52, 57, 68);
    pub(super) const TEXT: Rgb888 = Rgb888::new(245, 246, 248);
    /// 6.0 to 1 on [`BAR`] by WCAG's formula, where 4.5 is asked for.
    pub(super) const FAINT_TEXT: Rgb888 = Rgb888::new(150, 156, 168);
    pub(super) const ACCENT: Rgb888 = Rgb888::new(252, 165, 10);
    /// Behind what is wrong: 7.9 to 1 below [`TEXT`].
    pub(super) const ALARM: Rgb888 = Rgb888::new(150, 24, 30);
}

/// Everything that one screen shows.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The picture, upright.
    pub picture: &'a RgbImage,
    /// The part of it that the network saw.
    pub crop: CropBox,
    /// The explained classes; without any the picture is shown alone.
    pub explained: &'a [Explained<'a>],
    /// The most probable classes, best first; shown where there is room.
    pub ranking: &'a [Rank<'a>],
    /// How the explanations are shown.
    pub mode: DisplayMode,
}

/// A class and its share of the confidence.
#[derive(Clone, Copy, Debug)]
pub struct Rank<'a> {
    /// The class's name.
    pub label: &'a str,
    /// Softmax probability, 0 to 1.
    pub confidence: f32,
}

/// A class and where the evidence for it lies.
#[derive(Clone, Copy, Debug)]
pub struct Explained<'a> {
    /// The class.
    pub class: Rank<'a>,
    /// The map, at any resolution.
    pub map: &'a ExplanationMap,
}

/// Draws a scene over the whole target.
///
/// # Errors
/// Returns the target's own error.
pub fn draw<D>(scene: &Scene<'_>, target: &mut D) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let area = target.bounding_box();
    target.fill_solid(&area, palette::BACKGROUND.into())?;
    let panes = panes(scene);
    let layout = layout(scene, area, panes.len());
    for (pane, (explained, overlay)) in layout.panes.iter().zip(panes) {
        draw_pane(scene, explained, overlay, pane, target)?;
    }
    if let Some(side) = &layout.side {
        ranking::draw(scene, side, target)?;
    }
    Ok(())
}

fn layout(scene: &Scene<'_>, area: Rectangle, panes: usize) -> Layout {
    let ranks = if scene.mode == DisplayMode::SideBySide { 0 } else { scene.ranking.len() };
    Layout::new(area, panes, ranks)
}

/// Tells whether the best classes are listed beside the picture.
fn lists_classes(scene: &Scene<'_>, area: Rectangle) -> bool {
    layout(scene, area, panes(scene).len()).side.is_some()
}

/// Gives what stands in each pane: a class, if there is one, and how its map is shown.
fn panes<'a>(scene: &Scene<'a>) -> Vec<(Option<&'a Explained<'a>>, Overlay)> {
    if scene.explained.is_empty() {
        return vec![(None, Overlay::None)];
    }
    let overlays: &[Overlay] = match scene.mode {
        DisplayMode::Heat => &[Overlay::Heat],
        DisplayMode::Contour => &[Overlay::Contour],
        DisplayMode::SideBySide => &[Overlay::None, Overlay::Heat],
        DisplayMode::Off => &[Overlay::None],
    };
    let explained = scene.explained.iter();
    explained.flat_map(|one| overlays.iter().map(move |&overlay| (Some(one), overlay))).collect()
}

fn draw_pane<D>(
    scene: &Scene<'_>,
    explained: Option<&Explained<'_>>,
    overlay: Overlay,
    pane: &Pane,
    target: &mut D,
) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let map = explained.map(|explained| explained.map);
    photograph::draw(scene, map, overlay, pane, target)?;
    let Some(caption) = &pane.caption else { return Ok(()) };
    target.fill_solid(&caption.area, palette::BAR.into())?;
    let Some(explained) = explained else { return Ok(()) };
    caption::draw(explained.class, caption, target)?;
    match overlay {
        Overlay::Heat => legend::draw(caption.legend, palette::BAR, legend::Words::Short, target),
        Overlay::Contour | Overlay::None => Ok(()),
    }
}

/// Fills a rectangle, pixel by pixel and row by row, with what `color` gives for a position within it.
fn fill_with<D>(
    target: &mut D,
    area: Rectangle,
    color: impl Fn(u32, u32) -> Rgb888,
) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let Size { width, height } = area.size;
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    target.fill_contiguous(&area, pixels.map(|(x, y)| color(x, y).into()))
}

/// Mixes two colours: all `under` at 0, all `over` at 1.
fn mix(under: Rgb888, over: Rgb888, share: f32) -> Rgb888 {
    let channels = |color: Rgb888| [color.r(), color.g(), color.b()];
    let [r, g, b] = lcam_models::heat::mix(channels(under), channels(over), share);
    Rgb888::new(r, g, b)
}

/// Rounds a share of a length to whole pixels; nothing below 0.
fn pixels(length: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "casts from floating point saturate, and screens are far smaller"
    )]
    {
        length.round() as u32
    }
}

/// Turns a length into an offset; screens are far smaller than the largest `i32`.
fn offset(length: u32) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::palette::{ALARM, BACKGROUND, BAR, FAINT_TEXT, TEXT};
    use super::*;

    /// Relative luminance of sRGB (WCAG 2.2).
    fn luminance(color: Rgb888) -> f64 {
        let linear = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(color.r()) + 0.7152 * linear(color.g()) + 0.0722 * linear(color.b())
    }

    #[test]
    fn text_stands_out_from_its_background() {
        for (text, ground) in [
            (TEXT, BAR),
            (TEXT, BACKGROUND),
            (TEXT, ALARM),
            (FAINT_TEXT, BAR),
            (FAINT_TEXT, BACKGROUND),
        ] {
            let contrast = (luminance(text) + 0.05) / (luminance(ground) + 0.05);
            assert!(contrast >= 4.5, "{text:?} on {ground:?}: {contrast:.1}");
        }
    }
}
