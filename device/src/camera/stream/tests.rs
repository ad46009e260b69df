use super::super::mjpeg::tests::{jpeg, undecodable_jpeg};
use super::*;
use std::fs;
use std::path::Path;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

fn raw(format: &str) -> CameraOptions {
    CameraOptions { raw: Some(format.parse().unwrap()), ..CameraOptions::default() }
}

fn command(command: &str, options: &CameraOptions) -> Stream {
    Stream::command(command, options).unwrap()
}

fn red(camera: &mut Stream) -> u8 {
    match camera.capture(LONG).unwrap() {
        Capture::Picture(picture) => picture.get_pixel(0, 0).0[0],
        other => panic!("{other:?}"),
    }
}

fn failure(camera: &mut Stream) -> String {
    let deadline = Instant::now() + LONG;
    loop {
        assert!(Instant::now() < deadline, "it goes on");
        match camera.capture(LONG) {
            Ok(Capture::Picture(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => return error.to_string(),
        }
    }
}

/// Gives the processes of a group that are no zombies, and its zombies.
fn processes_of(group: u32) -> (usize, usize) {
    let (mut alive, mut zombies) = (0, 0);
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // pid (name) state parent group ...; the name may hold spaces.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split(' ').collect();
        if fields[2] == group.to_string() {
            if fields[0] == "Z" { zombies += 1 } else { alive += 1 }
        }
    }
    (alive, zombies)
}

/// Waits until the command has told its number.
fn group_of(path: &Path) -> u32 {
    let deadline = Instant::now() + LONG;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if let Some(number) = text.strip_suffix('\n') {
            return number.parse().unwrap();
        }
        assert!(Instant::now() < deadline, "the command did not start");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn reads_raw_formats_and_ends_in_good_order() {
    let options = raw("rgb24:2x1:8");
    let mut camera = command("printf 'abcdef..ghijkl..'", &options);
    let last = loop {
        match camera.capture(LONG).unwrap() {
            Capture::Picture(picture) => {
                if picture.as_raw() == b"ghijkl" {
                    break camera.capture(LONG).unwrap();
                }
                assert_eq!(picture.as_raw(), b"abcdef");
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(last, Capture::End));
    assert!(matches!(camera.capture(LONG), Ok(Capture::End)));
    assert_eq!(camera.description(), "pipe:printf 'abcdef..ghijkl..': 2x1 rgb24");
}

#[test]
fn reads_mjpeg_among_other_things() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stream");
    let part = b"\r\n--part\r\nContent-Type: image/jpeg\r\n\r\n";
    fs::write(&path, [part, &jpeg(24, 16, 200)[..], part].concat()).unwrap();
    let mut camera =
        command(&format!("cat {}; exec sleep 100", path.display()), &CameraOptions::default());
    assert!(camera.description().ends_with(": MJPEG"));
    assert!(red(&mut camera).abs_diff(200) < 12);
    assert!(camera.description().ends_with(": 24x16 MJPEG"));
    assert!(matches!(camera.capture(SHORT), Ok(Capture::Nothing)));
    assert_eq!(camera.unreadable(), Unreadable::default());
}

#[test]
fn the_newest_wins() {
    // 200,000 frames at once, of which the last is different.
    let mut camera =
        command("head -c 600000 /dev/zero; printf 'xyz'; exec sleep 100", &raw("rgb24:1x1"));
    std::thread::sleep(Duration::from_millis(20));
    let deadline = Instant::now() + LONG;
    let mut taken = 0;
    while red(&mut camera) != b'x' {
        taken += 1;
        std::thread::sleep(Duration::from_millis(5));
        assert!(Instant::now() < deadline);
    }
    assert!(taken < 10_000, "{taken}");
    assert!(matches!(camera.capture(SHORT), Ok(Capture::Nothing)));
}

#[test]
fn damaged_frames_are_counted_and_many_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stream");
    let whole = jpeg(64, 64, 100);
    fs::write(&path, undecodable_jpeg()).unwrap();
    fs::write(folder.path().join("whole"), &whole).unwrap();
    let slowly = format!("cd {}; while sleep 0.01; do cat stream; done", folder.path().display());
    let mut camera = command(&slowly, &CameraOptions::default());
    let error = failure(&mut camera);
    assert!(error.contains("30 pictures in a row cannot be read; the last: "), "{error}");
    assert_eq!(camera.unreadable().count, 30);

    let once = format!(
        "cd {}; cat stream; until [ -e seen ]; do sleep 0.01; done; head -c 300 whole; cat whole; exec sleep 100",
        folder.path().display()
    );
    let mut camera = command(&once, &CameraOptions::default());
    while camera.unreadable().count == 0 {
        assert!(matches!(camera.capture(SHORT), Ok(Capture::Nothing)));
    }
    fs::write(folder.path().join("seen"), "").unwrap();
    assert!(red(&mut camera).abs_diff(100) < 12);
    assert_eq!(camera.unreadable().count, 2);
}

#[test]
fn commands_that_fail_are_told_of() {
    let plain = CameraOptions::default();
    let cases = [
        ("no-such-command-here", &plain, "exit code 127; its last words: "),
        ("true", &plain, "it ended without a picture"),
        ("echo this is no picture", &plain, "it ended without a picture"),
        ("kill -9 $$", &plain, "it was ended by signal 9"),
        ("printf abcd", &raw("rgb24:1x1"), "it ended within a frame, 1 bytes after its start"),
        ("printf abc; exit 3", &raw("rgb24:1x1"), "it ended with exit code 3"),
        ("cat /dev/zero", &plain, "bytes without a JPEG came"),
    ];
    for (text, options, expected) in cases {
        let error = failure(&mut command(text, options));
        assert!(
            error.starts_with(&format!("pipe:{text}: ")) && error.contains(expected),
            "{error}"
        );
    }
}

#[test]
fn what_a_child_says_is_bounded() {
    let spam = "head -c 3000000 /dev/zero | tr '\\0' 'x' >&2; echo >&2; echo 'the end' >&2";
    let error = failure(&mut command(spam, &CameraOptions::default()));
    assert!(error.ends_with("its last words: the end"), "{error}");
    let line = "head -c 3000000 /dev/zero | tr '\\0' 'x' >&2";
    let error = failure(&mut command(line, &CameraOptions::default()));
    assert!(error.len() < 600, "{} bytes", error.len());
}

#[test]
fn a_frozen_child_keeps_nobody_busy() {
    let mut camera = command("exec sleep 100", &CameraOptions::default());
    // Nanoseconds on a processor, of this thread.
    let used = || -> u64 {
        let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        stat.split(' ').next().unwrap().parse().unwrap()
    };
    let before = used();
    let start = Instant::now();
    assert!(matches!(camera.capture(Duration::from_millis(400)), Ok(Capture::Nothing)));
    let waited = start.elapsed();
    assert!((400..4000).contains(&waited.as_millis()), "{waited:?}");
    let busy = Duration::from_nanos(used() - before);
    assert!(busy < Duration::from_millis(40), "{busy:?}");
}

#[test]
fn children_are_killed_and_reaped() {
    let folder = tempfile::tempdir().unwrap();
    // It ignores to be asked, and has a child of its own.
    let cases = [
        "exec sleep 1000",
        "trap '' TERM; sleep 1000 & sleep 1000",
        "cat /dev/zero",
        "sleep 1000 & exit 0",
        "kill -STOP $$",
    ];
    for (number, text) in cases.iter().enumerate() {
        let path = folder.path().join(number.to_string());
        let whole = format!("echo $$ > {}; {text}", path.display());
        let camera = command(&whole, &raw("rgb24:100x100"));
        let group = group_of(&path);
        std::thread::sleep(SHORT);
        assert!(processes_of(group).0 + processes_of(group).1 > 0, "{text}: not started");
        let start = Instant::now();
        drop(camera);
        assert!(start.elapsed() < Duration::from_secs(5), "{text}: {:?}", start.elapsed());
        let deadline = Instant::now() + Duration::from_secs(5);
        // Grandchildren are reaped by the system's first process, if it does that; ours is gone at once.
        assert!(!Path::new(&format!("/proc/{group}")).exists(), "{text}: the child is still there");
        while processes_of(group).0 > 0 {
            assert!(Instant::now() < deadline, "{text}: a grandchild lives");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn an_open_input_holds_nothing_up() {
    let (reader, writer) = io::pipe().unwrap();
    let content = Content::new(None, "-").unwrap();
    let camera = Stream::open("-".to_owned(), content, (reader.into(), None), None).unwrap();
    let start = Instant::now();
    drop(camera);
    assert!(start.elapsed() < Duration::from_secs(5));
    drop(writer);
}

#[test]
fn standard_input_ends_in_good_order() {
    use std::io::Write;
    let (reader, mut writer) = io::pipe().unwrap();
    let content = Content::new(None, "-").unwrap();
    let mut camera = Stream::open("-".to_owned(), content, (reader.into(), None), None).unwrap();
    writer.write_all(&jpeg(16, 16, 50)).unwrap();
    assert!(red(&mut camera).abs_diff(50) < 12);
    drop(writer);
    assert!(matches!(camera.capture(LONG), Ok(Capture::End)));
}
