//! Panels: the displays that a drawn screen goes to.
//!
//! Only here is hardware named. A [`Panel`] takes finished screens, all of its own size, and sends what has changed.

use std::fmt;

use embedded_graphics::geometry::Size;

use crate::frame::Frame;

/// What a panel's pixels can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Any colour, as far as its bits reach.
    Color,
    /// On or off: a screen for it is drawn in black and white alone.
    Monochrome,
}

/// A display that shows screens.
pub trait Panel: fmt::Debug + Send {
    /// Gives its size in pixels, as it hangs: rotated by its wiring's rule.
    fn size(&self) -> Size;

    /// Tells what its pixels can be.
    fn ink(&self) -> Ink {
        Ink::Color
    }

    /// Shows a screen of the panel's size; on a [`Ink::Monochrome`] panel what is brighter than half is on.
    ///
    /// # Errors
    /// Returns [`PanelError`] when the display does not take it. The caller may try again with a later screen, or
    /// drop the panel and open it anew.
    fn show(&mut self, screen: &Frame) -> Result<(), PanelError>;

    /// Tells in one line what was opened.
    fn description(&self) -> String;
}

/// A display could not be opened, or does not take a screen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PanelError {
    /// The screen is not of the panel's size.
    #[error("{panel}: it takes {expected} and was given {found}")]
    Size {
        /// The panel's address.
        panel: String,
        /// The panel's size.
        expected: Size,
        /// The screen's.
        found: Size,
    },
}
