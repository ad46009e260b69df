//! A board that is emulated: QEMU runs a real kernel with real drivers, and a test has its serial line and its monitor.
//!
//! `tests/emulated` prepares the folder that the variable `LCAM_EMULATED` names: the kernel, its first file system, the
//! device tree and the ARM program.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use image::RgbImage;
use serde_json::{Value, json};

/// How long anything may take: emulation is slow, and the machine that emulates may be busy.
const PATIENCE: Duration = Duration::from_secs(180);

/// Which board is emulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Board {
    /// QEMU's own: a virtio display, and a PL061 whose lines are an SPI bus and a button.
    Virt,
    /// A Raspberry Pi 3 B with its own SPI, I2C and display.
    Raspi3b,
}

impl Board {
    fn arguments(self) -> Vec<&'static str> {
        match self {
            Self::Virt => {
                let display = "virtio-gpu-pci,xres=640,yres=480,romfile=";
                vec![
                    "-M",
                    "virt",
                    "-cpu",
                    "cortex-a72",
                    "-m",
                    "768",
                    "-nic",
                    "none",
                    "-device",
                    display,
                ]
            }
            // QEMU's chip acknowledges what an SSD1306 is sent.
            Self::Raspi3b => vec!["-M", "raspi3b", "-device", "ssd0303,bus=i2c-bus.1,address=0x3c"],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Virt => "virt",
            Self::Raspi3b => "raspi3b",
        }
    }

    fn modules(self) -> &'static str {
        match self {
            Self::Virt => "virtio_pci,virtio_gpu,vivid,spi_gpio",
            Self::Raspi3b => "vivid,spi_bcm2835,i2c_bcm2835,i2c_dev",
        }
    }
}

/// A running machine. It ends with the test.
#[derive(Debug)]
pub(crate) struct Machine {
    process: Child,
    input: ChildStdin,
    output: Receiver<String>,
    monitor: BufReader<UnixStream>,
    folder: tempfile::TempDir,
    commands: usize,
}

fn prepared() -> PathBuf {
    std::env::var_os("LCAM_EMULATED").expect("tests/emulated sets LCAM_EMULATED").into()
}

impl Machine {
    /// Starts a machine that has these files, by name, in /host, and waits for its shell.
    pub(crate) fn start(board: Board, files: &[(&str, Vec<u8>)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let prepared = prepared();
        let (socket, first) = (folder.path().join("monitor"), folder.path().join("initrd"));
        fs::write(&first, first_files(&prepared, folder.path(), files)).unwrap();
        let append = format!(
            "console=ttyAMA0 rdinit=/init quiet loglevel=3 fbcon=map:9 vt.global_cursor_default=0 \
             spidev.bufsiz=128 vivid.n_devs=1 vivid.node_types=0x1 modules={}",
            board.modules()
        );
        let mut process = Command::new(prepared.join(format!("qemu-{}", board.name())))
            .args(board.arguments())
            .args(["-display", "none", "-no-reboot", "-serial", "stdio", "-append", &append])
            .arg("-kernel")
            .arg(prepared.join("vmlinuz"))
            .arg("-initrd")
            .arg(first)
            .arg("-dtb")
            .arg(prepared.join(format!("{}.dtb", board.name())))
            .args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-system-aarch64 is of the package qemu-system-arm");
        let input = process.stdin.take().unwrap();
        let output = lines(process.stdout.take().unwrap());
        let monitor = BufReader::new(connect(&socket));
        let mut machine = Self { process, input, output, monitor, folder, commands: 0 };
        machine.read_until("the machine is up");
        machine.ask_monitor("qmp_capabilities", json!({}));
        machine
    }

    fn read_until(&mut self, mark: &str) -> Vec<String> {
        let start = Instant::now();
        let mut lines = Vec::new();
        loop {
            let left = PATIENCE.saturating_sub(start.elapsed());
            match self.output.recv_timeout(left) {
                Ok(line) if line.contains(mark) => return lines,
                Ok(line) => lines.push(line),
                Err(error) => panic!("no {mark:?} on the serial line ({error}): {lines:#?}"),
            }
        }
    }

    /// Runs a command of the machine's shell that must succeed, and gives what it prints.
    pub(crate) fn shell(&mut self, command: &str) -> String {
        self.commands += 1;
        let mark = format!("end of {}: ", self.commands);
        // Parted, so that nothing that is echoed is taken for the end.
        let end = format!("code=$?; echo; echo \"end of\" \"{}: $code.\"", self.commands);
        writeln!(self.input, "{command}\n{end}").unwrap();
        let start = Instant::now();
        let mut printed = Vec::new();
        loop {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let line = self.output.recv_timeout(left);
            let line = line.unwrap_or_else(|error| panic!("{command}: {error}: {printed:#?}"));
            if let Some(status) = line.trim().strip_prefix(&mark) {
                assert_eq!(status, "0.", "{command}: {printed:#?}");
                // The empty line ends what a command has left without an end.
                if printed.last().is_some_and(String::is_empty) {
                    printed.pop();
                }
                return printed.join("\n");
            }
            printed.push(line.trim_end().to_owned());
        }
    }

    /// Gives the bytes of a file of the machine.
    pub(crate) fn read(&mut self, path: &str) -> Vec<u8> {
        let text = self.shell(&format!("gzip -c {path} | base64"));
        let mut unpack = Command::new("sh")
            .args(["-c", "base64 -d | gzip -d"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = unpack.stdin.take().unwrap();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let output = unpack.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success(), "{path} did not arrive whole");
        output.stdout
    }

    /// Starts the program in the background; what it says goes to a file.
    pub(crate) fn run(&mut self, arguments: &str) {
        self.shell(&format!(
            "/host/lcam-device run {arguments} >/tmp/log 2>&1 & echo $! >/tmp/pid"
        ));
    }

    /// What the program has said so far.
    pub(crate) fn log(&mut self) -> String {
        self.shell("cat /tmp/log")
    }

    /// The status that the program's page tells; `Null` as long as there is none.
    pub(crate) fn status(&mut self) -> Value {
        let page = "wget -q -O - http://127.0.0.1:8080/status.json || true";
        serde_json::from_str(&self.shell(page)).unwrap_or(Value::Null)
    }

    /// Asks the running program for something, as its page does.
    pub(crate) fn command(&mut self, json: &str) {
        self.shell(&format!(
            "wget -q -O - --header 'Content-Type: application/json' --post-data '{json}' http://127.0.0.1:8080/command"
        ));
    }

    /// Waits until the program's status is as it should be.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let status = self.status();
            if holds(&status) {
                return status;
            }
            if start.elapsed() > PATIENCE {
                panic!("not {what}: {status:#}\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits for the program to end by itself, and gives its exit code.
    pub(crate) fn wait(&mut self) -> i32 {
        self.shell("wait $(cat /tmp/pid); echo $? > /tmp/code");
        self.shell("cat /tmp/code").trim().parse().unwrap()
    }

    /// Ends the program by SIGTERM, and gives its exit code.
    pub(crate) fn stop(&mut self) -> i32 {
        self.shell("kill $(cat /tmp/pid)");
        self.wait()
    }

    /// Asks the emulator for something.
    pub(crate) fn ask_monitor(&mut self, what: &str, arguments: Value) -> Value {
        let mut request = json!({"execute": what, "arguments": arguments}).to_string();
        request.push('\n');
        self.monitor.get_mut().write_all(request.as_bytes()).unwrap();
        loop {
            let mut line = String::new();
            self.monitor.read_line(&mut line).unwrap();
            let answer: Value = serde_json::from_str(&line).unwrap();
            assert!(answer.get("error").is_none(), "{what}: {answer}");
            if let Some(value) = answer.get("return") {
                return value.clone();
            }
        }
    }

    /// What is on the machine's display.
    pub(crate) fn screen(&mut self) -> RgbImage {
        let path = self.folder.path().join("screen.png");
        self.ask_monitor("screendump", json!({"filename": path, "format": "png"}));
        image::open(&path).unwrap().into_rgb8()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes the archive that the kernel unpacks: the prepared one, and behind it the program and the test's own files.
fn first_files(prepared: &Path, folder: &Path, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let host = folder.join("files/host");
    fs::create_dir_all(&host).unwrap();
    fs::copy(prepared.join("lcam-device"), host.join("lcam-device")).unwrap();
    for (name, bytes) in files {
        fs::write(host.join(name), bytes).unwrap();
    }
    let pack = Command::new("sh")
        .args(["-c", "find . | cpio -o -H newc -R 0:0 --quiet"])
        .current_dir(folder.join("files"))
        .output()
        .unwrap();
    assert!(pack.status.success(), "{}", String::from_utf8_lossy(&pack.stderr));
    let mut archive = fs::read(prepared.join("initrd.gz")).unwrap();
    // Archives begin at multiples of four bytes.
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(pack.stdout);
    archive
}

/// Reads lines on a thread of its own, so that one can be waited for.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn connect(socket: &Path) -> UnixStream {
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                return stream;
            }
            Err(error) => assert!(start.elapsed() < PATIENCE, "{}: {error}", socket.display()),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
