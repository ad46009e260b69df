//! The window and its thread: the library's window must stay where it was made.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use embedded_graphics::geometry::Size;
use minifb::{InputCallback, Key, ScaleMode, WindowOptions};

use super::WindowAddress;
use crate::control::Command;
use crate::frame::Frame;
use crate::panel::{Panel, PanelError};

const TITLE: &str = "L-CAM";
/// How often keys are looked at: a person notices a tenth of a second.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// A window that shows screens, until it is dropped or a person closes it.
#[derive(Debug)]
pub(super) struct Window {
    address: WindowAddress,
    /// The newest screen, which the thread takes.
    screen: Arc<Mutex<Option<Vec<u32>>>>,
    /// Wakes the thread; it ends when this is dropped.
    bell: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Window {
    pub(super) fn open(
        address: WindowAddress,
        commands: SyncSender<Command>,
    ) -> Result<Self, PanelError> {
        let failed = |reason| PanelError::Unusable { panel: address.to_string(), reason };
        let screen = Arc::new(Mutex::new(None));
        let (bell, rings) = sync_channel(1);
        let (tell, opened) = channel();
        let desk = Desk { size: address.size, screen: Arc::clone(&screen), rings, commands };
        let thread = std::thread::Builder::new()
            .name("lcam-window".to_owned())
            .spawn(move || match desk.open() {
                Ok(window) => {
                    let _ = tell.send(Ok(()));
                    desk.run(window);
                }
                Err(error) => {
                    let _ = tell.send(Err(error.to_string()));
                }
            })
            .map_err(|error| failed(format!("cannot start a thread: {error}")))?;
        // A thread that breaks off says nothing.
        let answer = opened.recv().unwrap_or_else(|_| Err("X11 cannot be used".to_owned()));
        answer.map_err(|problem| {
            failed(format!("no window can be opened: {problem}; is there a desktop (DISPLAY)?"))
        })?;
        Ok(Self { address, screen, bell: Some(bell), thread: Some(thread) })
    }
}

impl Panel for Window {
    fn size(&self) -> Size {
        self.address.size
    }

    fn show(&mut self, screen: &Frame) -> Result<(), PanelError> {
        let image = screen.as_image();
        let (expected, found) = (self.address.size, Size::new(image.width(), image.height()));
        if found != expected {
            return Err(PanelError::Size { panel: self.address.to_string(), expected, found });
        }
        let pixels = image.pixels().map(|pixel| {
            let [red, green, blue] = pixel.0.map(u32::from);
            red << 16 | green << 8 | blue
        });
        *self.screen.lock().unwrap_or_else(PoisonError::into_inner) = Some(pixels.collect());
        // One ring that waits is enough; a window that was closed is not waited for.
        let _ = self.bell.as_ref().map(|bell| bell.try_send(()));
        Ok(())
    }

    fn description(&self) -> String {
        let Size { width, height } = self.address.size;
        format!("window, {width}x{height}")
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.bell = None;
        if let Some(thread) = self.thread.take() {
            // It has nothing left to say, even if it panicked.
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Desk {
    size: Size,
    screen: Arc<Mutex<Option<Vec<u32>>>>,
    rings: Receiver<()>,
    commands: SyncSender<Command>,
}

impl Desk {
    fn sides(&self) -> (usize, usize) {
        (self.size.width as usize, self.size.height as usize)
    }

    fn open(&self) -> Result<minifb::Window, minifb::Error> {
        let options = WindowOptions {
            resize: true,
            scale_mode: ScaleMode::AspectRatioStretch,
            ..WindowOptions::default()
        };
        let (width, height) = self.sides();
        let mut window = minifb::Window::new(TITLE, width, height, options)?;
        // The bell sets the pace.
        window.set_target_fps(0);
        let (commands, down) = (self.commands.clone(), Vec::new());
        window.set_input_callback(Box::new(Keyboard { commands, down }));
        Ok(window)
    }

    /// Shows what comes and obeys the keys, until the window is closed or dropped.
    fn run(&self, mut window: minifb::Window) {
        let (width, height) = self.sides();
        while window.is_open() {
            if self.rings.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner).take();
            match screen {
                // A screen that is not taken is followed by others.
                Some(pixels) => drop(window.update_with_buffer(&pixels, width, height)),
                None => window.update(),
            }
        }
        let _ = self.commands.try_send(Command::End);
    }
}

/// Sends what keys ask for, as soon as they go down: one that is let go before the next look counts, too.
struct Keyboard {
    commands: SyncSender<Command>,
    /// Keys that are held: the desktop repeats them.
    down: Vec<Key>,
}

impl InputCallback for Keyboard {
    fn add_char(&mut self, _character: u32) {}

    fn set_key_state(&mut self, key: Key, is_down: bool) {
        let was_down = self.down.contains(&key);
        self.down.retain(|&held| held != key || is_down);
        if let (true, false, Some(command)) = (is_down, was_down, command(key)) {
            self.down.push(key);
            // More than fit are more than a person means.
            let _ = self.commands.try_send(command);
        }
    }
}

fn command(key: Key) -> Option<Command> {
    match key {
        Key::Space => Some(Command::Freeze),
        Key::M => Some(Command::NextMode),
        Key::S => Some(Command::Snapshot),
        Key::C => Some(Command::NextClass),
        Key::Escape | Key::Q => Some(Command::End),
        _ => None,
    }
}
