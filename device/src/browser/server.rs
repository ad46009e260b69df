//! The server's thread: connections, and what bounds them.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use futures_util::future::select;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_io_timeout::TimeoutStream;

use super::{Shared, routes};

/// The most connections at a time. A browser has up to six for a page.
pub(super) const MAX_CONNECTIONS: usize = 32;
/// The most streams at a time: each costs the network a megabyte a second or so.
pub(super) const MAX_STREAMS: usize = 8;
/// The most bytes of a request's head; beyond it is answered 431.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// The most header lines; a browser sends about fifteen.
const MAX_HEADERS: usize = 64;
/// How long a request's head may take, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take nothing while there is something for it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a connection could not be taken, as when there is no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) refused_requests: AtomicU64,
    pub(super) refused_connections: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) streams: AtomicU64,
}

/// Where a connection came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalAddress(pub(super) IpAddr);

/// A thread that serves until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(listener: TcpListener, shared: Arc<Shared>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || {
            let work = Box::pin(accept(listener, shared));
            runtime.block_on(select(work, stopped));
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("lcam-browser".to_owned()).spawn(serve)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    let router = routes::router(Arc::clone(&shared));
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        match Arc::clone(&slots).try_acquire_owned() {
            Ok(slot) => {
                let guard = Counted::new(Arc::clone(&shared), |counters| &counters.connections);
                tokio::spawn(serve(socket, router.clone(), (slot, guard)));
            }
            Err(_) => turn_away(&socket, &shared),
        }
    }
}

async fn serve(socket: TcpStream, router: Router, _slot: (OwnedSemaphorePermit, Counted)) {
    let Ok(local) = socket.local_addr() else { return };
    // Small answers leave at once.
    let _ = socket.set_nodelay(true);
    let mut io = TimeoutStream::new(socket);
    io.set_write_timeout(Some(WRITE_TIMEOUT));
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(LocalAddress(local.ip()));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(Box::pin(io)), service);
    // What goes wrong here is the client's: it is told by an answer or has gone.
    let _ = connection.await;
}

/// Tells a client that there is no room, as far as that can be done without waiting.
fn turn_away(socket: &TcpStream, shared: &Shared) {
    count(&shared.counters.refused_connections);
    let line = "too many connections; close some and try again\n";
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 5\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{line}",
        line.len()
    );
    let _ = socket.try_write(answer.as_bytes());
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

/// Counts something while it lasts.
#[derive(Debug)]
pub(super) struct Counted {
    shared: Arc<Shared>,
    counter: fn(&Counters) -> &AtomicU64,
}

impl Counted {
    pub(super) fn new(shared: Arc<Shared>, counter: fn(&Counters) -> &AtomicU64) -> Self {
        count(counter(&shared.counters));
        Self { shared, counter }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let counter = (self.counter)(&self.shared.counters);
        counter.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}
