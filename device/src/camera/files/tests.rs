use super::super::mjpeg::tests::{jpeg, undecodable_jpeg};
use super::*;
use image::{ImageFormat, Rgb};

const LONG: Duration = Duration::from_secs(20);

fn write_png(path: &Path, value: u8) {
    RgbImage::from_pixel(2, 1, Rgb([value; 3])).save_with_format(path, ImageFormat::Png).unwrap();
}

fn fast() -> CameraOptions {
    CameraOptions { rate: Some(500.0), ..CameraOptions::default() }
}

/// Gives the first red value of the next picture; `None` at the end.
fn next(camera: &mut dyn Camera) -> Option<u8> {
    match camera.capture(LONG).unwrap() {
        Capture::Picture(picture) => Some(picture.get_pixel(0, 0).0[0]),
        Capture::End => None,
        Capture::Nothing => panic!("nothing came"),
    }
}

#[test]
fn a_single_picture_comes_once_or_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.png");
    write_png(&path, 7);
    let mut once = open(&path, &fast()).unwrap();
    assert_eq!([next(&mut *once), next(&mut *once), next(&mut *once)], [Some(7), None, None]);
    assert!(once.description().ends_with("one.png: picture, 2x1, once"), "{}", once.description());
    let mut again = open(&path, &CameraOptions { repeat: true, ..fast() }).unwrap();
    let start = Instant::now();
    for _ in 0..5 {
        assert_eq!(next(&mut *again), Some(7));
    }
    assert!(start.elapsed() >= Duration::from_millis(8));
    assert!(again.description().ends_with("one every 0.002 s, again and again"));
    let slow = CameraOptions { repeat: true, ..CameraOptions::default() };
    let mut slow = open(&path, &slow).unwrap();
    assert_eq!(next(&mut *slow), Some(7));
    assert!(matches!(slow.capture(Duration::from_millis(1)), Ok(Capture::Nothing)));
}

#[test]
fn a_folder_is_gone_through_by_name_and_damage_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [("c.png", 3), ("a.PNG", 1), ("b.jpg", 2), (".hidden.png", 9)] {
        write_png(&folder.path().join(name), value);
    }
    fs::write(folder.path().join("aa.png"), "damaged").unwrap();
    fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
    fs::create_dir(folder.path().join("folder.png")).unwrap();
    let mut camera = open(folder.path(), &fast()).unwrap();
    let given: Vec<u8> = std::iter::from_fn(|| next(&mut *camera)).collect();
    assert_eq!(given, [1, 2, 3]);
    let Unreadable { count, last } = camera.unreadable();
    assert!(count == 1 && last.contains("aa.png") && last.contains("known format"), "{last}");
    let description = camera.description();
    assert!(description.contains("folder of 4 pictures (1 other files left out)"), "{description}");

    let mut again = open(folder.path(), &CameraOptions { repeat: true, ..fast() }).unwrap();
    let given: Vec<u8> = std::iter::from_fn(|| next(&mut *again)).take(7).collect();
    assert_eq!(given, [1, 2, 3, 1, 2, 3, 1]);
    assert_eq!(again.unreadable().count, 3 - 1);
}

#[test]
fn a_folder_with_nothing_to_show_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
    let error = open(folder.path(), &fast()).unwrap_err().to_string();
    assert!(error.contains("no picture is in this folder, and 1 other"), "{error}");
    for name in ["a.png", "b.png"] {
        fs::write(folder.path().join(name), "damaged").unwrap();
    }
    for repeat in [false, true] {
        let mut camera = open(folder.path(), &CameraOptions { repeat, ..fast() }).unwrap();
        let error = camera.capture(LONG).unwrap_err().to_string();
        assert!(error.contains("2 pictures in a row cannot be read"), "{error}");
    }
}

#[test]
fn what_cannot_be_read_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.png");
    fs::write(&text, "no picture").unwrap();
    let error = open(&text, &fast()).unwrap_err().to_string();
    assert!(error.contains("text.png") && error.contains("give a JPEG"), "{error}");
    let error = open(&folder.path().join("none.png"), &fast()).unwrap_err().to_string();
    assert!(error.contains("none.png") && error.contains("test://bars"), "{error}");
    let error = open(Path::new("/dev/null"), &fast()).unwrap_err().to_string();
    assert!(error.contains("it is not a file"), "{error}");
}

#[test]
fn a_recording_plays_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.MJPG");
    let stream: Vec<u8> = [10, 90, 170].iter().flat_map(|&red| jpeg(16, 16, red)).collect();
    fs::write(&path, &stream).unwrap();
    let near = |camera: &mut dyn Camera| next(camera).map(|red| red / 80);
    let slow = CameraOptions { rate: Some(2.0), ..CameraOptions::default() };
    let mut once = open(&path, &slow).unwrap();
    let played: Vec<u8> = std::iter::from_fn(|| near(&mut *once)).collect();
    assert_eq!(played, [0, 1, 2]);
    assert!(once.description().ends_with("MJPEG recording, 16x16 at 2 pictures/s"));
    let mut again = open(&path, &CameraOptions { repeat: true, ..slow }).unwrap();
    let played: Vec<u8> = std::iter::from_fn(|| near(&mut *again)).take(4).collect();
    assert_eq!(played, [0, 1, 2, 0]);
}

#[test]
fn a_late_reader_of_a_recording_misses_frames() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mjpeg");
    let stream: Vec<u8> = (0..25).flat_map(|number| jpeg(16, 16, number * 10)).collect();
    fs::write(&path, &stream).unwrap();
    let options = CameraOptions { rate: Some(100.0), ..CameraOptions::default() };
    let mut camera = open(&path, &options).unwrap();
    assert!(next(&mut *camera).unwrap() < 6);
    std::thread::sleep(Duration::from_millis(100));
    let late = next(&mut *camera).unwrap();
    assert!(late >= 90, "{late}");
    // Of what is behind the end, the last frame is the newest.
    std::thread::sleep(Duration::from_millis(300));
    let last = std::iter::from_fn(|| next(&mut *camera)).last();
    assert!(last.unwrap_or(late) > 230, "{last:?}");
}

#[test]
fn damage_in_a_recording_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.mjpg");
    let whole = jpeg(64, 64, 200);
    let half = whole.len() / 2;
    let stream = [&whole, &whole[..half], &undecodable_jpeg(), &whole].concat();
    fs::write(&path, stream).unwrap();
    // Slowly, so that no frame is missed.
    let options = CameraOptions { rate: Some(2.0), ..CameraOptions::default() };
    let mut camera = open(&path, &options).unwrap();
    assert_eq!(std::iter::from_fn(|| next(&mut *camera)).count(), 2);
    assert_eq!(camera.unreadable().count, 2);
    fs::write(&path, &whole[..half]).unwrap();
    let mut camera = open(&path, &fast()).unwrap();
    let error = camera.capture(LONG).unwrap_err().to_string();
    assert!(error.contains("no whole JPEG"), "{error}");
}
