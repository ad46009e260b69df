//! Displays on HDMI and DSI, by the kernel's mode setting: a dumb buffer on the first connected connector, in the mode
//! that the display prefers.
//!
//! There is one buffer, which is drawn on while it is shown. Only changed rows are written, and drivers that copy (USB
//! and virtual displays) are told of them. When the panel is dropped its buffer is freed; the console comes back by
//! itself. One program at a time may set modes: a desktop must not run.

mod output;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use ::drm::buffer::{Buffer, DrmFourcc};
use ::drm::control::dumbbuffer::DumbBuffer;
use ::drm::control::{ClipRect, Device as _, connector, crtc, framebuffer};
use embedded_graphics::geometry::Size;

use super::changes::{Span, changes};
use super::{DrmAddress, Panel, PanelError, Rotation, check_size};
use crate::frame::Frame;
use output::Output;
pub(super) use output::{cards, look, preferred, state};

/// An open card.
#[derive(Debug)]
pub(super) struct Card(File);

impl Card {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open(path).map(Self)
    }
}

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl ::drm::Device for Card {}
impl ::drm::control::Device for Card {}

/// A display that is driven.
#[derive(Debug)]
struct DrmPanel {
    name: String,
    path: PathBuf,
    card: Card,
    connector: connector::Handle,
    connector_name: String,
    buffer: DumbBuffer,
    framebuffer: framebuffer::Handle,
    size: Size,
    rotation: Rotation,
    /// Whether the driver wants to be told what was drawn; not known before the first time.
    wants_news: bool,
    sent: Option<Vec<u32>>,
}

/// Finds the display, and shows a black picture on it.
pub(super) fn open(name: String, address: &DrmAddress) -> Result<Box<dyn Panel>, PanelError> {
    let (path, card, output) = output::choose(&name, address)?;
    let failed = |doing| {
        let (name, path) = (name.clone(), path.clone());
        move |error: io::Error| PanelError::device(&name, doing, &path, error)
    };
    let Output { connector, crtc, mode, connector_name } = output;
    let (width, height) = mode.size();
    let (width, height) = (u32::from(width), u32::from(height));
    let format = DrmFourcc::Xrgb8888;
    let made = card.create_dumb_buffer((width, height), format, 32);
    let buffer = made.map_err(failed("make a buffer on"))?;
    let added = card.add_framebuffer(&buffer, 24, 32);
    let framebuffer = match added {
        Ok(framebuffer) => framebuffer,
        Err(error) => {
            let _ = card.destroy_dumb_buffer(buffer);
            return Err(failed("make a buffer on")(error));
        }
    };
    let panel = DrmPanel {
        name: name.clone(),
        path: path.clone(),
        card,
        connector,
        connector_name,
        buffer,
        framebuffer,
        size: Size::new(width, height),
        rotation: address.rotation,
        wants_news: true,
        sent: None,
    };
    panel.set_mode(crtc, mode)?;
    Ok(Box::new(panel))
}

impl DrmPanel {
    fn set_mode(&self, crtc: crtc::Handle, mode: ::drm::control::Mode) -> Result<(), PanelError> {
        let shown = Some(self.framebuffer);
        let set = self.card.set_crtc(crtc, shown, (0, 0), &[self.connector], Some(mode));
        set.map_err(|error| match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::ACCESS) => self.unusable(format!(
                "another program drives {}; stop the desktop (systemctl isolate multi-user.target) or use a window there",
                self.path.display()
            )),
            _ => PanelError::device(&self.name, "set the mode of", &self.path, error),
        })
    }

    fn unusable(&self, reason: String) -> PanelError {
        PanelError::Unusable { panel: self.name.clone(), reason }
    }

    fn check_connected(&self) -> Result<(), PanelError> {
        let info = self.card.get_connector(self.connector, false);
        let info =
            info.map_err(|error| PanelError::device(&self.name, "ask", &self.path, error))?;
        if info.state() == connector::State::Disconnected {
            let name = &self.connector_name;
            return Err(self.unusable(format!("the display on {name} was unplugged; plug it in")));
        }
        Ok(())
    }

    /// Writes what has changed, and tells the driver where.
    fn write(&mut self, next: Vec<u32>) -> io::Result<()> {
        let width = self.size.width as usize;
        let sent = self.sent.take();
        let spans = changes(sent.as_deref(), &next, width);
        let pitch = self.buffer.pitch() as usize;
        let mut mapping = self.card.map_dumb_buffer(&mut self.buffer)?;
        let memory = mapping.as_mut();
        for span in &spans {
            for row in span.rows.clone() {
                let pixels = &next[row * width..][span.columns.clone()];
                let place = row * pitch + span.columns.start * 4;
                let Some(memory) = memory.get_mut(place..place + pixels.len() * 4) else {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                };
                for (bytes, pixel) in memory.chunks_exact_mut(4).zip(pixels) {
                    bytes.copy_from_slice(&pixel.to_le_bytes());
                }
            }
        }
        drop(mapping);
        self.tell(&spans)?;
        self.sent = Some(next);
        Ok(())
    }

    fn tell(&mut self, spans: &[Span]) -> io::Result<()> {
        let place = |place: usize| u16::try_from(place).unwrap_or(u16::MAX);
        let clip = |span: &Span| {
            let ([left, right], [top, bottom]) =
                ([span.columns.start, span.columns.end], [span.rows.start, span.rows.end]);
            ClipRect::new(place(left), place(top), place(right), place(bottom))
        };
        // linux/drm_mode.h: DRM_MODE_FB_DIRTY_MAX_CLIPS.
        for spans in spans.chunks(256) {
            if !self.wants_news {
                break;
            }
            let clips: Vec<ClipRect> = spans.iter().map(clip).collect();
            match self.card.dirty_framebuffer(self.framebuffer, &clips) {
                // Drivers that scan the buffer out themselves do not have the call.
                Err(error) if is_missing(&error) => self.wants_news = false,
                other => other?,
            }
        }
        Ok(())
    }
}

fn is_missing(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(number, Some(rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP))
}

impl Panel for DrmPanel {
    fn size(&self) -> Size {
        self.rotation.size(self.size)
    }

    fn show(&mut self, screen: &Frame) -> Result<(), PanelError> {
        check_size(&self.name, self.size(), screen)?;
        self.check_connected()?;
        let picture = self.rotation.turn(screen.as_image());
        let next = picture.pixels().map(|&image::Rgb([r, g, b])| u32::from_be_bytes([0, r, g, b]));
        let next = next.collect();
        self.write(next)
            .map_err(|error| PanelError::device(&self.name, "draw on", &self.path, error))
    }

    fn description(&self) -> String {
        let Size { width, height } = self.size();
        let (card, connector) = (self.path.display(), &self.connector_name);
        format!("{}: {width}x{height} on {connector} of {card}", self.name)
    }
}

impl Drop for DrmPanel {
    fn drop(&mut self) {
        // The kernel frees what is left when the card is closed.
        let _ = self.card.destroy_framebuffer(self.framebuffer);
        let _ = self.card.destroy_dumb_buffer(self.buffer);
    }
}
