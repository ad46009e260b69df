//! Cameras.

use std::path::Path;

use super::config_txt::ConfigTxt;
use super::machine::Access;
use super::{Finding, Machine};
use crate::camera::CameraAddress;

/// Looks at the camera that is wanted, or whether there is any.
pub(super) fn camera(machine: &Machine, wanted: Option<&CameraAddress>) -> Vec<Finding> {
    match wanted {
        Some(CameraAddress::Video(device)) => vec![video(machine, device)],
        Some(CameraAddress::Csi(_)) => csi(machine),
        Some(CameraAddress::File(path)) => vec![pictures(machine, path)],
        // A command, standard input and the test picture are no part of the machine.
        Some(_) => Vec::new(),
        None => vec![any(machine)],
    }
}

/// Devices of these drivers stand beside the cameras of a Raspberry Pi and are none.
const NO_CAMERAS: [&str; 4] = ["bcm2835-codec", "bcm2835-isp", "rpi-hevc-dec", "pispbe"];

/// Lists the video devices that may be cameras, each with its name.
fn cameras(machine: &Machine) -> Vec<(String, String)> {
    let number = |name: &str| name.strip_prefix("video").and_then(|n| n.parse::<u32>().ok());
    let mut found: Vec<(u32, String)> = machine
        .names("/sys/class/video4linux")
        .into_iter()
        .filter_map(|name| Some((number(&name)?, name)))
        .collect();
    found.sort();
    let card = |name: &str| machine.text(&format!("/sys/class/video4linux/{name}/name"));
    found
        .into_iter()
        .map(|(_, name)| (format!("/dev/{name}"), card(&name).unwrap_or_default()))
        .filter(|(_, card)| !NO_CAMERAS.iter().any(|other| card.starts_with(other)))
        .collect()
}

fn list(cameras: &[(String, String)]) -> String {
    let names = cameras.iter().map(|(device, card)| format!("{device} ({card})"));
    names.collect::<Vec<_>>().join(", ")
}

const PLUG: &str =
    "plug the camera in, and see the end of sudo dmesg for what the kernel says of it";

fn any(machine: &Machine) -> Finding {
    let found = cameras(machine);
    let Some((device, _)) = found.first() else {
        return Finding::note(
            "camera",
            "the kernel shows no camera",
            format!("{PLUG}; one on the board's own connector is csi://0 and not listed"),
        );
    };
    match machine.access(device) {
        Access::Closed(group) => closed(machine, device, group.as_deref()),
        _ => Finding::ok("camera", list(&found)),
    }
}

fn closed(machine: &Machine, device: &str, group: Option<&str>) -> Finding {
    let found = format!("{device} may not be used by {}", machine.user_name());
    Finding::problem("camera", found, machine.open_up(device, group))
}

fn video(machine: &Machine, device: &Path) -> Finding {
    let name = device.display().to_string();
    match machine.access(device) {
        Access::Open => {
            let known = cameras(machine).into_iter().find(|(device, _)| *device == name);
            let card = known.map_or(String::new(), |(_, card)| format!(" ({card})"));
            Finding::ok("camera", format!("{name}{card}"))
        }
        Access::Closed(group) => closed(machine, &name, group.as_deref()),
        Access::Missing => {
            let others = cameras(machine);
            let remedy = if others.is_empty() {
                PLUG.to_owned()
            } else {
                format!("{PLUG}, or give one of {}", list(&others))
            };
            Finding::problem("camera", format!("there is no {name}"), remedy)
        }
    }
}

fn csi(machine: &Machine) -> Vec<Finding> {
    let tools = ["rpicam-vid", "libcamera-vid", "gst-launch-1.0"];
    let mut findings = Vec::new();
    match tools.iter().find(|tool| machine.has_program(tool)) {
        Some(tool) => findings.push(Finding::ok("camera", format!("it is read by {tool}"))),
        None => findings.push(Finding::problem(
            "camera",
            format!("none of {} is installed", tools.join(", ")),
            "on a Raspberry Pi give sudo apt install rpicam-apps, on a Jetson sudo apt install gstreamer1.0-tools nvidia-l4t-gstreamer",
        )),
    }
    if let Some(config) = ConfigTxt::read(machine) {
        findings.extend(sensor(machine, &config));
    }
    findings
}

/// Looks whether the kernel of a Raspberry Pi has found a sensor: each has a node of the media system.
fn sensor(machine: &Machine, config: &ConfigTxt) -> Option<Finding> {
    let media = machine.names("/sys/class/video4linux");
    if media.iter().any(|name| name.starts_with("v4l-subdev")) {
        return None;
    }
    let detects = config.has_line("camera_auto_detect=1");
    let path = config.path;
    let remedy = if detects {
        "switch off, and push both ends of the ribbon cable in as far as they go, contacts as the board's manual shows".to_owned()
    } else {
        format!(
            "put camera_auto_detect=1 into {path} and restart, or the dtoverlay of a camera that is not detected"
        )
    };
    Some(Finding::problem("camera sensor", "the kernel has found none on the connector", remedy))
}

fn pictures(machine: &Machine, path: &Path) -> Finding {
    let name = path.display();
    match machine.reading(path) {
        Access::Open => Finding::ok("pictures", name.to_string()),
        Access::Closed(_) => Finding::problem(
            "pictures",
            format!("{name} may not be read by {}", machine.user_name()),
            format!("chmod a+rX {name}"),
        ),
        Access::Missing => Finding::problem(
            "pictures",
            format!("there is no {name}"),
            "give a picture, a folder of pictures or a .mjpg file",
        ),
    }
}
