//! What a person can ask of the running program, by a button or in the browser.

use std::str::FromStr;

use lcam_models::class::ClassIndex;
use serde::{Deserialize, Serialize};

/// One wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Keeps the picture that is shown, or goes on.
    Freeze,
    /// Shows the explanation in the next way.
    NextMode,
    /// Shows the explanation in this way.
    Mode(DisplayMode),
    /// Keeps the screen as a file.
    Snapshot,
    /// Explains the next of the most probable classes: "why not B".
    NextClass,
    /// Explains this class, or again the predicted one.
    Explain(Option<ClassIndex>),
    /// Ends the program.
    End,
}

/// How the explanation is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DisplayMode {
    /// A heat map over the picture.
    #[default]
    Heat,
    /// Lines around the most important quarter and half of the evidence.
    Contour,
    /// The picture beside the heat map.
    SideBySide,
    /// The picture and its name alone.
    Off,
}

impl DisplayMode {
    /// All ways, in the order in which a button goes through them.
    pub const ALL: [Self; 4] = [Self::Heat, Self::Contour, Self::SideBySide, Self::Off];

    /// Gives the way after this one; after the last the first.
    #[must_use]
    pub fn next(self) -> Self {
        let place = Self::ALL.iter().position(|&mode| mode == self).unwrap_or(0);
        Self::ALL[(place + 1) % Self::ALL.len()]
    }

    /// Gives its name on the command line and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Heat => "heat",
            Self::Contour => "contour",
            Self::SideBySide => "side-by-side",
            Self::Off => "off",
        }
    }
}

impl FromStr for DisplayMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|mode| mode.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no display mode; give one of {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_button_goes_through_all_modes_and_begins_again() {
        let mut mode = DisplayMode::default();
        for expected in [DisplayMode::Contour, DisplayMode::SideBySide, DisplayMode::Off] {
            mode = mode.next();
            assert_eq!(mode, expected);
        }
        assert_eq!(mode.next(), DisplayMode::Heat);
    }

    #[test]
    fn modes_are_read_by_their_names() {
        for mode in DisplayMode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
        }
        let error = "glow".parse::<DisplayMode>().unwrap_err();
        assert!(error.contains("heat, contour, side-by-side, off"), "{error}");
    }
}
