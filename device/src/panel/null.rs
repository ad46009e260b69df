//! A panel that shows nothing: for programs that only send results, and for measurements.

use embedded_graphics::geometry::Size;

use super::{Panel, PanelError, check_size};
use crate::frame::Frame;

/// A display that is not there.
#[derive(Debug)]
pub(super) struct NullPanel {
    name: String,
    size: Size,
}

impl NullPanel {
    pub(super) fn new(name: String, size: Size) -> Self {
        Self { name, size }
    }
}

impl Panel for NullPanel {
    fn size(&self) -> Size {
        self.size
    }

    fn show(&mut self, screen: &Frame) -> Result<(), PanelError> {
        check_size(&self.name, self.size, screen)
    }

    fn description(&self) -> String {
        let Size { width, height } = self.size;
        format!("{}: {width}x{height}, shown nowhere", self.name)
    }
}
