//! What device/PI.md and device/service say is true: commands, addresses, options, files and wires.

use std::path::{Path, PathBuf};

use clap::Parser;

use super::Cli;
use super::run::Options;
use crate::board::{BoardReference, SHIPPED};
use crate::browser::BrowserAddress;
use crate::panel::PanelAddress;

const PAGE: &str = include_str!("../../PI.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The blocks of commands, a line each.
fn commands() -> impl Iterator<Item = &'static str> {
    PAGE.lines().filter_map(|line| line.strip_prefix("    "))
}

/// What stands between backticks outside of blocks.
fn quoted() -> Vec<&'static str> {
    let text = PAGE.lines().filter(|line| !line.starts_with("    "));
    text.filter(|line| !line.contains("```"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn its_commands_are_the_programs() {
    let all = commands().chain(quoted());
    let of_program = all.filter_map(|line| {
        let line = line.trim_start_matches("sudo ").trim_start_matches("./");
        line.strip_prefix("lcam-device ")
    });
    let mut known = 0;
    for line in of_program {
        let words = ["lcam-device"].into_iter().chain(line.split_whitespace());
        let parsed = Cli::try_parse_from(words);
        let is_help = parsed.as_ref().is_err_and(|error| !error.use_stderr());
        assert!(parsed.is_ok() || is_help, "{line}: {}", parsed.unwrap_err());
        known += 1;
    }
    assert!(known >= 6, "{known} commands");
}

#[test]
fn its_addresses_are_addresses() {
    let words = PAGE.split(|c: char| c.is_whitespace() || "`\"[],()".contains(c));
    let mut known = 0;
    for word in words {
        let result = if word.starts_with("board://") || word.starts_with("spi://") {
            word.parse::<PanelAddress>().map(|_| ()).map_err(|error| error.to_string())
        } else if word.starts_with("http://0.0.0.0") || word.starts_with("http://127.") {
            word.parse::<BrowserAddress>().map(|_| ()).map_err(|error| error.to_string())
        } else {
            continue;
        };
        assert_eq!(result, Ok(()), "{word}");
        if let Some(name) = word.strip_prefix("board://") {
            BoardReference::Shipped(name.to_owned()).read_board().unwrap();
        }
        known += 1;
    }
    assert!(known >= 8, "{known} addresses");
    let parameters = quoted().into_iter().filter_map(|text| text.split_once('='));
    for (name, value) in
        parameters.filter(|(name, _)| ["rotate", "mirror", "bgr", "invert"].contains(name))
    {
        let address = format!("spi://0.0?model=ili9341&dc=GPIO25&{name}={value}");
        address.parse::<PanelAddress>().unwrap();
    }
}

#[test]
fn its_wires_are_those_of_the_board() {
    let board = BoardReference::Shipped("pi-ili9341".to_owned()).read_board().unwrap();
    let address = board.panel().to_string();
    assert!(PAGE.contains(&format!("    {address}\n")), "{address} is not there");
    let wires = &board.notes()[0];
    let cells = |line: &'static str| line.split('|').map(str::trim).collect::<Vec<_>>();
    let rows = PAGE.lines().filter(|line| line.starts_with("| ")).map(cells);
    let rows: Vec<_> = rows.filter(|row| row.len() == 5 && row[2].parse::<u8>().is_ok()).collect();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let [module, pin, line] = [row[1], row[2], row[3]];
        let module = module.split(' ').next().unwrap();
        let place = wires.find(module).unwrap_or_else(|| panic!("{module} is not in {wires}"));
        let wire = wires[place..].split(',').next().unwrap();
        assert!(wire.contains(&format!("to pin {pin}")), "{module}: {wire}");
        let is_line = line.starts_with("GPIO") || line == "CE0";
        assert!(!is_line || wire.contains(line), "{module}: {wire}");
    }
    // The pins of the 40-pin header: what carries a line's number is that line.
    for (line, role) in [("GPIO25", "dc"), ("GPIO24", "reset"), ("GPIO18", "backlight")] {
        assert!(address.contains(&format!("{role}={line}")), "{address}");
    }
}

#[test]
fn its_options_and_the_services_are_options() {
    let example = PAGE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device.toml");
    std::fs::write(&path, example).unwrap();
    for file in [path, root().join("device/service/device.toml")] {
        let options = Options::read(&file).unwrap();
        options.check().unwrap();
        for output in &options.outputs {
            let is_page = output.starts_with("http:") && output.parse::<BrowserAddress>().is_ok();
            assert!(is_page || output.parse::<PanelAddress>().is_ok(), "{output}");
        }
        for address in &options.publish {
            address.parse::<crate::publish::PublishAddress>().unwrap();
        }
        assert!(options.input.is_some() && options.model.is_some());
    }
}

#[test]
fn its_files_are_there() {
    for path in [
        "cross/build",
        "tests/emulated",
        "device/boards/pi-ili9341.toml",
        "device/service/device.toml",
        "device/service/lcam-device.service",
        "models/efficientnet-lite0/efficientnet-lite0.onnx",
    ] {
        assert!(root().join(path).exists(), "{path}");
        let name = path.rsplit('/').next().unwrap();
        let is_named = PAGE.contains(name) || PAGE.contains(name.trim_end_matches(".toml"));
        assert!(is_named, "{name}");
    }
    assert!(SHIPPED.iter().any(|(name, _)| *name == "pi-ili9341"));
    let unit = include_str!("../../service/lcam-device.service");
    for word in ["/usr/bin/lcam-device", "/etc/lcam-device/device.toml", "User=lcam"] {
        assert!(unit.contains(word), "{word}");
        assert!(PAGE.contains(word.trim_start_matches("User=")), "{word}");
    }
}
