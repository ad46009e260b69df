//! The running program with cameras and displays that do what a test wants: faults lose nothing and end in recovery or
//! a clear message.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::collections::VecDeque;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use embedded_graphics::geometry::Size;
use image::{Rgb, RgbImage};
use lcam_device::camera::{Camera, CameraError, Capture};
use lcam_device::control::{Command, DisplayMode};
use lcam_device::frame::Frame;
use lcam_device::panel::{Panel, PanelError};
use lcam_device::pipeline::{
    Display, Looking, Pace, Parts, PipelineError, Running, Thresholds, run,
};
use lcam_device::service::Service;
use lcam_device::status::{SharedStatus, Status};
use lcam_device::tiny_model::{CLASSES, SIDE, tiny_model};
use lcam_models::onnx::write_model;

/// What a camera does next.
#[derive(Clone, Debug)]
enum Step {
    /// Gives a picture of one of the tiny model's colours.
    Color(usize),
    /// Is unplugged.
    Lose,
    /// Has no more.
    End,
}

/// A camera that follows a script and then waits for more of it.
#[derive(Clone, Debug, Default)]
struct Script(Arc<Mutex<VecDeque<Step>>>);

impl Script {
    fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        Self(Arc::new(Mutex::new(steps.into_iter().collect())))
    }

    fn add(&self, step: Step) {
        self.0.lock().unwrap().push_back(step);
    }
}

impl Camera for Script {
    fn capture(&mut self, _patience: Duration) -> Result<Capture, CameraError> {
        // A camera of a hundred pictures a second.
        std::thread::sleep(Duration::from_millis(10));
        match self.0.lock().unwrap().pop_front() {
            Some(Step::Color(class)) => Ok(Capture::Picture(picture(class))),
            Some(Step::Lose) => Err(CameraError::Lost {
                camera: "script".to_owned(),
                reason: "unplugged by the test".to_owned(),
            }),
            Some(Step::End) => Ok(Capture::End),
            None => Ok(Capture::Nothing),
        }
    }

    fn description(&self) -> String {
        "a script".to_owned()
    }
}

/// A patch of a colour on black.
fn picture(class: usize) -> RgbImage {
    RgbImage::from_fn(4 * SIDE, 4 * SIDE, |x, y| {
        let mut pixel = [0; 3];
        if x < 2 * SIDE && y < 2 * SIDE {
            pixel[class] = 255;
        }
        Rgb(pixel)
    })
}

/// A display that remembers what it showed, and fails or dawdles on demand.
#[derive(Clone, Debug, Default)]
struct Screen(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    screens: usize,
    last: Option<RgbImage>,
    /// All screens that differ.
    known: Vec<RgbImage>,
    failures: usize,
    opened: usize,
    delay: Duration,
    keeps: bool,
}

impl Screen {
    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }
}

impl Panel for Screen {
    fn size(&self) -> Size {
        Size::new(160, 120)
    }

    fn keeps_screens(&self) -> bool {
        self.seen(|seen| seen.keeps)
    }

    fn show(&mut self, screen: &Frame) -> Result<(), PanelError> {
        let delay = self.seen(|seen| seen.delay);
        std::thread::sleep(delay);
        self.seen(|seen| {
            if seen.failures > 0 {
                seen.failures -= 1;
                let (expected, found) = (Size::zero(), self.size());
                return Err(PanelError::Size { panel: "test".to_owned(), expected, found });
            }
            seen.screens += 1;
            seen.last = Some(screen.as_image().clone());
            let known = &mut seen.known;
            if !known.contains(screen.as_image()) {
                known.push(screen.as_image().clone());
            }
            Ok(())
        })
    }

    fn description(&self) -> String {
        "a display of the test".to_owned()
    }
}

/// A running program.
struct Program {
    folder: tempfile::TempDir,
    status: SharedStatus,
    screens: Vec<Screen>,
    commands: SyncSender<Command>,
    service: Arc<Service>,
    thread: JoinHandle<Result<(), PipelineError>>,
}

/// What a test changes of the usual.
struct Setup {
    script: Script,
    screens: usize,
    /// Whether the displays are series of pictures.
    keeps: bool,
    pace: Pace,
    thresholds: Thresholds,
    /// What models are tried by.
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Setup {
    fn new(script: &Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_model(&folder.path().join("tiny.onnx"), &tiny_model()).unwrap();
        Self {
            script: script.clone(),
            screens: 1,
            keeps: false,
            pace: Pace::default(),
            thresholds: Thresholds::default(),
            program: PathBuf::from(env!("CARGO_BIN_EXE_lcam-device")),
            folder,
        }
    }

    fn start(self) -> Program {
        let screens: Vec<Screen> = (0..self.screens).map(|_| Screen::default()).collect();
        screens.iter().for_each(|screen| screen.seen(|seen| seen.keeps = self.keeps));
        let (command_sender, commands) = sync_channel(16);
        let status = SharedStatus::default();
        let script = self.script.clone();
        let parts = Parts {
            model: self.folder.path().join("tiny.onnx"),
            state: self.folder.path().join("state"),
            running: Running {
                execution: NonZeroUsize::MIN.into(),
                processors: None,
                program: self.program,
                model_memory_mb: 1024,
            },
            looking: Looking { top_k: 3, thresholds: self.thresholds, smoothing: 0.0 },
            target: None,
            classes: Vec::new(),
            camera: None,
            open_camera: Box::new(move || Ok(Box::new(script.clone()))),
            pace: self.pace,
            displays: screens.iter().enumerate().map(display).collect(),
            publications: Vec::new(),
            recorder: None,
            buttons: None,
            commands,
            command_sender: command_sender.clone(),
            mode: DisplayMode::Heat,
            status: status.clone(),
        };
        let service = Arc::new(Service::new().unwrap());
        let served = Arc::clone(&service);
        let thread = std::thread::spawn(move || run(parts, &served));
        Program { folder: self.folder, status, screens, commands: command_sender, service, thread }
    }
}

fn display((index, screen): (usize, &Screen)) -> Display {
    let screen = screen.clone();
    Display {
        address: format!("test:{index}"),
        panel: None,
        open: Box::new(move || {
            screen.seen(|seen| seen.opened += 1);
            Ok(Box::new(screen.clone()))
        }),
    }
}

impl Program {
    fn status(&self) -> Status {
        self.status.lock().clone()
    }

    /// Waits until something holds.
    fn until(&self, what: &str, holds: impl Fn(&Status) -> bool) {
        let start = Instant::now();
        while !holds(&self.status()) {
            assert!(start.elapsed() < Duration::from_secs(30), "not {what}: {:?}", self.status());
            assert!(!self.thread.is_finished(), "the program ended before {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn until_seen(&self, class: usize) {
        self.until(CLASSES[class], |status| {
            status.observation.as_ref().is_some_and(|o| o.top[0].label == CLASSES[class])
        });
    }

    fn stop(self) -> Result<(), PipelineError> {
        self.service.stop();
        self.thread.join().unwrap()
    }
}

fn model_fault(status: &Status) -> Option<&String> {
    status.faults.get(&lcam_device::status::Part::ModelFile)
}

#[test]
fn names_what_it_sees_and_says_when_it_ends() {
    let script = Script::of([Step::Color(1)]);
    let program = Setup::new(&script).start();
    program.until_seen(1);
    let observation = program.status().observation.unwrap();
    assert_eq!(observation.explained.label, "green");
    // The patch fills the upper left quarter.
    let [x, y] = observation.evidence_at;
    assert!(x < 0.5 && y < 0.5, "{x} {y}");
    script.add(Step::Color(2));
    program.until_seen(2);
    let screen = program.screens[0].clone();
    let live = screen.seen(|seen| seen.last.clone()).unwrap();
    program.stop().unwrap();
    let last = screen.seen(|seen| seen.last.clone()).unwrap();
    assert_ne!(last, live, "the last screen does not look live");
}

#[test]
fn ends_with_the_pictures_after_all_were_looked_at() {
    let steps = (0..30).map(|index| Step::Color(index % 3)).chain([Step::End]);
    let script = Script::of(steps);
    let mut setup = Setup::new(&script);
    setup.pace.lockstep = true;
    setup.screens = 2;
    let program = setup.start();
    let start = Instant::now();
    while !program.thread.is_finished() {
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", program.status());
        std::thread::sleep(Duration::from_millis(5));
    }
    let status = program.status();
    assert_eq!((status.frames, status.passes), (30, 30));
    assert_eq!(status.observation.as_ref().unwrap().frame, 30);
    assert!(program.screens.iter().all(|screen| screen.seen(|seen| seen.screens) >= 30));
    program.thread.join().unwrap().unwrap();
}

#[test]
fn unrelated_pictures_are_never_shown_with_one_anothers_explanation() {
    // Three pictures, each with its own name and map, make three screens: any other would be of two pictures.
    for lockstep in [true, false] {
        let script = Script::of((0..60).map(|index| Step::Color(index % 3)).chain([Step::End]));
        let mut setup = Setup::new(&script);
        (setup.pace.lockstep, setup.pace.paired) = (lockstep, true);
        let program = setup.start();
        program.thread.join().unwrap().unwrap();
        let known = program.screens[0].seen(|seen| seen.known.len());
        // Beside them the screens of the start and of the end; not in step, a picture may be left out.
        assert!((3..=5).contains(&known), "{known} different screens, in step: {lockstep}");
    }
}

#[test]
fn a_series_of_pictures_gets_the_screens_of_frames_alone_each_once() {
    let script = Script::of([]);
    let mut setup = Setup::new(&script);
    (setup.pace.lockstep, setup.pace.paired, setup.keeps) = (true, true, true);
    let program = setup.start();
    // Screens that say that it starts, and those that are renewed every second, have time to be shown.
    std::thread::sleep(Duration::from_millis(1200));
    (0..3).for_each(|class| script.add(Step::Color(class)));
    program.until("seen", |status| status.passes == 3);
    std::thread::sleep(Duration::from_millis(2200));
    script.add(Step::End);
    let screen = program.screens[0].clone();
    program.thread.join().unwrap().unwrap();
    assert_eq!(screen.seen(|seen| (seen.screens, seen.known.len())), (3, 3));
}

#[test]
fn a_camera_that_is_unplugged_is_said_and_opened_anew() {
    let script = Script::of([Step::Color(0), Step::Lose]);
    let program = Setup::new(&script).start();
    for turn in 1..=20 {
        program.until("told of", |status| status.faults.values().any(|f| f.contains("unplugged")));
        script.add(Step::Color(turn % 3));
        program.until_seen(turn % 3);
        program.until("well", |status| status.faults.is_empty());
        script.add(Step::Lose);
    }
    program.until("told of", |status| status.faults_since_start >= 21);
    program.stop().unwrap();
}

#[test]
fn a_camera_that_hangs_is_said_and_opened_anew() {
    let script = Script::of([Step::Color(0)]);
    let program = Setup::new(&script).start();
    program.until_seen(0);
    program.until("told of", |status| {
        status.faults.values().any(|fault| fault.contains("no picture came for"))
    });
    let status = program.status();
    assert!(status.camera_rate.per_second() == 0.0, "{status:?}");
    script.add(Step::Color(1));
    program.until_seen(1);
    program.until("well", |status| status.faults.is_empty());
    program.stop().unwrap();
}

#[test]
fn nobody_waits_for_the_trial_of_a_model_when_the_program_is_to_end() {
    let setup = Setup::new(&Script::of([Step::Color(0)]));
    let dawdler = setup.folder.path().join("dawdler");
    fs::write(&dawdler, "#!/bin/sh\ntouch \"$0.started\"\nexec sleep 60\n").unwrap();
    fs::set_permissions(&dawdler, PermissionsExt::from_mode(0o755)).unwrap();
    let program = Setup { program: dawdler.clone(), ..setup }.start();
    program.until("tried", |_| dawdler.with_extension("started").exists());
    let start = Instant::now();
    program.stop().unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_display_that_fails_is_opened_anew_and_the_others_go_on() {
    let script = Script::of([Step::Color(0)]);
    let mut setup = Setup::new(&script);
    setup.screens = 2;
    let program = setup.start();
    program.until_seen(0);
    let before = program.screens[1].seen(|seen| seen.screens);
    program.screens[0].seen(|seen| seen.failures = 2);
    script.add(Step::Color(1));
    program.until("told of", |status| {
        status.faults.iter().any(|(part, _)| part.to_string() == "test:0")
    });
    program.until("well again", |status| status.faults.is_empty());
    assert!(program.screens[0].seen(|seen| seen.opened) >= 2);
    assert!(program.screens[1].seen(|seen| seen.screens) > before);
    program.stop().unwrap();
}

#[test]
fn a_slow_display_slows_nobody() {
    let script = Script::of((0..100).map(|_| Step::Color(0)));
    let mut setup = Setup::new(&script);
    setup.screens = 2;
    let program = setup.start();
    program.screens[0].seen(|seen| seen.delay = Duration::from_millis(400));
    program.until("seen", |status| status.frames == 100 && status.passes > 20);
    let [slow, fast] = [0, 1].map(|index: usize| program.screens[index].seen(|seen| seen.screens));
    assert!(fast > 3 * slow, "{fast} {slow}");
    program.stop().unwrap();
}

#[test]
fn a_frozen_picture_is_explained_for_any_class_without_another_pass() {
    let script = Script::of([Step::Color(0)]);
    let program = Setup::new(&script).start();
    program.until_seen(0);
    program.commands.send(Command::Freeze).unwrap();
    program.until("frozen", |status| status.frozen);
    let passes = program.status().passes;
    script.add(Step::Color(2));
    program.commands.send(Command::NextClass).unwrap();
    program.until("explained", |status| {
        status.observation.as_ref().is_some_and(|o| o.explained.class != 0)
    });
    let status = program.status();
    assert_eq!(status.passes, passes, "from the same pass");
    assert_eq!(status.observation.unwrap().top[0].label, "red", "the new picture is not looked at");
    program.commands.send(Command::Freeze).unwrap();
    script.add(Step::Color(2));
    program.until_seen(2);
    program.commands.send(Command::NextMode).unwrap();
    program.until("shown otherwise", |status| status.mode == DisplayMode::Contour);
    program.stop().unwrap();
}

#[test]
fn a_bad_model_changes_nothing_and_a_good_one_is_taken_over() {
    let script = Script::of([Step::Color(0)]);
    let program = Setup::new(&script).start();
    program.until_seen(0);
    let model = program.folder.path().join("tiny.onnx");
    let good = fs::read(&model).unwrap();
    for bad in [&good[..good.len() / 2], b"", b"no model at all"] {
        fs::write(&model, bad).unwrap();
        program.until("refused", |status| model_fault(status).is_some());
        script.add(Step::Color(1));
        program.until_seen(1);
        script.add(Step::Color(0));
        program.until_seen(0);
        fs::write(&model, &good).unwrap();
        program.until("good again", |status| model_fault(status).is_none());
    }
    fs::remove_file(&model).unwrap();
    program.until("missed", |status| model_fault(status).is_some_and(|f| f.contains("missing")));
    // Another model of the same classes, in another order: taken over without an end.
    write_model(&model, &renamed()).unwrap();
    program.until("taken over", |status| status.labels[0] == "rot");
    script.add(Step::Color(0));
    program.until("seen by it", |status| {
        status.observation.as_ref().is_some_and(|o| o.top[0].label == "rot")
    });
    program.stop().unwrap();
}

/// The tiny model with German names.
fn renamed() -> lcam_models::onnx::ModelProto {
    let mut model = tiny_model();
    let mut metadata = lcam_models::metadata::Metadata::read(&model).unwrap();
    let names = ["rot", "grün", "blau"].map(str::to_owned).to_vec();
    metadata.labels = lcam_models::class::Labels::new(names);
    metadata.write(&mut model);
    model
}

#[test]
fn starts_with_the_last_good_model_after_a_power_cut() {
    let script = Script::of([Step::Color(0)]);
    let program = Setup::new(&script).start();
    program.until_seen(0);
    program.service.stop();
    let Program { folder, thread, .. } = program;
    thread.join().unwrap().unwrap();
    let model = folder.path().join("tiny.onnx");
    let half = fs::read(&model).unwrap();
    fs::write(&model, &half[..half.len() / 2]).unwrap();
    let setup = Setup { folder, ..Setup::new(&script) };
    script.add(Step::Color(2));
    let program = setup.start();
    program.until_seen(2);
    assert!(model_fault(&program.status()).unwrap().contains("last good"));
    program.stop().unwrap();
}

#[test]
fn without_any_good_model_it_ends_and_says_why() {
    let script = Script::default();
    let setup = Setup::new(&script);
    fs::write(setup.folder.path().join("tiny.onnx"), b"nothing").unwrap();
    let program = setup.start();
    let error = program.thread.join().unwrap().unwrap_err().to_string();
    assert!(error.contains("tiny.onnx") && !error.contains('\n'), "{error}");
    assert!(!Path::new(&program.folder.path().join("state/tiny.onnx.candidate")).exists());
}

#[test]
fn a_class_is_named_only_when_the_network_is_sure() {
    let script = Script::of([Step::Color(0)]);
    let mut setup = Setup::new(&script);
    setup.thresholds = Thresholds { enter: 1.0, leave: 1.0 };
    let program = setup.start();
    program.until_seen(0);
    let observation = program.status().observation.unwrap();
    assert!(observation.top[0].confidence < 1.0);
    assert_eq!(observation.detected, None);
    program.stop().unwrap();
}
