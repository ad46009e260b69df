//! How the running program is: what it shows, how fast, and what is wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Serialize, Serializer};

use crate::control::DisplayMode;
use crate::engine::Engine;
use crate::observation::Observation;
use crate::timing::{Quantiles, Rate, Stage};

/// A part of the program that can fail by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The camera.
    Camera,
    /// The passes of the model.
    Model,
    /// The model's file.
    ModelFile,
    /// A display, by its address.
    Panel(String),
    /// Where results go, by its address.
    Publisher(String),
    /// The recorder of events.
    Recorder,
    /// The buttons.
    Buttons,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Camera => f.write_str("camera"),
            Self::Model => f.write_str("model"),
            Self::ModelFile => f.write_str("model file"),
            Self::Panel(address) | Self::Publisher(address) => f.write_str(address),
            Self::Recorder => f.write_str("recorder"),
            Self::Buttons => f.write_str("buttons"),
        }
    }
}

impl Part {
    /// Leaves out of a problem the name that stands before it anyway.
    #[must_use]
    pub fn without_name<'a>(&self, problem: &'a str) -> &'a str {
        let name = self.to_string();
        problem.strip_prefix(&name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(problem)
    }
}

/// How the program is.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Seconds since the start.
    #[serde(rename = "uptime_seconds", serialize_with = "elapsed_seconds")]
    pub started: Instant,
    /// What the camera calls itself; empty while there is none.
    pub camera: String,
    /// The model's file name.
    pub model: String,
    /// The SHA-256 of the model that runs, in hexadecimal: which of several files of a name it is.
    pub model_sha256: String,
    /// In which numbers the network computes, with what runtime and how many threads.
    pub runtime: String,
    /// The labels of all classes, in the order of their numbers.
    #[serde(skip)]
    pub labels: Arc<[String]>,
    /// How many screens were shown, all displays together.
    pub screens: u64,
    /// How many frames the camera gave.
    pub frames: u64,
    /// When it gave the last one; told as an age.
    #[serde(rename = "last_frame_age_seconds", serialize_with = "elapsed_seconds_or_none")]
    pub last_frame: Option<Instant>,
    /// How many of them went through the network.
    pub passes: u64,
    /// Frames a second from the camera, over the last seconds.
    pub camera_rate: Rate,
    /// Passes a second, over the last seconds.
    pub pass_rate: Rate,
    /// Stage -> latency in milliseconds, over the last frames.
    pub latency_ms: BTreeMap<Stage, Quantiles>,
    /// The pixels of the largest display, whose latencies are told.
    #[serde(skip)]
    pub largest_panel: u32,
    /// What is wrong now, by part; empty when all is well.
    #[serde(serialize_with = "by_name")]
    pub faults: BTreeMap<Part, String>,
    /// How often something went wrong since the start.
    pub faults_since_start: u64,
    /// How the explanation is shown.
    pub mode: DisplayMode,
    /// Whether the picture is kept.
    pub frozen: bool,
    /// The last pass.
    pub observation: Option<Observation>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            camera: String::new(),
            model: String::new(),
            model_sha256: String::new(),
            runtime: String::new(),
            labels: Arc::from([]),
            screens: 0,
            frames: 0,
            last_frame: None,
            passes: 0,
            camera_rate: Rate::default(),
            pass_rate: Rate::default(),
            latency_ms: BTreeMap::new(),
            largest_panel: 0,
            faults: BTreeMap::new(),
            faults_since_start: 0,
            mode: DisplayMode::default(),
            frozen: false,
            observation: None,
        }
    }
}

impl Status {
    /// Notes which model runs and how.
    pub fn set_model(&mut self, path: &Path, sha256: String, engine: &Engine) {
        self.model_sha256 = sha256;
        let network = engine.network();
        self.model = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.runtime = format!(
            "{}, {}, {} threads",
            crate::engine::RUNTIME,
            network.arithmetic(),
            network.threads()
        );
        self.labels = engine.metadata().labels.iter().map(str::to_owned).collect();
    }

    /// Gives what is wrong in one line: the first fault, and how many more there are. `None` when all is well.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        let (part, problem) = self.faults.first_key_value()?;
        Some(match self.faults.len() {
            1 => format!("{part}: {problem}"),
            count => format!("{part}: {problem} (and {} more)", count - 1),
        })
    }
}

/// The status, as all threads share it.
#[derive(Clone, Debug, Default)]
pub struct SharedStatus(Arc<Mutex<Status>>);

impl SharedStatus {
    /// Locks it; keep it no longer than it takes to copy a value.
    pub fn lock(&self) -> MutexGuard<'_, Status> {
        // Nothing is left half-changed by a thread that panicked: fields are set one by one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is wrong with a part. Gives whether that is news: a fault that lasts is told once.
    pub fn fail(&self, part: Part, problem: &str) -> bool {
        let mut status = self.lock();
        let problem = part.without_name(problem);
        let is_new = status.faults.get(&part).is_none_or(|known| known != problem);
        if is_new {
            status.faults_since_start += 1;
            status.faults.insert(part, problem.to_owned());
        }
        is_new
    }

    /// Notes that a part works. Gives whether that is news.
    pub fn recover(&self, part: &Part) -> bool {
        self.lock().faults.remove(part).is_some()
    }
}

fn elapsed_seconds<S: Serializer>(start: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(start.elapsed().as_secs_f64())
}

fn elapsed_seconds_or_none<S: Serializer>(
    time: &Option<Instant>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(|time| time.elapsed().as_secs_f64()).serialize(serializer)
}

fn by_name<S: Serializer>(
    faults: &BTreeMap<Part, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(faults.iter().map(|(part, problem)| (part.to_string(), problem)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_lasts_is_told_once() {
        let status = SharedStatus::default();
        assert!(status.fail(Part::Camera, "gone"));
        assert!(!status.fail(Part::Camera, "gone"));
        assert!(status.fail(Part::Panel("fb:/dev/fb0".to_owned()), "no such device"));
        let json = serde_json::to_value(status.lock().clone()).unwrap();
        assert_eq!(json["faults"]["fb:/dev/fb0"], "no such device");
        assert_eq!(json["faults_since_start"], 2);
        assert!(status.recover(&Part::Camera) && !status.recover(&Part::Camera));
    }
}
