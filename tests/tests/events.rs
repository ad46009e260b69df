//! What the device records comes back to the workshop: `lcam-host analyze` reads its folder as it is.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use image::RgbImage;
use lcam_device::engine::Engine;
use lcam_device::frame::Frame;
use lcam_device::observation::{ClassConfidence, Observation};
use lcam_device::recorder::{Event, Reason, Recorder, RecorderOptions};
use lcam_host::analyze::{Material, Options, analyze};
use lcam_host::evaluate::Explained;
use lcam_models::preprocess::ImageSize;
use lcam_tests::{SAMPLES, shipped_model};
use tch::Device;

/// Records an event of each sample photograph, as the device's program does.
fn record(folder: &Path) {
    let mut engine = Engine::load(&shipped_model(), NonZeroUsize::MIN).unwrap();
    let options = RecorderOptions { min_free_bytes: 0, ..RecorderOptions::default() };
    let mut recorder = Recorder::new(folder, options).unwrap();
    for (number, sample) in (1..).zip(SAMPLES) {
        let picture = sample.read().unwrap();
        let answer = engine.explain(&picture).unwrap();
        let ranking = answer.ranking(3);
        let labels = &engine.metadata().labels;
        let named = ClassConfidence::new(labels, &ranking, answer.predicted());
        let observation = Observation {
            frame: number,
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(number),
            top: vec![named.clone()],
            detected: None,
            explained: named,
            evidence_at: [0.5, 0.5],
            latency_ms: BTreeMap::new(),
        };
        let event = Event {
            reason: Reason::Snapshot,
            observation: &observation,
            screen: &Frame::from(RgbImage::new(64, 64)),
            picture: &picture,
            crop: engine.metadata().preprocess.crop_box(ImageSize::of(&picture)),
            map: &answer.explanation().min_max(),
            model: "efficientnet-lite0.onnx 123abc",
        };
        recorder.record(&event, Instant::now()).unwrap();
    }
}

#[test]
fn the_host_sees_what_the_device_saw() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path());
    let model = Explained::read(&shipped_model(), Device::Cpu).unwrap();
    let options = Options::new(folder.path().to_owned());
    let material = Material::read(&options, model.metadata(), None).unwrap();
    let analysis = analyze(&model, None, &options, material).unwrap();
    // Neither the screens nor anything else is taken for a picture.
    assert_eq!((analysis.audit.records.len(), analysis.audit.unreadable.len()), (SAMPLES.len(), 0));
    let field = analysis.field.unwrap();
    assert_eq!(field.between, ["1970-01-01T00:00:01.000Z", "1970-01-01T00:00:03.000Z"]);
    assert_eq!(field.models, ["efficientnet-lite0.onnx 123abc"]);
    assert!(field.changed.is_empty(), "{field:?}");
    // What JPEG changes of a picture moves the map a little.
    assert!(field.map_correlation.unwrap() > 0.98, "{field:?}");
    assert!((field.confidence[0] - field.confidence[1]).abs() < 0.05, "{field:?}");
}
