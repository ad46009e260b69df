//! Puts one object on one background.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::imageops::{flip_horizontal_in_place, overlay};
use image::{GrayImage, Luma, RgbImage, RgbaImage};
use lcam_models::preprocess::{CropBox, ImageSize, resample};

use super::plan::Composite;
use super::sources::OPAQUE;

/// Gives the part of the background that a composite uses, `size` x `size`.
pub(super) fn canvas(background: &RgbImage, plan: &Composite, size: u32) -> RgbImage {
    let side = f64::from(plan.background_side);
    let square = CropBox {
        left: plan.background_left.into(),
        top: plan.background_top.into(),
        width: side,
        height: side,
    };
    let mut canvas = resample(background, square, ImageSize { width: size, height: size });
    if plan.background_mirrored {
        flip_horizontal_in_place(&mut canvas);
    }
    canvas
}

/// Puts the object on a canvas; gives the picture and the object's mask.
pub(super) fn paste(
    canvas: RgbImage,
    object: &RgbaImage,
    plan: &Composite,
) -> (RgbImage, GrayImage) {
    let (width, height) = canvas.dimensions();
    let mut object = resized(object, plan);
    if plan.object_mirrored {
        flip_horizontal_in_place(&mut object);
    }
    let mut picture = image::DynamicImage::ImageRgb8(canvas).into_rgba8();
    overlay(&mut picture, &object, plan.left.into(), plan.top.into());
    let mut mask = GrayImage::new(width, height);
    for (x, y, _) in object.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[3] >= OPAQUE) {
        mask.put_pixel(plan.left + x, plan.top + y, Luma([255]));
    }
    (image::DynamicImage::ImageRgba8(picture).into_rgb8(), mask)
}

/// Resizes the object's box; colours are weighted by their opacity, so that no fringe shows.
fn resized(object: &RgbaImage, plan: &Composite) -> RgbaImage {
    let source = ImageRef::new(object.width(), object.height(), object.as_raw(), PixelType::U8x4)
        .expect("an RgbaImage holds four bytes a pixel");
    let mut target = Image::new(plan.width, plan.height, PixelType::U8x4);
    let options =
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(
            plan.object_left.into(),
            plan.object_top.into(),
            plan.object_width.into(),
            plan.object_height.into(),
        );
    Resizer::new()
        .resize(&source, &mut target, &options)
        .expect("the box lies within the picture and the pixel types agree");
    RgbaImage::from_raw(plan.width, plan.height, target.into_vec())
        .expect("the target holds four bytes a pixel")
}
