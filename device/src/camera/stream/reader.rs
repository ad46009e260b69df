//! The thread that reads a stream, and where it leaves the newest frame.

use std::collections::VecDeque;
use std::io::PipeReader;
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};

use super::Content;
use crate::camera::mjpeg::Splitter;

/// How many bytes are read at once; a pipe of Linux holds so many.
const CHUNK: usize = 65_536;
/// How many bytes without a JPEG mean that none will come: twice the longest frame.
const MAX_SKIPPED: usize = 64 << 20;
/// How much of a child's last message is kept.
const MAX_WORDS: usize = 300;
/// How long the last message of a child is waited for after its output is closed.
const WORDS_PATIENCE: Duration = Duration::from_millis(200);

/// Why no more frames come.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// The stream was closed, so many bytes after the beginning of a frame.
    Closed { rest: usize },
    /// No JPEG is in so many bytes.
    NoFrames { skipped: usize },
    /// Reading failed.
    Failed(Errno),
}

/// What the slot has to give.
#[derive(Debug)]
pub(super) enum Taken {
    Frame(Vec<u8>),
    Nothing,
    End(Ending),
}

/// Where the newest frame lies.
#[derive(Debug, Default)]
pub(super) struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    newest: Option<Vec<u8>>,
    /// A buffer for the next frame.
    spare: Option<Vec<u8>>,
    frames: u64,
    broken: u64,
    words: VecDeque<u8>,
    ending: Option<Ending>,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Fields are set one by one: nothing is left half-changed by a thread that panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits at most for `patience`. The last frame comes before the end.
    pub(super) fn take(&self, patience: Duration) -> Taken {
        let is_empty = |state: &mut State| state.newest.is_none() && state.ending.is_none();
        let waited = self.changed.wait_timeout_while(self.lock(), patience, is_empty);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match (state.newest.take(), &state.ending) {
            (Some(frame), _) => Taken::Frame(frame),
            (None, Some(ending)) => Taken::End(ending.clone()),
            (None, None) => Taken::Nothing,
        }
    }

    /// Takes a frame's memory back for the next.
    pub(super) fn give_back(&self, frame: Vec<u8>) {
        self.lock().spare = Some(frame);
    }

    /// Counts the frames that came.
    pub(super) fn frames(&self) -> u64 {
        self.lock().frames
    }

    /// Counts the frames that broke off.
    pub(super) fn broken(&self) -> u64 {
        self.lock().broken
    }

    /// Gives the last line that a child wrote to its standard error.
    pub(super) fn last_words(&self) -> Option<String> {
        let words: Vec<u8> = self.lock().words.iter().copied().collect();
        let text = String::from_utf8_lossy(&words);
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
        Some(format!("its last words: {}", line.replace(char::is_control, " ")))
    }

    /// Leaves a frame, whether or not the last was taken, after so many broken ones in all; gives a buffer for the
    /// next.
    fn put(&self, frame: Vec<u8>, broken: u64) -> Vec<u8> {
        let mut state = self.lock();
        state.frames += 1;
        state.broken = broken;
        let older = state.newest.replace(frame);
        self.changed.notify_all();
        older.or_else(|| state.spare.take()).unwrap_or_default()
    }

    fn note(&self, words: &[u8]) {
        let mut state = self.lock();
        state.words.extend(words);
        let surplus = state.words.len().saturating_sub(MAX_WORDS);
        state.words.drain(..surplus);
    }

    fn end(&self, ending: Ending) {
        self.lock().ending = Some(ending);
        self.changed.notify_all();
    }
}

/// Makes frames of bytes.
#[derive(Debug)]
pub(super) struct Framer {
    slot: Arc<Slot>,
    content: Framing,
}

#[derive(Debug)]
enum Framing {
    Raw { frame: Vec<u8>, filled: usize, frame_bytes: usize },
    Mjpeg { splitter: Splitter, chunk: Vec<u8>, frame: Vec<u8> },
}

impl Framer {
    pub(super) fn new(content: Content, slot: Arc<Slot>) -> Self {
        let content = match content {
            Content::Raw(layout) => {
                let frame_bytes = layout.frame_bytes();
                Framing::Raw { frame: vec![0; frame_bytes], filled: 0, frame_bytes }
            }
            Content::Mjpeg => Framing::Mjpeg {
                splitter: Splitter::default(),
                chunk: vec![0; CHUNK],
                frame: Vec::new(),
            },
        };
        Self { slot, content }
    }

    /// Reads once, which blocks if nothing is there. Gives the ending when there is one.
    fn read(&mut self, output: &OwnedFd) -> Option<Ending> {
        let result = match &mut self.content {
            Framing::Raw { frame, filled, .. } => read(output, &mut frame[*filled..]),
            Framing::Mjpeg { chunk, .. } => read(output, &mut chunk[..]),
        };
        match result {
            Err(Errno::INTR | Errno::AGAIN) => None,
            Err(error) => Some(Ending::Failed(error)),
            Ok(0) => Some(self.close()),
            Ok(count) => self.take(count),
        }
    }

    /// Takes so many bytes that were read.
    fn take(&mut self, count: usize) -> Option<Ending> {
        match &mut self.content {
            Framing::Raw { frame, filled, frame_bytes } => {
                *filled += count;
                if *filled == *frame_bytes {
                    *frame = self.slot.put(mem::take(frame), 0);
                    frame.resize(*frame_bytes, 0);
                    *filled = 0;
                }
                None
            }
            Framing::Mjpeg { splitter, chunk, frame } => {
                splitter.feed(&chunk[..count]);
                split(splitter, frame, &self.slot);
                let skipped = splitter.skipped();
                (skipped > MAX_SKIPPED).then_some(Ending::NoFrames { skipped })
            }
        }
    }

    fn close(&mut self) -> Ending {
        let rest = match &mut self.content {
            Framing::Raw { filled, .. } => *filled,
            Framing::Mjpeg { splitter, frame, .. } => {
                let rest = splitter.pending();
                splitter.end();
                split(splitter, frame, &self.slot);
                rest
            }
        };
        Ending::Closed { rest }
    }
}

/// Leaves all whole frames in the slot.
fn split(splitter: &mut Splitter, frame: &mut Vec<u8>, slot: &Slot) {
    while splitter.next_frame(frame) {
        *frame = slot.put(mem::take(frame), splitter.broken());
    }
    slot.lock().broken = splitter.broken();
}

/// What the thread reads.
#[derive(Debug)]
pub(super) struct Reader {
    framer: Framer,
    output: OwnedFd,
    errors: Option<OwnedFd>,
    stopped: PipeReader,
}

impl Reader {
    pub(super) fn new(
        framer: Framer,
        output: OwnedFd,
        errors: Option<OwnedFd>,
        stopped: PipeReader,
    ) -> Self {
        Self { framer, output, errors, stopped }
    }

    /// Reads until the stream ends or the other end of `stopped` is closed.
    pub(super) fn run(mut self) {
        loop {
            let [stopped, output, errors] = self.wait();
            if stopped {
                return;
            }
            if errors {
                self.listen();
            }
            if output && let Some(ending) = self.framer.read(&self.output) {
                self.hear_out();
                return self.framer.slot.end(ending);
            }
        }
    }

    /// Waits for something to read; gives whether there is, from `stopped`, the output and the errors.
    fn wait(&self) -> [bool; 3] {
        let mut sources = vec![PollFd::new(&self.stopped, PollFlags::IN)];
        sources.push(PollFd::new(&self.output, PollFlags::IN));
        sources.extend(self.errors.as_ref().map(|errors| PollFd::new(errors, PollFlags::IN)));
        if poll(&mut sources, None).is_err() {
            return [false; 3];
        }
        let is_ready = |at: usize| sources.get(at).is_some_and(|it| !it.revents().is_empty());
        [is_ready(0), is_ready(1), is_ready(2)]
    }

    /// Reads what a child says.
    fn listen(&mut self) {
        let mut chunk = [0; 4096];
        match self.errors.as_ref().map(|errors| read(errors, &mut chunk)) {
            Some(Ok(count)) if count > 0 => self.framer.slot.note(&chunk[..count]),
            Some(Err(Errno::INTR | Errno::AGAIN)) => {}
            _ => self.errors = None,
        }
    }

    /// Waits for a child's last words after its output has ended, for a moment.
    fn hear_out(&mut self) {
        let deadline = Instant::now() + WORDS_PATIENCE;
        while let Some(errors) = &self.errors {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(left) = Timespec::try_from(left) else { return };
            let mut source = [PollFd::new(errors, PollFlags::IN)];
            match poll(&mut source, Some(&left)) {
                Ok(ready) if ready > 0 && Instant::now() < deadline => self.listen(),
                _ => return,
            }
        }
    }
}
