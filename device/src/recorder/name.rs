//! Names of events: a number that orders them, the time and what was seen, for the eye.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The files of an event; the one that makes it whole is last.
pub(super) const EXTENSIONS: [&str; 4] = ["png", "jpg", "npy", "json"];

/// As many digits as sort by name for a hundred million events.
const DIGITS: usize = 8;
/// Characters of a label that a name takes.
const LABEL_LENGTH: usize = 32;
/// The last second of the year 9999, the last that RFC 3339 can write.
const LAST_SECOND: u64 = 253_402_300_799;

/// Writes a time in UTC by RFC 3339 with milliseconds: `2026-01-31T23:59:59.123Z`. Times before 1970 and after 9999 are
/// written as the nearest within.
#[must_use]
pub fn utc_time(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let within = UNIX_EPOCH + since.min(Duration::from_secs(LAST_SECOND));
    humantime::format_rfc3339_millis(within).to_string()
}

/// Makes a name without characters that a file system or a shell minds.
pub(super) fn name(number: u64, time: SystemTime, label: &str) -> String {
    let time = utc_time(time).replace(':', "-");
    let first = label.split(',').next().unwrap_or(label).trim();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let label: String = first.chars().take(LABEL_LENGTH).map(plain).collect();
    let label = label.trim_matches('-');
    let label = if label.is_empty() { "unnamed" } else { label };
    format!("{number:0DIGITS$}_{time}_{label}")
}

/// Reads a file's name: the event's name, its number and the extension. `None` for files that are none of an event's.
pub(super) fn parse(file: &str) -> Option<(&str, u64, &'static str)> {
    let (name, extension) = file.rsplit_once('.')?;
    let extension = EXTENSIONS.into_iter().find(|&known| known == extension)?;
    let mut parts = name.splitn(3, '_');
    let (number, time, label) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = number.len() >= DIGITS && number.bytes().all(|b| b.is_ascii_digit());
    // As in 2026-01-31T23-59-59.123Z.
    let is_time = time.len() == 24 && time.as_bytes()[10] == b'T' && time.ends_with('Z');
    let is_label =
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (is_number && is_time && is_label).then_some(())?;
    Some((name, number.parse().ok()?, extension))
}

/// Tells whether a file is one that [`lcam_models::atomic_file`] did not finish.
pub(super) fn is_unfinished(file: &str) -> bool {
    let rest = file.strip_prefix(".lcam-");
    rest.is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_number_time_and_label() {
        let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let name = name(42, time, "Ångström's / cat, tabby");
        assert_eq!(name, "00000042_2023-11-14T22-13-20.123Z_ngstr-m-s---cat");
        for extension in EXTENSIONS {
            let file = format!("{name}.{extension}");
            assert_eq!(parse(&file), Some((name.as_str(), 42, extension)));
        }
    }

    #[test]
    fn no_clock_is_too_wrong_for_a_name() {
        for (time, expected) in [
            (UNIX_EPOCH - Duration::from_secs(5), "1970-01-01T00:00:00.000Z"),
            (UNIX_EPOCH + Duration::from_secs(1 << 40), "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(utc_time(time), expected);
            let file = format!("{}.json", name(u64::MAX, time, "Ж"));
            assert_eq!(parse(&file).map(|(_, number, _)| number), Some(u64::MAX), "{file}");
        }
    }

    #[test]
    fn files_of_others_are_none_of_an_event() {
        for file in [
            "",
            "notes.txt",
            "photo.jpg",
            "00000042_2023-11-14T22-13-20.123Z_cat.txt",
            "00000042_2023-11-14T22-13-20.123Z_.json",
            "00000042_2023-11-14T22-13-20.123Z.json",
            "0000042_2023-11-14T22-13-20.123Z_cat.json",
            "00000042_yesterday_cat.json",
            "99999999999999999999999_2023-11-14T22-13-20.123Z_cat.json",
        ] {
            assert_eq!(parse(file), None, "{file}");
        }
        assert!(is_unfinished(".lcam-a1B2c3"));
        assert!(!is_unfinished(".lcam-configuration") && !is_unfinished("lcam-a1B2c3"));
    }
}
