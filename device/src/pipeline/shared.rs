//! What the threads share: the newest picture, the newest insight, and how both are shown.
//!
//! Everything that moves through the program is one value, [`Now`], of which each thread sees the newest and never a
//! queue: a slow display skips what it had no time for and slows nobody.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use image::RgbImage;
use lcam_models::class::ClassIndex;
use lcam_models::map::ExplanationMap;
use lcam_models::preprocess::CropBox;

use crate::control::DisplayMode;
use crate::journal;
use crate::observation::Observation;
use crate::status::{Part, SharedStatus};

/// A picture of the camera.
#[derive(Debug)]
pub(super) struct Picture {
    /// Counts the pictures from 1; one is told from another by it.
    pub(super) number: u64,
    pub(super) pixels: RgbImage,
    pub(super) arrived: Instant,
    pub(super) time: SystemTime,
}

/// What one pass found out about one picture.
#[derive(Debug)]
pub(super) struct Insight {
    pub(super) picture: Arc<Picture>,
    pub(super) observation: Observation,
    /// The map of the explained class.
    pub(super) map: ExplanationMap,
    /// The part of the picture that the network saw.
    pub(super) crop: CropBox,
}

/// How the newest picture is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) mode: DisplayMode,
    pub(super) frozen: bool,
    /// The class to explain; the predicted one when there is none.
    pub(super) target: Option<ClassIndex>,
}

/// The newest of everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Now {
    /// Grows with every change.
    pub(super) generation: u64,
    pub(super) picture: Option<Arc<Picture>>,
    pub(super) insight: Option<Arc<Insight>>,
    pub(super) view: View,
    /// What a person in front of the display should know.
    pub(super) notice: Option<Arc<str>>,
    /// How many snapshots were asked for.
    pub(super) snapshots: u64,
    /// The last picture of all has arrived.
    pub(super) ended: bool,
    /// Why no more pictures come, if that is not as it should be.
    pub(super) lost: Option<Arc<str>>,
    /// A picture is shown with its own insight alone, and not with that of one before it.
    pub(super) paired: bool,
    /// The insight that each display has shown last, by the number of its picture.
    pub(super) shown: Vec<u64>,
    /// All threads are to finish.
    pub(super) stopping: bool,
}

impl Now {
    /// Gives the number of the picture that the newest insight is of; 0 before the first.
    pub(super) fn insight_number(&self) -> u64 {
        self.insight.as_ref().map_or(0, |insight| insight.picture.number)
    }

    /// Gives the picture to show: the newest, or, where pictures are paired, the one that the insight is of.
    pub(super) fn shown_picture(&self) -> Option<&Picture> {
        let newest = self.picture.as_deref();
        if !self.paired {
            return newest;
        }
        // A lost camera leaves neither.
        newest.and(self.insight.as_ref()).map(|insight| insight.picture.as_ref())
    }

    /// Tells whether a screen of this would look as one of `other`.
    pub(super) fn looks_as(&self, other: &Self) -> bool {
        let picture = |now: &Self| now.shown_picture().map(|picture| picture.number);
        let insight = |now: &Self| now.insight.as_ref().map(Arc::as_ptr);
        let rest = |now: &Self| (now.view, now.notice.clone(), now.stopping);
        picture(self) == picture(other)
            && insight(self) == insight(other)
            && rest(self) == rest(other)
    }

    /// Tells whether a picture went through the network and to all displays.
    pub(super) fn is_done_with(&self, number: u64) -> bool {
        self.view.frozen
            || self.insight_number() >= number && self.shown.iter().all(|&shown| shown >= number)
    }
}

/// What all threads hold.
#[derive(Debug, Default)]
pub(super) struct Shared {
    now: Mutex<Now>,
    changed: Condvar,
    pub(super) status: SharedStatus,
}

impl Shared {
    /// Begins with nothing seen, for so many displays.
    pub(super) fn new(
        status: SharedStatus,
        displays: usize,
        mode: DisplayMode,
        paired: bool,
    ) -> Self {
        status.lock().mode = mode;
        let view = View { mode, ..View::default() };
        let now = Now { shown: vec![0; displays], view, paired, ..Now::default() };
        Self { now: Mutex::new(now), changed: Condvar::new(), status }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        // Changes are plain assignments: none is half done when a thread panics.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the newest of everything.
    pub(super) fn now(&self) -> Now {
        self.lock().clone()
    }

    /// Changes something and wakes everybody who waits.
    pub(super) fn update(&self, change: impl FnOnce(&mut Now)) {
        let mut now = self.lock();
        change(&mut now);
        now.generation += 1;
        drop(now);
        self.changed.notify_all();
    }

    /// Waits until something holds, but no longer than `patience` and not beyond the program's end; gives the newest
    /// of everything then.
    pub(super) fn wait(&self, patience: Duration, until: impl Fn(&Now) -> bool) -> Now {
        let waits = |now: &mut Now| !now.stopping && !until(now);
        let (now, _) = self
            .changed
            .wait_timeout_while(self.lock(), patience, waits)
            .unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }

    /// Sleeps, but not beyond the program's end. Gives whether the program goes on.
    pub(super) fn sleep(&self, duration: Duration) -> bool {
        !self.wait(duration, |_| false).stopping
    }

    /// Notes which insight a display has shown. Wakes who waits for that alone: there is nothing new to show.
    pub(super) fn set_shown(&self, index: usize, number: u64) {
        let mut now = self.lock();
        if let Some(shown) = now.shown.get_mut(index) {
            *shown = number;
        }
        drop(now);
        self.changed.notify_all();
    }

    /// Notes what is wrong with a part: in the journal, in the status and on the displays.
    pub(super) fn fail(&self, part: Part, problem: &str) {
        let line = format!("{part}: {}", part.without_name(problem));
        if self.status.fail(part, problem) {
            journal::note(&line);
            self.renew_notice();
        }
    }

    /// Notes that a part works.
    pub(super) fn recover(&self, part: &Part) {
        if self.status.recover(part) {
            journal::note(&format!("{part}: works again"));
            self.renew_notice();
        }
    }

    /// Puts the first fault on the displays, and how many more there are.
    fn renew_notice(&self) {
        let notice = self.status.lock().notice().map(Arc::from);
        self.update(|now| now.notice = notice);
    }

    /// Asks all threads to finish.
    pub(super) fn stop(&self) {
        self.update(|now| now.stopping = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_a_change_with_patience_and_with_the_program() {
        let shared = Arc::new(Shared::default());
        let start = Instant::now();
        assert_eq!(shared.wait(Duration::from_millis(30), |now| now.generation > 0).generation, 0);
        assert!(start.elapsed() >= Duration::from_millis(30));
        let other = Arc::clone(&shared);
        let waiter = std::thread::spawn(move || {
            other.wait(Duration::from_secs(60), |now| now.snapshots == 1).generation
        });
        shared.update(|now| now.snapshots = 1);
        assert_eq!(waiter.join().unwrap(), 1);
        let other = Arc::clone(&shared);
        let sleeper = std::thread::spawn(move || other.sleep(Duration::from_secs(60)));
        shared.stop();
        assert!(!sleeper.join().unwrap());
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
