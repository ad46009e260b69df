//! The threads at the edge: results out as data, events onto the disk, buttons in.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use embedded_graphics::geometry::Size;

use super::present::paint;
use super::shared::{Now, Shared};
use crate::buttons::{ButtonError, Buttons};
use crate::control::Command;
use crate::frame::Frame;
use crate::journal::note;
use crate::panel::Ink;
use crate::publish::Publisher;
use crate::recorder::{Event, Reason, Recorder};
use crate::status::Part;

/// How long a thread waits for something new before it looks whether all is well.
const IDLE: Duration = Duration::from_secs(1);
/// How long one wait for a button may last, so that the program ends soon.
const BUTTON_PATIENCE: Duration = Duration::from_millis(250);
/// The size of the screens that are recorded.
const RECORDED: Size = Size::new(640, 480);

/// Opens the buttons.
pub type OpenButtons = Box<dyn FnMut() -> Result<Buttons, ButtonError> + Send>;

/// Sends each new observation, as fast as the receiver takes them.
pub(super) fn run(shared: &Shared, address: &str, mut publisher: Box<dyn Publisher>) {
    note(&format!("publisher: {}", publisher.description()));
    let part = Part::Publisher(address.to_owned());
    let mut sent = 0;
    loop {
        let now = shared.wait(IDLE, |now| now.insight_number() > sent);
        if now.stopping {
            return;
        }
        let outcome = match &now.insight {
            Some(insight) if insight.picture.number > sent => {
                sent = insight.picture.number;
                publisher.publish(&insight.observation)
            }
            _ => publisher.problem().map_or(Ok(()), Err),
        };
        match outcome {
            Ok(()) => shared.recover(&part),
            Err(error) => shared.fail(part.clone(), &error.to_string()),
        }
    }
}

/// Records what the rule asks for and what people ask for.
pub(super) fn record(shared: &Shared, mut recorder: Recorder) {
    let (mut seen, mut snapshots) = (0, 0);
    loop {
        let now = shared.wait(IDLE, |now| now.insight_number() > seen || now.snapshots > snapshots);
        if now.stopping {
            return;
        }
        let Some(insight) = &now.insight else { continue };
        let time = Instant::now();
        let is_due = insight.picture.number > seen && recorder.is_due(&insight.observation, time);
        seen = seen.max(insight.picture.number);
        if now.snapshots > snapshots {
            snapshots = now.snapshots;
            keep(&now, Reason::Snapshot, &mut recorder, shared, time);
        } else if is_due {
            keep(&now, Reason::Detection, &mut recorder, shared, time);
        }
    }
}

fn keep(now: &Now, reason: Reason, recorder: &mut Recorder, shared: &Shared, time: Instant) {
    let Some(insight) = &now.insight else { return };
    let mut screen = Frame::new(RECORDED);
    // The picture that the map belongs to, not a newer one, and nothing that is wrong meanwhile.
    let picture = Some(insight.picture.clone());
    paint(&Now { picture, notice: None, ..now.clone() }, Ink::Color, &mut screen);
    let model = shared.status.lock().model.clone();
    let event = Event {
        reason,
        observation: &insight.observation,
        screen: &screen,
        picture: &insight.picture.pixels,
        crop: insight.crop,
        map: &insight.map,
        model: &model,
    };
    match recorder.record(&event, time) {
        Ok(path) => {
            shared.recover(&Part::Recorder);
            if reason == Reason::Snapshot {
                note(&format!("snapshot: {}", path.display()));
            }
        }
        Err(error) => shared.fail(Part::Recorder, &error.to_string()),
    }
}

/// Passes on what buttons ask for.
pub(super) fn listen(shared: &Shared, mut open: OpenButtons, commands: &SyncSender<Command>) {
    loop {
        let outcome = open().and_then(|mut buttons| {
            shared.recover(&Part::Buttons);
            while !shared.now().stopping {
                if let Some(command) = buttons.wait(BUTTON_PATIENCE)? {
                    // When the program does not keep up, a press more or less is lost.
                    let _ = commands.try_send(command);
                }
            }
            Ok(())
        });
        if let Err(error) = outcome {
            shared.fail(Part::Buttons, &error.to_string());
        }
        if !shared.sleep(IDLE) {
            return;
        }
    }
}
