//! The running program: a camera, a network, displays, each on a thread of its own.
//!
//! ```text
//! camera ─► newest picture ─► network ─► newest insight ─► displays, publishers, recorder
//!                    └──────────────────────────────────────┘
//! ```
//!
//! Nothing is queued: each thread takes the newest of what it needs, so that the slowest sets nobody's pace. What can
//! fail by itself is opened anew once a second, and said on the displays meanwhile; the others go on.

mod capture;
mod detection;
mod infer;
mod models;
mod present;
mod publish;
mod shared;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lcam_models::class::ClassIndex;

pub use capture::OpenCamera;
pub use detection::Thresholds;
pub use models::{ModelError, check_model, has_last_good, refuse_weights_elsewhere};
pub use publish::OpenButtons;

use crate::camera::Camera;
use crate::control::{Command, DisplayMode};
use crate::engine::Execution;
use crate::journal::note;
use crate::panel::Panel;
use crate::processors::Processors;
use crate::publish::Publisher;
use crate::recorder::Recorder;
use crate::service::Service;
use crate::status::SharedStatus;
use infer::NextEngine;
use models::Keeper;
use present::Presenter;
use shared::Shared;

/// Opens a display, whatever it is.
pub type OpenPanel =
    Box<dyn FnMut() -> Result<Box<dyn Panel>, Box<dyn Error + Send + Sync>> + Send>;

/// How often the main thread looks at signals and at the others.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long threads may take to finish: a whole screen on the slowest bus takes a second.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// How the network runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// The threads of the network, and the numbers that it computes in.
    pub execution: Execution,
    /// The processors that they run on; all when there is none.
    pub processors: Option<Processors>,
    /// This program, which tries new models in a process of its own.
    pub program: PathBuf,
    /// The memory that such a trial may take, in millions of bytes.
    pub model_memory_mb: u64,
}

impl Running {
    /// Keeps the calling thread, and those that it will make, on the network's processors.
    fn pin(&self) {
        if let Some(processors) = &self.processors
            && let Err(error) = processors.pin()
        {
            note(&format!("the network runs on all processors: {error}"));
        }
    }
}

/// What is made of the network's answers.
#[derive(Clone, Copy, Debug)]
pub struct Looking {
    /// How many of the best classes are listed.
    pub top_k: usize,
    /// From when to when a class is named.
    pub thresholds: Thresholds,
    /// The share of the past in confidences and maps, 0 to below 1.
    pub smoothing: f32,
}

/// How many pictures are taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// The least time between two pictures.
    pub interval: Option<Duration>,
    /// Whether each picture goes through the network and to all displays before the next is taken.
    pub lockstep: bool,
    /// Whether a picture is shown with its own explanation alone: pictures that have nothing to do with one another,
    /// as those of a folder. A camera's newest picture is shown with the newest explanation, which is a pass older.
    pub paired: bool,
    /// How many pictures are taken before the program ends; without end when there is none.
    pub frames: Option<u64>,
}

/// A display.
pub struct Display {
    /// Its address, as faults name it.
    pub address: String,
    /// The display, if it is open already.
    pub panel: Option<Box<dyn Panel>>,
    /// Opens it, and opens it anew.
    pub open: OpenPanel,
}

impl fmt::Debug for Display {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Display").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A place that results go to.
#[derive(Debug)]
pub struct Publication {
    /// Its address, as faults name it.
    pub address: String,
    /// Sends them.
    pub publisher: Box<dyn Publisher>,
}

/// All parts of the program.
pub struct Parts {
    /// The model's file.
    pub model: PathBuf,
    /// The folder of the last good model.
    pub state: PathBuf,
    /// How the network runs.
    pub running: Running,
    /// What is made of its answers.
    pub looking: Looking,
    /// The class to explain in place of the predicted one, by name or number.
    pub target: Option<String>,
    /// Other classes that the model must have.
    pub classes: Vec<String>,
    /// The camera, if it is open already.
    pub camera: Option<Box<dyn Camera>>,
    /// Opens the camera, and opens it anew.
    pub open_camera: OpenCamera,
    /// How many pictures are taken.
    pub pace: Pace,
    /// The displays.
    pub displays: Vec<Display>,
    /// Where results go.
    pub publications: Vec<Publication>,
    /// Keeps events and snapshots.
    pub recorder: Option<Recorder>,
    /// The buttons.
    pub buttons: Option<OpenButtons>,
    /// What people ask for, of all displays and buttons.
    pub commands: Receiver<Command>,
    /// Another end of the same channel, for the buttons.
    pub command_sender: SyncSender<Command>,
    /// How the explanation is shown first.
    pub mode: DisplayMode,
    /// The status that displays and publishers tell of.
    pub status: SharedStatus,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("model", &self.model).finish_non_exhaustive()
    }
}

/// The program could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// There is no model to run, and no earlier one.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A class that was asked for is none of the model's.
    #[error(transparent)]
    Class(#[from] lcam_models::class::ClassError),
    /// The pictures ended as they should not, and there will be no more.
    #[error("{0}")]
    Input(Arc<str>),
    /// A thread ended while it was needed.
    #[error("the {name} thread ended by itself; this is a fault of the program")]
    Thread {
        /// Its name.
        name: String,
    },
    /// The system has no room for another thread.
    #[error("cannot start a thread: {0}")]
    Spawn(#[from] std::io::Error),
}

/// Runs until a signal, the end of the pictures or a fault of the program.
///
/// # Errors
/// Returns [`PipelineError`] when there is no model to run or a thread breaks off. What else fails is said on the
/// displays and tried again.
pub fn run(parts: Parts, service: &Service) -> Result<(), PipelineError> {
    let shared = Arc::new(Shared::new(
        parts.status.clone(),
        parts.displays.len(),
        parts.mode,
        parts.pace.paired,
    ));
    let mut crew = Crew { shared: Arc::clone(&shared), threads: Vec::new() };
    // Displays first: a person who switches the device on sees at once that it starts.
    for (index, display) in parts.displays.into_iter().enumerate() {
        let Display { address, panel, open } = display;
        let presenter = Presenter { index, address, open };
        crew.start("display", move |shared| presenter.run(&shared, panel))?;
    }
    let camera = (parts.camera, parts.open_camera, parts.pace);
    crew.start("camera", move |shared| capture::run(&shared, camera.0, camera.1, camera.2))?;
    for Publication { address, publisher } in parts.publications {
        crew.start("publisher", move |shared| publish::run(&shared, &address, publisher))?;
    }
    if let Some(recorder) = parts.recorder {
        crew.start("recorder", move |shared| publish::record(&shared, recorder))?;
    }
    if let Some(open) = parts.buttons {
        let sender = parts.command_sender;
        crew.start("buttons", move |shared| publish::listen(&shared, open, &sender))?;
    }
    let mut keeper = Keeper::new(parts.model, parts.state, parts.running.clone());
    let stops = || service.is_asked_to_stop();
    let first = keeper.start(&shared, &stops).map_err(PipelineError::from);
    let outcome = first.and_then(|engine| {
        let labels = &engine.metadata().labels;
        parts.classes.iter().try_for_each(|name| labels.find(name).map(|_| ()))?;
        let class = parts.target.as_deref().map(|name| labels.find(name)).transpose()?;
        shared.update(|now| now.view.target = class);
        let next = Arc::new(NextEngine::default());
        next.put(engine, &shared);
        let (running, looking) = (parts.running, parts.looking);
        let (given, taken) = (Arc::clone(&next), next);
        crew.start("network", move |shared| {
            running.pin();
            infer::run(&shared, &taken, &looking);
        })?;
        let reload = service.reload();
        crew.start("model", move |shared| keeper.watch(&shared, &given, &reload))?;
        service.ready();
        crew.attend(service, &parts.commands)
    });
    // Who is told to end while it starts has not failed.
    let outcome = if stops() { Ok(()) } else { outcome };
    service.stopping();
    crew.finish();
    outcome
}

/// The threads.
struct Crew {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    fn start(
        &mut self,
        name: &str,
        body: impl FnOnce(Arc<Shared>) + Send + 'static,
    ) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(name.to_owned());
        self.threads.push(thread.spawn(move || body(shared))?);
        Ok(())
    }

    /// Looks after the others until the program is to end.
    fn attend(&self, service: &Service, commands: &Receiver<Command>) -> Result<(), PipelineError> {
        let mut progress = Progress::default();
        loop {
            match commands.recv_timeout(LOOK_EVERY) {
                Ok(command) => obey(command, &self.shared),
                Err(RecvTimeoutError::Timeout) => {}
                // Nobody can ask for anything: no displays with buttons.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK_EVERY),
            }
            let now = self.shared.now();
            if service.is_asked_to_stop() || now.stopping || now.ended {
                return Ok(());
            }
            if let Some(problem) = now.lost {
                return Err(PipelineError::Input(problem));
            }
            if progress.is_made(&self.shared) {
                service.alive();
            }
            let ended = |thread: &&JoinHandle<()>| thread.is_finished();
            if let Some(thread) = self.threads.iter().find(ended) {
                // The camera's thread ends by itself just after it has said so.
                let now = self.shared.now();
                if now.ended || now.lost.is_some() {
                    continue;
                }
                let name = thread.thread().name().unwrap_or("a").to_owned();
                return Err(PipelineError::Thread { name });
            }
        }
    }

    /// Ends all threads; one that hangs in a driver is left behind.
    fn finish(self) {
        self.shared.stop();
        let start = Instant::now();
        let is_running = |thread: &JoinHandle<()>| !thread.is_finished();
        while self.threads.iter().any(is_running) && start.elapsed() < FINISH_WITHIN {
            std::thread::sleep(Duration::from_millis(5));
        }
        for thread in &self.threads {
            if is_running(thread) {
                let name = thread.thread().name().unwrap_or("a");
                note(&format!("the {name} thread hangs and is left behind"));
            }
        }
    }
}

/// Whether finished frames come out, as the watchdog asks.
#[derive(Debug, Default)]
struct Progress {
    passes: u64,
    screens: u64,
}

impl Progress {
    /// Tells whether a frame was finished since it was asked last: a pass, or, while there is nothing to look at, a
    /// screen that says so.
    fn is_made(&mut self, shared: &Shared) -> bool {
        let now = shared.now();
        let status = shared.status.lock();
        let passed = status.passes > self.passes;
        let idle = now.picture.is_none() || now.view.frozen;
        let shown = status.screens > self.screens || now.shown.is_empty();
        (self.passes, self.screens) = (status.passes, status.screens);
        passed || idle && shown
    }
}

/// Does what a person asks for.
fn obey(command: Command, shared: &Shared) {
    shared.update(|now| match command {
        Command::Freeze => now.view.frozen = !now.view.frozen && now.picture.is_some(),
        Command::NextMode => now.view.mode = now.view.mode.next(),
        Command::Mode(mode) => now.view.mode = mode,
        Command::Snapshot => now.snapshots += 1,
        Command::NextClass => now.view.target = next_class(now),
        Command::Explain(class) => now.view.target = class,
        Command::End => now.stopping = true,
    });
    let view = shared.now().view;
    let mut status = shared.status.lock();
    (status.mode, status.frozen) = (view.mode, view.frozen);
}

/// Gives the class after the explained one in the ranking; after the last that is listed the predicted one again.
fn next_class(now: &shared::Now) -> Option<ClassIndex> {
    let observation = &now.insight.as_ref()?.observation;
    let place = observation.top.iter().position(|entry| entry.class == observation.explained.class);
    let next = observation.top.get(place? + 1)?;
    Some(ClassIndex(next.class))
}
