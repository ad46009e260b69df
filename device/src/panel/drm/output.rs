//! Which card, connector and mode a display gets.

use std::path::{Path, PathBuf};
use std::{fs, io};

use ::drm::control::{Device as _, Mode, ModeTypeFlags, connector, crtc};

use super::super::{DrmAddress, PanelError};
use super::Card;

/// The way to one display.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) connector: connector::Handle,
    pub(super) connector_name: String,
    pub(super) crtc: crtc::Handle,
    pub(super) mode: Mode,
}

/// Lists the cards of this machine. Their order differs from start to start.
pub(in crate::panel) fn cards() -> Vec<PathBuf> {
    let entries = fs::read_dir("/dev/dri").into_iter().flatten().flatten();
    let is_card = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("card"))
    };
    let mut cards: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_card).collect();
    cards.sort();
    cards
}

/// Gives a card's connectors. A card that only computes has none.
pub(in crate::panel) fn connectors(card: &Card) -> io::Result<Vec<connector::Info>> {
    let handles = match card.resource_handles() {
        Ok(handles) => handles,
        // Render-only drivers (v3d on a Raspberry Pi) do not have the call.
        Err(error) if super::is_missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    // Asked with a probe: what was plugged in before nobody looked.
    handles.connectors().iter().map(|&handle| card.get_connector(handle, true)).collect()
}

/// Finds the display that an address means.
pub(super) fn choose(
    name: &str,
    address: &DrmAddress,
) -> Result<(PathBuf, Card, Output), PanelError> {
    let cards = address.card.clone().map_or_else(cards, |card| vec![card]);
    let mut seen = Vec::new();
    let mut closed = None;
    for path in &cards {
        let failed = |doing| move |error: io::Error| PanelError::device(name, doing, path, error);
        let found = Card::open(path).map_err(failed("open")).and_then(|card| {
            let output = find(&card, address, &mut seen).map_err(failed("ask"))?;
            Ok(output.map(|output| (card, output)))
        });
        match found {
            Ok(Some((card, output))) => return Ok((path.clone(), card, output)),
            Ok(None) => {}
            Err(error) => closed = Some(error),
        }
    }
    Err(closed.unwrap_or_else(|| nothing(name, address, &cards, &seen)))
}

fn nothing(name: &str, address: &DrmAddress, cards: &[PathBuf], seen: &[String]) -> PanelError {
    let reason = if cards.is_empty() {
        "there is no card in /dev/dri; turn the display driver on (dtoverlay=vc4-kms-v3d)"
            .to_owned()
    } else if seen.is_empty() {
        let cards: Vec<_> = cards.iter().map(|card| card.display().to_string()).collect();
        format!("{} has no connectors; give another card", cards.join(", "))
    } else if let Some(connector) = &address.connector {
        format!("no usable display is on {connector}; connectors are {}", seen.join(", "))
    } else {
        format!("no display is connected ({}); plug one in", seen.join(", "))
    };
    PanelError::Unusable { panel: name.to_owned(), reason }
}

/// Looks for the display on one card, and notes what connectors it has.
fn find(card: &Card, address: &DrmAddress, seen: &mut Vec<String>) -> io::Result<Option<Output>> {
    for info in connectors(card)? {
        let name = info.to_string();
        seen.push(format!("{name}: {}", state(&info)));
        let is_meant = address.connector.as_ref().is_none_or(|wanted| *wanted == name);
        let is_connected = info.state() == connector::State::Connected;
        if let (true, true, Some(mode)) = (is_meant, is_connected, preferred(info.modes()))
            && let Some(crtc) = free_crtc(card, &info)?
        {
            return Ok(Some(Output { connector: info.handle(), connector_name: name, crtc, mode }));
        }
    }
    Ok(None)
}

/// Tells in words what is at a connector.
pub(in crate::panel) fn state(info: &connector::Info) -> &'static str {
    match info.state() {
        connector::State::Connected => "connected",
        connector::State::Disconnected => "nothing connected",
        connector::State::Unknown => "unknown",
    }
}

/// Gives the mode that the display prefers; the first, which is mostly the best, when it prefers none.
pub(in crate::panel) fn preferred(modes: &[Mode]) -> Option<Mode> {
    let is_preferred = |mode: &&Mode| mode.mode_type().contains(ModeTypeFlags::PREFERRED);
    modes.iter().find(is_preferred).or(modes.first()).copied()
}

/// Gives the CRTC that drives the connector now, or one that can.
fn free_crtc(card: &Card, info: &connector::Info) -> io::Result<Option<crtc::Handle>> {
    let resources = card.resource_handles()?;
    if let Some(encoder) = info.current_encoder()
        && let Some(crtc) = card.get_encoder(encoder)?.crtc()
    {
        return Ok(Some(crtc));
    }
    for &encoder in info.encoders() {
        let possible = card.get_encoder(encoder)?.possible_crtcs();
        if let Some(&crtc) = resources.filter_crtcs(possible).first() {
            return Ok(Some(crtc));
        }
    }
    Ok(None)
}

/// Opens a card only to look at it.
pub(in crate::panel) fn look(path: &Path) -> io::Result<Vec<connector::Info>> {
    connectors(&Card::open(path)?)
}
