//! What a picture looks like, whatever the network thinks of it: light, sharpness, size, and its surroundings.
//!
//! Surroundings are what does not belong to the object: the pixels outside its mask, or without one those at the rim of
//! the picture, where objects are cut off or not at all. They are described by how often which colours and which
//! steps between neighbouring pixels occur, not by where: another crop of the same scene is described alike.

use image::RgbImage;
use lcam_models::preprocess::ImageSize;

use super::regions::{COUNT, SIDE};
use super::statistics::number;

/// Levels of each colour channel in the histogram of the surroundings.
const LEVELS: usize = 4;
/// Steps of brightness between neighbours, on a logarithmic scale: below 2, 4, 8, ... of 255.
const STEPS: usize = 7;
/// The length of a description.
pub const DESCRIPTION: usize = LEVELS * LEVELS * LEVELS + STEPS;
/// How wide the rim is, as a share of the picture's side: one cell of the grid.
const RIM: usize = SIDE;
/// The fewest pixels that describe surroundings, as a share of the picture: below, the object leaves too little.
const LEAST_SURROUNDINGS: f64 = 0.05;

/// What a picture looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Appearance {
    /// The mean brightness, 0 to 1.
    pub brightness: f64,
    /// The standard deviation of the Laplacian of the brightness (0 to 255): low where the picture is blurred
    /// (Pech-Pacheco et al. 2000), and where it shows little.
    pub sharpness: f64,
    /// The short side of the file in pixels.
    pub short_side: u32,
    /// The object's share of the picture's area, where a mask tells.
    pub object: Option<f64>,
    /// How much of each cell of the grid is the object's, 0 to 255, where a mask tells.
    pub object_cells: Option<Vec<u8>>,
    /// The mean colour of each cell of the grid.
    pub colors: Vec<[u8; 3]>,
    /// Square roots of the shares of colours and steps, so that the distance of two is Hellinger's; nothing where the
    /// object leaves too few pixels.
    pub surroundings: Option<Vec<f32>>,
}

impl Appearance {
    /// Describes what the network sees of a picture.
    #[must_use]
    pub fn of(view: &RgbImage, source: ImageSize, mask: Option<&[bool]>) -> Self {
        let light: Vec<f32> = view.pixels().map(|pixel| luma(pixel.0)).collect();
        let total: f64 = light.iter().map(|&value| f64::from(value)).sum();
        Self {
            brightness: total / number(light.len().max(1)) / 255.0,
            sharpness: sharpness(&light, view.width() as usize),
            short_side: source.width.min(source.height),
            object: mask.map(|mask| {
                number(mask.iter().filter(|&&inside| inside).count()) / number(mask.len().max(1))
            }),
            object_cells: mask.map(|mask| {
                let white = |inside: bool| [if inside { u8::MAX } else { 0 }; 3];
                let values = mask.iter().map(|&inside| white(inside));
                cell_means(values, view.width() as usize, view.height() as usize)
                    .into_iter()
                    .map(|[value, _, _]| value)
                    .collect()
            }),
            colors: cell_means(
                view.pixels().map(|pixel| pixel.0),
                view.width() as usize,
                view.height() as usize,
            ),
            surroundings: surroundings(view, &light, mask),
        }
    }
}

/// The brightness of a pixel, 0 to 255 (ITU-R BT.601).
fn luma([red, green, blue]: [u8; 3]) -> f32 {
    0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)
}

fn sharpness(light: &[f32], width: usize) -> f64 {
    let height = light.len() / width.max(1);
    let (mut sum, mut squares, mut count) = (0.0f64, 0.0f64, 0.0f64);
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let at = y * width + x;
            let around = light[at - 1] + light[at + 1] + light[at - width] + light[at + width];
            let value = f64::from(around - 4.0 * light[at]);
            sum += value;
            squares += value * value;
            count += 1.0;
        }
    }
    if count < 1.0 { 0.0 } else { (squares / count - (sum / count).powi(2)).max(0.0).sqrt() }
}

/// Averages pixels over each cell of the grid.
fn cell_means(pixels: impl Iterator<Item = [u8; 3]>, width: usize, height: usize) -> Vec<[u8; 3]> {
    let mut sums = vec![([0u64; 3], 0u64); COUNT];
    for (index, pixel) in pixels.enumerate() {
        let (x, y) = (index % width, index / width);
        let (sum, count) = &mut sums[y * SIDE / height * SIDE + x * SIDE / width];
        sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u64::from(value));
        *count += 1;
    }
    let mean = |(sum, count): ([u64; 3], u64)| {
        sum.map(|sum| u8::try_from(sum / count.max(1)).unwrap_or(u8::MAX))
    };
    sums.into_iter().map(mean).collect()
}

fn surroundings(view: &RgbImage, light: &[f32], mask: Option<&[bool]>) -> Option<Vec<f32>> {
    let (width, height) = (view.width() as usize, view.height() as usize);
    let outside = |index: usize| match mask {
        Some(mask) => !mask[index],
        None => {
            let (x, y) = (index % width, index / width);
            let rim = |at: usize, side: usize| at.min(side - 1 - at) < side / RIM;
            rim(x, width) || rim(y, height)
        }
    };
    let mut counts = vec![0.0f32; DESCRIPTION];
    let (mut pixels, mut steps) = (0.0f32, 0.0f32);
    for (index, pixel) in view.pixels().enumerate().filter(|(index, _)| outside(*index)) {
        let level = |value: u8| usize::from(value) * LEVELS / 256;
        let [red, green, blue] = pixel.0.map(level);
        counts[(red * LEVELS + green) * LEVELS + blue] += 1.0;
        pixels += 1.0;
        // The step to the right, where that is outside, too.
        if index % width + 1 < width && outside(index + 1) {
            counts[DESCRIPTION - STEPS + step(light[index + 1] - light[index])] += 1.0;
            steps += 1.0;
        }
    }
    if f64::from(pixels) < LEAST_SURROUNDINGS * number(light.len()) || steps < 1.0 {
        return None;
    }
    let (colors, texture) = counts.split_at_mut(DESCRIPTION - STEPS);
    // Colours and texture count alike.
    colors.iter_mut().for_each(|count| *count = (*count / pixels / 2.0).sqrt());
    texture.iter_mut().for_each(|count| *count = (*count / steps / 2.0).sqrt());
    Some(counts)
}

fn step(difference: f32) -> usize {
    let limits = [2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
    limits.iter().position(|&limit| difference.abs() < limit).unwrap_or(STEPS - 1)
}

/// Names the colours that are commonest in some surroundings, at most two.
#[must_use]
pub fn color_names<'a>(surroundings: impl IntoIterator<Item = &'a [f32]>) -> Vec<&'static str> {
    let mut sum = [0.0f32; DESCRIPTION - STEPS];
    for description in surroundings {
        sum.iter_mut().zip(description).for_each(|(sum, root)| *sum += root * root);
    }
    let mut shares = std::collections::BTreeMap::<&str, f32>::new();
    for (bin, share) in sum.iter().enumerate() {
        let middle =
            |level: usize| u8::try_from((2 * level + 1) * 256 / LEVELS / 2).unwrap_or(u8::MAX);
        let color = [bin / LEVELS / LEVELS, bin / LEVELS % LEVELS, bin % LEVELS].map(middle);
        *shares.entry(color_name(color)).or_default() += share;
    }
    let total: f32 = sum.iter().sum();
    let mut names: Vec<(&str, f32)> = shares.into_iter().collect();
    names.sort_by(|a, b| b.1.total_cmp(&a.1));
    // The second only where it counts.
    let counts =
        |&(place, (_, share)): &(usize, (&'static str, f32))| place == 0 || share > 0.25 * total;
    names.into_iter().take(2).enumerate().filter(counts).map(|(_, (name, _))| name).collect()
}

/// Gives the squared distance of two descriptions.
#[must_use]
pub fn squared_distance(first: &[f32], second: &[f32]) -> f32 {
    first.iter().zip(second).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Names a colour in words: lightness and hue, as people say it.
#[must_use]
pub fn color_name([red, green, blue]: [u8; 3]) -> &'static str {
    let (high, low) = (red.max(green).max(blue), red.min(green).min(blue));
    let chroma = high - low;
    if chroma < 28 {
        return match high {
            0..=50 => "black",
            51..=200 => "grey",
            _ => "white",
        };
    }
    let [r, g, b] = [red, green, blue].map(f32::from);
    let range = f32::from(chroma);
    // The hue in sixths of the circle (HSV).
    let hue = if high == red {
        ((g - b) / range).rem_euclid(6.0)
    } else if high == green {
        (b - r) / range + 2.0
    } else {
        (r - g) / range + 4.0
    };
    match hue {
        hue if !(0.35..5.65).contains(&hue) => "red",
        hue if hue < 0.8 => {
            if high < 150 {
                "brown"
            } else {
                "orange"
            }
        }
        hue if hue < 1.25 => "yellow",
        hue if hue < 2.6 => "green",
        hue if hue < 3.3 => "cyan",
        hue if hue < 4.3 => "blue",
        hue if hue < 4.8 => "violet",
        _ => "magenta",
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn of(view: &RgbImage, mask: Option<&[bool]>) -> Appearance {
        Appearance::of(view, ImageSize::of(view), mask)
    }

    #[test]
    fn light_and_sharpness_are_measured() {
        let even = of(&RgbImage::from_pixel(32, 32, Rgb([255; 3])), None);
        assert!((even.brightness - 1.0).abs() < 1e-6 && even.sharpness < 1e-6);
        let board =
            RgbImage::from_fn(32, 32, |x, y| Rgb([if (x + y) % 2 == 0 { 255 } else { 0 }; 3]));
        let soft = image::imageops::blur(&board, 2.0);
        assert!(of(&board, None).sharpness > 10.0 * of(&soft, None).sharpness);
        assert_eq!(even.colors, [[255; 3]; COUNT]);
    }

    #[test]
    fn surroundings_leave_the_object_out() {
        let scene = |object: [u8; 3], wide: u32| {
            RgbImage::from_fn(64, 64, |x, y| {
                let inside = (20..20 + wide).contains(&x) && (20..50).contains(&y);
                Rgb(if inside { object } else { [30, 140, 40] })
            })
        };
        let mask = |wide: usize| -> Vec<bool> {
            (0..64 * 64)
                .map(|i| (20..20 + wide).contains(&(i % 64)) && (20..50).contains(&(i / 64)))
                .collect()
        };
        let first = of(&scene([250, 0, 0], 30), Some(&mask(30)));
        let second = of(&scene([0, 0, 250], 10), Some(&mask(10)));
        assert_eq!(first.surroundings, second.surroundings);
        let distance = |a: &Appearance, b: &Appearance| {
            squared_distance(a.surroundings.as_ref().unwrap(), b.surroundings.as_ref().unwrap())
        };
        let other = of(&RgbImage::from_pixel(64, 64, Rgb([200, 200, 250])), None);
        assert!(distance(&first, &other) > 0.5);
        // The rim alone, without a mask.
        assert!(distance(&of(&scene([250, 0, 0], 30), None), &first) < 1e-6);
        assert!(of(&scene([1; 3], 10), Some(&[true; 64 * 64])).surroundings.is_none());
    }

    #[test]
    fn colours_have_names() {
        for (color, name) in [
            ([255, 0, 255], "magenta"),
            ([250, 10, 5], "red"),
            ([30, 140, 40], "green"),
            ([20, 60, 220], "blue"),
            ([100, 70, 40], "brown"),
            ([240, 230, 30], "yellow"),
            ([120, 125, 120], "grey"),
            ([250, 250, 250], "white"),
            ([5, 5, 8], "black"),
        ] {
            assert_eq!(color_name(color), name, "{color:?}");
        }
    }
}
