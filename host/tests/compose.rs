//! Composites: what lies where is known, nothing held out is seen in training, and a seed is enough to make
//! them again.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage, Rgba, RgbaImage};
use lcam_host::compose::{ComposeError, Composed, Part, Settings, compose};

/// Writes a disc of one colour, a hard edge on nothing.
fn object(path: &Path, side: u32, colour: [u8; 3]) {
    let middle = f64::from(side) / 2.0;
    let disc = RgbaImage::from_fn(side, side, |x, y| {
        let far = (f64::from(x) - middle).hypot(f64::from(y) - middle * 1.2) > middle * 0.7;
        let [r, g, b] = colour;
        // Stripes, each object its own, or they would count as one.
        let (across, down) = (u32::from(r / 40 + 2), u32::from(b / 40 + 1));
        let dark = (x * across / side + y * down / side).is_multiple_of(2);
        let shade = if dark { 0 } else { 230 };
        Rgba([r, g.saturating_add(shade), b, if far { 0 } else { 255 }])
    });
    disc.save(path).unwrap();
}

fn background(path: &Path, number: u32) {
    let picture = RgbImage::from_fn(320, 200, |x, y| {
        let wave = ((f64::from(x * (number + 1)) / 31.0).sin()
            + (f64::from(y * (7 - number)) / 23.0).cos())
            * 50.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "20 to 220")]
        Rgb([20, (120.0 + wave) as u8, 20])
    });
    picture.save(path).unwrap();
}

/// Makes folders of six objects and five backgrounds, and some files that cannot be used.
fn sources(folder: &Path) -> (PathBuf, PathBuf) {
    let (objects, backgrounds) = (folder.join("objects"), folder.join("backgrounds"));
    fs::create_dir_all(&objects).unwrap();
    fs::create_dir_all(&backgrounds).unwrap();
    for number in 0..6u8 {
        let colour = [40 * number, 10, 255 - 40 * number];
        object(&objects.join(format!("{number}.png")), 50 + 20 * u32::from(number), colour);
    }
    RgbImage::new(30, 30).save(objects.join("opaque.png")).unwrap();
    fs::write(objects.join("broken.png"), b"no picture").unwrap();
    for number in 0..5 {
        background(&backgrounds.join(format!("{number}.png")), number);
    }
    (objects, backgrounds)
}

fn make(folder: &Path, name: &str, settings: &Settings) -> Result<Composed, ComposeError> {
    let (objects, backgrounds) = (folder.join("objects"), folder.join("backgrounds"));
    compose(&[objects], &[backgrounds], &folder.join(name), settings)
}

const SETTINGS: Settings = Settings { count: 24, size: 96, seed: 5, split: 0.5, pairs: 0 };

#[test]
fn masks_are_where_the_objects_are() {
    let folder = tempfile::tempdir().unwrap();
    sources(folder.path());
    let composed = make(folder.path(), "out", &SETTINGS).unwrap();
    assert_eq!(composed.parts[&Part::Train].composites, 12);
    assert_eq!(composed.parts[&Part::HeldOut].composites, 12);
    let left_out: Vec<_> = composed.left_out.iter().map(ToString::to_string).collect();
    assert_eq!(left_out.len(), 2, "{left_out:?}");
    assert!(left_out[1].contains("opaque.png has no transparent background"), "{left_out:?}");
    for number in 0..12 {
        let read = |kind: &str| {
            let path = format!("out/held-out/{kind}/{number:05}.png");
            image::open(folder.path().join(path)).unwrap().into_rgb8()
        };
        let (picture, mask) = (read("images"), read("masks"));
        assert_eq!((picture.dimensions(), mask.dimensions()), ((96, 96), (96, 96)));
        // Backgrounds have a red and a blue of 20; of each object, both together make 255.
        let is_object = |pixel: &Rgb<u8>| u32::from(pixel.0[0]) + u32::from(pixel.0[2]) > 140;
        let wrong = picture
            .pixels()
            .zip(mask.pixels())
            .filter(|(pixel, mask)| is_object(pixel) != (mask.0[0] == 255))
            .count();
        let inside = mask.pixels().filter(|mask| mask.0[0] == 255).count();
        // Half-transparent pixels of the rim may fall on either side.
        assert!(inside > 300 && wrong * 20 < inside, "{number}: {wrong} of {inside}");
    }
}

#[test]
fn nothing_held_out_is_seen_in_training() {
    let folder = tempfile::tempdir().unwrap();
    let (objects, _) = sources(folder.path());
    // The same object in another size under another name goes where the first goes.
    let copy = image::open(objects.join("5.png")).unwrap();
    copy.resize(70, 70, image::imageops::FilterType::Triangle)
        .save(objects.join("copy.png"))
        .unwrap();
    for seed in 0..6 {
        let name = format!("out{seed}");
        make(folder.path(), &name, &Settings { seed, ..SETTINGS }).unwrap();
        let mut seen = [HashSet::new(), HashSet::new()];
        let mut rows =
            csv::Reader::from_path(folder.path().join(name).join("manifest.csv")).unwrap();
        let headers = rows.headers().unwrap().clone();
        let column = |name: &str| headers.iter().position(|header| header == name).unwrap();
        for row in rows.records() {
            let row = row.unwrap();
            let part = usize::from(&row[column("part")] == "held-out");
            let object = row[column("object")].replace("copy.png", "5.png");
            seen[part].insert(object);
            seen[part].insert(row[column("background")].to_owned());
        }
        assert!(seen[0].is_disjoint(&seen[1]), "seed {seed}: {seen:?}");
        assert!(seen.iter().all(|part| part.len() >= 4), "seed {seed}: {seen:?}");
    }
}

#[test]
fn a_seed_makes_the_same_files_again() {
    let folder = tempfile::tempdir().unwrap();
    sources(folder.path());
    let digest = |name: &str, seed| {
        make(folder.path(), name, &Settings { seed, ..SETTINGS }).unwrap();
        let read = |file: &str| fs::read(folder.path().join(name).join(file)).unwrap();
        ["manifest.csv", "train/images/00003.png", "held-out/masks/00011.png"].map(read)
    };
    let first = digest("first", 5);
    assert_eq!(first, digest("again", 5));
    assert_ne!(first[1], digest("other", 6)[1]);
}

#[test]
fn refuses_what_cannot_be_made_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (objects, _) = sources(folder.path());
    fs::create_dir(folder.path().join("full")).unwrap();
    fs::write(folder.path().join("full/x"), b"mine").unwrap();
    let occupied = make(folder.path(), "full", &SETTINGS).unwrap_err();
    assert!(matches!(occupied, ComposeError::Occupied { .. }), "{occupied}");
    for number in 0..5 {
        fs::remove_file(objects.join(format!("{number}.png"))).unwrap();
    }
    let few = make(folder.path(), "out", &SETTINGS).unwrap_err().to_string();
    assert!(few.starts_with("1 different objects can be used, but 2 are needed"), "{few}");
    assert!(!folder.path().join("out").exists());
    let one = make(folder.path(), "out", &Settings { split: 1.0, ..SETTINGS }).unwrap();
    assert_eq!(one.parts.len(), 1, "one object is enough where nothing is held out");
}

#[test]
fn pairs_hold_two_objects_that_stand_alone_at_the_same_place() {
    let folder = tempfile::tempdir().unwrap();
    sources(folder.path());
    make(folder.path(), "without", &SETTINGS).unwrap();
    make(folder.path(), "out", &Settings { pairs: 8, ..SETTINGS }).unwrap();
    let bytes = |path: &str| fs::read(folder.path().join(path)).unwrap();
    let composite = "held-out/images/00003.png";
    assert_eq!(bytes(&format!("out/{composite}")), bytes(&format!("without/{composite}")));
    for part in ["train", "held-out"] {
        for number in 0..4 {
            let read = |kind: &str| {
                let path = format!("out/{part}/pairs/{kind}/{number:05}.png");
                image::open(folder.path().join(path)).unwrap().into_rgb8()
            };
            let [both, first, second] = ["images", "first", "second"].map(read);
            let masks = ["masks-first", "masks-second"].map(read);
            let mut inside = [0, 0];
            for (x, y, pixel) in both.enumerate_pixels() {
                let [a, b] = [0, 1].map(|which: usize| masks[which].get_pixel(x, y).0[0] == 255);
                assert!(!(a && b), "{part} {number}: the objects lie apart");
                inside[0] += u32::from(a);
                inside[1] += u32::from(b);
                let alone = [first.get_pixel(x, y), second.get_pixel(x, y)];
                let same = if a { alone[0] == pixel } else { !b || alone[1] == pixel };
                assert!(same, "{part} {number}: at {x}, {y}");
            }
            assert!(inside.iter().all(|&count| count > 200), "{part} {number}: {inside:?}");
            let differ = first.pixels().zip(second.pixels()).filter(|(a, b)| a != b).count();
            assert!(differ > 400, "{part} {number}: each alone is another picture");
        }
    }
    let rows = csv::Reader::from_path(folder.path().join("out/pairs.csv")).unwrap();
    assert_eq!(rows.into_records().count(), 8);
}
