//! The methods that maps are compared with: in formulas that can be computed by hand, and beside the package
//! grad-cam.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

#[path = "support/lite0.rs"]
mod lite0;
#[path = "support/tiny.rs"]
mod tiny;

use std::path::Path;
use std::process::Command;

use image::{Rgb, RgbImage};
use lcam_host::attention::{Attention, classifier_rows};
use lcam_host::evaluate::{
    Explained, Family, MapFolder, Method, Options, check_sanity, evaluate, evaluate_pairs,
};
use lcam_models::metadata::Quantization;
use lcam_models::onnx::write_model;
use tch::{Device, Kind, Tensor};

fn explained(first: [f32; 3], second: [f32; 3]) -> Explained {
    Explained::new(tiny::explained(first, second), Device::Cpu).unwrap()
}

fn options(images: &Path, methods: &[Method]) -> Options {
    Options {
        rise_masks: 96,
        families: vec![Family::Faithfulness],
        ..Options::new(images.to_owned(), methods.to_vec())
    }
}

/// Writes a picture whose red is high at the left and whose green is high at the top, in quarters.
fn quarters(path: &Path) {
    let picture = RgbImage::from_fn(8, 8, |x, y| {
        Rgb([if x < 4 { 255 } else { 51 }, if y < 4 { 204 } else { 0 }, 0])
    });
    picture.save(path).unwrap();
}

/// Reads the values of an array that the program wrote: all after the header's line feed.
fn read_map(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let values = bytes[header..].chunks_exact(4);
    values.map(|value| f32::from_le_bytes(value.try_into().unwrap())).collect()
}

fn maps(model: &Explained, methods: &[Method]) -> Vec<Vec<f32>> {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    quarters(&images.join("a.png"));
    let maps = folder.path().join("maps");
    let maps_folder = MapFolder::new(&maps, &images).unwrap();
    let options = Options { maps: Some(maps_folder), ..options(&images, methods) };
    evaluate(model, &options).unwrap();
    let map = |method: &Method| read_map(&maps.join(method.to_string()).join("a.npy"));
    methods.iter().map(map).collect()
}

fn close(found: &[f32], expected: &[f32]) -> bool {
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b.abs()))
}

#[test]
fn maps_follow_the_formulas() {
    // Feature maps R, G, B of 2x2 cells, logits from their means by rows (2, -1, 0) and (-2, 0, 0): class 0 wins.
    let model = explained([2.0, -1.0, 0.0], [-2.0, 0.0, 0.0]);
    let methods = [
        Method::Cam,
        Method::GradCam,
        Method::GradCamPlusPlus,
        Method::LayerCam,
        Method::ReciproCam,
        Method::ScoreCam,
    ];
    let found = maps(&model, &methods);
    let red = [1.0f32, 0.2, 1.0, 0.2];
    let green = [0.8f32, 0.8, 0.0, 0.0];
    // The derivative of a mean of four cells is a fourth of its weight.
    let cells = |cell: &dyn Fn(f32, f32) -> f32| {
        red.iter().zip(green).map(|(&r, g)| cell(r, g)).collect::<Vec<f32>>()
    };
    let cam = cells(&|r, g| 0.5 * r - 0.25 * g);
    assert!(close(&found[0], &cam), "cam {:?}", found[0]);
    let cut: Vec<f32> = cam.iter().map(|value| value.max(0.0)).collect();
    assert!(close(&found[1], &cut), "grad-cam {:?}", found[1]);
    // g = 0.5 for red alone, whose sum is 2.4: alpha = 0.25 / (0.5 + 2.4 * 0.125) over four cells.
    let weight = 4.0 * 0.5 * 0.25 / (0.5 + 2.4 * 0.125 + 1e-6);
    assert!(close(&found[2], &cells(&|r, _| weight * r)), "grad-cam++ {:?}", found[2]);
    assert!(close(&found[3], &cells(&|r, _| 0.5 * r)), "layer-cam {:?}", found[3]);
    // Each cell of the kernel is a product of 1/2 (the cell itself) and 1/4 (beside it).
    let near = |index: usize, at: usize| {
        let along = |a: usize, b: usize| if a == b { 0.5f32 } else { 0.25 };
        along(index % 2, at % 2) * along(index / 2, at / 2)
    };
    let recipro: Vec<f32> = (0..4)
        .map(|at| {
            let mean = |map: &[f32; 4]| {
                (0..4).map(|index| near(index, at) * map[index]).sum::<f32>() / 4.0
            };
            let logits = [2.0 * mean(&red) - mean(&green), -2.0 * mean(&red)];
            1.0 / (1.0 + (logits[1] - logits[0]).exp())
        })
        .collect();
    assert!(close(&found[4], &recipro), "recipro-cam {:?} is not {recipro:?}", found[4]);
    // Red masked with itself is seen best, so it weighs most: more red than green, blue is 0 everywhere.
    let [top_left, _, bottom_left, _] = found[5][..] else { panic!("{:?}", found[5]) };
    assert!(found[5].iter().all(|value| (0.0..=1.0).contains(value)), "shares of 0..1 sum to it");
    assert!(top_left > bottom_left && bottom_left > 0.3, "score-cam {:?}", found[5]);
}

#[test]
fn no_map_takes_the_place_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    quarters(&images.join("a.png"));
    std::fs::copy(images.join("a.png"), images.join("a.jpg")).unwrap();
    let model = explained([2.0, -1.0, 0.0], [-2.0, 0.0, 0.0]);
    let maps = MapFolder::new(&folder.path().join("maps"), &images).unwrap();
    let options = Options { maps: Some(maps), ..options(&images, &[Method::Cam]) };
    let refused = evaluate(&model, &options).unwrap_err().to_string();
    assert!(refused.ends_with("cam/a.npy; rename one of them"), "{refused}");
}

#[test]
fn rise_finds_what_the_class_is_seen_by() {
    let model = explained([8.0, 0.0, 0.0], [-8.0, 0.0, 0.0]);
    let map = maps(&model, &[Method::Rise]).remove(0);
    assert_eq!(map.len(), 64, "at the size of the picture");
    let half = |left: bool| {
        let columns = map.iter().enumerate().filter(|(index, _)| (index % 8 < 4) == left);
        columns.map(|(_, value)| value).sum::<f32>()
    };
    assert!(half(true) > half(false), "{map:?}");
    assert_eq!(maps(&model, &[Method::Rise])[0], map, "a seed makes it again");
}

#[test]
fn counts_what_each_method_costs() {
    let model = explained([2.0, -1.0, 0.0], [-2.0, 0.0, 0.0]);
    for (method, cost) in [
        (Method::Lcam, "1"),
        (Method::GradCam, "1 + backward"),
        (Method::ScoreCam, "4"),
        (Method::ReciproCam, "1 + 4 of the head"),
        (Method::Rise, "4001"),
    ] {
        assert_eq!(method.passes(&model, 4000).to_string(), cost, "{method}");
    }
}

#[test]
fn a_warm_start_is_cam_for_any_class_and_notices_a_random_network() {
    let (classifier, layers) = lite0::classifier();
    let features = Tensor::rand([1, 1280, 7, 7], (Kind::Float, Device::Cpu));
    let rows = classifier_rows(&classifier, &layers.deepest, &features).unwrap();
    let attention = Attention::single(rows, Tensor::zeros([1000], (Kind::Float, Device::Cpu)));
    let explained = lite0::explained(&attention, Quantization::None);
    let model = Explained::new(explained.clone(), Device::Cpu).unwrap();
    let mut randomized = Explained::new(explained, Device::Cpu).unwrap();
    let tensors = randomized.randomize(1).unwrap();
    assert!(tensors > 90, "{tensors} tensors: about fifty convolutions with their biases");
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/samples");
    let methods = [Method::Lcam, Method::Cam, Method::Random];
    let found = check_sanity(&model, &randomized, tensors, &options(&samples, &methods)).unwrap();
    let [lcam, cam] = &found.methods[..] else { panic!("noise is not checked: {found:?}") };
    // The maps of classes that were not named come from the file's weights here, from gradients there.
    let difference = lcam.random_class.correlation.mean - cam.random_class.correlation.mean;
    assert!(difference.abs() < 1e-2, "{lcam:?} is not {cam:?}");
    assert!(lcam.random_network.is_passed() && cam.random_network.is_passed(), "{found}");
    assert!(lcam.constant_maps.abs() < 1e-9 && lcam.random_attention.is_some());
}

#[test]
fn tells_two_objects_apart() {
    // Red speaks for class 0, green for class 1.
    let model = explained([4.0, -4.0, 0.0], [-4.0, 4.0, 0.0]);
    let folder = tempfile::tempdir().unwrap();
    let halves = |name: &str, left: [u8; 3], right: [u8; 3]| {
        std::fs::create_dir_all(folder.path().join(name)).unwrap();
        let picture = RgbImage::from_fn(8, 8, |x, _| Rgb(if x < 4 { left } else { right }));
        picture.save(folder.path().join(name).join("00000.png")).unwrap();
    };
    let (red, green, black, white) = ([255, 0, 0], [0, 255, 0], [0; 3], [255; 3]);
    halves("images", red, green);
    halves("first", red, black);
    halves("second", black, green);
    halves("masks-first", white, black);
    halves("masks-second", black, white);
    let methods = [Method::Lcam, Method::Cam, Method::LayerCam];
    let found = evaluate_pairs(&model, folder.path(), &options(Path::new(""), &methods)).unwrap();
    assert_eq!((found.read, found.different, found.both_in_top), (1, 1, 1));
    for summary in &found.methods {
        let all = summary.all;
        for figure in [all.peaks, all.energy, all.mean] {
            assert!((figure.unwrap().mean - 100.0).abs() < 1e-9, "{summary:?}");
        }
    }
    std::fs::remove_file(folder.path().join("masks-second/00000.png")).unwrap();
    let refused = evaluate_pairs(&model, folder.path(), &options(Path::new(""), &methods));
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("masks-second"), "{message}");
}

#[test]
fn agrees_with_the_package_grad_cam() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/samples");
    for name in ["astronaut", "chelsea", "coffee"] {
        let picture = image::open(samples.join(name).with_extension("jpg")).unwrap();
        let picture = picture.resize_to_fill(256, 256, image::imageops::FilterType::Triangle);
        picture.into_rgb8().save(images.join(name).with_extension("png")).unwrap();
    }
    let attention = Attention::random(1000, &lite0::classifier().1, 3);
    let explained = lite0::explained(&attention, Quantization::None);
    let path = folder.path().join("explained.onnx");
    write_model(&path, explained.proto()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/check_methods.py");
    let python = Command::new("python")
        .args(["-W", "ignore"])
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_lcam-host"))
        .args([&path, &images])
        .output()
        .unwrap();
    let [said, errors] = [&python.stdout, &python.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(python.status.success(), "tests/run brings the package: {said}{errors}");
}
