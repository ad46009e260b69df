//! What cameras are there, and what they offer.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lcam_models::preprocess::ImageSize;
use serde::Serialize;

use super::formats::{self, Code, OfferedFormat, OfferedSizes};
use super::kernel::{Capability, FrameSize};
use super::sys::Node;

/// The most entries of a driver's list that are read: a driver that never ends its list is no reason to hang.
const MAX_LISTED: u32 = 256;

/// A camera of this machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FoundCamera {
    /// The device, as `/dev/video0`.
    pub device: PathBuf,
    /// What it calls itself; empty if it does not tell.
    pub card: String,
    /// The driver's name; empty if the device cannot be opened.
    pub driver: String,
    /// What it offers, in the driver's order.
    pub formats: Vec<OfferedFormat>,
    /// Why it cannot be used, and what to do.
    pub problem: Option<String>,
}

/// Lists the cameras that are V4L2 devices, in the order of their numbers.
///
/// Devices that cannot be opened are listed with the reason. Devices that capture nothing, as decoders and the
/// metadata of USB cameras, are no cameras and are left out.
#[must_use]
pub fn list() -> Vec<FoundCamera> {
    list_in(Path::new("/dev"), Path::new("/sys/class/video4linux"))
}

fn list_in(devices: &Path, names: &Path) -> Vec<FoundCamera> {
    let entries = fs::read_dir(devices).into_iter().flatten().flatten();
    let number =
        |path: &Path| path.file_name()?.to_str()?.strip_prefix("video")?.parse::<u32>().ok();
    let mut found: Vec<(u32, PathBuf)> =
        entries.map(|entry| entry.path()).filter_map(|path| Some((number(&path)?, path))).collect();
    found.sort();
    found.into_iter().filter_map(|(_, device)| look_at(device, names)).collect()
}

/// Looks at a device; `None` if it is no camera.
fn look_at(device: PathBuf, names: &Path) -> Option<FoundCamera> {
    let mut camera = FoundCamera {
        card: device.file_name().map_or(String::new(), |name| card_name(&names.join(name))),
        device,
        driver: String::new(),
        formats: Vec::new(),
        problem: None,
    };
    let node = match Node::open(&camera.device) {
        Ok(node) => node,
        Err(error) => {
            camera.problem =
                Some(format!("it cannot be opened ({error}){}", crate::camera::remedy(&error)));
            return Some(camera);
        }
    };
    match node.capability() {
        Err(error) => camera.problem = Some(format!("it is no video device ({error})")),
        Ok(capability) if !captures(&capability) => return None,
        Ok(capability) => {
            camera.card = text(&capability.card);
            camera.driver = text(&capability.driver);
            let offered = formats(&node);
            camera.problem = match &offered {
                Ok(offered) => problem(offered),
                Err(error) => Some(format!("its formats cannot be read ({error})")),
            };
            camera.formats = offered.unwrap_or_default();
        }
    }
    Some(camera)
}

/// Reads the name that the kernel shows to everybody.
fn card_name(folder: &Path) -> String {
    fs::read_to_string(folder.join("name")).unwrap_or_default().trim().to_owned()
}

fn problem(offered: &[OfferedFormat]) -> Option<String> {
    if offered.iter().any(|format| format.is_usable) {
        return None;
    }
    let remedy =
        if formats::is_bare_sensor(offered) { "; it is a bare sensor: give csi://0" } else { "" };
    Some(format!("none of its formats can be used{remedy}"))
}

/// What a device says of itself.
#[derive(Debug)]
pub(super) struct About {
    pub(super) card: String,
    pub(super) driver: String,
}

/// Asks a device what it is; the error tells why it is no camera.
pub(super) fn about(node: &Node) -> Result<About, String> {
    let capability =
        node.capability().map_err(|error| format!("it is no video device ({error})"))?;
    if !captures(&capability) {
        let (card, driver) = (text(&capability.card), text(&capability.driver));
        return Err(format!(
            "{card} ({driver}) gives no pictures to mapped memory, as a camera does; lcam-device probe lists cameras"
        ));
    }
    Ok(About { card: text(&capability.card), driver: text(&capability.driver) })
}

/// Tells whether it gives pictures, one plane a buffer, to mapped memory.
fn captures(capability: &Capability) -> bool {
    /// `V4L2_CAP_VIDEO_CAPTURE`
    const CAPTURE: u32 = 1;
    /// `V4L2_CAP_STREAMING`
    const STREAMING: u32 = 0x0400_0000;
    /// `V4L2_CAP_DEVICE_CAPS`: the first field tells of the whole card, another of this device.
    const HAS_DEVICE_CAPS: u32 = 0x8000_0000;
    let all = capability.capabilities;
    let here = if all & HAS_DEVICE_CAPS == 0 { all } else { capability.device_caps };
    here & (CAPTURE | STREAMING) == CAPTURE | STREAMING
}

/// Asks a device for its formats and their sizes.
pub(super) fn formats(node: &Node) -> io::Result<Vec<OfferedFormat>> {
    let mut offered = Vec::new();
    for index in 0..MAX_LISTED {
        let Some(format) = node.format(index)? else { break };
        let code = Code(format.code);
        offered.push(OfferedFormat {
            code: code.to_string(),
            name: text(&format.description),
            is_usable: formats::encoding(code).is_some(),
            sizes: sizes(node, code)?,
            number: format.code,
        });
    }
    Ok(offered)
}

fn sizes(node: &Node, code: Code) -> io::Result<OfferedSizes> {
    let mut listed = Vec::new();
    for index in 0..MAX_LISTED {
        let Some(size) = node.frame_size(code.0, index)? else { break };
        match size_of_entry(&size) {
            OfferedSizes::Listed(sizes) => listed.extend(sizes),
            range => return Ok(range),
        }
    }
    Ok(if listed.is_empty() { OfferedSizes::Unknown } else { OfferedSizes::Listed(listed) })
}

fn size_of_entry(size: &FrameSize) -> OfferedSizes {
    /// `V4L2_FRMSIZE_TYPE_DISCRETE`
    const DISCRETE: u32 = 1;
    let [a, b, c, d, e, f] = size.numbers;
    if size.kind == DISCRETE {
        return OfferedSizes::Listed(vec![[a, b]]);
    }
    OfferedSizes::Between { least: [a, d], most: [b, e], step: [c, f] }
}

/// Gives the most pictures a second that a driver promises; `None` if it promises nothing.
pub(super) fn fastest(node: &Node, code: Code, size: ImageSize) -> io::Result<Option<f32>> {
    let mut fastest: Option<f32> = None;
    for index in 0..MAX_LISTED {
        let size = (size.width, size.height);
        let Some(interval) = node.frame_interval(code.0, size, index)? else { break };
        // A range tells its shortest interval first, and has one entry.
        let [first, ..] = interval.fractions;
        fastest = fastest.into_iter().chain(rate(first)).reduce(f32::max);
    }
    Ok(fastest)
}

/// Gives the rate of an interval in seconds, a fraction; `None` for what is no interval.
pub(super) fn rate([seconds, per]: [u32; 2]) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "rates need no more than 24 bits")]
    let rate = (f64::from(per) / f64::from(seconds)) as f32;
    (seconds > 0 && per > 0).then_some(rate)
}

/// Reads a text that ends with a zero or with its array.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).replace(char::is_control, " ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_of_nodes_that_cannot_be_used() {
        let devices = tempfile::tempdir().unwrap();
        let names = tempfile::tempdir().unwrap();
        for name in ["video10", "video2", "videotape", "null"] {
            fs::write(devices.path().join(name), "").unwrap();
        }
        std::os::unix::fs::symlink("nowhere", devices.path().join("video3")).unwrap();
        fs::create_dir(names.path().join("video3")).unwrap();
        fs::write(names.path().join("video3/name"), "HD Webcam\n").unwrap();
        let found = list_in(devices.path(), names.path());
        let paths: Vec<_> = found.iter().map(|camera| camera.device.file_name().unwrap()).collect();
        assert_eq!(paths, ["video2", "video3", "video10"]);
        assert_eq!(found[1].card, "HD Webcam");
        for (camera, expected) in
            found.iter().zip(["no video device", "cannot be opened", "no video device"])
        {
            let problem = camera.problem.as_deref().unwrap();
            assert!(problem.contains(expected), "{camera:?}");
        }
        assert_eq!(list_in(Path::new("/no/such/folder"), names.path()), []);
    }

    #[test]
    fn tells_cameras_from_other_devices() {
        let capability = |capabilities, device_caps| Capability {
            capabilities,
            device_caps,
            ..Capability::default()
        };
        // uvcvideo: the camera and its metadata; bcm2835-codec (memory to memory); an old driver.
        let cases = [
            (capability(0x84a0_0001, 0x0420_0001), true),
            (capability(0x84a0_0001, 0x04a0_0000), false),
            (capability(0x8420_4000, 0x0420_4000), false),
            (capability(0x0400_0001, 0), true),
            (capability(0x0100_0001, 0), false),
        ];
        for (capability, expected) in cases {
            assert_eq!(captures(&capability), expected, "{capability:x?}");
        }
    }

    #[test]
    fn reads_what_drivers_say() {
        assert_eq!(text(b"HD Webcam\0rest"), "HD Webcam");
        assert_eq!(text(b"full"), "full");
        assert_eq!(text(b"a\x1b[2Jb \xff\0"), "a [2Jb \u{fffd}");
        assert_eq!(rate([1, 30]), Some(30.0));
        assert_eq!(rate([1001, 30_000]).map(f32::round), Some(30.0));
        assert_eq!((rate([0, 30]), rate([1, 0])), (None, None));
        let entry = |kind, numbers| FrameSize { kind, numbers, ..FrameSize::default() };
        assert_eq!(
            size_of_entry(&entry(1, [640, 480, 9, 9, 9, 9])),
            OfferedSizes::Listed(vec![[640, 480]])
        );
        let range = OfferedSizes::Between { least: [16, 18], most: [1920, 1080], step: [2, 4] };
        assert_eq!(size_of_entry(&entry(3, [16, 1920, 2, 18, 1080, 4])), range);
    }
}
