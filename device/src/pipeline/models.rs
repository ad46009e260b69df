//! The thread that keeps the model: loads it, takes over a new one beside the running one, and never loses the last
//! that was good.
//!
//! A model file is copied into the state folder first and only the copy is used: what is tested is what is run, and a
//! file that is changed meanwhile does no harm. A copy that was never run on this device is tried in a process of its
//! own whose memory is limited, since running out of memory cannot be caught. The copy that passed replaces
//! `NAME.last-good`, which the program starts with if the file itself is damaged, as after a power cut.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use lcam_models::atomic_file::{self, WriteError};
use lcam_models::class::Labels;
use lcam_models::explained::ExplainedModel;
use lcam_models::onnx::tensor_proto::DataLocation;
use lcam_models::onnx::{TensorProto, decode_model};
use ring::digest::{Context, SHA256};

use super::Running;
use super::infer::NextEngine;
use super::shared::Shared;
use crate::engine::{Engine, LoadError};
use crate::journal::note;
use crate::status::Part;

/// How often the file is looked at. A file that was the same twice is taken for complete.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a model may take to load and run once in its trial: a large one on the smallest board takes half a minute.
const TRIAL_PATIENCE: Duration = Duration::from_secs(180);

/// Files above this are loaded nowhere but in a trial, whose memory is limited: the smallest boards have 512 MB.
const LARGE_MB: u64 = 150;
/// Bytes of a model that are copied before it is asked whether the program ends.
const COPIED_AT_ONCE: u64 = 1 << 20;

/// A model file could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file cannot be read.
    #[error("cannot read {path}: {problem}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: std::io::Error,
    },
    /// The file is larger than the memory that a model may take.
    #[error(
        "{path}: it has {found} MB, and a model may take {most} MB of memory; give more by --model-memory-mb"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in MB.
        found: u64,
        /// What it may take, in MB.
        most: u64,
    },
    /// The file names other files for its weights.
    #[error(
        "{0}: its weights are in other files (external data); a device takes one file: python -c \"import onnx; \
         onnx.save(onnx.load('MODEL.onnx'), 'WHOLE.onnx')\" makes one"
    )]
    Elsewhere(PathBuf),
    /// The trial of the file failed.
    #[error("{path}: {reason}")]
    Trial {
        /// The file.
        path: PathBuf,
        /// What the trial said.
        reason: String,
    },
    /// The file passed its trial and still cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Refuses at once what cannot be started with: a file that is no explained model, when no last good copy of it is in
/// `state`. Gives the labels of one that is. A file above 150 MB is not read: what is wrong with it, and what only a trial
/// shows, is told when it is tried.
///
/// # Errors
/// Returns why the file is of no use.
pub fn check_model(
    path: &Path,
    state: &Path,
    memory_mb: u64,
) -> Result<Option<Labels>, ModelError> {
    let read = || {
        if check_size(path, memory_mb)? > LARGE_MB {
            return Ok(None);
        }
        refuse_weights_elsewhere(path)?;
        let model = ExplainedModel::read(path).map_err(|error| ModelError::Load(error.into()))?;
        Ok(Some(model.metadata().labels.clone()))
    };
    match read() {
        Err(_) if has_last_good(path, state) => Ok(None),
        result => result,
    }
}

/// Tells whether a copy of the file is kept with which the program can start.
#[must_use]
pub fn has_last_good(path: &Path, state: &Path) -> bool {
    last_good(path, state).exists()
}

/// Gives a file's size in MB. Refuses what is no file, or too large to be loaded, before it is read.
fn check_size(path: &Path, most: u64) -> Result<u64, ModelError> {
    let read = |problem| ModelError::Read { path: path.to_owned(), problem };
    let data = fs::metadata(path).map_err(read)?;
    if !data.is_file() {
        return Err(read(io::Error::other("it is not a file; give an .onnx file")));
    }
    let found = data.len() / 1_000_000;
    if found > most {
        return Err(ModelError::TooLarge { path: path.to_owned(), found, most });
    }
    Ok(found)
}

/// Refuses a model whose weights are in other files: one file is copied. What is no model is told of elsewhere.
///
/// # Errors
/// Returns [`ModelError::Elsewhere`].
pub fn refuse_weights_elsewhere(path: &Path) -> Result<(), ModelError> {
    let model = fs::read(path).ok().and_then(|bytes| decode_model(bytes).ok());
    let graph = model.and_then(|model| model.graph).unwrap_or_default();
    let is_elsewhere = |tensor: &TensorProto| tensor.data_location() == DataLocation::External;
    if graph.initializer.iter().any(is_elsewhere) {
        return Err(ModelError::Elsewhere(path.to_owned()));
    }
    Ok(())
}

/// Gives the path of the last good copy of a file.
fn last_good(path: &Path, state: &Path) -> PathBuf {
    in_state(path, state, ".last-good")
}

fn in_state(path: &Path, state: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    state.join(name)
}

/// What is told of a file whose trial nobody waits for.
const BROKEN_OFF: &str = "its trial was broken off, as the program ends";

/// What tells one state of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let data = fs::metadata(path).ok()?;
        Some(Self { bytes: data.len(), modified: data.modified().ok(), inode: data.ino() })
    }
}

/// Tells whether the program is to end, so that nobody waits for a trial.
type Stops<'a> = &'a dyn Fn() -> bool;

/// The keeper of one model file.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    /// Where copies are kept.
    state: PathBuf,
    running: Running,
    /// The state of the file that was taken or refused last.
    known: Option<Stamp>,
}

impl Keeper {
    pub(super) fn new(path: PathBuf, state: PathBuf, running: Running) -> Self {
        Self { path, state, running, known: None }
    }

    fn last_good(&self) -> PathBuf {
        last_good(&self.path, &self.state)
    }

    /// Loads the model that the program starts with, and tells on the displays what is wrong with its file.
    ///
    /// It is given up as soon as `stops` says so.
    pub(super) fn start(&mut self, shared: &Shared, stops: Stops) -> Result<Engine, ModelError> {
        atomic_file::remove_temporary(&self.state);
        let (Loaded { engine, sha256 }, problem) = self.first(stops)?;
        if let Some(problem) = problem {
            shared.fail(Part::ModelFile, &format!("{problem}; the last good one runs"));
        }
        shared.status.lock().set_model(&self.path, sha256, &engine);
        Ok(engine)
    }

    /// Loads the file, or the last good copy of it when that fails; then also gives what is wrong with the file.
    fn first(&mut self, stops: Stops) -> Result<(Loaded, Option<ModelError>), ModelError> {
        let error = match self.take(stops) {
            Ok(loaded) => return Ok((loaded, None)),
            Err(error) => error,
        };
        match self.load(&self.last_good()) {
            Ok(loaded) => Ok((loaded, Some(error))),
            Err(_) => Err(error),
        }
    }

    /// Watches the file until the program ends.
    pub(super) fn watch(mut self, shared: &Shared, next: &NextEngine, reload: &AtomicBool) {
        let mut before = self.known.clone();
        while shared.sleep(LOOK_EVERY) {
            let stamp = Stamp::of(&self.path);
            let is_settled = stamp == before;
            let is_asked = reload.load(Ordering::Relaxed);
            before.clone_from(&stamp);
            if stamp.is_none() {
                let problem =
                    format!("{} is missing; the last good one runs on", self.path.display());
                shared.fail(Part::ModelFile, &problem);
                self.known = None;
            } else if is_settled && (is_asked || stamp != self.known) {
                reload.store(false, Ordering::Relaxed);
                match self.take(&|| shared.now().stopping) {
                    Ok(Loaded { engine, sha256 }) => {
                        shared.status.lock().set_model(&self.path, sha256, &engine);
                        next.put(engine, shared);
                        shared.recover(&Part::ModelFile);
                        note(&format!("model: {} runs now", self.path.display()));
                    }
                    Err(error) => {
                        let problem = format!("{error}; the last good one runs on");
                        shared.fail(Part::ModelFile, &problem);
                    }
                }
            }
        }
    }

    /// Copies, tries and loads the file, and keeps the copy.
    fn take(&mut self, stops: Stops) -> Result<Loaded, ModelError> {
        self.known = Stamp::of(&self.path);
        check_size(&self.path, self.running.model_memory_mb)?;
        let good = self.last_good();
        let read = |problem| ModelError::Read { path: self.path.clone(), problem };
        if is_same(&self.path, &good).map_err(read)? {
            return self.load(&good);
        }
        let candidate = in_state(&self.path, &self.state, ".candidate");
        if let Err(error) = self.copy_to(&candidate, stops) {
            if stops() {
                let reason = BROKEN_OFF.to_owned();
                return Err(ModelError::Trial { path: self.path.clone(), reason });
            }
            // A full disk is no reason not to look.
            note(&format!("the last good model cannot be kept: {error}"));
            return self.try_and_load(&self.path, stops);
        }
        let result = self.try_and_load(&candidate, stops);
        let kept = match &result {
            Ok(_) => fs::rename(&candidate, &good),
            Err(_) => fs::remove_file(&candidate),
        };
        if let Err(error) = kept {
            note(&format!("cannot rename {}: {error}", candidate.display()));
        }
        result
    }

    fn copy_to(&self, candidate: &Path, stops: Stops) -> Result<(), WriteError> {
        // What is wrong with the folder is told by the writing.
        let _ = fs::create_dir_all(&self.state);
        atomic_file::write_with(candidate, |target| {
            let mut source = File::open(&self.path)?;
            while io::copy(&mut source.by_ref().take(COPIED_AT_ONCE), target)? > 0 {
                if stops() {
                    return Err(io::Error::other(BROKEN_OFF));
                }
            }
            Ok(())
        })
    }

    fn try_and_load(&self, file: &Path, stops: Stops) -> Result<Loaded, ModelError> {
        try_out(&self.running, file, stops).map_err(|reason| {
            let copy = file.display().to_string();
            let reason = reason.replace(&format!("{copy}: "), "").replace(&copy, "the file");
            ModelError::Trial { path: self.path.clone(), reason }
        })?;
        self.load(file)
    }

    /// Loads a file on the processors that the network may use; its threads stay on those of their maker.
    fn load(&self, file: &Path) -> Result<Loaded, ModelError> {
        self.running.pin();
        let engine = Engine::load(file, self.running.execution)?;
        let problem = |problem| ModelError::Read { path: file.to_owned(), problem };
        Ok(Loaded { engine, sha256: sha256(file).map_err(problem)? })
    }
}

/// A model that is ready to run, and which it is.
#[derive(Debug)]
struct Loaded {
    engine: Engine,
    sha256: String,
}

/// Gives the SHA-256 of a file in hexadecimal, as `sha256sum` does.
fn sha256(path: &Path) -> io::Result<String> {
    let mut file = BufReader::new(File::open(path)?);
    let mut context = Context::new(&SHA256);
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            let digest = context.finish();
            return Ok(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        context.update(bytes);
        let length = bytes.len();
        file.consume(length);
    }
}

/// Loads a model and runs it once in a process of its own, whose memory is limited.
///
/// # Errors
/// Returns what the process said, or how it ended.
fn try_out(running: &Running, file: &Path, stops: Stops) -> Result<(), String> {
    let memory_mb = running.model_memory_mb;
    let mut child = Command::new(&running.program)
        .arg("try-model")
        .arg(file)
        .arg("--memory-mb")
        .arg(memory_mb.to_string())
        .arg("--precision")
        .arg(running.execution.precision.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("no trial is possible: {error}"))?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < TRIAL_PATIENCE && !stops() => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                if stops() {
                    return Err(BROKEN_OFF.to_owned());
                }
                return Err(format!("its trial took longer than {} s", TRIAL_PATIENCE.as_secs()));
            }
        }
    };
    if status.success() {
        return Ok(());
    }
    // An allocation that fails prints lines without end in no case: the pipe's 64 KiB are enough.
    let mut text = String::new();
    let _ = child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut text));
    let said = text.lines().next().unwrap_or_default().trim_start_matches("lcam-device: ");
    Err(match status.code() {
        Some(2) if !said.is_empty() => said.to_owned(),
        _ => format!("its trial with {memory_mb} MB of memory ended with {status} ({said})"),
    })
}

/// Compares two files; one that cannot be opened as the second is another.
fn is_same(file: &Path, other: &Path) -> io::Result<bool> {
    let mut file = BufReader::new(File::open(file)?);
    let Ok(other) = File::open(other) else { return Ok(false) };
    let mut other = BufReader::new(other);
    loop {
        let here = file.fill_buf()?;
        let there = other.fill_buf()?;
        let common = here.len().min(there.len());
        if here[..common] != there[..common] {
            return Ok(false);
        }
        if common == 0 {
            return Ok(here.len() == there.len());
        }
        file.consume(common);
        other.consume(common);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_the_same_to_the_last_byte() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let long = vec![7_u8; 100_000];
        let one = write("one", &long);
        assert_eq!(
            sha256(&write("abc", b"abc")).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "FIPS 180-2, B.1"
        );
        assert!(is_same(&one, &write("same", &long)).unwrap());
        assert!(!is_same(&one, &write("shorter", &long[1..])).unwrap());
        assert!(!is_same(&write("empty", &[]), &one).unwrap());
        assert!(!is_same(&one, &folder.path().join("missing")).unwrap());
        assert!(is_same(&folder.path().join("missing"), &one).is_err());
    }
}
