use super::*;
use crate::panel::sim::{Chip, OledSim, SimBus, SimRole};

type Bus = SimBus<OledSim>;

fn start_i2c_on(bus: &Bus, oled: Oled) -> Box<dyn Panel> {
    start_i2c("oled".to_owned(), oled, bus.clone(), 0x3c).unwrap()
}

fn start_spi_on(bus: &Bus, oled: Oled, limit: usize) -> Box<dyn Panel> {
    let wires = Wires {
        spi: bus.clone(),
        limit,
        data_command: bus.pin(SimRole::DataCommand),
        reset: Some(bus.pin(SimRole::Reset)),
        backlight: None,
    };
    start_spi("oled".to_owned(), oled, wires, bus.clone()).unwrap()
}

/// A picture in which no row or column is like another, of grey on either side of the middle.
fn pattern(size: Size, seed: u32) -> RgbImage {
    RgbImage::from_fn(size.width, size.height, |x, y| {
        let is_on = (x * 7 + y * 13 + x * y + seed) % 5 < 2;
        image::Rgb([if is_on { 140 } else { 110 }; 3])
    })
}

fn black_and_white(picture: &RgbImage) -> RgbImage {
    let mut picture = picture.clone();
    for image::Rgb(value) in picture.pixels_mut() {
        *value = value.map(|value| if value == 140 { 255 } else { 0 });
    }
    picture
}

fn check(bus: &Bus, oled: Oled, picture: &RgbImage) {
    bus.chip(Chip::finish).unwrap();
    let wanted = black_and_white(&oled.rotation.turn(picture));
    let seen = bus.chip(|sim| sim.seen());
    let wrong = seen.pixels().zip(wanted.pixels()).filter(|(a, b)| a != b).count();
    assert_eq!((seen.dimensions(), wrong), (wanted.dimensions(), 0), "{oled:?}");
}

#[test]
fn every_size_shows_a_pattern_in_every_rotation_without_a_wrong_pixel() {
    for size in OledSize::ALL {
        for rotation in Rotation::ALL {
            let oled = Oled { size, rotation };
            // 17 is what the I2C interface sends at once, with its control byte.
            let i2c = SimBus::new(OledSim::new(size, 16));
            let spi = SimBus::new(OledSim::new(size, 64));
            let panels = [(&i2c, start_i2c_on(&i2c, oled)), (&spi, start_spi_on(&spi, oled, 64))];
            for (bus, mut panel) in panels {
                assert_eq!(panel.size(), rotation.size(size.size()));
                assert_eq!(panel.ink(), Ink::Monochrome);
                for seed in [0, 1] {
                    let picture = pattern(panel.size(), seed);
                    panel.show(&Frame::from(picture.clone())).unwrap();
                    check(bus, oled, &picture);
                }
            }
        }
    }
}

#[test]
fn only_changed_pages_are_sent() {
    let oled = Oled { size: OledSize::W128H64, rotation: Rotation::Deg0 };
    let bus = SimBus::new(OledSim::new(oled.size, 16));
    let mut panel = start_i2c_on(&bus, oled);
    let mut picture = pattern(panel.size(), 0);
    panel.show(&Frame::from(picture.clone())).unwrap();
    assert_eq!(bus.chip(OledSim::take_pixel_bytes), 1024);
    let _ = bus.take_transfers();
    panel.show(&Frame::from(picture.clone())).unwrap();
    assert_eq!(bus.take_transfers(), 0);
    for (x, y) in [(3, 20), (10, 23), (90, 63)] {
        let image::Rgb([value, ..]) = *picture.get_pixel(x, y);
        picture.put_pixel(x, y, image::Rgb([250 - value; 3]));
    }
    panel.show(&Frame::from(picture.clone())).unwrap();
    assert_eq!(
        bus.chip(OledSim::take_pixel_bytes),
        8 + 1,
        "columns 3 to 10 of page 2, and 90 of 7"
    );
    check(&bus, oled, &picture);
}

#[test]
fn a_bus_error_is_followed_by_a_whole_correct_screen() {
    let oled = Oled { size: OledSize::W128H32, rotation: Rotation::Deg180 };
    for transfers in 0..8 {
        let bus = SimBus::new(OledSim::new(oled.size, 16));
        let mut panel = start_i2c_on(&bus, oled);
        let first = pattern(panel.size(), 0);
        panel.show(&Frame::from(first.clone())).unwrap();
        bus.fail_after(transfers);
        let next = Frame::from(pattern(panel.size(), 1));
        let error = panel.show(&next).unwrap_err().to_string();
        assert!(error.starts_with("oled: the bus failed"), "{error}");
        let _ = bus.chip(OledSim::take_pixel_bytes);
        // The screen before: who goes on from it, or from the one that failed, sends too little.
        panel.show(&Frame::from(first.clone())).unwrap();
        assert_eq!(bus.chip(OledSim::take_pixel_bytes), 512);
        check(&bus, oled, &first);
    }
}

#[test]
fn nothing_at_the_address_is_told() {
    let oled = Oled { size: OledSize::W128H64, rotation: Rotation::Deg0 };
    let bus = SimBus::new(OledSim::new(oled.size, 16));
    let error = start_i2c("oled".to_owned(), oled, bus, 0x3d).unwrap_err().to_string();
    assert!(error.starts_with("oled: the bus failed"), "{error}");
}

#[test]
fn brighter_than_half_is_on() {
    let cases = [
        ([127; 3], false),
        ([128; 3], true),
        ([0, 255, 0], true),
        ([255, 0, 0], false),
        ([0, 0, 255], false),
    ];
    for (color, expected) in cases {
        assert_eq!(is_bright(&image::Rgb(color)), expected, "{color:?}");
    }
}
