//! The thread that holds the camera: newest picture in, lost cameras opened anew.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use image::RgbImage;

use super::Pace;
use super::shared::{Picture, Shared};
use crate::camera::{Camera, CameraError, Capture, Unreadable};
use crate::journal;
use crate::status::Part;
use crate::timing::Rate;

/// How long one call of a camera may wait, so that the program ends soon.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long after a failure a camera is opened anew.
const REOPEN_AFTER: Duration = Duration::from_secs(1);
/// A camera that is silent for so long is taken for frozen and opened anew. USB cameras need up to 3 seconds from
/// opening to the first picture.
const FROZEN_AFTER: Duration = Duration::from_secs(6);

/// How often damaged pictures are told of.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Opens the camera.
pub type OpenCamera = Box<dyn FnMut() -> Result<Box<dyn Camera>, CameraError> + Send>;

/// The loop of the thread. It ends with the program or, in good order, with the pictures.
pub(super) fn run(
    shared: &Shared,
    first: Option<Box<dyn Camera>>,
    mut open: OpenCamera,
    pace: Pace,
) {
    let mut taker = Taker { shared, pace, number: 0, next: Instant::now() };
    let mut camera = first;
    loop {
        let opened = match camera.take() {
            Some(camera) => Ok(camera),
            None => open(),
        };
        let outcome = opened.and_then(|mut camera| {
            shared.status.lock().camera = camera.description();
            taker.take_all(camera.as_mut())
        });
        shared.status.lock().camera.clear();
        match outcome {
            Ok(()) => {
                taker.wait_for_consumers();
                return shared.update(|now| now.ended = true);
            }
            Err(error @ CameraError::Ended { .. }) => {
                let problem = error.to_string().into();
                return shared.update(|now| now.lost = Some(problem));
            }
            Err(error) => {
                shared.status.lock().camera_rate = Rate::default();
                shared.fail(Part::Camera, &error.to_string());
                // What is shown would look as if it were live.
                shared.update(|now| {
                    if !now.view.frozen {
                        now.picture = None;
                        now.insight = None;
                    }
                });
            }
        }
        if !shared.sleep(REOPEN_AFTER) {
            return;
        }
    }
}

/// Tells of damaged pictures, but no more often than once a second.
#[derive(Default)]
struct LeftOut {
    count: u64,
    told: Option<Instant>,
}

impl LeftOut {
    fn tell(&mut self, camera: &dyn Camera) {
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.tell_now(camera);
        }
    }

    fn tell_now(&mut self, camera: &dyn Camera) {
        let Unreadable { count, last } = camera.unreadable();
        if count > self.count {
            let more = count - self.count;
            journal::note(&format!("camera: damaged pictures left out: {more}; the last: {last}"));
            (self.count, self.told) = (count, Some(Instant::now()));
        }
    }
}

/// Takes pictures at the pace that was asked for.
struct Taker<'a> {
    shared: &'a Shared,
    pace: Pace,
    /// How many pictures there were.
    number: u64,
    /// When the next picture is due.
    next: Instant,
}

impl Taker<'_> {
    /// Takes pictures until there are no more, or the program ends.
    fn take_all(&mut self, camera: &mut dyn Camera) -> Result<(), CameraError> {
        let mut heard = Instant::now();
        let before = self.number;
        let mut left_out = LeftOut::default();
        loop {
            if self.shared.now().stopping
                || self.pace.frames.is_some_and(|most| self.number >= most)
            {
                return Ok(());
            }
            let captured = camera.capture(PATIENCE)?;
            left_out.tell(camera);
            match captured {
                Capture::Picture(pixels) => {
                    heard = Instant::now();
                    if self.number == before {
                        // Not before: some are opened and give nothing, over and over.
                        let description = camera.description();
                        journal::note(&format!("camera: {description}"));
                        self.shared.status.lock().camera = description;
                    }
                    self.publish(pixels);
                    self.wait_until_due();
                }
                Capture::Nothing if heard.elapsed() > FROZEN_AFTER => {
                    return Err(CameraError::Frozen {
                        camera: camera.description(),
                        silence: heard.elapsed(),
                    });
                }
                Capture::Nothing => {}
                Capture::End => {
                    left_out.tell_now(camera);
                    return Ok(());
                }
            }
        }
    }

    fn publish(&mut self, pixels: RgbImage) {
        self.number += 1;
        let picture = Picture {
            number: self.number,
            pixels,
            arrived: Instant::now(),
            time: SystemTime::now(),
        };
        self.shared.recover(&Part::Camera);
        {
            let mut status = self.shared.status.lock();
            status.frames = self.number;
            status.camera_rate.count();
            status.last_frame = Some(picture.arrived);
        }
        let picture = Arc::new(picture);
        self.shared.update(|now| {
            if !now.view.frozen {
                now.picture = Some(picture);
            }
        });
    }

    fn wait_until_due(&mut self) {
        if self.pace.lockstep {
            self.wait_for_consumers();
        }
        if let Some(interval) = self.pace.interval {
            let now = Instant::now();
            if self.next > now {
                self.shared.sleep(self.next - now);
            }
            self.next = self.next.max(now) + interval;
        }
    }

    /// Waits until the last picture went through the network and to all displays.
    fn wait_for_consumers(&self) {
        let number = self.number;
        while !self.shared.wait(PATIENCE, |now| now.is_done_with(number)).is_done_with(number) {
            if self.shared.now().stopping {
                return;
            }
        }
    }
}
