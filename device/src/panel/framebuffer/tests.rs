use std::fs;
use std::path::Path;
use std::sync::Mutex;

use image::Rgb;

use super::*;

/// r5g6b5 in the lower right part of a larger memory, as a panned console has it.
const LAYOUT_16: Layout = Layout {
    size: Size::new(3, 2),
    first: Size::new(1, 2),
    bits_per_pixel: 16,
    line_bytes: 10,
    channels: [
        Channel { offset: 11, length: 5 },
        Channel { offset: 5, length: 6 },
        Channel { offset: 0, length: 5 },
    ],
    opaque: Channel { offset: 0, length: 0 },
};

const LAYOUT_24: Layout = Layout {
    first: Size::new(0, 0),
    bits_per_pixel: 24,
    line_bytes: 12,
    channels: [
        Channel { offset: 16, length: 8 },
        Channel { offset: 8, length: 8 },
        Channel { offset: 0, length: 8 },
    ],
    ..LAYOUT_16
};

const LAYOUT_32: Layout = Layout {
    bits_per_pixel: 32,
    line_bytes: 12,
    opaque: Channel { offset: 24, length: 8 },
    ..LAYOUT_24
};

fn address(device: &Path, rotation: Rotation) -> FramebufferAddress {
    FramebufferAddress { device: device.to_owned(), rotation }
}

fn screen(size: Size, pixels: &[(u32, u32, [u8; 3])]) -> Frame {
    use embedded_graphics::pixelcolor::Rgb888;
    use embedded_graphics::prelude::*;
    let mut frame = Frame::new(size);
    for &(x, y, [r, g, b]) in pixels {
        let point = Point::new(x.try_into().unwrap(), y.try_into().unwrap());
        frame.draw_iter([Pixel(point, Rgb888::new(r, g, b))]).unwrap();
    }
    frame
}

#[test]
fn draws_in_each_depth_where_the_visible_part_lies() {
    let cases: [(Ask, usize, usize, &[u8]); 3] = [
        // Row 2 + 1, column 1 + 2, at 2 bytes: 255, 128, 0 is 31, 32, 0.
        (|_| Ok(LAYOUT_16), 50, 36, &[0x00, 0xfc]),
        (|_| Ok(LAYOUT_24), 24, 18, &[0, 128, 255]),
        (|_| Ok(LAYOUT_32), 24, 20, &[0, 128, 255, 255]),
    ];
    for (ask, length, place, expected) in cases {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), vec![0xee; length]).unwrap();
        let mut panel =
            open_with("fb".to_owned(), &address(file.path(), Rotation::Deg0), ask).unwrap();
        panel.show(&screen(Size::new(3, 2), &[(2, 1, [255, 128, 0])])).unwrap();
        let bytes = fs::read(file.path()).unwrap();
        assert_eq!(&bytes[place..place + expected.len()], expected, "{bytes:?}");
        assert_eq!(bytes.len(), length, "nothing is written behind the last row");
        let layout = ask(&fs::File::open(file.path()).unwrap()).unwrap();
        let drawn = 6 * layout.pixel_bytes();
        let untouched = bytes.iter().filter(|&&byte| byte == 0xee).count();
        assert_eq!(untouched, length - drawn, "{bytes:?}");
    }
}

#[test]
fn writes_only_what_has_changed_and_turns_the_picture() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), vec![0; 24]).unwrap();
    let address = address(file.path(), Rotation::Deg90);
    let mut panel = open_with("fb".to_owned(), &address, |_| Ok(LAYOUT_24)).unwrap();
    let size = panel.size();
    assert_eq!(size, Size::new(2, 3));
    panel.show(&screen(size, &[])).unwrap();
    fs::write(file.path(), vec![0xee; 24]).unwrap();
    panel.show(&screen(size, &[(0, 0, [1, 2, 3])])).unwrap();
    // The picture's upper left is the upper right of the glass.
    let mut expected = vec![0xee; 24];
    expected[6..9].copy_from_slice(&[3, 2, 1]);
    assert_eq!(fs::read(file.path()).unwrap(), expected);
}

#[test]
fn refuses_what_it_cannot_draw_on() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let address = address(file.path(), Rotation::Deg0);
    let cases: [(Ask, &str); 4] = [
        (|_| Ok(Layout { bits_per_pixel: 8, ..LAYOUT_24 }), "8 bits are not supported"),
        (|_| Ok(Layout { channels: [Channel::default(); 3], ..LAYOUT_24 }), "not supported"),
        (|_| Ok(Layout { line_bytes: 8, ..LAYOUT_24 }), "8 bytes a row, which cannot be"),
        (|_| Ok(Layout { size: Size::new(0, 4), ..LAYOUT_24 }), "0x4"),
    ];
    for (ask, expected) in cases {
        let error = open_with("fb".to_owned(), &address, ask).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // A file that is no framebuffer.
    let error = open("fb".to_owned(), &address).unwrap_err().to_string();
    assert!(error.contains("cannot ask for the mode of"), "{error}");
}

#[test]
fn follows_the_visible_part_and_refuses_another_mode() {
    static LAYOUT: Mutex<Layout> = Mutex::new(LAYOUT_24);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), vec![0; 36]).unwrap();
    let address = address(file.path(), Rotation::Deg0);
    let mut panel = open_with("fb".to_owned(), &address, |_| Ok(*LAYOUT.lock().unwrap())).unwrap();
    let lit = screen(Size::new(3, 2), &[(0, 0, [9, 9, 9])]);
    panel.show(&lit).unwrap();
    LAYOUT.lock().unwrap().first = Size::new(0, 1);
    panel.show(&lit).unwrap();
    assert_eq!(fs::read(file.path()).unwrap()[12..15], [9, 9, 9]);
    LAYOUT.lock().unwrap().size = Size::new(2, 2);
    let error = panel.show(&lit).unwrap_err().to_string();
    assert!(error.ends_with("its mode has changed; open it anew"), "{error}");
}

#[test]
fn channels_hold_the_nearest_value() {
    let picture = RgbImage::from_pixel(1, 1, Rgb([255, 127, 4]));
    // 255 of 31 is 31; 127 of 63 is 31.4; 4 of 31 is 0.49: 11111 011111 00000.
    assert_eq!(LAYOUT_16.pack(&picture), 0xfbe0_u16.to_le_bytes());
}
