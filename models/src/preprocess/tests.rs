use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::*;

fn preprocess() -> Preprocess {
    Preprocess::usual(ImageSize { width: 224, height: 224 }, Normalization::TF)
}

#[test]
fn resizes_by_the_usual_rule() {
    for (side, resize) in [(224, 256), (299, 342), (32, 37), (380, 434)] {
        let input = ImageSize { width: side, height: side };
        assert_eq!(Preprocess::usual(input, Normalization::UNIT).resize, resize, "{side}");
    }
}

#[test]
fn crops_the_centre_of_the_resized_picture() {
    // torchvision: 640x480 -> 341x256, offsets round(58.5) = 58 and 16.
    let resized = preprocess().resized(ImageSize { width: 640, height: 480 });
    assert_eq!(resized, ImageSize { width: 341, height: 256 });
    let crop = preprocess().crop_box(ImageSize { width: 640, height: 480 });
    assert!((crop.left - 58.0 * 640.0 / 341.0).abs() < 1e-9);
    assert!((crop.top - 30.0).abs() < 1e-9);
}

#[test]
fn normalizes_plane_by_plane_in_the_asked_order() {
    let picture = RgbImage::from_pixel(2, 1, image::Rgb([255, 127, 0]));
    let mut bgr = preprocess();
    bgr.input = ImageSize { width: 2, height: 1 };
    bgr.normalization.channels = Channels::Bgr;
    let planes = bgr.normalize(&picture);
    let exact = [-127.0 / 128.0, -127.0 / 128.0, 0.0, 0.0, 1.0, 1.0];
    // A few units in the last place: mean and deviation are rounded to f32.
    let near = planes.iter().zip(exact).all(|(value, exact)| (value - exact).abs() < 1e-6);
    assert!(near, "{planes:?}");
}

#[test]
fn mean_and_deviation_go_with_their_colour() {
    let picture = RgbImage::from_pixel(1, 1, image::Rgb([200, 90, 10]));
    let planes = |channels| {
        let normalization = Normalization::IMAGENET.in_order(channels);
        let input = ImageSize { width: 1, height: 1 };
        Preprocess { input, normalization, ..preprocess() }.normalize(&picture)
    };
    let mut turned = planes(Channels::Bgr);
    turned.reverse();
    assert_eq!(planes(Channels::Rgb), turned);
}

#[test]
fn rejects_what_cannot_be_carried_out() {
    let mut zero = preprocess();
    zero.input.height = 0;
    assert!(matches!(zero.check(), Err(PreprocessError::InputSize { .. })));
    let mut small = preprocess();
    small.resize = 100;
    assert!(matches!(small.check(), Err(PreprocessError::Resize { needed: 224, .. })));
    let mut flat = preprocess();
    flat.normalization.std_dev[1] = 0.0;
    assert!(matches!(flat.check(), Err(PreprocessError::Normalization { .. })));
    assert_eq!(preprocess().check(), Ok(()));
}

#[test]
fn accepts_a_line_of_pixels() {
    for (width, height) in [(20_000, 1), (1, 20_000), (1, 1)] {
        let line = RgbImage::from_pixel(width, height, image::Rgb([9, 9, 9]));
        let view = preprocess().view(&line);
        assert!(view.pixels().all(|pixel| pixel.0 == [9, 9, 9]), "{width}x{height}");
    }
}

proptest! {
    #[test]
    fn the_crop_lies_within_the_picture(
        width in 1u32..5000, height in 1u32..5000,
        input_width in 1u32..512, input_height in 1u32..512,
    ) {
        let input = ImageSize { width: input_width, height: input_height };
        let rule = Preprocess::usual(input, Normalization::UNIT);
        let source = ImageSize { width, height };
        let crop = rule.crop_box(source);
        prop_assert!(crop.left >= 0.0 && crop.top >= 0.0);
        prop_assert!(crop.left + crop.width <= f64::from(width) + 1e-6);
        prop_assert!(crop.top + crop.height <= f64::from(height) + 1e-6);
        let view = rule.view(&RgbImage::new(width.min(64), height.min(64)));
        prop_assert_eq!(view.dimensions(), (input_width, input_height));
    }
}
