//! A window on a desktop: a display for who tries the program on a workstation, with keys in place of buttons.
//!
//! | key | what it does |
//! | --- | --- |
//! | space | freezes the picture, or goes on |
//! | M | shows the explanation in the next way |
//! | S | takes a snapshot |
//! | C | explains the next of the most probable classes |
//! | Escape, Q, closing the window | ends the program |
//!
//! The window can be made larger or smaller; the screen is scaled to it. It is X11's, which a Wayland desktop has as
//! well; the library of X11 is looked for when a window is opened, so that the program runs on machines without it. A
//! program built without the feature `window` has no windows. X11 itself ends a program whose desktop goes away.

#[cfg(feature = "window")]
mod desktop;

use std::fmt;
use std::str::FromStr;
use std::sync::mpsc::SyncSender;

use embedded_graphics::geometry::Size;

use crate::control::Command;
use crate::panel::{Panel, PanelError, read_size};

/// Which window is meant: `window:` or `window:WIDTHxHEIGHT`, the size of the screen that is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowAddress {
    size: Size,
}

/// The usual screen.
const DEFAULT_SIZE: Size = Size::new(640, 480);

/// A text names no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: expected window: or window:WIDTHxHEIGHT, each from 1 to 8192")]
pub struct WindowAddressError(String);

impl FromStr for WindowAddress {
    type Err = WindowAddressError;

    fn from_str(text: &str) -> Result<Self, WindowAddressError> {
        let size = text.strip_prefix("window:").and_then(|size| match size {
            "" => Some(DEFAULT_SIZE),
            size => read_size(size),
        });
        size.map(|size| Self { size }).ok_or_else(|| WindowAddressError(text.to_owned()))
    }
}

impl fmt::Display for WindowAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "window:{}x{}", self.size.width, self.size.height)
    }
}

/// Opens a window. What its keys ask for is sent to `commands`.
///
/// # Errors
/// Returns [`PanelError::Unusable`] where there is no desktop, and in a program that was built without windows.
#[cfg(feature = "window")]
pub fn open(
    address: WindowAddress,
    commands: SyncSender<Command>,
) -> Result<Box<dyn Panel>, PanelError> {
    Ok(Box::new(desktop::Window::open(address, commands)?))
}

/// Refuses to open a window.
///
/// # Errors
/// Returns [`PanelError::Unusable`].
#[cfg(not(feature = "window"))]
pub fn open(
    address: WindowAddress,
    _commands: SyncSender<Command>,
) -> Result<Box<dyn Panel>, PanelError> {
    let reason = "this program was built without windows; build it with --features window";
    Err(PanelError::Unusable { panel: address.to_string(), reason: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        for (text, written) in [("window:", "window:640x480"), ("window:800x600", "window:800x600")]
        {
            assert_eq!(text.parse::<WindowAddress>().unwrap().to_string(), written);
        }
        for wrong in ["window", "window:big", "window:0x5", "window:9x9000", "window://x"] {
            let error = wrong.parse::<WindowAddress>().unwrap_err().to_string();
            assert!(error.contains("expected window: or window:WIDTHxHEIGHT"), "{error}");
        }
    }
}
