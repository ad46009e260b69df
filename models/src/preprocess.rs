//! From a picture to the network's input: resize the short side, crop the centre, normalise.
//!
//! This is the one implementation of it. It follows torchvision's `Resize(resize)` and
//! `CenterCrop(input)` on 8-bit pictures, rounding included: the long side is rounded down, offsets are
//! rounded half to even, and the resampling is bilinear with antialiasing (a triangle filter that widens
//! with the reduction). Only the part that is kept is computed, so a picture of 20000 x 1 costs no more
//! than another one.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use serde::{Deserialize, Serialize};

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSize {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl ImageSize {
    /// Gives the size of a picture.
    #[must_use]
    pub fn of(picture: &RgbImage) -> Self {
        Self { width: picture.width(), height: picture.height() }
    }

    /// Counts the pixels.
    #[must_use]
    pub fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }
}

/// The order of the three colour planes in the network's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
}

impl Channels {
    /// Gives, for each plane of the input, its place in an RGB pixel.
    #[must_use]
    pub fn order(self) -> [usize; 3] {
        match self {
            Self::Rgb => [0, 1, 2],
            Self::Bgr => [2, 1, 0],
        }
    }
}

/// The values that are subtracted and divided by, for pixels in 0..=1 and in the order of the planes:
/// `(pixel / 255 - mean) / std_dev`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Subtracted.
    pub mean: [f32; 3],
    /// Divided by.
    pub std_dev: [f32; 3],
    /// The order of the planes.
    #[serde(default)]
    pub channels: Channels,
}

impl Normalization {
    /// torchvision's: the mean and standard deviation of ImageNet's pixels.
    pub const IMAGENET: Self = Self::rgb([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    /// The EfficientNet-Lite models' of TensorFlow: `(pixel - 127) / 128`.
    pub const TF: Self = Self::rgb([127.0 / 255.0; 3], [128.0 / 255.0; 3]);
    /// -1..=1, as Inception and MobileNet of TensorFlow expect.
    pub const SIGNED: Self = Self::rgb([0.5; 3], [0.5; 3]);
    /// 0..=1.
    pub const UNIT: Self = Self::rgb([0.0; 3], [1.0; 3]);
    /// 0..=255.
    pub const RAW: Self = Self::rgb([0.0; 3], [1.0 / 255.0; 3]);

    const fn rgb(mean: [f32; 3], std_dev: [f32; 3]) -> Self {
        Self { mean, std_dev, channels: Channels::Rgb }
    }

    /// Gives what treats the colours alike for planes in this order: mean and deviation go with their colour.
    #[must_use]
    pub fn in_order(self, channels: Channels) -> Self {
        if channels == self.channels {
            return self;
        }
        let [[a, b, c], [x, y, z]] = [self.mean, self.std_dev];
        Self { mean: [c, b, a], std_dev: [z, y, x], channels }
    }
}

/// How a picture becomes the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// The network's input.
    pub input: ImageSize,
    /// The picture is scaled until it just covers `input` enlarged so that its short side is this long;
    /// for a square input that is the picture's own short side. In pixels, at least the short side of `input`.
    pub resize: u32,
    /// What happens to the pixel values.
    pub normalization: Normalization,
}

/// A rectangle of a picture, in its pixels; the edges may lie between pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropBox {
    /// Distance from the left edge.
    pub left: f64,
    /// Distance from the upper edge.
    pub top: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// Preprocessing that cannot be carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PreprocessError {
    /// A side of the input is 0 or beyond [`Preprocess::MAX_SIDE`].
    #[error("the input size {width}x{height} is not within 1x1 and {0}x{0}", Preprocess::MAX_SIDE)]
    InputSize {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The picture would be resized to less than the input.
    #[error(
        "the short side is resized to {resize} pixels, but the input needs {needed} to {}",
        Preprocess::MAX_SIDE
    )]
    Resize {
        /// What was asked for.
        resize: u32,
        /// The short side of the input.
        needed: u32,
    },
    /// A mean is not finite or a standard deviation is not above zero.
    #[error("mean {mean:?} and standard deviation {std_dev:?} must be finite, the latter above 0")]
    Normalization {
        /// Subtracted.
        mean: [f32; 3],
        /// Divided by.
        std_dev: [f32; 3],
    },
}

impl Preprocess {
    /// The longest side of an input that is accepted.
    pub const MAX_SIDE: u32 = 4096;

    /// Takes the usual evaluation rule: the short side is resized to 256/224 of the input's.
    #[must_use]
    pub fn usual(input: ImageSize, normalization: Normalization) -> Self {
        let short = input.width.min(input.height);
        // Rounded to the nearest whole pixel: 224 -> 256, 299 -> 342, 32 -> 37.
        let resize = u32::try_from((u64::from(short) * 256 + 112) / 224).unwrap_or(u32::MAX);
        Self { input, resize, normalization }
    }

    /// Checks that it can be carried out.
    ///
    /// # Errors
    /// Returns [`PreprocessError`] for an impossible size, resize rule or normalisation.
    pub fn check(&self) -> Result<(), PreprocessError> {
        let ImageSize { width, height } = self.input;
        let sides = 1..=Self::MAX_SIDE;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(PreprocessError::InputSize { width, height });
        }
        let needed = width.min(height);
        if !(needed..=Self::MAX_SIDE).contains(&self.resize) {
            return Err(PreprocessError::Resize { resize: self.resize, needed });
        }
        let Normalization { mean, std_dev, .. } = self.normalization;
        let usable = mean.iter().chain(&std_dev).all(|value| value.is_finite())
            && std_dev.iter().all(|&value| value > 0.0);
        if usable { Ok(()) } else { Err(PreprocessError::Normalization { mean, std_dev }) }
    }

    /// Gives the size of a whole picture once it is resized, before cropping. It covers the input.
    #[must_use]
    pub fn resized(&self, source: ImageSize) -> ImageSize {
        let short = self.input.width.min(self.input.height);
        let enlarge = |side: u32| u64::from(side) * u64::from(self.resize) / u64::from(short);
        let (width, height) = (enlarge(self.input.width), enlarge(self.input.height));
        let (source_width, source_height) =
            (u64::from(source.width.max(1)), u64::from(source.height.max(1)));
        let (width, height) = if source_width * height >= source_height * width {
            (source_width * height / source_height, height)
        } else {
            (width, source_height * width / source_width)
        };
        let fit = |side: u64, least: u32| u32::try_from(side).unwrap_or(u32::MAX).max(least);
        ImageSize { width: fit(width, self.input.width), height: fit(height, self.input.height) }
    }

    /// Locates the centre crop in a picture: the part that the network sees.
    #[must_use]
    pub fn crop_box(&self, source: ImageSize) -> CropBox {
        let resized = self.resized(source);
        let offset = |whole: u32, part: u32| (f64::from(whole - part) / 2.0).round_ties_even();
        self.box_at(
            source,
            offset(resized.width, self.input.width),
            offset(resized.height, self.input.height),
        )
    }

    /// Locates the crop whose upper left corner lies at (`left`, `top`) of the *resized* picture, as random
    /// crops of training do.
    #[must_use]
    pub fn box_at(&self, source: ImageSize, left: f64, top: f64) -> CropBox {
        let resized = self.resized(source);
        let across = f64::from(source.width) / f64::from(resized.width);
        let down = f64::from(source.height) / f64::from(resized.height);
        CropBox {
            left: left * across,
            top: top * down,
            width: f64::from(self.input.width) * across,
            height: f64::from(self.input.height) * down,
        }
    }

    /// Samples a part of a picture at the size of the input.
    ///
    /// # Panics
    /// Panics if the picture is empty or the box does not lie within it.
    #[must_use]
    pub fn sample(&self, picture: &RgbImage, crop: CropBox) -> RgbImage {
        resample(picture, crop, self.input)
    }

    /// Gives what the network sees of a picture: resized and cropped, not yet normalised.
    ///
    /// # Panics
    /// Panics if the picture is empty.
    #[must_use]
    pub fn view(&self, picture: &RgbImage) -> RgbImage {
        self.sample(picture, self.crop_box(ImageSize::of(picture)))
    }

    /// Normalises a view into planes: 3 x height x width, row by row.
    #[must_use]
    pub fn normalize(&self, view: &RgbImage) -> Vec<f32> {
        let Normalization { mean, std_dev, channels } = self.normalization;
        let pixels = view.as_raw().as_chunks::<3>().0;
        let mut planes = Vec::with_capacity(3 * pixels.len());
        for (plane, &channel) in channels.order().iter().enumerate() {
            // All 256 outcomes at once: the same arithmetic, a look-up a pixel.
            let outcomes: [f32; 256] = std::array::from_fn(|value| {
                #[expect(clippy::cast_precision_loss, reason = "0 to 255")]
                let unit = value as f32 / 255.0;
                (unit - mean[plane]) / std_dev[plane]
            });
            planes.extend(pixels.iter().map(|pixel| outcomes[usize::from(pixel[channel])]));
        }
        planes
    }

    /// Prepares a picture: the network's input as 3 x height x width values.
    ///
    /// # Panics
    /// Panics if the picture is empty.
    #[must_use]
    pub fn prepare(&self, picture: &RgbImage) -> Vec<f32> {
        self.normalize(&self.view(picture))
    }
}

/// Resamples a part of a picture to another size, bilinear with antialiasing.
///
/// # Panics
/// Panics if a size is 0 or the box does not lie within the picture.
#[must_use]
pub fn resample(picture: &RgbImage, crop: CropBox, size: ImageSize) -> RgbImage {
    let (width, height) = picture.dimensions();
    let crop = crop.within(ImageSize { width, height });
    let mut resampled = RgbImage::new(size.width, size.height);
    // With the type of pixels known here, the program holds no code for others.
    let source = TypedImageRef::<U8x3>::from_buffer(width, height, picture.as_raw())
        .expect("an RgbImage holds three bytes a pixel");
    let mut target = TypedImage::<U8x3>::from_buffer(size.width, size.height, &mut resampled)
        .expect("an RgbImage holds three bytes a pixel");
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(crop.left, crop.top, crop.width, crop.height)
        .use_alpha(false);
    Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .expect("the box was fitted to the picture");
    resampled
}

impl CropBox {
    /// Takes a whole picture.
    #[must_use]
    pub fn whole(size: ImageSize) -> Self {
        Self { left: 0.0, top: 0.0, width: size.width.into(), height: size.height.into() }
    }

    /// Cuts off what rounding put beyond the picture's edges.
    fn within(self, size: ImageSize) -> Self {
        let left = self.left.max(0.0);
        let top = self.top.max(0.0);
        Self {
            left,
            top,
            width: self.width.min(f64::from(size.width) - left),
            height: self.height.min(f64::from(size.height) - top),
        }
    }
}

#[cfg(test)]
mod tests;
