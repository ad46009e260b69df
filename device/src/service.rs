//! The program as a service: the system's signals, and what systemd is told.
//!
//! Under `Type=notify` systemd learns when the program is ready, and its watchdog is fed; without systemd nothing is
//! told to anybody.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// The least time between two feedings of the watchdog.
const FEED_EVERY: Duration = Duration::from_secs(1);

/// What the system asks of the program and is told of it.
#[derive(Debug)]
pub struct Service {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    fed: Mutex<Option<Instant>>,
}

impl Service {
    /// Listens to signals from now on: SIGTERM and SIGINT end the program in good order, a second one at once; SIGHUP
    /// loads the model anew.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn new() -> io::Result<Self> {
        let (stop, reload) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag unset and sets it.
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
            flag::register(signal, Arc::clone(&stop))?;
        }
        flag::register(SIGHUP, Arc::clone(&reload))?;
        Ok(Self { stop, reload, fed: Mutex::new(None) })
    }

    /// Asks the program to end, as a signal does.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Tells whether a signal asked the program to end.
    #[must_use]
    pub fn is_asked_to_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Gives what a signal sets when the model is to be loaded anew.
    #[must_use]
    pub fn reload(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.reload)
    }

    /// Tells that the model is loaded and frames are looked at.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready, NotifyState::Status("looking")]);
    }

    /// Tells that a frame was finished: feeds the watchdog.
    pub fn alive(&self) {
        let mut fed = self.fed.lock().unwrap_or_else(PoisonError::into_inner);
        if fed.is_none_or(|fed| fed.elapsed() >= FEED_EVERY) {
            *fed = Some(Instant::now());
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// Tells that the program ends in good order.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    // Whoever started the program may not listen any more; that is no reason to end.
    let _ = sd_notify::notify(states);
}
