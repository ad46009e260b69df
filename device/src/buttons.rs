//! Buttons on GPIO lines.
//!
//! A press is told once, at its first edge, when the line was quiet before for the button's debounce time: a contact
//! bounces when it closes and when it opens. Holding a button down does nothing more. Edges come from the GPIO
//! character device with the kernel's time stamps, so that none is lost or misjudged while this program is busy.

mod debounce;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gpiocdev::Request;
use gpiocdev::line::{Bias, EdgeDetection, EdgeKind, Offset};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::{Deserialize, Deserializer, de};

use crate::control::Command;
use crate::gpio::{self, GpioError, KnownLine, LineAddress};
use debounce::Debounce;

/// What a button does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Keeps the picture, or goes on.
    Freeze,
    /// Shows the explanation in the next way.
    Mode,
    /// Keeps the screen as a file.
    Snapshot,
    /// Explains the next of the most probable classes.
    NextClass,
}

impl From<Action> for Command {
    fn from(action: Action) -> Self {
        match action {
            Action::Freeze => Self::Freeze,
            Action::Mode => Self::NextMode,
            Action::Snapshot => Self::Snapshot,
            Action::NextClass => Self::NextClass,
        }
    }
}

/// Which way a line is pulled while its button is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pull {
    /// To the supply.
    Up,
    /// To ground.
    Down,
    /// The board has a resistor of its own.
    None,
}

/// How a button is wired and what it does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ButtonWiring {
    /// What is printed beside the button; may be empty.
    #[serde(default)]
    pub label: String,
    /// Its line.
    #[serde(deserialize_with = "line")]
    pub line: LineAddress,
    /// What it does.
    pub action: Action,
    /// Whether the line is low while the button is pressed, as buttons to ground are.
    #[serde(default = "usual_active_low")]
    pub active_low: bool,
    /// Which way the line is pulled. Usually against the button: up when it is active low, else down.
    #[serde(default)]
    pub pull: Option<Pull>,
    /// For how many milliseconds the line must be quiet before a press counts, from 0 to 1000.
    #[serde(default = "usual_debounce_ms")]
    pub debounce_ms: u16,
}

/// The longest debounce time: beyond it a button seems dead.
pub(crate) const LONGEST_DEBOUNCE_MS: u16 = 1000;

fn usual_active_low() -> bool {
    true
}

/// Small push buttons bounce for a few milliseconds; nobody presses twice within this time.
fn usual_debounce_ms() -> u16 {
    20
}

fn line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LineAddress, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|expected| de::Error::custom(format!("line {text:?}: {expected}")))
}

impl ButtonWiring {
    fn bias(&self) -> Bias {
        let pull = self.pull.unwrap_or(if self.active_low { Pull::Up } else { Pull::Down });
        match pull {
            Pull::Up => Bias::PullUp,
            Pull::Down => Bias::PullDown,
            Pull::None => Bias::Disabled,
        }
    }
}

/// The buttons are not usable, or went away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ButtonError {
    /// A line cannot be used.
    #[error("button {label}: {problem}")]
    Gpio {
        /// What is printed beside the button, or its line.
        label: String,
        /// What is wrong with the line.
        problem: GpioError,
    },
    /// Two buttons are on one line.
    #[error("buttons: line {line} is given twice; give each button its own")]
    Repeated {
        /// The line.
        line: String,
    },
    /// The lines cannot be watched any more.
    #[error("buttons: {chip}: {reason}; open them anew", chip = .chip.display())]
    Lost {
        /// The chip's device.
        chip: PathBuf,
        /// What the kernel said.
        reason: String,
    },
}

/// The lines of one chip.
#[derive(Debug)]
struct Watched {
    chip: PathBuf,
    request: Request,
    buttons: BTreeMap<Offset, (Debounce, Action)>,
}

/// Buttons that are watched.
#[derive(Debug)]
pub struct Buttons {
    chips: Vec<Watched>,
    pressed: VecDeque<Action>,
}

impl Buttons {
    /// Requests the lines of all buttons.
    ///
    /// # Errors
    /// Returns [`ButtonError`] for a line that is not there, taken, or given twice.
    pub fn open(wiring: &[ButtonWiring]) -> Result<Self, ButtonError> {
        let mut by_chip: BTreeMap<PathBuf, Vec<(&ButtonWiring, KnownLine)>> = BTreeMap::new();
        for button in wiring {
            let known = gpio::find(&button.line).map_err(|problem| failed(button, problem))?;
            let lines = by_chip.entry(known.chip.clone()).or_default();
            if lines.iter().any(|(_, other)| other.info.offset == known.info.offset) {
                return Err(ButtonError::Repeated { line: button.line.to_string() });
            }
            lines.push((button, known));
        }
        let chips = by_chip.into_iter().map(|(chip, lines)| watch(chip, &lines));
        Ok(Self { chips: chips.collect::<Result<_, _>>()?, pressed: VecDeque::new() })
    }

    /// Waits at most `patience` for a press. Without buttons it waits that long.
    ///
    /// # Errors
    /// Returns [`ButtonError::Lost`] when the lines cannot be watched any more.
    pub fn wait(&mut self, patience: Duration) -> Result<Option<Command>, ButtonError> {
        let end = Instant::now().checked_add(patience);
        loop {
            if let Some(action) = self.pressed.pop_front() {
                return Ok(Some(action.into()));
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if !self.wait_for_edges(left)? {
                return Ok(None);
            }
            for watched in &mut self.chips {
                watched.read_edges(&mut self.pressed)?;
            }
        }
    }

    /// Waits for an edge on any chip. Gives whether there may be one.
    fn wait_for_edges(&self, patience: Option<Duration>) -> Result<bool, ButtonError> {
        let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
        let mut fds: Vec<PollFd<'_>> =
            self.chips.iter().map(|w| PollFd::new(&w.request, PollFlags::IN)).collect();
        match poll(&mut fds, patience.as_ref()) {
            Ok(0) => Ok(false),
            // A signal: whoever waits looks at the clock again.
            Ok(_) | Err(Errno::INTR) => Ok(true),
            Err(error) => {
                let chip = self.chips.first().map(|w| w.chip.clone()).unwrap_or_default();
                Err(ButtonError::Lost { chip, reason: error.to_string() })
            }
        }
    }
}

/// Makes the error for a button.
fn failed(button: &ButtonWiring, problem: GpioError) -> ButtonError {
    let label =
        if button.label.is_empty() { button.line.to_string() } else { button.label.clone() };
    ButtonError::Gpio { label, problem }
}

/// Requests the lines of one chip.
fn watch(chip: PathBuf, lines: &[(&ButtonWiring, KnownLine)]) -> Result<Watched, ButtonError> {
    let mut builder = Request::builder();
    builder.on_chip(&chip).with_consumer("lcam-device");
    let mut buttons = BTreeMap::new();
    for (button, known) in lines {
        let line = builder.with_line(known.info.offset);
        line.as_input().with_bias(button.bias()).with_edge_detection(EdgeDetection::BothEdges);
        if button.active_low {
            line.as_active_low()
        } else {
            line.as_active_high()
        };
        let quiet = Duration::from_millis(button.debounce_ms.into());
        buttons.insert(known.info.offset, (Debounce::new(quiet), button.action));
    }
    let request = builder.request().map_err(|error| {
        // The kernel does not say which line it is; one that is in use is the likeliest.
        let guilty = lines.iter().find(|(_, known)| known.info.used).or(lines.first());
        guilty.map_or_else(
            || ButtonError::Lost { chip: chip.clone(), reason: error.to_string() },
            |(button, known)| failed(button, gpio::refused(&button.line, known, &error)),
        )
    })?;
    Ok(Watched { chip, request, buttons })
}

impl Watched {
    /// Reads all edges that are there, and tells of the presses among them.
    fn read_edges(&mut self, pressed: &mut VecDeque<Action>) -> Result<(), ButtonError> {
        let lost = |error: gpiocdev::Error| ButtonError::Lost {
            chip: self.chip.clone(),
            reason: error.to_string(),
        };
        while self.request.has_edge_event().map_err(lost)? {
            let event = self.request.read_edge_event().map_err(lost)?;
            let Some((debounce, action)) = self.buttons.get_mut(&event.offset) else { continue };
            let time = Duration::from_nanos(event.timestamp_ns);
            // An edge is told of the line's meaning: of an active low line a falling one is "rising".
            if debounce.is_press(time, event.kind == EdgeKind::Rising) {
                pressed.push_back(*action);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_buttons_it_waits_in_vain() {
        let mut buttons = Buttons::open(&[]).unwrap();
        let start = Instant::now();
        assert_eq!(buttons.wait(Duration::from_millis(20)).unwrap(), None);
        assert!(start.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn a_line_that_is_not_there_is_named_with_its_button() {
        let text = "label = \"A\"\nline = \"NO_SUCH_LINE\"\naction = \"freeze\"";
        let wiring: ButtonWiring = toml::from_str(text).unwrap();
        assert_eq!((wiring.active_low, wiring.debounce_ms), (true, 20));
        let error = Buttons::open(&[wiring]).unwrap_err().to_string();
        assert!(error.starts_with("button A: there is no GPIO line NO_SUCH_LINE"), "{error}");
    }

    #[test]
    fn every_action_is_a_command() {
        let cases = [
            (Action::Freeze, Command::Freeze),
            (Action::Mode, Command::NextMode),
            (Action::Snapshot, Command::Snapshot),
            (Action::NextClass, Command::NextClass),
        ];
        for (action, command) in cases {
            assert_eq!(Command::from(action), command);
        }
    }
}
