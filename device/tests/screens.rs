//! Golden screens: `LCAM_BLESS=1 cargo test -p lcam-device --test screens` writes them anew. On a failure
//! the drawn screen and the difference, in white, lie in the temporary folder that the message names.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::convert::Infallible;
use std::path::PathBuf;

use embedded_graphics::pixelcolor::{Rgb565, Rgb888};
use embedded_graphics::prelude::*;
use image::{Rgb, RgbImage};
use lcam_device::control::DisplayMode;
use lcam_device::frame::Frame;
use lcam_device::panel::Ink;
use lcam_device::screen::{Explained, Live, Rank, Scene, draw, draw_live, draw_monochrome};
use lcam_models::map::{ClassMap, ExplanationMap, GridSize};
use lcam_models::preprocess::{ImageSize, Normalization, Preprocess};

/// Glyphs are rasterised in floating point: the last bit of a blend may differ between processors.
const TOLERANCE: u8 = 2;

/// A picture with structure everywhere: rings on a gradient.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (x.abs_diff(width / 2), y.abs_diff(height / 2));
        let ring = (dx * dx + dy * dy).isqrt() / 12 % 2;
        let level = |place: u32, whole: u32| u8::try_from(place * 255 / whole).unwrap();
        Rgb([level(x, width), if ring == 0 { 190 } else { 90 }, level(y, height)])
    })
}

/// One bump, right of the middle.
fn map() -> ExplanationMap {
    let size = GridSize { height: 7, width: 7 };
    let value = |cell: usize| {
        let (row, column) = (cell / 7, cell % 7);
        -(row.abs_diff(3).pow(2) as f32) - (column.abs_diff(4).pow(2) as f32)
    };
    ClassMap::new(size, (0..49).map(value).collect()).unwrap().min_max()
}

const RANKING: [Rank<'_>; 5] = [
    Rank { label: "Egyptian cat", confidence: 0.883 },
    Rank { label: "tabby", confidence: 0.061 },
    Rank { label: "black-and-tan coonhound of a very long name", confidence: 0.021 },
    Rank { label: "Ångström Ж", confidence: 0.004 },
    Rank { label: "", confidence: 0.0 },
];

fn draw_on<D>(target: &mut D, picture: &RgbImage, classes: usize) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let map = map();
    let input = ImageSize { width: 224, height: 224 };
    let preprocess = Preprocess::usual(input, Normalization::IMAGENET);
    let explained: Vec<_> =
        RANKING[..classes].iter().map(|&class| Explained { class, map: &map }).collect();
    let crop = preprocess.crop_box(ImageSize::of(picture));
    let mode = DisplayMode::Heat;
    draw(&Scene { picture, crop, explained: &explained, ranking: &RANKING, mode }, target)
}

/// Draws a live screen, changed from the usual one.
fn draw_live_on(frame: &mut Frame, ink: Ink, change: impl FnOnce(&mut Live<'_>)) {
    let (map, picture) = (map(), picture(320, 240));
    let input = ImageSize { width: 224, height: 224 };
    let preprocess = Preprocess::usual(input, Normalization::IMAGENET);
    let mut live = Live {
        picture: Some(&picture),
        crop: Some(preprocess.crop_box(ImageSize::of(&picture))),
        explained: Some(Explained { class: RANKING[0], map: &map }),
        detected: true,
        ranking: &RANKING,
        mode: DisplayMode::Heat,
        frozen: false,
        notice: None,
        stopping: false,
    };
    change(&mut live);
    let Ok(()) = match ink {
        Ink::Color => draw_live(&live, frame),
        Ink::Monochrome => draw_monochrome(&live, frame),
    };
}

const LOST: &str = "camera: /dev/video0: the camera is gone: no such device";

#[test]
fn live_screens_look_as_they_should() {
    type Change = fn(&mut Live<'_>);
    let contour: Change = |live| live.mode = DisplayMode::Contour;
    let side_by_side: Change = |live| live.mode = DisplayMode::SideBySide;
    let frozen: Change = |live| (live.mode, live.frozen) = (DisplayMode::Off, true);
    let notice: Change = |live| live.notice = Some("mqtt://broker/lcam: the broker is gone");
    let unsure: Change = |live| live.detected = false;
    let lost: Change =
        |live| (live.picture, live.explained, live.notice) = (None, None, Some(LOST));
    let starting: Change = |live| (live.picture, live.explained) = (None, None);
    let first: Change = |live| live.explained = None;
    let cases: [(&str, (u32, u32), Ink, Change); 14] = [
        ("contour-320x240", (320, 240), Ink::Color, contour),
        ("contour-1280x720", (1280, 720), Ink::Color, contour),
        ("side-by-side-320x240", (320, 240), Ink::Color, side_by_side),
        ("frozen-240x240", (240, 240), Ink::Color, frozen),
        ("notice-320x240", (320, 240), Ink::Color, notice),
        ("unsure-240x240", (240, 240), Ink::Color, unsure),
        ("lost-320x240", (320, 240), Ink::Color, lost),
        ("starting-240x240", (240, 240), Ink::Color, starting),
        ("first-240x240", (240, 240), Ink::Color, first),
        ("oled-128x64", (128, 64), Ink::Monochrome, |_| ()),
        ("oled-128x32", (128, 32), Ink::Monochrome, |_| ()),
        ("oled-off-128x64", (128, 64), Ink::Monochrome, frozen),
        ("oled-notice-128x64", (128, 64), Ink::Monochrome, notice),
        ("oled-lost-128x64", (128, 64), Ink::Monochrome, lost),
    ];
    let mut failures = Vec::new();
    for (name, size, ink, change) in cases {
        let mut frame = Frame::new(size.into());
        draw_live_on(&mut frame, ink, change);
        failures.extend(compare(name, frame.as_image()).err());
        let is_mixed = |pixel: &Rgb<u8>| ![[0; 3], [255; 3]].contains(&pixel.0);
        if ink == Ink::Monochrome && frame.as_image().pixels().any(is_mixed) {
            failures.push(format!("{name}: a pixel is neither black nor white"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn live_screens_of_any_size_are_drawn() {
    for (width, height) in [(1, 1), (3, 200), (200, 3), (16, 16), (128, 32), (241, 239)] {
        for ink in [Ink::Color, Ink::Monochrome] {
            for mode in DisplayMode::ALL {
                let mut frame = Frame::new(Size::new(width, height));
                draw_live_on(&mut frame, ink, |live| {
                    (live.mode, live.notice) = (mode, Some(LOST));
                });
                draw_live_on(&mut frame, ink, |live| live.picture = None);
            }
        }
    }
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.png"))
}

/// Compares a screen with its golden picture; says what is wrong.
fn compare(name: &str, drawn: &RgbImage) -> Result<(), String> {
    if std::env::var_os("LCAM_BLESS").is_some() {
        return drawn.save(golden(name)).map_err(|error| error.to_string());
    }
    let expected = image::open(golden(name)).map_err(|error| format!("{name}: {error}"))?.to_rgb8();
    if expected.dimensions() != drawn.dimensions() {
        return Err(format!("{name}: {:?}", expected.dimensions()));
    }
    let differs = |a: &Rgb<u8>, b: &Rgb<u8>| (0..3).any(|c| a[c].abs_diff(b[c]) > TOLERANCE);
    let difference = RgbImage::from_fn(drawn.width(), drawn.height(), |x, y| {
        let differs = differs(drawn.get_pixel(x, y), expected.get_pixel(x, y));
        Rgb([if differs { 255 } else { 0 }; 3])
    });
    let count = difference.pixels().filter(|pixel| pixel[0] > 0).count();
    if count == 0 {
        return Ok(());
    }
    let folder = std::env::temp_dir().join("lcam-screens");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for (kind, picture) in [("drawn", drawn), ("difference", &difference)] {
        let path = folder.join(format!("{name}.{kind}.png"));
        picture.save(path).map_err(|error| error.to_string())?;
    }
    Err(format!("{name}: {count} pixels differ, see {}", folder.display()))
}

#[test]
fn screens_look_as_they_should() {
    let cases = [
        ("panel-240x240", (240, 240), (320, 240), 1),
        ("panel-320x240", (320, 240), (320, 240), 1),
        ("portrait-480x800", (480, 800), (240, 320), 1),
        ("desktop-1920x1080", (1920, 1080), (400, 300), 1),
        ("why-not-640x480", (640, 480), (300, 300), 2),
    ];
    let mut failures = Vec::new();
    for (name, size, (width, height), classes) in cases {
        let mut frame = Frame::new(size.into());
        let Ok(()) = draw_on(&mut frame, &picture(width, height), classes);
        failures.extend(compare(name, frame.as_image()).err());
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A panel that counts what is drawn outside of it.
struct Strict {
    size: Size,
    outside: usize,
    inside: usize,
}

impl OriginDimensions for Strict {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Strict {
    type Color = Rgb565;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb565>>,
    {
        let area = self.bounding_box();
        for Pixel(point, _) in pixels {
            if area.contains(point) { self.inside += 1 } else { self.outside += 1 }
        }
        Ok(())
    }
}

#[test]
fn nothing_is_drawn_outside_of_any_screen() {
    for (width, height) in [(1, 1), (3, 200), (200, 3), (16, 16), (64, 48), (128, 64), (241, 239)] {
        for (columns, rows) in [(1, 1), (20_000, 1), (1, 5000), (640, 480)] {
            for classes in [1, 2, 5] {
                let size = Size::new(width, height);
                let mut target = Strict { size, outside: 0, inside: 0 };
                let Ok(()) = draw_on(&mut target, &picture(columns, rows), classes);
                assert_eq!(target.outside, 0, "{width}x{height} of {columns}x{rows}");
                assert!(target.inside >= (width * height) as usize);
            }
        }
    }
}
