//! Pictures on their way into the network: views of 8-bit pixels, and batches of them as tensors.

use std::borrow::Borrow;

use image::RgbImage;
use lcam_models::picture::PictureError;
use lcam_models::preprocess::{CropBox, Preprocess};
use tch::{Device, Kind, Tensor};

/// What the network sees of a picture: 8-bit pixels at the size of the input.
#[derive(Debug)]
pub struct View(RgbImage);

impl View {
    /// Takes the centre, as on the device.
    #[must_use]
    pub fn center(preprocess: &Preprocess, picture: &RgbImage) -> Self {
        Self(preprocess.view(picture))
    }

    /// Takes any part of a picture, mirrored or not.
    #[must_use]
    pub fn sample(
        preprocess: &Preprocess,
        picture: &RgbImage,
        crop: CropBox,
        mirror: bool,
    ) -> Self {
        let mut view = preprocess.sample(picture, crop);
        if mirror {
            image::imageops::flip_horizontal_in_place(&mut view);
        }
        Self(view)
    }

    /// Takes pixels at the size of the input, such as those of a view that was changed.
    #[must_use]
    pub fn of(pixels: RgbImage) -> Self {
        Self(pixels)
    }

    /// Gives the pixels.
    #[must_use]
    pub fn pixels(&self) -> &RgbImage {
        &self.0
    }
}

/// Keeps what could be read, with its numbers, and sets the rest aside.
pub fn readable(
    batch: Vec<Result<(usize, View), PictureError>>,
    unreadable: &mut Vec<PictureError>,
) -> (Vec<usize>, Vec<View>) {
    let mut kept = (Vec::new(), Vec::new());
    for picture in batch {
        match picture {
            Ok((index, view)) => {
                kept.0.push(index);
                kept.1.push(view);
            }
            Err(error) => unreadable.push(error),
        }
    }
    kept
}

/// Normalises views into the network's input `[B, 3, H, W]`.
pub fn normalized<V: Borrow<View>>(views: &[V], preprocess: &Preprocess, device: Device) -> Tensor {
    let values: Vec<f32> =
        views.iter().flat_map(|view| preprocess.normalize(&view.borrow().0)).collect();
    batch(&values, views.len(), preprocess).to_device(device)
}

/// Gives views as `[B, 3, H, W]` in 0..=1, the planes in the order of the network's input: what masks are
/// multiplied with, before [`normalize`].
pub fn unit(views: &[View], preprocess: &Preprocess, device: Device) -> Tensor {
    let mut plain = *preprocess;
    plain.normalization.mean = [0.0; 3];
    plain.normalization.std_dev = [1.0; 3];
    normalized(views, &plain, device)
}

/// Normalises pixels in 0..=1: `(pixel - mean) / std_dev`, plane by plane.
pub fn normalize(pixels: &Tensor, preprocess: &Preprocess) -> Tensor {
    let plane = |values: &[f32; 3]| {
        Tensor::from_slice(values).to_device(pixels.device()).reshape([1, 3, 1, 1])
    };
    let rule = &preprocess.normalization;
    (pixels - plane(&rule.mean)) / plane(&rule.std_dev)
}

fn batch(values: &[f32], count: usize, preprocess: &Preprocess) -> Tensor {
    let count = i64::try_from(count).unwrap_or(0);
    let (height, width) = (preprocess.input.height, preprocess.input.width);
    Tensor::from_slice(values).to_kind(Kind::Float).reshape([
        count,
        3,
        i64::from(height),
        i64::from(width),
    ])
}

#[cfg(test)]
mod tests {
    use lcam_models::preprocess::{ImageSize, Normalization};

    use super::*;

    #[test]
    fn tensors_are_normalised_as_pictures_are() {
        let picture = RgbImage::from_fn(8, 8, |x, y| {
            image::Rgb([30 * u8::try_from(x).unwrap(), 20 * u8::try_from(y).unwrap(), 77])
        });
        let input = ImageSize { width: 8, height: 8 };
        let preprocess = Preprocess::usual(input, Normalization::IMAGENET);
        let views = [View::center(&preprocess, &picture)];
        let once = normalized(&views, &preprocess, Device::Cpu);
        let twice = normalize(&unit(&views, &preprocess, Device::Cpu), &preprocess);
        assert!((once - twice).abs().max().double_value(&[]) < 1e-6);
    }
}
