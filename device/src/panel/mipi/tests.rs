use embedded_graphics::geometry::Point;
use image::RgbImage;

use super::*;
use crate::panel::sim::{Chip, DcsSim, SimBus, SimRole, SimWindow};

/// What `spi_transfer_start` of the kernel's trace shows of a transfer: the shortest limit that is used.
const TRACED: usize = 64;

type Bus = SimBus<DcsSim>;

fn wires(bus: &Bus, limit: usize) -> Wires<Bus, crate::panel::sim::SimPin<DcsSim>> {
    Wires {
        spi: bus.clone(),
        limit,
        data_command: bus.pin(SimRole::DataCommand),
        reset: Some(bus.pin(SimRole::Reset)),
        backlight: Some(bus.pin(SimRole::Backlight)),
    }
}

fn start_on(bus: &Bus, glass: &Glass, limit: usize) -> Box<dyn Panel> {
    start("panel".to_owned(), glass, wires(bus, limit), bus.clone()).unwrap()
}

/// A picture in which no row, column, corner or channel is like another.
fn pattern(size: Size, seed: u32) -> RgbImage {
    RgbImage::from_fn(size.width, size.height, |x, y| {
        let channel = |a: u32, b: u32| ((x * a + y * b + seed * 41) % 256).to_le_bytes()[0];
        image::Rgb([channel(5, 3), channel(2, 7), channel(11, 1)])
    })
}

/// What a controller with so many bits a channel makes of a picture.
fn reduced(picture: &RgbImage, bits: [u32; 3]) -> RgbImage {
    let mut picture = picture.clone();
    for image::Rgb(pixel) in picture.pixels_mut() {
        for (value, bits) in pixel.iter_mut().zip(bits) {
            // In whole numbers: the nearest level, and that level of 255.
            let most = (1_u32 << bits) - 1;
            let level = (u32::from(*value) * most + 127) / 255;
            *value = u8::try_from((level * 255 + most / 2) / most).unwrap();
        }
    }
    picture
}

fn bits(model: ColorModel) -> [u32; 3] {
    if matches!(model, ColorModel::Ili9486 | ColorModel::Ili9488) { [6; 3] } else { [5, 6, 5] }
}

/// Counts the pixels that are not the nearest to the wanted ones, with the glass as it hangs.
fn wrong_pixels(bus: &Bus, glass: &Glass, wanted: &RgbImage) -> usize {
    let wanted = reduced(&glass.rotation.turn(wanted), bits(glass.model));
    let seen = bus.chip(|sim| sim.seen());
    assert_eq!(seen.dimensions(), wanted.dimensions());
    seen.pixels().zip(wanted.pixels()).filter(|(a, b)| a != b).count()
}

fn all_glass() -> Vec<Glass> {
    let known = [
        (ColorModel::St7789, 240, 240),
        (ColorModel::St7789, 135, 240),
        (ColorModel::St7789, 170, 320),
        (ColorModel::St7735, 80, 160),
        (ColorModel::St7735, 132, 162),
    ];
    let usual = ColorModel::ALL.map(|model| Glass::usual(model, None));
    let known =
        known.map(|(model, width, height)| Glass::usual(model, Some(Size::new(width, height))));
    let odd = Glass {
        size: Size::new(100, 60),
        offset: Point::new(20, 30),
        mirror: true,
        bgr: true,
        invert: false,
        ..Glass::usual(ColorModel::St7789, None)
    };
    usual.into_iter().chain(known).chain([odd]).collect()
}

#[test]
fn every_model_shows_a_pattern_in_every_rotation_without_a_wrong_pixel() {
    for glass in all_glass() {
        for rotation in Rotation::ALL {
            let glass = Glass { rotation, ..glass };
            for limit in [TRACED, 4096] {
                let bus = SimBus::new(DcsSim::new(glass, limit));
                let mut panel = start_on(&bus, &glass, limit);
                let size = rotation.size(glass.size);
                assert_eq!(panel.size(), size, "{glass:?}");
                for seed in [0, 1] {
                    let picture = pattern(size, seed);
                    panel.show(&Frame::from(picture.clone())).unwrap();
                    bus.chip(Chip::finish).unwrap();
                    assert_eq!(wrong_pixels(&bus, &glass, &picture), 0, "{glass:?}");
                }
            }
        }
    }
}

#[test]
fn a_changed_pixel_sends_its_row_span_alone() {
    let glass = Glass { rotation: Rotation::Deg90, ..Glass::usual(ColorModel::Ili9341, None) };
    let bus = SimBus::new(DcsSim::new(glass, 4096));
    let mut panel = start_on(&bus, &glass, 4096);
    let mut picture = pattern(panel.size(), 0);
    panel.show(&Frame::from(picture.clone())).unwrap();
    let all = SimWindow { columns: [0, 319], rows: [0, 239] };
    assert_eq!(bus.chip(DcsSim::take_windows), [all]);
    let _ = bus.take_transfers();
    panel.show(&Frame::from(picture.clone())).unwrap();
    assert_eq!((bus.take_transfers(), bus.chip(DcsSim::take_windows)), (0, vec![]));
    for (x, y) in [(7, 100), (9, 101), (300, 5)] {
        picture.put_pixel(x, y, image::Rgb([255, 0, 255]));
    }
    panel.show(&Frame::from(picture.clone())).unwrap();
    let expected = [
        SimWindow { columns: [300, 300], rows: [5, 5] },
        SimWindow { columns: [7, 9], rows: [100, 101] },
    ];
    assert_eq!(bus.chip(DcsSim::take_windows), expected);
    assert_eq!(
        bus.take_transfers(),
        2 * 6,
        "CASET, RASET and RAMWR, two with parameters, and pixels"
    );
    assert_eq!(wrong_pixels(&bus, &glass, &picture), 0);
}

#[test]
fn a_bus_error_in_mid_frame_is_followed_by_a_whole_correct_frame() {
    let glass = Glass { rotation: Rotation::Deg270, ..Glass::usual(ColorModel::St7789, None) };
    for transfers in 0..12 {
        let bus = SimBus::new(DcsSim::new(glass, 4096));
        let mut panel = start_on(&bus, &glass, 4096);
        let size = panel.size();
        panel.show(&Frame::from(pattern(size, 0))).unwrap();
        bus.fail_after(transfers);
        let error = panel.show(&Frame::from(pattern(size, 1))).unwrap_err().to_string();
        assert!(error.contains("the bus fails as it was told while sending a screen"), "{error}");
        let _ = bus.chip(DcsSim::take_windows);
        // The screen before: who goes on from it, or from the one that failed, sends too little.
        panel.show(&Frame::from(pattern(size, 0))).unwrap();
        let all = SimWindow { columns: [0, 319], rows: [0, 239] };
        assert_eq!(bus.chip(DcsSim::take_windows), [all]);
        assert_eq!(wrong_pixels(&bus, &glass, &pattern(size, 0)), 0, "after {transfers}");
    }
}

#[test]
fn the_glass_is_lit_when_the_first_screen_is_on_it() {
    let glass = Glass::usual(ColorModel::Gc9a01, None);
    let bus = SimBus::new(DcsSim::new(glass, 4096));
    let mut panel = start_on(&bus, &glass, 4096);
    assert!(!bus.is_lit());
    bus.fail_after(9);
    assert!(panel.show(&Frame::new(panel.size())).is_err() && !bus.is_lit());
    panel.show(&Frame::new(panel.size())).unwrap();
    assert!(bus.is_lit());
}

#[test]
fn a_bus_error_while_it_is_set_up_is_told() {
    let glass = Glass::usual(ColorModel::Ili9488, None);
    let bus = SimBus::new(DcsSim::new(glass, 4096));
    bus.fail_after(3);
    let error = start("panel".to_owned(), &glass, wires(&bus, 4096), bus.clone()).unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("panel: the bus fails as it was told while setting"), "{error}");
}

#[test]
fn a_module_without_a_reset_line_starts_too() {
    let glass = Glass::usual(ColorModel::Ili9341, None);
    let bus = SimBus::new(DcsSim::new(glass, 4096));
    bus.chip(|sim| sim.wait(std::time::Duration::from_secs(1)));
    let wires = Wires { reset: None, backlight: None, ..wires(&bus, 4096) };
    let mut panel = start("panel".to_owned(), &glass, wires, bus.clone()).unwrap();
    let picture = pattern(panel.size(), 3);
    panel.show(&Frame::from(picture.clone())).unwrap();
    assert_eq!(wrong_pixels(&bus, &glass, &picture), 0);
}

#[test]
fn the_simulated_glass_tells_wrong_mounting() {
    // The counterproof: with each fact about the glass wrong, the picture is wrong.
    let right = Glass::usual(ColorModel::Ili9341, None);
    let wrong = [
        Glass { mirror: !right.mirror, ..right },
        Glass { bgr: !right.bgr, ..right },
        Glass { invert: !right.invert, ..right },
        Glass { rotation: Rotation::Deg180, ..right },
    ];
    for glass in wrong {
        let bus = SimBus::new(DcsSim::new(right, 4096));
        let mut panel = start_on(&bus, &glass, 4096);
        let picture = pattern(panel.size(), 0);
        panel.show(&Frame::from(picture.clone())).unwrap();
        assert!(wrong_pixels(&bus, &right, &picture) > 50_000, "{glass:?}");
    }
}

#[test]
fn a_driver_that_sends_too_much_at_once_is_caught() {
    let glass = Glass::usual(ColorModel::Ili9341, None);
    let bus = SimBus::new(DcsSim::new(glass, TRACED));
    let mut panel = start_on(&bus, &glass, 4096);
    let error = panel.show(&Frame::new(panel.size())).unwrap_err().to_string();
    assert!(error.contains("a transfer of 4096 bytes; the bus takes 1 to 64"), "{error}");
}
