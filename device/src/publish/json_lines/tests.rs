use std::io::{BufRead, BufReader};

use super::*;
use crate::publish::testing::observation;

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{path:?} ends within a line");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn open(path: &Path, max_bytes: u64) -> FileLines {
    FileLines::open("jsonl:x".to_owned(), path.to_owned(), max_bytes).unwrap()
}

#[test]
fn a_file_holds_one_object_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seen.jsonl");
    let mut file = open(&path, 1_000_000);
    file.publish(&observation(1, Some(1))).unwrap();
    file.publish(&observation(2, None)).unwrap();
    let lines = lines(&path);
    assert_eq!(lines[0]["frame"], 1);
    assert_eq!(lines[0]["detected"]["label"], "tabby, tabby cat");
    assert_eq!(lines[0]["time"], 1_700_000_000.123);
    assert!(lines[1]["detected"].is_null());
}

#[test]
fn two_files_bound_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seen.jsonl");
    let mut file = open(&path, 2000);
    for frame in 1..=100 {
        file.publish(&observation(frame, Some(2))).unwrap();
        let bytes: u64 = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes <= 4000, "{bytes}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    let mut kept = lines(&folder.path().join("seen.jsonl.1"));
    kept.extend(lines(&path));
    let frames: Vec<u64> = kept.iter().map(|line| line["frame"].as_u64().unwrap()).collect();
    let first = frames[0];
    assert_eq!(frames, (first..=100).collect::<Vec<_>>(), "the newest are kept, none is missing");
}

#[test]
fn a_torn_line_spoils_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seen.jsonl");
    fs::write(&path, "{\"frame\":1}\n{\"fra").unwrap();
    open(&path, 1_000_000).publish(&observation(3, None)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["frame"], 3);
}

#[test]
fn a_file_that_was_moved_away_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("seen"), folder.path().join("moved"));
    let mut file = open(&path, 1_000_000);
    file.publish(&observation(1, None)).unwrap();
    fs::rename(&path, &moved).unwrap();
    file.publish(&observation(2, None)).unwrap();
    assert_eq!(
        (lines(&moved)[0]["frame"].as_u64(), lines(&path)[0]["frame"].as_u64()),
        (Some(1), Some(2))
    );
}

#[test]
fn goes_on_when_the_folder_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let path = inner.join("seen");
    let mut file = open(&path, 1_000_000);
    fs::remove_dir_all(&inner).unwrap();
    let error = file.publish(&observation(1, None)).unwrap_err().to_string();
    assert!(error.contains("cannot write") && error.contains("inner/seen"), "{error}");
    fs::create_dir(&inner).unwrap();
    file.publish(&observation(2, None)).unwrap();
    assert_eq!(lines(&path).len(), 1);
}

#[test]
fn refuses_what_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), "/dev/null".into()] {
        let refused = FileLines::open("jsonl:x".to_owned(), path, 1).unwrap_err();
        assert!(matches!(refused, PublishError::NoFile { .. }), "{refused}");
    }
    let missing = folder.path().join("no/such");
    let refused = FileLines::open("jsonl:x".to_owned(), missing, 1).unwrap_err();
    assert!(matches!(refused, PublishError::File { .. }), "{refused}");
}

#[test]
fn a_reader_that_stops_and_goes_on_sees_whole_lines() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut output = OutputLines::new("jsonl:-".to_owned(), writer.into());
    let mut sent = 0_u64;
    // Until the pipe is full.
    let stalled = loop {
        sent += 1;
        let start = Instant::now();
        let result = output.publish(&observation(sent, Some(1)));
        assert!(start.elapsed() < 2 * PATIENCE, "{:?}", start.elapsed());
        if let Err(error) = result {
            break error;
        }
        assert!(sent < 100_000);
    };
    assert!(matches!(stalled, PublishError::Stalled { .. }), "{stalled}");
    assert!(output.publish(&observation(0, None)).is_err());
    let mut reader = BufReader::new(reader);
    let mut frames = Vec::new();
    let mut line = String::new();
    for _ in 0..sent - 1 {
        line.clear();
        reader.read_line(&mut line).unwrap();
        frames.push(
            serde_json::from_str::<serde_json::Value>(&line).unwrap()["frame"].as_u64().unwrap(),
        );
    }
    output.publish(&observation(sent + 7, None)).unwrap();
    drop(output);
    for line in reader.lines() {
        frames.push(
            serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap()["frame"]
                .as_u64()
                .unwrap(),
        );
    }
    assert!(frames.is_sorted() && frames.last() == Some(&(sent + 7)), "{frames:?}");
}

#[test]
fn a_reader_that_went_is_an_error_and_no_signal() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut output = OutputLines::new("jsonl:-".to_owned(), writer.into());
    let error = output.publish(&observation(1, None)).unwrap_err();
    assert!(matches!(error, PublishError::Output { .. }), "{error}");
}
