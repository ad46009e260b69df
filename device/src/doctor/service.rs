//! The service that starts the program with the board.

use super::machine::Access;
use super::{Finding, Machine};

/// Where units are, the user's own first.
const UNITS: [&str; 3] = [
    "/etc/systemd/system/lcam-device.service",
    "/usr/lib/systemd/system/lcam-device.service",
    "/lib/systemd/system/lcam-device.service",
];
const CHECK: &str = "service";

pub(super) fn examine(machine: &Machine) -> Vec<Finding> {
    let Some(unit) = UNITS.iter().find_map(|path| machine.text(path)) else {
        let found = "it is not installed: the program starts when somebody starts it";
        return vec![Finding::note(CHECK, found, "device/PI.md says how it is installed")];
    };
    let setting = |name: &str| {
        unit.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let mut findings = Vec::new();
    if let Some(user) = setting("User") {
        match machine.clone().with_user(user) {
            Ok(_) => {}
            Err(error) => findings.push(Finding::problem(
                CHECK,
                error.to_string(),
                format!("sudo useradd --system {user}"),
            )),
        }
    }
    let command: Vec<&str> = setting("ExecStart").unwrap_or_default().split_whitespace().collect();
    let configuration =
        command.iter().position(|&word| word == "--config").and_then(|at| command.get(at + 1));
    let files = [("program", command.first()), ("file of options", configuration)];
    for (what, path) in files {
        let Some(path) = path else { continue };
        if machine.reading(path) == Access::Missing {
            let found = format!("there is no {path}, the {what} that it starts with");
            findings.push(Finding::problem(
                CHECK,
                found,
                format!("copy it there, or change {}", UNITS[0]),
            ));
        }
    }
    let is_enabled =
        machine.exists("/etc/systemd/system/multi-user.target.wants/lcam-device.service");
    if findings.is_empty() && !is_enabled {
        let found = "it is installed and does not start with the board";
        findings.push(Finding::note(CHECK, found, "sudo systemctl enable --now lcam-device"));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "it starts with the board"));
    }
    findings
}
