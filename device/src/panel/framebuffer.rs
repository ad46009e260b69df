//! Framebuffer devices: `/dev/fb0` and its like.
//!
//! Rows are written with `pwrite`, which needs no mapping and tells drivers that copy what has changed. Only changed
//! rows are written. Where the visible part lies is asked before each screen: a console may move it.
//!
//! Not done: the text console draws its cursor over the picture and blanks the display after a while. Take it off the
//! device by `fbcon=map:9` on the kernel's command line, or by `vt.global_cursor_default=0 consoleblank=0`.

mod screen_info;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use embedded_graphics::geometry::Size;
use image::RgbImage;

use super::changes::changes;
use super::{FramebufferAddress, Panel, PanelError, Rotation, check_size};
use crate::frame::Frame;
pub(super) use screen_info::read;

/// Where a channel's bits are in a pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Channel {
    pub(super) offset: u32,
    pub(super) length: u32,
}

impl Channel {
    /// Puts the nearest value that the channel has in its place.
    fn place(self, value: u8) -> u32 {
        let most = (1 << self.length) - 1;
        ((u32::from(value) * most + 127) / 255) << self.offset
    }
}

/// How a framebuffer lies in its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The visible part's size.
    pub(super) size: Size,
    /// The visible part's first column and row.
    pub(super) first: Size,
    pub(super) bits_per_pixel: u32,
    pub(super) line_bytes: u32,
    pub(super) channels: [Channel; 3],
    /// What is set to one where there is transparency.
    pub(super) opaque: Channel,
}

impl Layout {
    fn pixel_bytes(&self) -> usize {
        self.bits_per_pixel as usize / 8
    }

    /// Refuses what cannot be drawn on, by what it is.
    fn check(&self) -> Result<(), String> {
        let Size { width, height } = self.size;
        let channels = self.channels.iter().chain([&self.opaque]);
        let all_fit = channels.clone().all(|channel| {
            channel.length <= 8
                && channel
                    .offset
                    .checked_add(channel.length)
                    .is_some_and(|end| end <= self.bits_per_pixel)
        });
        let has_colors = self.channels.iter().all(|channel| channel.length > 0);
        if !matches!(self.bits_per_pixel, 16 | 24 | 32) || !all_fit || !has_colors {
            let bits = self.bits_per_pixel;
            return Err(format!(
                "its pixels of {bits} bits are not supported; set 16, 24 or 32 bits of RGB"
            ));
        }
        let row =
            (u64::from(self.first.width) + u64::from(width)) * u64::from(self.bits_per_pixel / 8);
        if width == 0 || height == 0 || row > u64::from(self.line_bytes) {
            let line = self.line_bytes;
            return Err(format!(
                "the kernel says {width}x{height} with {line} bytes a row, which cannot be"
            ));
        }
        Ok(())
    }

    /// Gives where a pixel lies in the memory.
    fn place(&self, column: usize, row: usize) -> u64 {
        let row = u64::from(self.first.height) + row as u64;
        let column = u64::from(self.first.width) + column as u64;
        row * u64::from(self.line_bytes) + column * self.pixel_bytes() as u64
    }

    /// Packs a picture's pixels, without gaps.
    fn pack(&self, picture: &RgbImage) -> Vec<u8> {
        let opaque = self.opaque.place(255);
        let mut bytes = Vec::with_capacity(picture.len() / 3 * self.pixel_bytes());
        for pixel in picture.pixels() {
            let parts =
                self.channels.iter().zip(pixel.0).map(|(channel, value)| channel.place(value));
            let value = parts.fold(opaque, |all, part| all | part);
            bytes.extend_from_slice(&value.to_le_bytes()[..self.pixel_bytes()]);
        }
        bytes
    }
}

/// Asks a device how it lies in memory now.
type Ask = fn(&File) -> io::Result<Layout>;

/// An open framebuffer.
#[derive(Debug)]
struct FramebufferPanel {
    name: String,
    address: FramebufferAddress,
    device: File,
    ask: Ask,
    layout: Layout,
    /// The bytes of the last screen; `None` when they are not known.
    sent: Option<Vec<u8>>,
}

/// Opens a framebuffer.
pub(super) fn open(
    name: String,
    address: &FramebufferAddress,
) -> Result<Box<dyn Panel>, PanelError> {
    open_with(name, address, read)
}

fn open_with(
    name: String,
    address: &FramebufferAddress,
    ask: Ask,
) -> Result<Box<dyn Panel>, PanelError> {
    let failed = |doing| {
        let (name, path) = (name.clone(), address.device.clone());
        move |error: io::Error| PanelError::device(&name, doing, &path, error)
    };
    let options = OpenOptions::new().read(true).write(true).open(&address.device);
    let device = options.map_err(failed("open"))?;
    let layout = ask(&device).map_err(failed("ask for the mode of"))?;
    let address = address.clone();
    layout.check().map_err(|reason| PanelError::Unusable { panel: name.clone(), reason })?;
    Ok(Box::new(FramebufferPanel { name, address, device, ask, layout, sent: None }))
}

impl FramebufferPanel {
    fn rotation(&self) -> Rotation {
        self.address.rotation
    }

    fn failed(&self, doing: &'static str, error: io::Error) -> PanelError {
        PanelError::device(&self.name, doing, &self.address.device, error)
    }

    /// Follows the visible part when it moves. Another mode is an error: the panel has another size then.
    fn follow(&mut self) -> Result<(), PanelError> {
        let now = (self.ask)(&self.device);
        let now = now.map_err(|error| self.failed("ask for the mode of", error))?;
        if now == self.layout {
            return Ok(());
        }
        self.sent = None;
        if (Layout { first: self.layout.first, ..now }) != self.layout || now.check().is_err() {
            let reason = "its mode has changed; open it anew".to_owned();
            return Err(PanelError::Unusable { panel: self.name.clone(), reason });
        }
        self.layout = now;
        Ok(())
    }

    fn write(&mut self, next: Vec<u8>) -> io::Result<()> {
        let pixel_bytes = self.layout.pixel_bytes();
        let row_bytes = self.layout.size.width as usize * pixel_bytes;
        let sent = self.sent.take();
        for span in changes(sent.as_deref(), &next, row_bytes) {
            let first = span.columns.start / pixel_bytes;
            for row in span.rows {
                let bytes = &next[row * row_bytes..][first * pixel_bytes..span.columns.end];
                self.device.write_all_at(bytes, self.layout.place(first, row))?;
            }
        }
        self.sent = Some(next);
        Ok(())
    }
}

impl Panel for FramebufferPanel {
    fn size(&self) -> Size {
        self.rotation().size(self.layout.size)
    }

    fn show(&mut self, screen: &Frame) -> Result<(), PanelError> {
        check_size(&self.name, self.size(), screen)?;
        self.follow()?;
        let next = self.layout.pack(&self.rotation().turn(screen.as_image()));
        self.write(next).map_err(|error| self.failed("write", error))
    }

    fn description(&self) -> String {
        let Size { width, height } = self.size();
        format!("{}: {width}x{height}, {} bits a pixel", self.name, self.layout.bits_per_pixel)
    }
}

#[cfg(test)]
mod tests;
