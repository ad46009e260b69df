//! The figures of an evaluation, beside an independent implementation with numpy, PyTorch and ONNX Runtime.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

#[path = "support/lite0.rs"]
mod lite0;

use std::path::Path;
use std::process::Command;

use image::{GrayImage, Luma, Rgb, RgbImage};
use lcam_host::attention::{Attention, classifier_rows};
use lcam_host::evaluate::{
    EvaluateError, Explained, MaskFolder, Method, Options, evaluate, summarize,
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
        images,
        methods: methods.to_vec(),
        limit: None,
        seed: 1,
        rise_masks: 64,
        maps: None,
    }
}

/// Prints for each picture: class, confidence, the confidences at 100, 50 and 15 %, pointing, energy.
const REFERENCE: &str = r#"
import sys, glob, numpy as np, onnxruntime, torch
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
def softmax(x):
    e = np.exp(x.astype(np.float64) - x.max())
    return e / e.sum()
for path in sorted(glob.glob(sys.argv[2] + "/images/*.png")):
    crop = lambda p: np.asarray(Image.open(p))[16:240, 16:240]
    pixels = crop(path).transpose(2, 0, 1)[None].astype(np.float32) / 255
    run = lambda x: session.run(None, {"image": ((x - 127 / 255) / (128 / 255)).astype(np.float32)})
    logits, raw = run(pixels)
    y = softmax(logits[0]); k = int(y.argmax())
    scaled = (raw - raw.min()) / (raw.max() - raw.min())
    full = torch.nn.functional.interpolate(torch.tensor(scaled), size=(224, 224), mode="bilinear").numpy()
    row = [k, y[k]]
    for nu in (1.0, 0.5, 0.15):
        order = np.argsort(-full.ravel(), kind="stable")[: round(nu * 224 * 224)]
        kept = np.zeros(224 * 224, np.float32); kept[order] = full.ravel()[order]
        row.append(softmax(run(pixels * kept.reshape(1, 1, 224, 224))[0][0])[k])
    mask = crop(path.replace("/images/", "/masks/")).ravel() >= 128
    row += [int(mask[full.ravel().argmax()]), full.ravel()[mask].sum() / full.sum()]
    print(*row)
"#;

#[test]
fn agrees_with_an_independent_implementation() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 5);
    let explained = lite0::explained(&random(), Quantization::None);
    let path = folder.path().join("explained.onnx");
    write_model(&path, explained.proto()).unwrap();
    let python = Command::new("python")
        .args(["-c", REFERENCE])
        .args([&path, folder.path()])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&python.stderr);
    assert!(python.status.success(), "tests/run brings ONNX Runtime and Pillow: {errors}");
    let reference: Vec<Vec<f64>> = String::from_utf8_lossy(&python.stdout)
        .lines()
        .map(|line| line.split_whitespace().map(|value| value.parse().unwrap()).collect())
        .collect();

    let model = Explained::read(&path, Device::Cpu).unwrap();
    let found = evaluate(&model, &options(folder.path(), &[Method::Lcam])).unwrap();
    assert_eq!(found.outcomes.len(), 5);
    for (outcome, expected) in found.outcomes.iter().zip(&reference) {
        let scores = &outcome.scores[0];
        #[expect(clippy::cast_precision_loss, reason = "a class")]
        let ours = [
            &[outcome.class as f64, outcome.confidence][..],
            &scores.masked,
            &[f64::from(u8::from(scores.pointing.unwrap())), scores.energy.unwrap()],
        ]
        .concat();
        let near = ours.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-4);
        assert!(near && ours.len() == expected.len(), "{ours:?} is not {expected:?}");
    }
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
        let near = own.masked.iter().zip(&cam.masked).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(near, "{own:?} is not {cam:?}");
        assert_ne!(random.masked, cam.masked);
    }
    let summaries = summarize(&methods, &found.outcomes);
    assert_eq!(summaries.len(), 3);
    assert!(summaries.iter().all(|s| s.average_drop.len() == 3 && s.pointing.is_some()));
}

#[test]
fn reports_what_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path(), 2);
    let explained = lite0::explained(&random(), Quantization::None);
    let model = Explained::new(explained, Device::Cpu).unwrap();
    std::fs::write(folder.path().join("images/broken.png"), b"no picture").unwrap();
    GrayImage::new(8, 8).save(folder.path().join("masks/1.png")).unwrap();
    let options = options(folder.path(), &[Method::Random]);
    let found = evaluate(&model, &options).unwrap();
    assert_eq!((found.outcomes.len(), found.unreadable.len()), (2, 1));
    let problem = found.unusable_masks[0].to_string();
    assert!(problem.contains("has 8x8 pixels, but its picture has 256x256"), "{problem}");
    std::fs::remove_dir_all(folder.path().join("masks")).unwrap();
    let refused = evaluate(&model, &options);
    assert!(matches!(refused, Err(EvaluateError::NoMasks { count: 3, .. })), "{refused:?}");
}
