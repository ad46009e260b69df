//! Pictures in the report: plain, with heat, with what argues for one class against another, with a place marked.

use image::{Rgb, RgbImage};
use lcam_models::heat::{HeatTable, mix};
use lcam_models::map::{ExplanationMap, GridSize};
use lcam_models::preprocess::ImageSize;
use maud::{Markup, html};

use super::super::ReportError;
use super::super::gallery::{data_uri, overlay};
use crate::analyze::regions::{Region, SIDE};

/// What argues for the class that comes first: vermillion of Okabe and Ito (2008).
const FOR: [u8; 3] = [0xd5, 0x5e, 0x00];
/// What argues for the other: their blue.
const AGAINST: [u8; 3] = [0x00, 0x72, 0xb2];
/// How much of a colour covers the picture at most.
const STRONGEST: f32 = 0.72;
/// Differences below this are not coloured: so much two maps differ anywhere.
const LEAST: f32 = 0.12;

/// Lays out a picture with what is written below it.
pub(super) fn figure(
    picture: &RgbImage,
    alt: &str,
    caption: &Markup,
) -> Result<Markup, ReportError> {
    let (width, height) = picture.dimensions();
    Ok(html! {
        figure {
            img src=(data_uri(picture)?) width=(width) height=(height) alt=(alt);
            figcaption { (caption) }
        }
    })
}

/// Lays a map's heat over a picture.
pub(super) fn heat(picture: &RgbImage, map: &ExplanationMap) -> RgbImage {
    overlay(picture, map, HeatTable::get())
}

/// Colours where one map is above another, and where below.
pub(super) fn difference(
    picture: &RgbImage,
    first: &ExplanationMap,
    second: &ExplanationMap,
) -> RgbImage {
    let (width, height) = picture.dimensions();
    let size = GridSize { height: height as usize, width: width as usize };
    let (first, second) = (first.upsample(size), second.upsample(size));
    let mut colored = picture.clone();
    let pairs = first.values().iter().zip(second.values());
    for (pixel, (first, second)) in colored.pixels_mut().zip(pairs) {
        let value = first - second;
        let share = STRONGEST * ((value.abs() - LEAST) / (1.0 - LEAST)).clamp(0.0, 1.0).sqrt();
        pixel.0 = mix(pixel.0, if value > 0.0 { FOR } else { AGAINST }, share);
    }
    colored
}

/// Draws a box around a place: white within black, which is seen on any picture.
pub(super) fn marked(mut picture: RgbImage, region: Region) -> RgbImage {
    let [left, top, right, bottom] = region.pixels(ImageSize::of(&picture));
    for (inset, color) in [(0, [0; 3]), (1, [255; 3]), (2, [255; 3]), (3, [0; 3])] {
        let [left, top] = [left + inset, top + inset];
        let (Some(right), Some(bottom)) =
            (right.checked_sub(inset + 1), bottom.checked_sub(inset + 1))
        else {
            continue;
        };
        if left > right || top > bottom {
            continue;
        }
        for x in left..=right {
            picture.put_pixel(x, top, Rgb(color));
            picture.put_pixel(x, bottom, Rgb(color));
        }
        for y in top..=bottom {
            picture.put_pixel(left, y, Rgb(color));
            picture.put_pixel(right, y, Rgb(color));
        }
    }
    picture
}

/// Draws the grid with a place filled.
pub(super) fn place(region: Region) -> Markup {
    let [width, height] = region.sides();
    html! {
        figure.place {
            svg viewBox="0 0 8 8" role="img" aria-label=(format!("place: {}", region.place())) {
                rect width="8" height="8" fill="var(--shade)" stroke="var(--rule)" stroke-width=".1" {}
                rect x=(region.left) y=(region.top) width=(width) height=(height) fill="#d55e00" {}
            }
            figcaption { (region.place()) }
        }
    }
}

/// Draws values of the grid's cells: the higher, the darker; below 0 in another colour.
pub(super) fn cells(values: &[f32], name: &str) -> Markup {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    html! {
        svg.prior viewBox="0 0 8 8" role="img" aria-label=(name) {
            rect width="8" height="8" fill="var(--shade)" {}
            @for (index, value) in values.iter().enumerate().filter(|_| largest > 0.0) {
                rect x=(index % SIDE) y=(index / SIDE) width="1.02" height="1.02"
                    fill=(if *value > 0.0 { "#d55e00" } else { "#0072b2" })
                    fill-opacity=(format!("{:.2}", value.abs() / largest)) {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lcam_models::map::ClassMap;

    use super::*;

    #[test]
    fn what_argues_for_either_class_has_its_colour() {
        let grey = RgbImage::from_pixel(64, 64, Rgb([128; 3]));
        let map = |values: [f32; 3]| {
            ClassMap::new(GridSize { height: 1, width: 3 }, values.to_vec()).unwrap().min_max()
        };
        let colored = difference(&grey, &map([1.0, 0.5, 0.0]), &map([0.0, 0.5, 1.0]));
        let [left, middle, right] = [2, 32, 61].map(|x| colored.get_pixel(x, 5).0);
        assert!(left[0] > left[2] && right[2] > right[0]);
        assert_eq!(middle, [128; 3], "where both agree the picture shows as it is");
    }

    #[test]
    fn a_box_stays_within_the_picture() {
        for side in [4, 9, 64, 192] {
            let picture = RgbImage::from_pixel(side, side, Rgb([128; 3]));
            let corner = Region { left: 6, top: 6, right: 8, bottom: 8 };
            let drawn = marked(picture, corner);
            assert_eq!(drawn.get_pixel(side - 1, side - 1).0, [0; 3], "{side}");
            assert_eq!(drawn.get_pixel(0, 0).0, [128; 3], "{side}");
        }
    }
}
