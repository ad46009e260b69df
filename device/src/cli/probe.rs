//! `lcam-device probe`.

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::console::{Console, one_line};
use crate::camera::{self, FoundCamera};
use crate::panel::{self, Found};

/// Lists the cameras, displays, buses and lines of this machine. Nothing is changed or taken.
#[derive(Debug, Args)]
pub(super) struct Probe {
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    cameras: Vec<FoundCamera>,
    devices: Vec<Device>,
}

/// A display, a bus or a chip.
#[derive(Debug, Serialize)]
struct Device {
    kind: String,
    path: String,
    /// What it has to offer.
    content: Vec<String>,
    /// Why it cannot be used, and what to do.
    problem: Option<String>,
}

impl From<Found> for Device {
    fn from(found: Found) -> Self {
        let (content, problem) = match found.content {
            Ok(content) => (content, None),
            Err(problem) => (Vec::new(), Some(problem)),
        };
        Self {
            kind: found.kind.to_string(),
            path: found.path.display().to_string(),
            content,
            problem,
        }
    }
}

impl Probe {
    pub(super) fn run(&self, console: &mut Console) -> Result<()> {
        let devices = panel::list().into_iter().map(Device::from).collect();
        let report = Report { cameras: camera::list(), devices };
        if self.json {
            return console.print(&serde_json::to_string(&report)?);
        }
        console.print(&report.lines().join("\n"))
    }
}

impl Report {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.cameras.is_empty() {
            lines.push(
                "no camera is found; those on a ribbon cable are csi://0 and not listed".to_owned(),
            );
        }
        for camera in &self.cameras {
            let problem: String =
                camera.problem.iter().map(|problem| format!(": {problem}")).collect();
            let (device, card, driver) = (camera.device.display(), &camera.card, &camera.driver);
            lines.push(one_line(&format!("camera {device} {card} ({driver}){problem}")));
            lines.extend(camera.formats.iter().map(|format| one_line(&format!("    {format}"))));
        }
        if self.devices.is_empty() {
            lines.push("no display, bus or GPIO chip is found".to_owned());
        }
        for device in &self.devices {
            let problem = device.problem.iter().map(|problem| format!(": {problem}"));
            let problem: String = problem.collect();
            lines.push(one_line(&format!("{} {}{problem}", device.kind, device.path)));
            lines.extend(device.content.iter().map(|line| format!("    {}", one_line(line))));
        }
        lines
    }
}
