//! Where screens go, as `run` and `doctor` are told.

use std::str::FromStr;

use anyhow::{Error, anyhow};

use crate::browser::BrowserAddress;
use crate::panel::{AddressError, PanelAddress};
use crate::window::WindowAddress;

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DisplayAddress {
    Panel(PanelAddress),
    Page(BrowserAddress),
    Window(WindowAddress),
}

impl FromStr for DisplayAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.starts_with("http:") {
            return Ok(Self::Page(text.parse()?));
        }
        if text.starts_with("window:") {
            return Ok(Self::Window(text.parse()?));
        }
        match text.parse() {
            Ok(panel) => Ok(Self::Panel(panel)),
            Err(AddressError::UnknownKind { address, expected }) => Err(anyhow!(
                "{address:?} is no display; give one of {expected}, http://127.0.0.1:8080, window:"
            )),
            Err(error) => Err(error.into()),
        }
    }
}

impl DisplayAddress {
    /// Tells whether two of it would be in one another's way.
    pub(super) fn is_one_thing(&self) -> bool {
        !matches!(self, Self::Panel(PanelAddress::Null(_)))
    }
}
