//! The photograph with the heat map over the part that the network saw.

use std::sync::LazyLock;

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use image::{Rgb, RgbImage};
use lcam_models::map::{ExplanationMap, GridSize};
use lcam_models::preprocess::{CropBox, ImageSize, resample};

use super::contour;
use super::heat::HeatTable;
use super::layout::Pane;
use super::{Scene, mix, offset, palette, pixels};

/// How far a picture is shown, in multiples of the crop's sides: as a whole, a strip of 20000 x 1 pixels
/// would be invisible.
const FARTHEST: f64 = 2.5;
/// The share of the brightness that is taken from what the network did not see.
const DIMMED: f32 = 0.62;

/// How a map lies over the photograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overlay {
    None,
    Heat,
    Contour,
}

/// Draws the photograph into its pane.
pub(super) fn draw<D>(
    scene: &Scene<'_>,
    map: Option<&ExplanationMap>,
    overlay: Overlay,
    pane: &Pane,
    target: &mut D,
) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let Some(view) = View::new(ImageSize::of(scene.picture), scene.crop, pane) else {
        return Ok(());
    };
    let size = ImageSize { width: view.area.size.width, height: view.area.size.height };
    let mut photograph = resample(scene.picture, view.shown, size);
    view.shade(&mut photograph, &Cover::new(map, overlay, view.crop.size));
    let colors = photograph.pixels().map(|&Rgb([r, g, b])| Rgb888::new(r, g, b).into());
    target.fill_contiguous(&view.area, colors)
}

/// What lies over the part that the network saw.
enum Cover {
    None,
    Heat { map: ExplanationMap, table: &'static HeatTable },
    Contour { lines: Vec<Option<usize>> },
}

impl Cover {
    fn new(map: Option<&ExplanationMap>, overlay: Overlay, size: Size) -> Self {
        let Some(map) = map else { return Self::None };
        let size = GridSize { height: size.height as usize, width: size.width as usize };
        match overlay {
            Overlay::None => Self::None,
            Overlay::Heat => Self::Heat { map: map.upsample(size), table: HeatTable::get() },
            Overlay::Contour => {
                // A line of one pixel is lost on a large screen.
                let reach = (size.height.min(size.width) / 120).max(2);
                Self::Contour { lines: contour::lines(&map.upsample(size), reach) }
            }
        }
    }

    /// Covers a row of the part that the network saw.
    fn lay_over(&self, pixels: &mut [[u8; 3]], row: usize) {
        let cells = row * pixels.len()..(row + 1) * pixels.len();
        match self {
            Self::None => {}
            Self::Heat { map, table } => {
                for (pixel, &value) in pixels.iter_mut().zip(&map.values()[cells]) {
                    *pixel = table.over(*pixel, value);
                }
            }
            Self::Contour { lines } => {
                for (pixel, line) in pixels.iter_mut().zip(&lines[cells]) {
                    // As the heat map would colour that height.
                    if let Some(level) = *line {
                        *pixel = lcam_models::heat::color(contour::LEVELS[level]);
                    }
                }
            }
        }
    }
}

/// What becomes of each value of each channel where the network did not see the picture.
struct Surroundings {
    /// Next to the crop: its frame.
    frame: [[u8; 3]; 256],
    /// Paler and dimmed.
    dimmed: [[u8; 3]; 256],
}

impl Surroundings {
    /// Gives the tables; they are computed once.
    fn get() -> &'static Self {
        static TABLES: LazyLock<Surroundings> = LazyLock::new(|| {
            let each = |shade: fn(Rgb888) -> Rgb888| {
                std::array::from_fn(|value| {
                    let [value, ..] = value.to_le_bytes();
                    let color = shade(Rgb888::new(value, value, value));
                    [color.r(), color.g(), color.b()]
                })
            };
            Surroundings {
                frame: each(|color| mix(color, palette::TEXT, 0.8)),
                dimmed: each(|color| {
                    mix(mix(color, palette::FAINT_TEXT, 0.25), palette::BACKGROUND, DIMMED)
                }),
            }
        });
        &TABLES
    }

    fn shade(table: &[[u8; 3]; 256], pixels: &mut [[u8; 3]]) {
        for pixel in pixels {
            *pixel = [0, 1, 2].map(|channel| table[usize::from(pixel[channel])][channel]);
        }
    }
}

/// What part of the picture is shown, where, and where in it the crop lies.
#[derive(Debug)]
struct View {
    /// The part of the picture, in its pixels.
    shown: CropBox,
    /// Where it goes on the screen.
    area: Rectangle,
    /// The crop, relative to `area`.
    crop: Rectangle,
}

impl View {
    /// Places the picture in a pane; `None` when there is no room at all.
    fn new(picture: ImageSize, crop: CropBox, pane: &Pane) -> Option<Self> {
        let room = pane.picture.size;
        if room.width == 0 || room.height == 0 {
            return None;
        }
        let (wide, high) = reach(crop, room, pane.fills);
        let (left, width) = widen(crop.left, crop.width, picture.width, wide);
        let (top, height) = widen(crop.top, crop.height, picture.height, high);
        let scale = (f64::from(room.width) / width).min(f64::from(room.height) / height);
        let side = |length: f64, most: u32| pixels(length * scale).clamp(1, most);
        let area = Size::new(side(width, room.width), side(height, room.height));
        let free = room - area;
        let corner = Point::new(offset(free.width / 2), offset(free.height / 2));
        let across = f64::from(area.width) / width;
        let down = f64::from(area.height) / height;
        let (x, crop_width) = span((crop.left - left) * across, crop.width * across, area.width);
        let (y, crop_height) = span((crop.top - top) * down, crop.height * down, area.height);
        Some(Self {
            shown: CropBox { left, top, width, height },
            area: Rectangle::new(pane.picture.top_left + corner, area),
            crop: Rectangle::new(Point::new(x, y), Size::new(crop_width, crop_height)),
        })
    }

    /// Covers what the network saw, frames it by a line of one pixel, and dims the rest.
    fn shade(&self, photograph: &mut RgbImage, cover: &Cover) {
        let width = self.area.size.width as usize;
        let (columns, rows) = (self.crop.columns(), self.crop.rows());
        let [left, right] = [columns.start, columns.end].map(to_index);
        let [top, bottom] = [rows.start, rows.end].map(to_index);
        let Surroundings { frame, dimmed } = Surroundings::get();
        let shade = Surroundings::shade;
        // The frame's columns, as far as there are any.
        let (outer_left, outer_right) = (left.saturating_sub(1), (right + 1).min(width));
        for (y, row) in photograph.as_chunks_mut::<3>().0.chunks_exact_mut(width).enumerate() {
            if (top..bottom).contains(&y) {
                cover.lay_over(&mut row[left..right], y - top);
                shade(frame, &mut row[outer_left..left]);
                shade(frame, &mut row[right..outer_right]);
            } else if (top.saturating_sub(1)..=bottom).contains(&y) {
                shade(frame, &mut row[outer_left..outer_right]);
            } else {
                shade(dimmed, &mut row[outer_left..outer_right]);
            }
            shade(dimmed, &mut row[..outer_left]);
            shade(dimmed, &mut row[outer_right..]);
        }
    }
}

/// Turns a place on the screen, which is not negative here, into an index.
fn to_index(place: i32) -> usize {
    usize::try_from(place).unwrap_or(0)
}

/// Gives the most columns and rows of the picture to show: so many that the crop fills the room, or a
/// multiple of the crop.
fn reach(crop: CropBox, room: Size, fills: bool) -> (f64, f64) {
    if !fills {
        return (FARTHEST * crop.width, FARTHEST * crop.height);
    }
    let (width, height) = (f64::from(room.width), f64::from(room.height));
    let scale = (width / crop.width).min(height / crop.height);
    (width / scale, height / scale)
}

/// Widens the crop's span along one axis to `most` pixels, as far as the picture reaches.
fn widen(start: f64, length: f64, whole: u32, most: f64) -> (f64, f64) {
    let whole = f64::from(whole);
    let wanted = most.max(length).min(whole);
    let start = (start - (wanted - length) / 2.0).clamp(0.0, whole - wanted);
    (start, wanted)
}

/// Rounds a span to whole pixels: at least one, within `whole`.
fn span(start: f64, length: f64, whole: u32) -> (i32, u32) {
    let first = pixels(start).min(whole - 1);
    let end = pixels(start + length).clamp(first + 1, whole);
    (offset(first), end - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pane(width: u32, height: u32, fills: bool) -> Pane {
        let picture = Rectangle::new(Point::new(3, 4), Size::new(width, height));
        Pane { picture, fills, caption: None }
    }

    #[test]
    fn shows_a_photograph_whole_with_the_crop_in_its_middle() {
        let crop = CropBox { left: 100.0, top: 20.0, width: 200.0, height: 200.0 };
        let picture = ImageSize { width: 400, height: 240 };
        let view = View::new(picture, crop, &pane(200, 200, false)).unwrap();
        assert_eq!(view.area, Rectangle::new(Point::new(3, 44), Size::new(200, 120)));
        assert_eq!(view.crop, Rectangle::new(Point::new(50, 10), Size::new(100, 100)));
    }

    #[test]
    fn fills_a_small_screen_without_losing_any_of_the_crop() {
        let crop = CropBox { left: 100.0, top: 20.0, width: 200.0, height: 200.0 };
        let picture = ImageSize { width: 400, height: 240 };
        let view = View::new(picture, crop, &pane(240, 180, true)).unwrap();
        assert_eq!(view.area.size, Size::new(240, 180));
        assert_eq!(view.crop, Rectangle::new(Point::new(30, 0), Size::new(180, 180)));
    }

    #[test]
    fn magnifies_the_seen_part_of_a_strip() {
        let crop = CropBox { left: 9999.5, top: 0.0, width: 0.9, height: 0.9 };
        let picture = ImageSize { width: 20_000, height: 1 };
        let view = View::new(picture, crop, &pane(100, 100, false)).unwrap();
        assert!(view.area.size.height > 30, "{view:?}");
        assert!(view.crop.size.width > 30, "{view:?}");
    }
}
