//! Displays: their devices, their lines, and what may stand in their way.

use std::path::Path;

use super::config_txt::ConfigTxt;
use super::machine::Access;
use super::{Finding, Machine};
use crate::gpio::{self, LineAddress};
use crate::panel::{DrmAddress, PanelAddress, SpiAddress};

/// Looks at what a display needs.
pub(super) fn examine(machine: &Machine, output: &PanelAddress) -> Vec<Finding> {
    match output {
        PanelAddress::Spi(spi) => spi_panel(machine, output, spi),
        PanelAddress::I2c(i2c) => vec![i2c_bus(machine, output, i2c.bus)],
        PanelAddress::Framebuffer(framebuffer) => {
            let device = framebuffer.device.display().to_string();
            let mut findings = vec![node(machine, output, &device, || framebuffer_remedy(machine))];
            findings.extend(console(machine, output));
            findings
        }
        PanelAddress::Drm(drm) => cards(machine, output, drm),
        PanelAddress::Board(reference) => match reference.read_board() {
            Ok(board) => {
                let mut findings = examine(machine, board.panel());
                let buttons = board.buttons().iter().map(|button| &button.line);
                findings.extend(lines(machine, output, buttons));
                findings
            }
            Err(error) => {
                let remedy = "give another board, or mend its file";
                vec![Finding::problem(output.to_string(), error.to_string(), remedy)]
            }
        },
        PanelAddress::File(_) | PanelAddress::Null(_) => Vec::new(),
    }
}

/// Looks at a device that must be there and open.
fn node(
    machine: &Machine,
    output: &PanelAddress,
    device: &str,
    missing: impl FnOnce() -> String,
) -> Finding {
    let check = output.to_string();
    match machine.access(device) {
        Access::Open => Finding::ok(check, format!("{device} is there and open")),
        Access::Closed(group) => {
            let found = format!("{device} may not be used by {}", machine.user_name());
            Finding::problem(check, found, machine.open_up(device, group.as_deref()))
        }
        Access::Missing => Finding::problem(check, format!("there is no {device}"), missing()),
    }
}

/// Overlays that make the kernel drive an SPI panel, so that nothing is left for this program.
const PANEL_OVERLAYS: [&str; 9] = [
    "fbtft",
    "hy28a",
    "hy28b",
    "mipi-dbi-spi",
    "piscreen",
    "pitft22",
    "pitft28-capacitive",
    "pitft28-resistive",
    "waveshare35a",
];

fn spi_panel(machine: &Machine, output: &PanelAddress, spi: &SpiAddress) -> Vec<Finding> {
    let device = format!("/dev/spidev{}.{}", spi.bus, spi.chip_select);
    let mut findings = vec![node(machine, output, &device, || spi_remedy(machine, spi.bus))];
    let all = [Some(&spi.data_command), spi.reset.as_ref(), spi.backlight.as_ref()];
    findings.extend(lines(machine, output, all.into_iter().flatten()));
    let limit = machine.text("/sys/module/spidev/parameters/bufsiz");
    if limit.is_some_and(|limit| limit.trim().parse().is_ok_and(|bytes: u32| bytes < 65_536)) {
        let found = "transfers on SPI are short";
        let remedy = "optional: spidev.bufsiz=65536 at the end of the line in cmdline.txt makes screens a little faster";
        findings.push(Finding::note(output.to_string(), found, remedy));
    }
    findings
}

fn spi_remedy(machine: &Machine, bus: u16) -> String {
    let Some(config) = ConfigTxt::read(machine) else {
        // NVIDIA's systems have this file.
        let way = if machine.exists("/etc/nv_tegra_release") {
            "by sudo /opt/nvidia/jetson-io/jetson-io.py"
        } else {
            "in the board's device tree, by the means of its maker"
        };
        return format!("turn SPI on {way}");
    };
    if let Some(overlay) = config.overlays().find(|name| PANEL_OVERLAYS.contains(name)) {
        return format!(
            "dtoverlay={overlay} in {} takes the panel: remove it and restart, or use fb:/dev/fb1 in place of spi:",
            config.path
        );
    }
    let line = if bus == 0 { "dtparam=spi=on" } else { "dtoverlay=spi1-1cs" };
    let is_on = if bus == 0 {
        config.is_on("spi")
    } else {
        config.overlays().any(|name| name.starts_with(&format!("spi{bus}-")))
    };
    if is_on {
        return format!(
            "{} turns SPI on: restart the board, and see that the number is one of ls /dev/spidev*",
            config.path
        );
    }
    let line = line.replace("spi1", &format!("spi{bus}"));
    format!("put {line} into {} and restart", config.path)
}

fn i2c_bus(machine: &Machine, output: &PanelAddress, bus: u16) -> Finding {
    let device = format!("/dev/i2c-{bus}");
    node(machine, output, &device, || {
        let Some(config) = ConfigTxt::read(machine) else {
            return "load the kernel's module: sudo modprobe i2c-dev; see ls /dev/i2c-* for the numbers".to_owned();
        };
        if config.is_on("i2c_arm") {
            return "i2c_arm is on: put i2c-dev into /etc/modules and restart".to_owned();
        }
        format!("put dtparam=i2c_arm=on into {} and restart", config.path)
    })
}

fn framebuffer_remedy(machine: &Machine) -> String {
    let others = machine
        .names("/dev")
        .into_iter()
        .filter(|name| name.strip_prefix("fb").is_some_and(|rest| rest.parse::<u32>().is_ok()));
    let others: Vec<String> = others.map(|name| format!("fb:/dev/{name}")).collect();
    if others.is_empty() {
        return "plug a display in and restart, or use drm:".to_owned();
    }
    format!("give one of {}", others.join(", "))
}

/// A console on the framebuffer draws over the picture.
fn console(machine: &Machine, output: &PanelAddress) -> Option<Finding> {
    let line = machine.text("/proc/cmdline")?;
    let is_off = |setting: &str| line.split_whitespace().any(|word| word.starts_with(setting));
    if is_off("fbcon=map:") || is_off("vt.global_cursor_default=0") {
        return None;
    }
    Some(Finding::note(
        output.to_string(),
        "the text console may draw its cursor over the picture",
        "put vt.global_cursor_default=0 consoleblank=0 at the end of the line in cmdline.txt",
    ))
}

/// Programs that drive displays themselves.
const DESKTOPS: [&str; 8] =
    ["Xorg", "gnome-shell", "kwin_wayland", "labwc", "sway", "wayfire", "weston", "Xwayland"];

fn cards(machine: &Machine, output: &PanelAddress, drm: &DrmAddress) -> Vec<Finding> {
    let check = output.to_string();
    let known = machine.names("/sys/class/drm");
    // As card1-HDMI-A-1.
    let connectors: Vec<&String> = known.iter().filter(|name| name.contains('-')).collect();
    let is_meant = |name: &&&String| {
        let (card, connector) = name.split_once('-').unwrap_or((name, ""));
        drm.connector.as_deref().is_none_or(|wanted| wanted == connector)
            && drm.card.as_deref().is_none_or(|path| path == Path::new("/dev/dri").join(card))
    };
    let connected = connectors.iter().filter(is_meant).find(|name| {
        let status = machine.text(&format!("/sys/class/drm/{name}/status"));
        status.is_some_and(|status| status.trim() == "connected")
    });
    let mut findings = Vec::new();
    findings.push(match connected {
        Some(name) => {
            let card = format!("/dev/dri/{}", name.split('-').next().unwrap_or_default());
            node(machine, output, &card, || "restart the board".to_owned())
        }
        None if connectors.is_empty() => Finding::problem(
            check.clone(),
            "there is no card with connectors",
            "on a Raspberry Pi put dtoverlay=vc4-kms-v3d into config.txt and restart",
        ),
        None => {
            let names: Vec<&str> = connectors.iter().map(|name| name.as_str()).collect();
            let found =
                format!("no display is connected to what is wanted of {}", names.join(", "));
            Finding::problem(check.clone(), found, "plug the display in and switch it on")
        }
    });
    if let Some(program) = desktop(machine) {
        findings.push(Finding::problem(
            check,
            format!("{program} drives the displays"),
            "end the desktop: sudo systemctl isolate multi-user.target, and for good sudo systemctl set-default multi-user.target",
        ));
    }
    findings
}

fn desktop(machine: &Machine) -> Option<&'static str> {
    let processes = machine.names("/proc").into_iter().filter(|name| name.parse::<u32>().is_ok());
    let running: Vec<String> =
        processes.filter_map(|process| machine.text(&format!("/proc/{process}/comm"))).collect();
    DESKTOPS.into_iter().find(|desktop| running.iter().any(|name| name == desktop))
}

/// Looks at GPIO lines, each by its name. Only the machine that this runs on can be asked for them.
fn lines<'a>(
    machine: &Machine,
    output: &PanelAddress,
    lines: impl Iterator<Item = &'a LineAddress>,
) -> Vec<Finding> {
    let check = || output.to_string();
    let lines: Vec<&LineAddress> = lines.collect();
    let chips: Vec<String> = machine
        .names("/dev")
        .into_iter()
        .filter(|name| name.starts_with("gpiochip"))
        .map(|name| format!("/dev/{name}"))
        .collect();
    if lines.is_empty() {
        return Vec::new();
    }
    if chips.is_empty() {
        let remedy = "this board has no GPIO lines that the kernel shows: is it the right board?";
        return vec![Finding::problem(check(), "there is no /dev/gpiochip", remedy)];
    }
    for chip in &chips {
        if let Access::Closed(group) = machine.access(chip) {
            let found = format!("{chip} may not be used by {}", machine.user_name());
            return vec![Finding::problem(check(), found, machine.open_up(chip, group.as_deref()))];
        }
    }
    if !machine.is_this() {
        return Vec::new();
    }
    let problem = |line: &LineAddress| match gpio::find(line) {
        Ok(known) if known.info.used => Some((
            format!("GPIO line {line} is in use by {:?}", known.info.consumer),
            "end that program, or remove its dtoverlay from config.txt".to_owned(),
        )),
        Ok(_) => None,
        Err(error) => {
            Some((error.to_string(), "is it the board that the output names?".to_owned()))
        }
    };
    let found = lines.into_iter().filter_map(problem);
    found.map(|(found, remedy)| Finding::problem(check(), found, remedy)).collect()
}
