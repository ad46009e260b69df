//! Text files that people write: options, boards, secrets.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// No such file is longer, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Reads a text file. Devices and pipes, which may never end, are refused, and what is too long.
///
/// # Errors
/// Returns what is wrong with the file.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let invalid = |problem: String| Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return invalid("it is not a file; give a text file".to_owned());
    }
    if found.len() > LONGEST {
        return invalid(format!(
            "it is longer than {LONGEST} bytes, which no file of this kind is"
        ));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    String::from_utf8(bytes)
        .or_else(|_| invalid("it is no text in UTF-8; save it as such".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_small_text_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "text").unwrap();
        assert_eq!(read(&path).unwrap(), "text");
        for (content, expected) in [(vec![b'a'; 70_000], "longer than"), (vec![0xff], "UTF-8")] {
            fs::write(&path, content).unwrap();
            assert!(read(&path).unwrap_err().to_string().contains(expected));
        }
        for path in ["/dev/zero", "/"] {
            assert!(read(Path::new(path)).unwrap_err().to_string().contains("not a file"));
        }
    }
}
