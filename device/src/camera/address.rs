//! How cameras are written.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Every form of an address, for messages and help.
pub const FORMS: &str = "/dev/video0 or v4l2:///dev/video0, csi://0, a picture, folder or .mjpg file or \
                         file://PATH, pipe:COMMAND, - for standard input, test://bars";

/// Where pictures come from.
///
/// ```
/// use lcam_device::camera::CameraAddress;
///
/// let address: CameraAddress = "v4l2:///dev/video2".parse()?;
/// assert_eq!(address.to_string(), "/dev/video2");
/// # Ok::<(), lcam_device::camera::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CameraAddress {
    /// A device of the kernel's video system: `/dev/video0`, `v4l2:///dev/video0`; links below `/dev` too, as
    /// `/dev/v4l/by-id/...`.
    Video(PathBuf),
    /// A camera on the board's own connector, by the number that the vendor's tool gives it: `csi://0`.
    Csi(u32),
    /// A picture, a folder of pictures or an MJPEG file: `file://PATH` or the path alone. What stands there is the
    /// path as it is; `%20` is no space.
    File(PathBuf),
    /// What a shell command writes to its standard output: `pipe:COMMAND`.
    Pipe(String),
    /// What arrives on standard input: `-`.
    Stdin,
    /// The built-in test picture: `test://bars`.
    Bars,
}

/// A text is no camera's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no camera: {problem}; give {FORMS}")]
pub struct AddressError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub problem: AddressProblem,
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressProblem {
    /// There is no text.
    #[error("it is empty")]
    Empty,
    /// It begins like an address of an unknown kind.
    #[error("its kind is unknown")]
    Kind,
    /// After `csi://` comes no number.
    #[error("the number of the camera is missing")]
    CsiNumber,
    /// After `v4l2://` comes no path that begins with `/`.
    #[error("the path of the device is missing")]
    DevicePath,
    /// After `file://` comes nothing.
    #[error("the path is missing")]
    FilePath,
    /// After `pipe:` comes nothing.
    #[error("the command is missing")]
    Command,
    /// After `test://` comes something else than `bars`.
    #[error("there is no such test picture")]
    TestPicture,
}

impl FromStr for CameraAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).map_err(|problem| AddressError { text: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<CameraAddress, AddressProblem> {
    if text.trim().is_empty() {
        return Err(AddressProblem::Empty);
    }
    if text == "-" {
        return Ok(CameraAddress::Stdin);
    }
    if let Some(command) = text.strip_prefix("pipe:") {
        let is_empty = command.trim().is_empty();
        return if is_empty {
            Err(AddressProblem::Command)
        } else {
            Ok(CameraAddress::Pipe(command.to_owned()))
        };
    }
    match text.split_once("://") {
        Some(("v4l2", path)) if path.starts_with('/') => Ok(CameraAddress::Video(path.into())),
        Some(("v4l2", _)) => Err(AddressProblem::DevicePath),
        Some(("csi", number)) => {
            number.parse().map(CameraAddress::Csi).map_err(|_| AddressProblem::CsiNumber)
        }
        Some(("file", "")) => Err(AddressProblem::FilePath),
        Some(("file", path)) => Ok(CameraAddress::File(path.into())),
        Some(("test", "bars")) => Ok(CameraAddress::Bars),
        Some(("test", _)) => Err(AddressProblem::TestPicture),
        Some((kind, _)) if kind.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) => {
            Err(AddressProblem::Kind)
        }
        _ if text.starts_with("/dev/") => Ok(CameraAddress::Video(text.into())),
        _ => Ok(CameraAddress::File(text.into())),
    }
}

impl fmt::Display for CameraAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video(path) if path.starts_with("/dev/") => write!(f, "{}", path.display()),
            Self::Video(path) => write!(f, "v4l2://{}", path.display()),
            Self::Csi(number) => write!(f, "csi://{number}"),
            Self::File(path) => {
                let text = path.display().to_string();
                let is_plain = parse(&text).is_ok_and(|address| address == *self);
                write!(f, "{}{text}", if is_plain { "" } else { "file://" })
            }
            Self::Pipe(command) => write!(f, "pipe:{command}"),
            Self::Stdin => f.write_str("-"),
            Self::Bars => f.write_str("test://bars"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_and_writes_it_again() {
        let file = |path: &str| CameraAddress::File(path.into());
        let cases = [
            ("/dev/video0", CameraAddress::Video("/dev/video0".into()), "/dev/video0"),
            ("v4l2:///dev/video12", CameraAddress::Video("/dev/video12".into()), "/dev/video12"),
            ("v4l2:///tmp/cam", CameraAddress::Video("/tmp/cam".into()), "v4l2:///tmp/cam"),
            (
                "/dev/v4l/by-id/a",
                CameraAddress::Video("/dev/v4l/by-id/a".into()),
                "/dev/v4l/by-id/a",
            ),
            ("csi://1", CameraAddress::Csi(1), "csi://1"),
            ("file:///a/b c.jpg", file("/a/b c.jpg"), "/a/b c.jpg"),
            ("file://photos", file("photos"), "photos"),
            ("./a/../b.mjpg", file("./a/../b.mjpg"), "./a/../b.mjpg"),
            ("C: drive.png", file("C: drive.png"), "C: drive.png"),
            ("file://-", file("-"), "file://-"),
            ("file://pipe:x", file("pipe:x"), "file://pipe:x"),
            ("file:///dev/shm/a.png", file("/dev/shm/a.png"), "file:///dev/shm/a.png"),
            (
                "pipe:curl -s 'http://cam/?a=1&b=2'",
                CameraAddress::Pipe("curl -s 'http://cam/?a=1&b=2'".to_owned()),
                "pipe:curl -s 'http://cam/?a=1&b=2'",
            ),
            ("-", CameraAddress::Stdin, "-"),
            ("test://bars", CameraAddress::Bars, "test://bars"),
        ];
        for (text, address, written) in cases {
            assert_eq!(text.parse(), Ok(address.clone()), "{text}");
            assert_eq!(address.to_string(), written, "{text}");
            assert_eq!(written.parse(), Ok(address), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_address_and_lists_the_forms() {
        let cases = [
            ("", AddressProblem::Empty),
            ("rtsp://cam/1", AddressProblem::Kind),
            ("http://cam", AddressProblem::Kind),
            ("csi://", AddressProblem::CsiNumber),
            ("csi://front", AddressProblem::CsiNumber),
            ("csi://-1", AddressProblem::CsiNumber),
            ("v4l2://video0", AddressProblem::DevicePath),
            ("file://", AddressProblem::FilePath),
            ("pipe: ", AddressProblem::Command),
            ("test://snow", AddressProblem::TestPicture),
        ];
        for (text, problem) in cases {
            let error = text.parse::<CameraAddress>().unwrap_err();
            assert_eq!(error.problem, problem, "{text}");
            let message = error.to_string();
            assert!(message.contains("csi://0") && message.contains("test://bars"), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }
}
