//! The figures of an evaluation, beside an independent implementation with numpy, PyTorch and ONNX Runtime.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

#[path = "support/lite0.rs"]
mod lite0;

use std::path::Path;
use std::process::Command;

use image::{GrayImage, Luma, Rgb, RgbImage};
use lcam_host::attention::{Attention, classifier_rows};
use lcam_host::evaluate::{
    Choice, EvaluateError, Explained, Family, Figure, Fill, MaskFolder, Method, Options, Protocol,
    evaluate, summarize,
};
use lcam_models::metadata::Quantization;
use lcam_models::onnx::write_model;
use tch::{Device, Kind, Tensor};

/// Draws an attention mechanism of the paper's kind.
fn random() -> Attention {
    Attention::random(1000, &lite0::classifier().1, 3)
}

/// Writes pictures of 256 x 256, which are not resized on their way, and masks beside them.
fn pictures(folder: &Path, count: u32) {
    for kind in ["images", "masks"] {
        std::fs::create_dir_all(folder.join(kind)).unwrap();
    }
    for number in 0..count {
        let picture = RgbImage::from_fn(256, 256, |x, y| {
            let ring =
                (f64::from(x) - 90.0).hypot(f64::from(y) - 120.0) * f64::from(number + 2) / 9.0;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 254")]
            let ring = (ring.sin() * 127.0 + 127.0) as u8;
            Rgb([ring, u8::try_from((x * (number + 1)) % 256).unwrap(), 255 - ring])
        });
        picture.save(folder.join(format!("images/{number}.png"))).unwrap();
        let mask = GrayImage::from_fn(256, 256, |x, y| {
            Luma([if x > 40 + 20 * number && y < 150 { 255 } else { 0 }])
        });
        mask.save(folder.join(format!("masks/{number}.png"))).unwrap();
    }
}

fn options(folder: &Path, methods: &[Method]) -> Options {
    let images = folder.join("images");
    Options {
        masks: Some(MaskFolder::new(&images, None)),
        protocol: Protocol { steps: 2, ..Protocol::default() },
        ..Options::new(images, methods.to_vec())
    }
}

#[test]
fn agrees_with_an_independent_implementation() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 3);
    let explained = lite0::explained(&random(), Quantization::None);
    let path = |name: &str| folder.path().join(name);
    write_model(&path("explained.onnx"), explained.proto()).unwrap();
    let evaluated = Command::new(env!("CARGO_BIN_EXE_lcam-host"))
        .args(["evaluate", "explained.onnx", "--images", "images", "--masks", "--device", "cpu"])
        .args([
            "--methods",
            "random,lcam",
            "--road-noise",
            "0",
            "--steps",
            "4",
            "--json",
            "all.json",
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(evaluated.status.success(), "{}", String::from_utf8_lossy(&evaluated.stderr));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/check_metrics.py");
    let python = Command::new("python")
        .arg(script)
        .args(["explained.onnx", "all.json", "--masks", "masks"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&python.stdout);
    let errors = String::from_utf8_lossy(&python.stderr);
    assert!(python.status.success() && found.contains("3 pictures"), "{found}\n{errors}");
}

#[test]
fn the_same_seed_measures_the_same() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 4);
    let explained = lite0::explained(&random(), Quantization::None);
    let model = Explained::new(explained, Device::Cpu).unwrap();
    let options = Options {
        families: vec![Family::Faithfulness, Family::Road],
        examples: 1,
        ..options(folder.path(), &[Method::Lcam, Method::Random])
    };
    let [first, second] = [0, 1].map(|_| evaluate(&model, &options).unwrap());
    assert_eq!(first.outcomes, second.outcomes);
    assert_eq!(first.digests, second.digests);
    let scores = &first.outcomes[0].scores[1];
    assert!(scores.deletion.is_empty() && scores.energy.is_none(), "not asked for");
    assert_eq!((scores.without_most.len(), scores.without_least.len()), (4, 4));
    let choices: Vec<Choice> = first.examples.iter().map(|example| example.choice).collect();
    assert_eq!(choices, [Choice::Spread, Choice::Best, Choice::Worst]);
    assert_eq!(first.examples[0].maps.len(), 2);
}

#[test]
fn an_untrained_warm_start_is_cam() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 3);
    let (classifier, layers) = lite0::classifier();
    let features = Tensor::rand([1, 1280, 7, 7], (Kind::Float, Device::Cpu));
    let rows = classifier_rows(&classifier, &layers.deepest, &features).unwrap();
    let bias = Tensor::zeros([1000], (Kind::Float, Device::Cpu));
    let explained = lite0::explained(&Attention::single(rows, bias), Quantization::None);
    let model = Explained::new(explained, Device::Cpu).unwrap();
    let methods = [Method::Lcam, Method::Cam, Method::Random];
    let found = evaluate(&model, &options(folder.path(), &methods)).unwrap();
    for outcome in &found.outcomes {
        let [own, cam, random] = &outcome.scores[..] else { panic!("three methods") };
        let [ours, theirs] = [own, cam].map(|scores| &scores.masked[&Fill::Black]);
        let near = ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(near, "{own:?} is not {cam:?}");
        assert_ne!(random.masked, cam.masked);
    }
    let summaries = summarize(&methods, &found.outcomes);
    assert_eq!(summaries.len(), 3);
    for summary in &summaries {
        assert_eq!(summary.figures.len(), Figure::all().len(), "{}", summary.method);
    }
}

#[test]
fn reports_what_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 2);
    let explained = lite0::explained(&random(), Quantization::None);
    let model = Explained::new(explained, Device::Cpu).unwrap();
    std::fs::write(folder.path().join("images/broken.png"), b"no picture").unwrap();
    GrayImage::new(8, 8).save(folder.path().join("masks/1.png")).unwrap();
    let mut options = options(folder.path(), &[Method::Random]);
    options.families = vec![Family::Localization];
    let found = evaluate(&model, &options).unwrap();
    assert_eq!((found.outcomes.len(), found.unreadable.len()), (2, 1));
    let problem = found.unusable_masks[0].to_string();
    assert!(problem.contains("has 8x8 pixels, but its picture has 256x256"), "{problem}");
    std::fs::remove_dir_all(folder.path().join("masks")).unwrap();
    let refused = evaluate(&model, &options);
    assert!(matches!(refused, Err(EvaluateError::NoMasks { count: 3, .. })), "{refused:?}");
}
