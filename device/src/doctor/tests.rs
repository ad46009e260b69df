//! Machines that are made up, each with one thing wrong.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, SystemTime};

use lcam_models::onnx::encode_model;

use super::*;
use crate::tiny_model::tiny_model;

/// The files of a machine.
struct Files(tempfile::TempDir);

impl Files {
    /// A Raspberry Pi where all is well, with a USB camera and SPI.
    fn pi() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        for (path, text) in [
            ("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0"),
            ("proc/meminfo", "MemTotal:  3884028 kB\nMemFree: 1 kB\nMemAvailable:  3441516 kB\n"),
            ("proc/cmdline", "console=tty1 vt.global_cursor_default=0 rootwait"),
            ("proc/1/comm", "systemd\n"),
            ("run/systemd/timesync/synchronized", ""),
            ("sys/devices/platform/soc/soc:firmware/get_throttled", "0\n"),
            ("sys/class/thermal/thermal_zone0/temp", "48312\n"),
            ("sys/class/video4linux/video0/name", "HD Webcam: HD Webcam\n"),
            ("sys/class/video4linux/video10/name", "bcm2835-codec-decode\n"),
            ("sys/class/drm/card1-HDMI-A-1/status", "connected\n"),
            ("sys/class/drm/card1-HDMI-A-2/status", "disconnected\n"),
            ("sys/class/drm/version", "drm\n"),
            ("sys/module/spidev/parameters/bufsiz", "65536\n"),
            (
                "boot/firmware/config.txt",
                "dtparam=spi=on\ndtoverlay=vc4-kms-v3d\ncamera_auto_detect=1\n",
            ),
            ("etc/passwd", "root:x:0:0::/:/bin/sh\nlcam:x:12345:12346::/:/bin/false\n"),
            ("etc/group", "root:x:0:\nvideo:x:44:pi\nlcam:x:12346:\n"),
            ("etc/systemd/system/lcam-device.service", SERVICE),
            ("etc/systemd/system/multi-user.target.wants/lcam-device.service", SERVICE),
            ("etc/lcam-device/device.toml", ""),
            ("etc/lcam-device/token", "0123456789abcdef"),
            ("usr/bin/lcam-device", ""),
            ("usr/bin/rpicam-vid", ""),
            ("dev/video0", ""),
            ("dev/fb0", ""),
            ("dev/dri/card1", ""),
            ("dev/spidev0.0", ""),
            ("dev/gpiochip0", ""),
            ("var/lib/lcam-device/.keep", ""),
        ] {
            files.write(path, text);
        }
        fs::write(files.path("model.onnx"), encode_model(&tiny_model())).unwrap();
        files
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }

    fn machine(&self) -> Machine {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Machine::at(self.0.path(), User::This, now)
    }
}

const SERVICE: &str = include_str!("../../service/lcam-device.service");

/// What the service's example asks for.
fn wanted(input: &str, outputs: &[&str]) -> Wanted {
    Wanted {
        input: Some(input.parse().unwrap()),
        outputs: outputs.iter().map(|output| output.parse().unwrap()).collect(),
        model: Some("/model.onnx".into()),
        secrets: vec!["/etc/lcam-device/token".into()],
        folders: vec![WantedFolder {
            purpose: "state",
            path: "/var/lib/lcam-device".into(),
            free_bytes: 1,
        }],
    }
}

fn usual() -> Wanted {
    wanted("/dev/video0", &["board://pi-ili9341", "drm:", "fb:/dev/fb0", "file://out/%d.png"])
}

/// All that is not well.
fn complaints(machine: &Machine, wanted: &Wanted) -> Vec<Finding> {
    let all = examine(machine, wanted);
    for finding in &all {
        assert_eq!(finding.state == State::Ok, finding.remedy.is_none(), "{finding:?}");
        assert!(!finding.found.contains('\n'), "{finding:?}");
    }
    all.into_iter().filter(|finding| finding.state != State::Ok).collect()
}

#[test]
fn a_machine_where_all_is_well_has_no_complaints() {
    let files = Files::pi();
    assert_eq!(complaints(&files.machine(), &usual()), []);
    assert_eq!(complaints(&files.machine(), &Wanted::default()), []);
    let all = examine(&files.machine(), &usual());
    assert_eq!(all[0], Finding::ok("board", "Raspberry Pi 4 Model B Rev 1.4"));
    let found = |check: &str| all.iter().find(|f| f.check == check).unwrap().found.clone();
    assert_eq!(found("memory"), "3524 MB of 3977 are available");
    assert_eq!(found("camera"), "/dev/video0 (HD Webcam: HD Webcam)");
    assert_eq!(found("model"), "/model.onnx: 8x8, 3 classes");
}

/// A thing that is wrong, and what is said of it.
type Case = (fn(&Files), State, &'static str, &'static str);

#[test]
fn each_thing_that_is_wrong_is_told_with_its_remedy() {
    use State::{Note, Problem};
    let low = "the voltage is too low";
    let cases: &[Case] = &[
        (
            |f| f.write("proc/meminfo", "MemTotal: 430000 kB\nMemAvailable: 90000 kB\n"),
            Problem,
            "92 MB of 440",
            "without a desktop",
        ),
        (
            |f| f.remove("run/systemd/timesync/synchronized"),
            Note,
            "not compared with a server",
            "network",
        ),
        (
            |f| f.write("sys/devices/platform/soc/soc:firmware/get_throttled", "50005"),
            Problem,
            low,
            "supply",
        ),
        (
            |f| f.write("sys/devices/platform/soc/soc:firmware/get_throttled", "0x50000"),
            Note,
            "too low since the start",
            "supply",
        ),
        (
            |f| f.write("sys/devices/platform/soc/soc:firmware/get_throttled", "8"),
            Problem,
            "slowed down for heat",
            "cool",
        ),
        (|f| f.write("sys/class/thermal/thermal_zone0/temp", "84000"), Problem, "84 °C", "cool"),
        (
            |f| {
                f.remove("dev/video0");
                f.remove("sys/class/video4linux/video0");
            },
            Problem,
            "there is no /dev/video0",
            "dmesg",
        ),
        (
            |f| {
                f.remove("dev/video0");
                f.write("dev/video2", "");
                f.write("sys/class/video4linux/video2/name", "Cam");
                f.remove("sys/class/video4linux/video0");
            },
            Problem,
            "there is no /dev/video0",
            "give one of /dev/video2 (Cam)",
        ),
        (
            |f| {
                f.remove("dev/spidev0.0");
                f.write("boot/firmware/config.txt", "#dtparam=spi=on\n");
            },
            Problem,
            "there is no /dev/spidev0.0",
            "put dtparam=spi=on into /boot/firmware/config.txt",
        ),
        (|f| f.remove("dev/spidev0.0"), Problem, "there is no /dev/spidev0.0", "restart the board"),
        (
            |f| {
                f.remove("dev/spidev0.0");
                f.write(
                    "boot/firmware/config.txt",
                    "dtparam=spi=on\ndtoverlay=pitft28-resistive,rotate=90",
                );
            },
            Problem,
            "there is no /dev/spidev0.0",
            "dtoverlay=pitft28-resistive",
        ),
        (
            |f| f.write("sys/module/spidev/parameters/bufsiz", "4096"),
            Note,
            "short",
            "spidev.bufsiz=65536",
        ),
        (|f| f.remove("dev/gpiochip0"), Problem, "no /dev/gpiochip", "right board"),
        (
            |f| f.write("sys/class/drm/card1-HDMI-A-1/status", "disconnected"),
            Problem,
            "no display is connected",
            "plug",
        ),
        (|f| f.write("proc/812/comm", "labwc\n"), Problem, "labwc drives", "multi-user.target"),
        (|f| f.remove("dev/fb0"), Problem, "there is no /dev/fb0", "drm:"),
        (|f| f.write("proc/cmdline", "console=tty1"), Note, "cursor", "vt.global_cursor_default=0"),
        (|f| f.remove("model.onnx"), Problem, "there is no /model.onnx", "copy"),
        (
            |f| f.remove("etc/lcam-device/token"),
            Problem,
            "there is no /etc/lcam-device/token",
            "urandom",
        ),
        (|f| f.write("model.onnx", "half"), Problem, "not an ONNX model", "copy the file again"),
        (
            |f| f.remove("etc/systemd/system/lcam-device.service"),
            Note,
            "not installed",
            "device/PI.md",
        ),
        (
            |f| f.write("etc/passwd", "root:x:0:0::/:/bin/sh\n"),
            Problem,
            "there is no user lcam",
            "useradd",
        ),
        (
            |f| f.remove("usr/bin/lcam-device"),
            Problem,
            "there is no /usr/bin/lcam-device",
            "copy it",
        ),
        (
            |f| f.remove("etc/lcam-device/device.toml"),
            Problem,
            "there is no /etc/lcam-device/device.toml",
            "copy it",
        ),
        (
            |f| f.remove("etc/systemd/system/multi-user.target.wants/lcam-device.service"),
            Note,
            "does not start",
            "systemctl enable",
        ),
    ];
    let mut failures = Vec::new();
    for (spoil, state, found, remedy) in cases {
        let files = Files::pi();
        spoil(&files);
        let complaints = complaints(&files.machine(), &usual());
        let is_told = complaints.iter().any(|finding| {
            finding.state == *state
                && finding.found.contains(found)
                && finding.remedy.as_ref().is_some_and(|told| told.contains(remedy))
        });
        if !is_told {
            failures.push(format!("{found} / {remedy}: {complaints:#?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_clock_that_was_never_set_is_a_problem() {
    let files = Files::pi();
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let machine = Machine::at(files.0.path(), User::This, start);
    let told = complaints(&machine, &Wanted::default());
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].check == "clock" && told[0].state == State::Problem, "{told:?}");
}

#[test]
fn the_connectors_own_camera_needs_its_tool_and_its_sensor() {
    let files = Files::pi();
    let wanted = wanted("csi://0", &[]);
    let told = complaints(&files.machine(), &wanted);
    assert!(told.len() == 1 && told[0].found.contains("none on the connector"), "{told:?}");
    assert!(told[0].remedy.as_ref().unwrap().contains("ribbon"), "{told:?}");
    files.write("boot/firmware/config.txt", "camera_auto_detect=0\n");
    let told = complaints(&files.machine(), &wanted);
    assert!(told[0].remedy.as_ref().unwrap().contains("camera_auto_detect=1"), "{told:?}");
    files.write("sys/class/video4linux/v4l-subdev0/name", "imx708\n");
    assert_eq!(complaints(&files.machine(), &wanted), []);
    files.remove("usr/bin/rpicam-vid");
    let told = complaints(&files.machine(), &wanted);
    assert!(told[0].remedy.as_ref().unwrap().contains("rpicam-apps"), "{told:?}");
}

#[test]
fn what_the_services_user_may_not_do_is_told_with_the_group_that_may() {
    let files = Files::pi();
    let mode = |path: &str, mode| {
        fs::set_permissions(files.path(path), PermissionsExt::from_mode(mode)).unwrap();
    };
    let closed = ["dev/spidev0.0", "dev/gpiochip0", "dev/fb0", "dev/dri/card1", "dev/video0"];
    closed.into_iter().for_each(|path| mode(path, 0o660));
    mode("model.onnx", 0o600);
    let group = if rustix::process::geteuid().is_root() {
        chown(files.path("dev/video0"), None, Some(44)).unwrap();
        44
    } else {
        rustix::process::getegid().as_raw()
    };
    files.write("etc/group", &format!("root:x:0:\nvideo:x:{group}:pi\n"));
    let machine = files.machine().with_user("lcam").unwrap();
    let told = complaints(&machine, &usual());
    for path in closed.into_iter().chain(["model.onnx"]) {
        let expected = format!("/{path} may not be");
        assert!(told.iter().any(|finding| finding.found.contains(&expected)), "{path}: {told:#?}");
    }
    let camera = told.iter().find(|finding| finding.check == "camera").unwrap();
    let remedy = "sudo usermod -aG video lcam, then log in again or restart the service";
    assert_eq!(camera.remedy.as_deref(), Some(remedy));
    files.write("etc/group", &format!("root:x:0:\nvideo:x:{group}:pi,lcam\n"));
    let machine = files.machine().with_user("lcam").unwrap();
    let told = complaints(&machine, &usual());
    assert!(told.iter().all(|finding| finding.check != "camera"), "{told:#?}");
    assert!(files.machine().with_user("nobody-here").is_err());
}

#[test]
fn a_full_disk_is_a_problem() {
    let folder =
        WantedFolder { purpose: "events", path: "/events".into(), free_bytes: 200_000_000 };
    assert_eq!(files::space(&folder, 200_000_000).state, State::Ok);
    let told = files::space(&folder, 7_000_000);
    assert_eq!(told.state, State::Problem);
    assert_eq!(told.found, "/events: 7 MB are free");
    assert_eq!(told.remedy.as_deref(), Some("make room: 200 MB are needed"));
    let files = Files::pi();
    let impossible =
        WantedFolder { path: "/var/lib/lcam-device/a/b".into(), free_bytes: u64::MAX, ..folder };
    let wanted = Wanted { folders: vec![impossible], ..Wanted::default() };
    assert!(complaints(&files.machine(), &wanted)[0].found.contains("MB are free"));
}

#[test]
fn this_machine_is_looked_at_without_fear() {
    let machine = Machine::this(User::This);
    assert!(!examine(&machine, &usual()).is_empty());
    assert!(machine.exists(Path::new("/proc/meminfo")));
}

#[test]
fn each_board_is_told_its_own_way_to_spi() {
    let files = Files::pi();
    files.remove("boot/firmware/config.txt");
    files.remove("dev/spidev0.0");
    let remedies = || {
        let found = complaints(&files.machine(), &wanted("/dev/video0", &["board://pi-ili9341"]));
        found.into_iter().filter_map(|finding| finding.remedy).collect::<Vec<_>>().join("\n")
    };
    assert!(remedies().contains("device tree"), "{}", remedies());
    files.write("etc/nv_tegra_release", "# R35 (release), REVISION: 4.1\n");
    assert!(remedies().contains("jetson-io.py"), "{}", remedies());
}
