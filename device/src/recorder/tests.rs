use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use embedded_graphics::geometry::Size;
use lcam_models::map::{ClassMap, GridSize};
use serde_json::Value;

use super::*;
use crate::publish::testing::observation;

struct Scene {
    observation: Observation,
    screen: Frame,
    picture: RgbImage,
    map: ExplanationMap,
}

impl Scene {
    fn new(frame: u64) -> Self {
        let size = GridSize { height: 2, width: 3 };
        let map = ClassMap::new(size, vec![0.0, 1.0, 2.0, 3.0, 4.0, 8.0]).unwrap().min_max();
        Self {
            observation: observation(frame, Some(1)),
            screen: Frame::new(Size::new(320, 240)),
            picture: RgbImage::from_fn(64, 48, |x, y| {
                image::Rgb([x.to_le_bytes()[0] * 4, y.to_le_bytes()[0] * 5, 128])
            }),
            map,
        }
    }

    fn event(&self, reason: Reason) -> Event<'_> {
        Event {
            reason,
            observation: &self.observation,
            screen: &self.screen,
            picture: &self.picture,
            crop: CropBox { left: 8.0, top: 0.0, width: 48.0, height: 48.0 },
            map: &self.map,
            model: "tiny.onnx abc",
        }
    }
}

fn options(max_bytes: u64) -> RecorderOptions {
    RecorderOptions { max_bytes, min_free_bytes: 0, rule: Some(Rule::default()) }
}

fn snapshot(recorder: &mut Recorder, frame: u64) -> Result<PathBuf, RecordError> {
    recorder.record(&Scene::new(frame).event(Reason::Snapshot), Instant::now())
}

fn files(folder: &Path) -> BTreeSet<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    fs::read_dir(folder).unwrap().map(name).collect()
}

fn frames(folder: &Path) -> Vec<u64> {
    let json = files(folder).into_iter().filter(|file| file.ends_with(".json"));
    json.map(|file| read(&folder.join(file))["observation"]["frame"].as_u64().unwrap()).collect()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn an_event_tells_all_of_its_frame() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(folder.path(), options(1_000_000)).unwrap();
    let scene = Scene::new(7);
    let path = recorder.record(&scene.event(Reason::Detection), Instant::now()).unwrap();
    let json = read(&path);
    assert_eq!(json["format"], 1);
    assert_eq!(
        (json["reason"].as_str(), json["model"].as_str()),
        (Some("detection"), Some("tiny.onnx abc"))
    );
    assert_eq!(json["time_utc"], "2023-11-14T22:13:20.123Z");
    assert_eq!(json["observation"]["detected"]["label"], "tabby, tabby cat");
    assert_eq!(json["crop"], serde_json::json!([8.0, 0.0, 48.0, 48.0]));
    let file = |name: &str| folder.path().join(json[name].as_str().unwrap());
    let picture = image::open(file("picture")).unwrap().to_rgb8();
    assert_eq!(json["picture_size"], serde_json::json!(picture.dimensions()));
    let differs = picture.as_raw().iter().zip(scene.picture.as_raw()).map(|(a, b)| a.abs_diff(*b));
    assert!(differs.max().unwrap() < 24, "JPEG keeps the picture");
    let screen = image::open(file("screen")).unwrap().to_rgb8();
    assert_eq!(
        (json["screen_size"].clone(), &screen),
        (serde_json::json!([320, 240]), scene.screen.as_image())
    );
    assert_eq!(json["map_size"], serde_json::json!([2, 3]));
    assert_eq!(fs::read(file("map")).unwrap(), npy::encode(scene.map.size(), scene.map.values()));
    assert_eq!(files(folder.path()).len(), 4);
}

#[test]
fn the_oldest_make_room_and_the_bound_holds() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine.jpg"), vec![0; 500_000]).unwrap();
    let max_bytes = 60_000;
    let mut recorder = Recorder::new(folder.path(), options(max_bytes)).unwrap();
    for frame in 1..=12 {
        snapshot(&mut recorder, frame).unwrap();
        assert!(recorder.bytes() <= max_bytes, "{}", recorder.bytes());
        let own = files(folder.path()).into_iter().filter(|file| file != "mine.jpg");
        let bytes: u64 = own.map(|file| folder.path().join(file).metadata().unwrap().len()).sum();
        assert!(bytes <= max_bytes, "{bytes}");
    }
    let kept = frames(folder.path());
    assert!(kept.len() >= 2 && kept.len() == recorder.events(), "{kept:?}");
    let first = kept[0];
    assert_eq!(kept, (first..=12).collect::<Vec<_>>());
    assert!(folder.path().join("mine.jpg").exists());
}

#[test]
fn goes_on_where_it_stopped_and_keeps_to_a_smaller_bound() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(folder.path(), options(1_000_000)).unwrap();
    for frame in 1..=6 {
        snapshot(&mut recorder, frame).unwrap();
    }
    let one = recorder.bytes() / 6;
    drop(recorder);
    let mut recorder = Recorder::new(folder.path(), options(3 * one)).unwrap();
    assert_eq!((recorder.events(), frames(folder.path())), (3, vec![4, 5, 6]));
    let path = snapshot(&mut recorder, 7).unwrap();
    assert!(path.file_name().unwrap().to_str().unwrap().starts_with("00000007_"), "{path:?}");
    assert_eq!(frames(folder.path()), [5, 6, 7]);
}

#[test]
fn what_a_power_cut_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(folder.path(), options(1_000_000)).unwrap();
    let json = snapshot(&mut recorder, 1).unwrap();
    let whole = files(folder.path());
    let half = snapshot(&mut recorder, 2).unwrap();
    drop(recorder);
    fs::remove_file(&half).unwrap();
    fs::write(folder.path().join(".lcam-aB3xYz"), b"half a picture").unwrap();
    fs::write(folder.path().join("notes.txt"), b"mine").unwrap();
    let recorder = Recorder::new(folder.path(), options(1_000_000)).unwrap();
    let mut expected = whole;
    expected.insert("notes.txt".to_owned());
    assert_eq!(files(folder.path()), expected);
    assert!(json.exists() && recorder.events() == 1);
}

#[test]
fn a_folder_has_one_recorder() {
    let folder = tempfile::tempdir().unwrap();
    let first = Recorder::new(folder.path(), options(1_000_000)).unwrap();
    let refused = Recorder::new(folder.path(), options(1_000_000)).unwrap_err();
    assert!(matches!(refused, RecordError::InUse { .. }), "{refused}");
    drop(first);
    Recorder::new(folder.path(), options(1_000_000)).unwrap();
}

#[test]
fn a_disk_that_is_too_full_is_told_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(folder.path(), options(1_000_000)).unwrap();
    snapshot(&mut recorder, 1).unwrap();
    drop(recorder);
    let mut full = RecorderOptions { min_free_bytes: u64::MAX / 2, ..options(1_000_000) };
    let mut recorder = Recorder::new(folder.path(), full.clone()).unwrap();
    let error = snapshot(&mut recorder, 2).unwrap_err();
    assert!(matches!(error, RecordError::DiskFull { .. }), "{error}");
    assert_eq!(frames(folder.path()), [1]);
    drop(recorder);
    full.min_free_bytes = 0;
    full.max_bytes = 5000;
    let mut recorder = Recorder::new(folder.path(), full).unwrap();
    let error = snapshot(&mut recorder, 2).unwrap_err();
    assert!(matches!(error, RecordError::TooLarge { .. }), "{error}");
}

#[test]
fn an_event_that_cannot_be_written_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(folder.path(), options(1_000_000)).unwrap();
    // In the JSON's place: the last file of the group cannot be written.
    let name = recorder.folder.next_name(Scene::new(1).observation.time, "tabby");
    let obstacle = folder.path().join(format!("{name}.json"));
    fs::create_dir(&obstacle).unwrap();
    let error = snapshot(&mut recorder, 1).unwrap_err();
    assert!(matches!(error, RecordError::Write { .. }), "{error}");
    assert_eq!(files(folder.path()).len(), 1);
    fs::remove_dir(&obstacle).unwrap();
    snapshot(&mut recorder, 1).unwrap();
    assert_eq!(files(folder.path()).len(), 4);
}

#[test]
fn a_lost_folder_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    let mut recorder = Recorder::new(&inner, options(1_000_000)).unwrap();
    fs::remove_dir_all(&inner).unwrap();
    assert!(snapshot(&mut recorder, 1).is_err());
    let refused = Recorder::new(Path::new("/proc/none"), options(1)).unwrap_err();
    assert!(refused.to_string().starts_with("cannot record in /proc/none: "), "{refused}");
}

#[test]
fn the_rule_asks_once_for_what_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(folder.path(), options(1_000_000)).unwrap();
    let (scene, now) = (Scene::new(1), Instant::now());
    assert!(!recorder.is_due(&observation(1, None), now));
    assert!(recorder.is_due(&scene.observation, now));
    recorder.record(&scene.event(Reason::Detection), now).unwrap();
    assert!(!recorder.is_due(&scene.observation, now + Duration::from_secs(60)));
}
