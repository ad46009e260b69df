//! The contract's arithmetic against independent references: Pillow and PyTorch, see `golden/make.py`.

use std::path::{Path, PathBuf};

use image::RgbImage;
use lcam_models::map::{ClassMap, GridSize};
use lcam_models::picture::read_picture;
use lcam_models::preprocess::{Channels, ImageSize, Normalization, Preprocess};
use lcam_models::scores::{softmax, top_k};
use serde::Deserialize;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Both compute in fixed point with their own rounding: one step of 255 is what they may differ by.
const TOLERANCE: u8 = 1;

#[test]
fn views_agree_with_pillow() {
    let folder = folder();
    let mut cases = 0;
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the golden cases") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // NAME.RESIZE.WIDTHxHEIGHT.png
        let [picture, resize, size, "png"] = name.split('.').collect::<Vec<_>>()[..] else {
            continue;
        };
        let number = |text: &str| text.parse::<u32>().expect("a number in the name");
        let (width, height) = size.split_once('x').expect("a size in the name");
        let input = ImageSize { width: number(width), height: number(height) };
        let mut preprocess = Preprocess::usual(input, Normalization::UNIT);
        preprocess.resize = number(resize);
        let source = read_picture(&folder.join(format!("{picture}.png"))).expect("a picture");
        let expected = read_picture(&path).expect("a picture");
        let found = preprocess.view(&source);
        assert_eq!(found.dimensions(), expected.dimensions(), "{name}");
        let differences = found.as_raw().iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b));
        let largest = differences.max().unwrap_or(0);
        if largest > TOLERANCE {
            failures.push(format!("{name} differs by {largest}"));
        }
        cases += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(cases, 7, "cases of golden/make.py");
}

#[test]
fn pictures_of_all_kinds_are_read_as_pillow_reads_them() {
    let mut failures = Vec::new();
    let mut cases = 0;
    for entry in std::fs::read_dir(folder().join("kinds")).expect("the golden cases") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".rgb.png") {
            continue;
        }
        let found = read_picture(&path).expect("an accepted picture");
        let expected = read_picture(&path.with_file_name(format!("{name}.rgb.png")));
        let expected = expected.expect("a picture");
        // Lossless kinds are exact; 16 bits may be rounded instead of cut, and decoders of JPEG compute the
        // cosine transform and the colours in fixed point, each in its own way.
        let tolerance = match name.rsplit_once('.') {
            Some((_, "jpg")) => 3,
            _ if name.starts_with("deep") => 1,
            _ => 0,
        };
        let differences = found.as_raw().iter().zip(expected.as_raw()).map(|(a, b)| a.abs_diff(*b));
        let largest = differences.max().unwrap_or(u8::MAX);
        if found.dimensions() != expected.dimensions() || largest > tolerance {
            failures.push(format!("{name}: {:?} differs by {largest}", found.dimensions()));
        }
        cases += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(cases, 14, "cases of golden/make.py");
}

#[derive(Deserialize)]
struct Arithmetic {
    softmax: Vec<Softmax>,
    min_max: Vec<MinMax>,
    upsample: Vec<Upsample>,
    normalize: Vec<Normalize>,
}

#[derive(Deserialize)]
struct Softmax {
    logits: Vec<f32>,
    confidences: Vec<f32>,
    top: Vec<usize>,
}

#[derive(Deserialize)]
struct MinMax {
    grid: [usize; 2],
    raw: Vec<f32>,
    scaled: Vec<f32>,
}

#[derive(Deserialize)]
struct Upsample {
    grid: [usize; 2],
    raw: Vec<f32>,
    size: [usize; 2],
    values: Vec<f32>,
}

#[derive(Deserialize)]
struct Normalize {
    pixels: Vec<u8>,
    size: [u32; 2],
    mean: [f32; 3],
    std_dev: [f32; 3],
    channels: Channels,
    values: Vec<f32>,
}

fn arithmetic() -> Arithmetic {
    let text = std::fs::read_to_string(folder().join("arithmetic.json")).expect("golden cases");
    serde_json::from_str(&text).expect("the form that make.py writes")
}

fn map([height, width]: [usize; 2], values: &[f32]) -> ClassMap {
    ClassMap::new(GridSize { height, width }, values.to_vec()).expect("a map")
}

/// Compares values of a size of about `scale`; single precision keeps 7 digits.
fn assert_near(found: &[f32], expected: &[f32], scale: f32) {
    assert_eq!(found.len(), expected.len());
    let largest = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest <= 2e-6 * scale, "{largest:e}: {found:?} is not {expected:?}");
}

#[test]
fn confidences_and_ranks_agree_with_pytorch() {
    for case in arithmetic().softmax {
        let confidences = softmax(&case.logits);
        assert_near(&confidences, &case.confidences, 1.0);
        let top: Vec<usize> = top_k(&confidences, 5).iter().map(|rank| rank.class.0).collect();
        assert_eq!(top, case.top);
    }
}

#[test]
fn maps_are_scaled_and_upsampled_as_in_pytorch() {
    let arithmetic = arithmetic();
    for case in arithmetic.min_max {
        assert_near(map(case.grid, &case.raw).min_max().values(), &case.scaled, 1.0);
    }
    for case in arithmetic.upsample {
        let [height, width] = case.size;
        let large = map(case.grid, &case.raw).upsample(GridSize { height, width });
        assert_near(large.values(), &case.values, 40.0);
    }
}

#[test]
fn pixels_are_normalised_as_in_pytorch() {
    for case in arithmetic().normalize {
        let [width, height] = case.size;
        let picture = RgbImage::from_raw(width, height, case.pixels).expect("three bytes a pixel");
        let rule = Preprocess {
            input: ImageSize { width, height },
            resize: width.min(height),
            normalization: Normalization {
                mean: case.mean,
                std_dev: case.std_dev,
                channels: case.channels,
            },
        };
        assert_near(&rule.normalize(&picture), &case.values, 4.0);
    }
}
