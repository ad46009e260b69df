//! The browser page: a display for whoever opens it, with buttons.
//!
//! [`Browser`] is a [`Panel`] and an HTTP server on a thread of its own:
//!
//! | route | what it gives |
//! | --- | --- |
//! | `GET /` | the page: all in one file, nothing from elsewhere |
//! | `GET /stream.mjpg` | the screens as `multipart/x-mixed-replace`, each with its length |
//! | `GET /frame.jpg` | the last screen |
//! | `GET /status.json` | the [`Status`](crate::status::Status) |
//! | `GET /labels.json` | the labels of all classes |
//! | `GET /healthz` | 200 and `ok`; 503 and what is wrong, one a line |
//! | `GET /metrics` | numbers for Prometheus |
//! | `POST /command` | a [`Command`]: `{"command": "freeze"}`, `next-mode`, `snapshot`, `next-class`, `{"command": "mode", "mode": "contour"}`, `{"command": "explain", "class": 281}` or `null` for the predicted one |
//!
//! # What is promised
//! - **The caller waits for nobody**: [`Panel::show`] copies the screen, and encodes it once if somebody watches.
//! - **Clients are bounded**: 32 connections and 8 streams at a time, a request's head of 16 KiB within 5 seconds, a
//!   command of 4 KiB within 5 more; one that takes nothing for 10 seconds is left. Memory is bounded, too: a slow stream
//!   skips screens.
//! - **Only who may sees it**: by default this machine alone. Bound to other addresses a token is asked for, by all
//!   routes: a monitor of `/healthz` and `/metrics` sends it as `Authorization: Bearer TOKEN`. The `Host`
//!   header must name this device, so that no page from elsewhere gets in by a name of its own (DNS rebinding), and
//!   commands come from this page or from programs, not from other pages (CSRF).
//!
//! Not promised: encryption. Beyond a network that is trusted, put a proxy with TLS before it.

mod access;
mod address;
mod command;
mod metrics;
mod routes;
mod screens;
mod server;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use embedded_graphics::geometry::Size;

use crate::control::Command;
use crate::frame::Frame;
use crate::panel::{Panel, PanelError};
use crate::publish::AddressError;
use crate::status::SharedStatus;

use access::Access;
pub use address::BrowserAddress;
use screens::Screens;
use server::{Counters, Server};

/// A browser page could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrowserError {
    /// The address cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Others could see the page, and no token keeps them out.
    #[error(
        "{address}: others reach this address; give ?token=FILE with a secret of at least {} characters, or 127.0.0.1",
        access::SHORTEST_TOKEN
    )]
    TokenNeeded {
        /// The page's address.
        address: String,
    },
    /// The token's file cannot be used.
    #[error("{address}: the token in {path} cannot be used: {problem}")]
    Token {
        /// The page's address.
        address: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Nothing can be served at the address.
    #[error(
        "{address}: cannot serve there: {problem}; give another port, or end the program that has it"
    )]
    Listen {
        /// The page's address.
        address: String,
        /// What the operating system said.
        problem: io::Error,
    },
    /// The server's thread cannot be started.
    #[error("{address}: cannot start a thread: {problem}; is the system out of memory?")]
    Thread {
        /// The page's address.
        address: String,
        /// What the operating system said.
        problem: io::Error,
    },
}

/// A page that shows screens. It is served until it is dropped.
#[derive(Debug)]
pub struct Browser {
    address: String,
    local: SocketAddr,
    size: Size,
    shared: Arc<Shared>,
    /// Dropped with the page.
    _server: Server,
}

/// What the caller and the server's thread share.
#[derive(Debug)]
struct Shared {
    screens: Screens,
    status: SharedStatus,
    commands: SyncSender<Command>,
    access: Access,
    counters: Counters,
}

impl Browser {
    /// Serves a page.
    ///
    /// # Errors
    /// Returns [`BrowserError`] when the port is taken, or when the token is missing or cannot be read.
    pub fn open(
        address: &BrowserAddress,
        status: SharedStatus,
        commands: SyncSender<Command>,
    ) -> Result<Self, BrowserError> {
        let text = address.to_string();
        let failed = |problem| BrowserError::Listen { address: text.clone(), problem };
        let token = address.read_token()?;
        let listener = TcpListener::bind(address.listen()).map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            screens: Screens::default(),
            status,
            commands,
            access: Access::new(token, local.port(), address.hosts()),
            counters: Counters::default(),
        });
        let server = Server::start(listener, Arc::clone(&shared))
            .map_err(|problem| BrowserError::Thread { address: text.clone(), problem })?;
        Ok(Self { address: text, local, size: address.size(), shared, _server: server })
    }

    /// Gives the address that it listens at; of port 0 the one that was free.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }
}

impl Panel for Browser {
    fn size(&self) -> Size {
        self.size
    }

    fn show(&mut self, screen: &Frame) -> Result<(), PanelError> {
        let image = screen.as_image();
        let found = Size::new(image.width(), image.height());
        if found != self.size {
            let (panel, expected) = (self.address.clone(), self.size);
            return Err(PanelError::Size { panel, expected, found });
        }
        self.shared.screens.show(image);
        Ok(())
    }

    fn description(&self) -> String {
        let Size { width, height } = self.size;
        let guard = if self.shared.access.has_token() { ", by token" } else { "" };
        format!("page at http://{}/, {width}x{height}{guard}", self.local)
    }
}
