//! What is answered.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::TrySendError;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, SET_COOKIE};
use axum::http::header::{REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::unfold;
use ring::digest::{SHA256, digest};
use tokio::sync::watch;
use tokio::time::timeout;

use super::access::Refusal;
use super::screens::{BOUNDARY, Encoded};
use super::server::{Counted, LocalAddress, MAX_STREAMS, count};
use super::{Shared, command, metrics};
use crate::status::Status;

const PAGE: &str = include_str!("page.html");

/// The most bytes of a command.
const MAX_BODY_BYTES: usize = 4096;
/// How long a command's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a screen that stays is sent again: a client that has gone is noticed by it.
const REPEAT_AFTER: Duration = Duration::from_secs(5);
/// From this age on the last frame is too old for a camera that works; also how long the first may take.
const STALE_AFTER: Duration = Duration::from_secs(10);

type Device = State<Arc<Shared>>;

/// Puts the routes together.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/stream.mjpg", get(stream))
        .route("/frame.jpg", get(frame))
        .route("/status.json", get(status))
        .route("/labels.json", get(labels))
        .route("/healthz", get(health))
        .route("/metrics", get(numbers))
        .route("/command", post(take_command))
        .fallback(async || refuse(StatusCode::NOT_FOUND, "there is nothing here; see /"))
        .method_not_allowed_fallback(async || {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "this is not how it is asked for")
        })
        .layer(from_fn_with_state(Arc::clone(&shared), guard))
        .with_state(shared)
}

/// Lets in who may, and tells browsers what this device's answers are not to be used for.
async fn guard(State(shared): Device, request: Request, next: Next) -> Response {
    count(&shared.counters.requests);
    let policy = content_policy();
    let (parts, body) = request.into_parts();
    // It is put there when the connection is taken.
    let local = parts.extensions.get::<LocalAddress>().copied();
    let checked = match local {
        Some(LocalAddress(local)) => shared.access.check(&parts, local),
        None => Err(Refusal(StatusCode::INTERNAL_SERVER_ERROR, "no address")),
    };
    let mut response = match checked {
        Ok(cookie) => {
            let mut response = next.run(Request::from_parts(parts, body)).await;
            if let Some(cookie) = cookie {
                response.headers_mut().insert(SET_COOKIE, cookie);
            }
            response
        }
        Err(Refusal(status, line)) => refuse(status, line),
    };
    if response.status().is_client_error() {
        count(&shared.counters.refused_requests);
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let resource = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(resource, HeaderValue::from_static("same-origin"));
    response
}

/// Allows the page's own style and script by their digests, and nothing from elsewhere.
fn content_policy() -> HeaderValue {
    static POLICY: std::sync::LazyLock<Option<HeaderValue>> = std::sync::LazyLock::new(|| {
        let hash = |tag: &str| {
            let (start, end) = (format!("<{tag}>"), format!("</{tag}>"));
            let inside = PAGE.split_once(&start).and_then(|(_, rest)| rest.split_once(&end));
            let content = inside.map_or("", |(content, _)| content);
            format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, content.as_bytes())))
        };
        let policy = format!(
            "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src {}; script-src {}; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
            hash("style"),
            hash("script")
        );
        HeaderValue::from_str(&policy).ok()
    });
    POLICY.clone().unwrap_or_else(|| HeaderValue::from_static("default-src 'none'"))
}

/// Answers in a line.
fn refuse(status: StatusCode, line: &str) -> Response {
    let mut response = (status, text(format!("{line}\n"))).into_response();
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

fn text(content: String) -> impl IntoResponse {
    of_type("text/plain; charset=utf-8", content)
}

fn of_type(kind: &'static str, content: impl Into<Body>) -> Response {
    let mut response = Response::new(content.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn json(content: &(impl serde::Serialize + ?Sized)) -> Response {
    match serde_json::to_vec(content) {
        Ok(bytes) => of_type("application/json", bytes),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn page() -> Response {
    of_type("text/html; charset=utf-8", PAGE)
}

async fn frame(State(shared): Device) -> Response {
    match shared.screens.current() {
        Some(Encoded { jpeg, .. }) => of_type("image/jpeg", jpeg),
        None => refuse(StatusCode::SERVICE_UNAVAILABLE, "there is no screen yet; try again"),
    }
}

async fn status(State(shared): Device) -> Response {
    json(&copied(&shared))
}

async fn labels(State(shared): Device) -> Response {
    json(&*copied(&shared).labels)
}

async fn numbers(State(shared): Device) -> Response {
    let numbers = metrics::render(&copied(&shared), &shared.counters);
    of_type("text/plain; version=0.0.4; charset=utf-8", numbers)
}

/// Copies the status, so that it is not locked while it is written.
fn copied(shared: &Shared) -> Status {
    shared.status.lock().clone()
}

async fn health(State(shared): Device) -> Response {
    let problems = problems(&copied(&shared));
    if problems.is_empty() {
        return text("ok\n".to_owned()).into_response();
    }
    refuse(StatusCode::SERVICE_UNAVAILABLE, &problems.join("\n"))
}

fn problems(status: &Status) -> Vec<String> {
    let faults = status.faults.iter();
    let mut problems: Vec<String> =
        faults.map(|(part, problem)| format!("{part}: {problem}")).collect();
    match status.last_frame {
        Some(time) if time.elapsed() > STALE_AFTER => {
            problems.push(format!("no frame for {} seconds", time.elapsed().as_secs()));
        }
        None => problems.push("no frame yet".to_owned()),
        Some(_) => {}
    }
    problems
}

async fn take_command(State(shared): Device, body: Body) -> Response {
    let body = match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "a command has 4096 bytes at most");
        }
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the command took too long"),
    };
    let classes = shared.status.lock().labels.len();
    let command = match command::parse(&body, classes) {
        Ok(command) => command,
        Err(line) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, &line),
    };
    match shared.commands.try_send(command) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(TrySendError::Full(_)) => {
            refuse(StatusCode::TOO_MANY_REQUESTS, "too many commands wait; try again")
        }
        Err(TrySendError::Disconnected(_)) => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, "the program takes no more commands")
        }
    }
}

/// A client's place in the screens.
struct Watching {
    shared: Arc<Shared>,
    screens: watch::Receiver<Encoded>,
    sent: u64,
    _counted: Counted,
}

async fn stream(State(shared): Device) -> Response {
    let counted = Counted::new(Arc::clone(&shared), |counters| &counters.streams);
    if shared.counters.streams.load(Ordering::Relaxed) > MAX_STREAMS as u64 {
        let line = "too many streams; close one and try again";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, line);
    }
    let screens = shared.screens.subscribe();
    let watching = Watching { shared, screens, sent: 0, _counted: counted };
    let begin = futures_util::stream::iter([Ok(Bytes::from(format!("--{BOUNDARY}\r\n")))]);
    let parts = unfold(watching, async |mut watching| {
        let part = watching.next().await?;
        Some((Ok::<_, Infallible>(part), watching))
    });
    let body = Body::from_stream(futures_util::StreamExt::chain(begin, parts));
    let mut response = Response::new(body);
    let kind = format!("multipart/x-mixed-replace; boundary={BOUNDARY}");
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

impl Watching {
    /// Waits for a screen that was not sent, or until it is time to send the last again. `None` when the page is dropped.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            // Nobody may have asked for the last screen yet, which then is not encoded.
            let is_first = self.sent == 0;
            if !(is_first && self.shared.screens.current().is_some()) {
                let sent = self.sent;
                let newer = self.screens.wait_for(|screen| screen.number > sent);
                if let Ok(Err(_)) = timeout(REPEAT_AFTER, newer).await {
                    return None;
                }
            }
            if let Some(Encoded { number, part, .. }) = self.shared.screens.current() {
                self.sent = number;
                return Some(part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::status::Part;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for outside in [
            "https://",
            "src=\"http",
            "<link rel=\"stylesheet",
            "@import",
            "url(",
            "style=\"",
            "onclick=\"",
        ] {
            assert!(!PAGE.contains(outside), "{outside} is in the page");
        }
        assert_eq!(PAGE.matches("<style>").count(), 1);
        assert_eq!(PAGE.matches("<script>").count(), 1);
        let policy = content_policy();
        let policy = policy.to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; img-src") && !policy.contains("unsafe"),
            "{policy}"
        );
    }

    #[test]
    fn health_tells_faults_and_old_frames() {
        let mut status = Status::default();
        assert_eq!(problems(&status), ["no frame yet"]);
        status.last_frame = Some(Instant::now());
        assert_eq!(problems(&status), [""; 0]);
        status.last_frame = Instant::now().checked_sub(Duration::from_secs(11));
        status.faults.insert(Part::Camera, "gone".to_owned());
        assert_eq!(problems(&status), ["camera: gone", "no frame for 11 seconds"]);
    }
}
