//! What every board needs: memory, a clock that is set, enough power, no heat.

use std::time::{Duration, SystemTime};

use super::{Finding, Machine};

/// What `run` may take with the shipped model at 640x480; device/tests/soak.rs holds it to that.
const NEEDED_MEMORY: u64 = 150_000_000;
/// 2025-01-01: this program is younger.
const EARLIEST: Duration = Duration::from_secs(1_735_689_600);
/// From 80 °C on a Raspberry Pi slows its processor down.
const HOT_MILLIDEGREES: i64 = 80_000;

pub(super) fn examine(machine: &Machine) -> Vec<Finding> {
    [board(machine), memory(machine), clock(machine)]
        .into_iter()
        .flatten()
        .chain(power(machine))
        .chain(temperature(machine))
        .collect()
}

fn board(machine: &Machine) -> Option<Finding> {
    let name = machine.text("/proc/device-tree/model")?;
    Some(Finding::ok("board", name))
}

fn memory(machine: &Machine) -> Option<Finding> {
    let text = machine.text("/proc/meminfo")?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    };
    let (all, free) = (value("MemTotal")?, value("MemAvailable")?);
    let megabytes = |bytes: u64| bytes / 1_000_000;
    let found = format!("{} MB of {} are available", megabytes(free), megabytes(all));
    if free >= NEEDED_MEMORY {
        return Some(Finding::ok("memory", found));
    }
    let needed = megabytes(NEEDED_MEMORY);
    let remedy = format!(
        "{needed} MB are needed: end other programs, or start without a desktop (sudo systemctl set-default multi-user.target)"
    );
    Some(Finding::problem("memory", found, remedy))
}

fn clock(machine: &Machine) -> Option<Finding> {
    let since = machine.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if since < EARLIEST {
        return Some(Finding::problem(
            "clock",
            "the time is not set",
            "connect it to a network and give sudo timedatectl set-ntp true: certificates and the names of events need the time",
        ));
    }
    // What systemd-timesyncd leaves there.
    let is_kept = machine.exists("/run/systemd/timesync");
    if is_kept && !machine.exists("/run/systemd/timesync/synchronized") {
        let remedy = "connect it to a network; until then the times of events may be wrong";
        return Some(Finding::note("clock", "the time was not compared with a server yet", remedy));
    }
    Some(Finding::ok("clock", "the time is set"))
}

/// What the firmware of a Raspberry Pi says of its supply, a bit each: now, and since the start 16 bits higher.
const UNDER_VOLTAGE: u32 = 1;
const SLOWED: u32 = 0b1110;

const SUPPLY: &str = "use the supply that the board's maker names, and a short thick cable";
const COOLING: &str = "cool the board, or spare power by max-fps";

fn power(machine: &Machine) -> Vec<Finding> {
    if let Some(bits) = machine
        .text("/sys/devices/platform/soc/soc:firmware/get_throttled")
        .and_then(|text| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok())
    {
        return throttled(bits);
    }
    let sensors = machine.names("/sys/class/hwmon");
    let volt = sensors
        .iter()
        .map(|name| format!("/sys/class/hwmon/{name}"))
        .find(|folder| machine.text(&format!("{folder}/name")).as_deref() == Some("rpi_volt"));
    let alarm = volt.and_then(|folder| machine.text(&format!("{folder}/in0_lcrit_alarm")));
    match alarm.as_deref().map(str::trim) {
        Some("1") => vec![Finding::problem("power", "the voltage is too low", SUPPLY)],
        Some(_) => vec![Finding::ok("power", "the voltage suffices")],
        None => Vec::new(),
    }
}

fn throttled(bits: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    if bits & UNDER_VOLTAGE != 0 {
        findings.push(Finding::problem("power", "the voltage is too low", SUPPLY));
    } else if bits >> 16 & UNDER_VOLTAGE != 0 {
        findings.push(Finding::note("power", "the voltage was too low since the start", SUPPLY));
    }
    if bits & SLOWED != 0 {
        let found = "the processor is slowed down for heat or low voltage";
        findings.push(Finding::problem("speed", found, format!("{COOLING}; {SUPPLY}")));
    } else if bits >> 16 & SLOWED != 0 {
        let found = "the processor was slowed down since the start";
        findings.push(Finding::note("speed", found, format!("{COOLING}; {SUPPLY}")));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("power", "the voltage suffices"));
    }
    findings
}

fn temperature(machine: &Machine) -> Option<Finding> {
    let zones = machine.names("/sys/class/thermal");
    let zones = zones.iter().filter(|name| name.starts_with("thermal_zone"));
    let degrees = zones.filter_map(|zone| {
        machine.text(&format!("/sys/class/thermal/{zone}/temp"))?.trim().parse::<i64>().ok()
    });
    let hottest = degrees.max()?;
    let found = format!("{} °C", hottest / 1000);
    if hottest >= HOT_MILLIDEGREES {
        return Some(Finding::problem("temperature", found, COOLING));
    }
    Some(Finding::ok("temperature", found))
}
