//! Preprocessing against an independent reference: Pillow, see `golden/make.py`.

use std::path::Path;

use lcam_models::picture::read_picture;
use lcam_models::preprocess::{ImageSize, Normalization, Preprocess};

/// Both compute in fixed point with their own rounding: one step of 255 is what they may differ by.
const TOLERANCE: u8 = 1;

#[test]
fn views_agree_with_pillow() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
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
