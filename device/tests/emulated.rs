//! The ARM program on emulated boards, with a real kernel and real drivers: camera in, displays out, a button.
//!
//! `tests/emulated` prepares what is needed and runs these tests, which are left out otherwise. `LCAM_BLESS=1` writes the
//! golden screens anew; on a failure the screen lies in the temporary folder that the message names.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support {
    pub(crate) mod machine;
    pub(crate) mod trace;
}

use std::path::PathBuf;

use image::RgbImage;
use lcam_device::panel::sim::{DcsSim, OledSim, SimBus};
use lcam_device::panel::{ColorModel, Glass, OledSize};
use lcam_device::tiny_model::tiny_model;
use lcam_models::onnx::encode_model;
use serde_json::{Value, json};
use support::machine::{Board, Machine};
use support::trace::{Lines, play};

/// The camera writes the time into its picture: so much of a screen may differ.
const CLOCK_SHARE: f64 = 0.02;
/// Another picture of the clock moves the network's confidences a little.
const TOLERANCE: u8 = 24;

/// What all runs have in common.
const COMMON: &str =
    "http://127.0.0.1:8080 --model /host/tiny.onnx --state /tmp/state --class green";

/// Compares a screen with the golden one.
fn assert_golden(name: &str, screen: &RgbImage) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/emulated");
    let path = path.join(format!("{name}.png"));
    if std::env::var_os("LCAM_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        screen.save(&path).unwrap();
        return;
    }
    let golden = image::open(&path).unwrap().into_rgb8();
    let wrong = if golden.dimensions() == screen.dimensions() {
        let differs = |(a, b): (&image::Rgb<u8>, &image::Rgb<u8>)| {
            a.0.iter().zip(b.0).any(|(a, b)| a.abs_diff(b) > TOLERANCE)
        };
        let pixels = f64::from(screen.width() * screen.height());
        golden.pixels().zip(screen.pixels()).filter(|pair| differs(*pair)).count() as f64 / pixels
    } else {
        1.0
    };
    if wrong > CLOCK_SHARE {
        let drawn = std::env::temp_dir().join(format!("emulated-{name}.png"));
        screen.save(&drawn).unwrap();
        panic!("{name}: {:.1} % differs, see {}", wrong * 100.0, drawn.display());
    }
}

fn tiny() -> (&'static str, Vec<u8>) {
    ("tiny.onnx", encode_model(&tiny_model()))
}

fn count(status: &Value, name: &str) -> u64 {
    status[name].as_u64().unwrap_or(0)
}

#[test]
#[ignore = "tests/emulated prepares what it needs"]
fn a_camera_is_explained_on_framebuffer_and_display_card_whatever_the_clock_says() {
    let mut machine = Machine::start(Board::Virt, &[tiny()]);
    let probe: Value =
        serde_json::from_str(&machine.shell("/host/lcam-device probe --json")).unwrap();
    assert_eq!(probe["cameras"][0]["driver"], "vivid", "{probe:#}");
    for (output, name) in [("fb:/dev/fb0", "framebuffer"), ("drm:", "card")] {
        machine.run(&format!("/dev/video0 '{output}' {COMMON}"));
        let status = machine.until("looking", |status| count(status, "passes") > 3);
        // Of its own accord the driver gives 5 pictures a second of this size, and can 25.
        let camera = status["camera"].as_str().unwrap();
        assert!(camera.ends_with("640x480 YUYV at 25 pictures/s"), "{status:#}");
        assert_eq!(status["faults"], json!({}), "{status:#}");
        freeze(&mut machine, |machine| machine.command(r#"{"command":"freeze"}"#));
        assert_golden(name, &machine.screen());
        machine.command(r#"{"command":"freeze"}"#);
        machine.until("going on", |status| status["frozen"] == false);
        for time in ["2030-01-01 00:00", "2001-01-01 00:00"] {
            let passes = count(&machine.status(), "passes");
            machine.shell(&format!("date -s '{time}'"));
            let status = machine.until("going on", |s| count(s, "passes") > passes + 5);
            assert!(status["pass_rate"].as_f64().unwrap() > 0.0, "{status:#}");
            assert_eq!(status["faults"], json!({}), "the clock jumped: {status:#}");
        }
        let code = machine.stop();
        assert_eq!(code, 0, "{}", machine.log());
    }
}

/// Lets the kernel note what goes to displays on buses; `lines` are the numbers of their GPIO lines.
///
/// It notes the first 64 bytes of a transfer, and takes none below 128; so the program is told of another limit.
fn start_trace(machine: &mut Machine, lines: Lines) {
    machine.shell(
        "echo 64 >/tmp/limit && mount -o bind /tmp/limit /sys/module/spidev/parameters/bufsiz",
    );
    let Lines { data_command, reset, backlight } = lines;
    machine.shell(&format!(
        "cd /sys/kernel/tracing && echo 65536 >buffer_size_kb && echo 1 >events/spi/spi_transfer_start/enable \
         && echo 'gpio == {data_command} || gpio == {reset} || gpio == {backlight}' >events/gpio/gpio_value/filter \
         && echo 1 >events/gpio/gpio_value/enable && echo 1 >events/i2c/i2c_write/enable; cd /"
    ));
}

/// Takes what was noted, without an event lost, once nothing more is sent.
fn stop_trace(machine: &mut Machine) -> String {
    let written = |machine: &mut Machine| {
        machine.shell("sleep 2; grep -m 1 entries-written /sys/kernel/tracing/trace")
    };
    let mut before = written(machine);
    for _ in 0..60 {
        let now = written(machine);
        if now == before {
            break;
        }
        before = now;
    }
    machine.shell("echo 0 >/sys/kernel/tracing/tracing_on");
    let trace = String::from_utf8(machine.read("/sys/kernel/tracing/trace")).unwrap();
    // "# entries-in-buffer/entries-written: 12/12   #P:1"
    let counts = trace.lines().find_map(|line| line.split_once("entries-written: ")).unwrap().1;
    let (kept, written) = counts.split_whitespace().next().unwrap().split_once('/').unwrap();
    assert_eq!(kept, written, "events were lost");
    trace
}

/// Leaves the lines of some events.
fn only(trace: &str, events: &[&str]) -> String {
    let is_meant = |line: &&str| events.iter().any(|event| line.contains(event));
    trace.lines().filter(is_meant).flat_map(|line| [line, "\n"]).collect()
}

/// Freezes the picture, and waits until it is on every display.
fn freeze(machine: &mut Machine, press: impl FnOnce(&mut Machine)) {
    press(machine);
    let status = machine.until("frozen", |status| status["frozen"] == true);
    assert_eq!(status["faults"], json!({}), "{status:#}");
    // The frozen screen is sent once, and drawn again every second with nothing left to send.
    let screens = count(&status, "screens");
    machine.until("shown", |status| count(status, "screens") > screens + 6);
}

/// Gives what the panel shows, as it hangs: turned by a quarter.
fn panel_screen(trace: &str, lines: Lines) -> RgbImage {
    let bus = SimBus::new(DcsSim::new(Glass::usual(ColorModel::Ili9341, None), 64));
    let transfers = play(trace, lines, &bus);
    assert!(transfers > 2000, "{transfers} transfers");
    assert!(bus.is_lit());
    image::imageops::rotate270(&bus.chip(|chip| chip.seen()))
}

#[test]
#[ignore = "tests/emulated prepares what it needs"]
fn a_camera_is_explained_on_a_panel_until_a_button_freezes_it() {
    let board = "description = \"a panel and a button on the emulated board's GPIO lines\"\n\
        panel = \"spi://0.0?model=ili9341&dc=gpiochip0:4&reset=gpiochip0:5&backlight=gpiochip0:6&rotate=90\"\n\
        [[button]]\nlabel = \"power\"\nline = \"gpiochip0:3\"\naction = \"freeze\"\nactive-low = false\n";
    let mut machine = Machine::start(Board::Virt, &[tiny(), ("board.toml", board.into())]);
    let base = machine.shell("cat /sys/class/gpio/gpiochip*/base").trim().parse::<u32>().unwrap();
    let lines = Lines { data_command: base + 4, reset: base + 5, backlight: base + 6 };
    start_trace(&mut machine, lines);
    machine.run(&format!("/dev/video0 board:///host/board.toml --max-fps 1 {COMMON}"));
    machine.until("looking", |status| count(status, "passes") > 3);
    freeze(&mut machine, |machine| {
        machine.ask_monitor("system_powerdown", json!({}));
    });
    let trace = stop_trace(&mut machine);
    assert_golden("panel", &panel_screen(&trace, lines));
    machine.ask_monitor("system_powerdown", json!({}));
    machine.until("going on", |status| status["frozen"] == false);
    let code = machine.stop();
    assert_eq!(code, 0, "{}", machine.log());
}

#[test]
#[ignore = "tests/emulated prepares what it needs"]
fn a_raspberry_pi_shows_a_camera_on_its_framebuffer_a_panel_and_an_oled() {
    let mut machine = Machine::start(Board::Raspi3b, &[tiny()]);
    let chip = "cat $(dirname $(grep -l pinctrl-bcm2835 /sys/class/gpio/gpiochip*/label))/base";
    let base = machine.shell(chip).trim().parse::<u32>().unwrap();
    // The lines of the board file.
    let lines = Lines { data_command: base + 25, reset: base + 24, backlight: base + 18 };
    start_trace(&mut machine, lines);
    let displays = "fb:/dev/fb0 board://pi-ili9341 board://pi-ssd1306";
    machine.run(&format!("/dev/video0 {displays} --max-fps 1 {COMMON}"));
    machine.until("looking", |status| count(status, "passes") > 3);
    freeze(&mut machine, |machine| machine.command(r#"{"command":"freeze"}"#));
    assert_golden("pi-framebuffer", &machine.screen());
    let trace = stop_trace(&mut machine);
    let spi = only(&trace, &[": gpio_value: ", ": spi_transfer_start: "]);
    assert_golden("pi-panel", &panel_screen(&spi, lines));
    let bus = SimBus::new(OledSim::new(OledSize::W128H64, 64));
    assert!(play(&only(&trace, &[": i2c_write: "]), lines, &bus) > 50);
    let oled = bus.chip(|chip| chip.seen());
    assert_golden("pi-oled", &oled);
    let code = machine.stop();
    assert_eq!(code, 0, "{}", machine.log());
}

#[test]
#[ignore = "tests/emulated prepares what it needs"]
fn a_camera_that_goes_and_comes_twenty_times_is_opened_each_time() {
    let mut machine = Machine::start(Board::Virt, &[tiny()]);
    machine.run(&format!("/dev/video0 {COMMON}"));
    let mut passes = count(&machine.until("looking", |s| count(s, "passes") > 0), "passes");
    for turn in 0..20 {
        machine.shell("echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind");
        let status = machine.until("missed", |status| status["faults"]["camera"].is_string());
        assert_eq!(status["camera"], "", "{turn}");
        machine.shell("echo vivid.0 >/sys/bus/platform/drivers/vivid/bind");
        let status = machine.until("seen again", |status| {
            status["faults"] == json!({}) && count(status, "passes") > passes
        });
        passes = count(&status, "passes");
    }
    let code = machine.stop();
    assert_eq!(code, 0, "{}", machine.log());
    let log = machine.log();
    assert_eq!(log.matches("works again").count(), 20, "{log}");
}
