//! The browser page's server, by plain sockets: every route, whom it refuses, and what rude clients cost.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support {
    #[expect(dead_code, reason = "other tests use the rest")]
    pub(crate) mod page;
}

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use embedded_graphics::geometry::Size;
use lcam_device::control::{Command, DisplayMode};
use lcam_device::frame::Frame;
use lcam_device::panel::{Panel, PanelError};
use lcam_device::status::Part;
use lcam_models::class::ClassIndex;
use support::page::{Answer, Page, exchange, screen};

#[test]
fn every_route_answers() {
    let mut page = Page::open("?size=320x240");
    assert_eq!(page.get("/frame.jpg").status, 503);
    page.browser.show(&screen(320, 240, 0.5)).unwrap();
    let root = page.get("/");
    assert_eq!((root.status, root.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(root.header("content-security-policy").starts_with("default-src 'none'"));
    assert_eq!(root.header("x-content-type-options"), "nosniff");
    assert!(root.text().contains("<title>L-CAM</title>"));
    let picture = image::load_from_memory(&page.get("/frame.jpg").body).unwrap();
    assert_eq!((picture.width(), picture.height()), (320, 240));
    let status: serde_json::Value = serde_json::from_slice(&page.get("/status.json").body).unwrap();
    assert_eq!(status["observation"]["detected"]["label"], "Egyptian cat");
    assert!(status["last_frame_age_seconds"].as_f64().unwrap() < 60.0);
    let labels: Vec<String> = serde_json::from_slice(&page.get("/labels.json").body).unwrap();
    assert_eq!((labels.len(), labels[285].as_str()), (1000, "Egyptian cat"));
    let metrics = page.get("/metrics");
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(metrics.text().contains("\nlcam_http_connections 1\n"), "{}", metrics.text());
    assert_eq!((page.get("/etc/passwd").status, page.get("//").status), (404, 404));
    assert_eq!(page.send("DELETE /status.json HTTP/1.1\r\nHost: localhost").status, 405);
    assert!(page.browser.description().contains("320x240"));
    let wrong = page.browser.show(&Frame::new(Size::new(1, 1))).unwrap_err();
    assert!(matches!(wrong, PanelError::Size { .. }), "{wrong}");
}

#[test]
fn health_follows_faults() {
    let page = Page::open("");
    assert_eq!(
        (page.get("/healthz").status, page.get("/healthz").text()),
        (200, "ok\n".to_owned())
    );
    page.status.fail(Part::Camera, "the camera is gone");
    let sick = page.get("/healthz");
    assert_eq!((sick.status, sick.text().as_str()), (503, "camera: the camera is gone\n"));
    page.status.recover(&Part::Camera);
    assert_eq!(page.get("/healthz").status, 200);
}

#[test]
fn commands_arrive_and_too_many_are_refused() {
    let page = Page::open("");
    for (body, expected) in [
        (r#"{"command":"freeze"}"#, Command::Freeze),
        (r#"{"command":"mode","mode":"contour"}"#, Command::Mode(DisplayMode::Contour)),
        (r#"{"command":"explain","class":281}"#, Command::Explain(Some(ClassIndex(281)))),
    ] {
        assert_eq!(page.post(body).status, 204);
        assert_eq!(page.commands.try_recv(), Ok(expected));
    }
    for (body, expected) in
        [("{", "no command"), (r#"{"command":"explain","class":1000}"#, "has 1000")]
    {
        let answer = page.post(body);
        assert!(answer.status == 422 && answer.text().contains(expected), "{}", answer.text());
    }
    let statuses: Vec<u16> =
        (0..6).map(|_| page.post(r#"{"command":"snapshot"}"#).status).collect();
    assert_eq!(statuses, [204, 204, 204, 204, 429, 429], "four fit the queue");
    let Page { commands, .. } = &page;
    while commands.try_recv().is_ok() {}
    assert_eq!(page.post(r#"{"command":"snapshot"}"#).status, 204);
    let json = "Content-Type: application/json";
    for (head, expected) in [
        ("Host: localhost\r\nContent-Type: text/plain".to_owned(), 415),
        (format!("Host: localhost\r\nOrigin: http://evil.example\r\n{json}"), 403),
        (format!("Host: evil.example\r\n{json}"), 421),
        (format!("Host: localhost\r\n{json}\r\nSec-Fetch-Site: cross-site"), 403),
    ] {
        let head = format!("POST /command HTTP/1.1\r\n{head}\r\nContent-Length: 20");
        let answer = exchange(page.address(), &head, br#"{"command":"freeze"}"#);
        assert_eq!(answer.status, expected, "{head}");
        assert_eq!(answer.text().lines().count(), 1, "{}", answer.text());
    }
}

#[test]
fn others_need_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "a-long-enough-secret\n").unwrap();
    let page = Page::open_at(&format!("http://0.0.0.0:0?token={}", file.display()));
    let port = page.address().port();
    for path in [
        "/",
        "/stream.mjpg",
        "/frame.jpg",
        "/status.json",
        "/labels.json",
        "/healthz",
        "/metrics",
        "/x",
    ] {
        assert_eq!(page.get(path).status, 401, "{path}");
    }
    assert_eq!(page.post(r#"{"command":"freeze"}"#).status, 401);
    let opened = page.get("/?token=a-long-enough-secret");
    let cookie = opened.header("set-cookie");
    assert_eq!(opened.status, 200);
    assert!(
        cookie.starts_with(&format!("lcam_token_{port}="))
            && cookie.contains("HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    for header in
        [format!("Cookie: {cookie}"), "Authorization: Bearer a-long-enough-secret".to_owned()]
    {
        let head = format!("GET /status.json HTTP/1.1\r\nHost: localhost\r\n{header}");
        assert_eq!(page.send(&head).status, 200, "{header}");
    }
    assert_eq!(page.get("/?token=a-long-enough-secre").status, 401);
}

#[test]
fn foreign_names_and_malformed_requests_are_refused() {
    let page = Page::open("?host=door.example");
    for (head, expected) in [
        ("GET /healthz HTTP/1.1\r\nHost: door.example:80", 200),
        ("GET /healthz HTTP/1.1\r\nHost: evil.example", 421),
        ("GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost", 421),
        ("GET /healthz HTTP/1.1", 400),
        ("GET /healthz HTTP/1.0", 400),
        ("GET /healthz HTTP/9.9\r\nHost: localhost", 400),
        ("what is this", 400),
        ("GET /\u{0} HTTP/1.1\r\nHost: localhost", 400),
    ] {
        assert_eq!(page.send(head).status, expected, "{head}");
    }
}

#[test]
fn large_requests_are_refused() {
    let page = Page::open("");
    let long = "x".repeat(40_000);
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}");
    assert_eq!(page.send(&head).status, 431);
    let path = format!("GET /{long} HTTP/1.1\r\nHost: localhost");
    assert!(matches!(page.send(&path).status, 414 | 431));
    let many: String = (0..200).map(|n| format!("\r\nX-{n}: 1")).collect();
    assert_eq!(page.send(&format!("GET / HTTP/1.1\r\nHost: localhost{many}")).status, 431);
    for length in ["Content-Length: 5000", "Transfer-Encoding: chunked"] {
        let head = format!(
            "POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{length}"
        );
        let body = if length.starts_with('C') {
            "x".repeat(5000)
        } else {
            format!("1388\r\n{}\r\n0\r\n\r\n", "x".repeat(5000))
        };
        assert_eq!(exchange(page.address(), &head, body.as_bytes()).status, 413, "{length}");
    }
    assert_eq!(page.get("/healthz").status, 200);
}

#[test]
fn slow_and_idle_clients_are_closed() {
    let page = Page::open("");
    let closes = |first: &'static [u8], slowly: &'static [u8]| {
        let address = page.address();
        thread::spawn(move || {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
            socket.write_all(first).unwrap();
            let mut writer = socket.try_clone().unwrap();
            thread::spawn(move || {
                for byte in slowly {
                    thread::sleep(Duration::from_millis(500));
                    if writer.write_all(&[*byte]).is_err() {
                        return;
                    }
                }
            });
            let start = Instant::now();
            // Also a reset is an end.
            let mut sink = Vec::new();
            let ended = socket.read_to_end(&mut sink);
            let is_timeout =
                ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
            assert!(!is_timeout, "the connection stays open");
            start.elapsed()
        })
    };
    let clients = [
        closes(b"", b""),
        closes(b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        closes(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b""),
        closes(b"POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n", b"                              "),
    ];
    for (number, client) in clients.into_iter().enumerate() {
        let time = client.join().unwrap();
        assert!(time < Duration::from_secs(12), "{number}: {time:?}");
    }
    assert_eq!(page.get("/healthz").status, 200);
}

/// Reads a stream's head, then parts; gives each part's JPEG.
struct Parts {
    socket: TcpStream,
    rest: Vec<u8>,
}

impl Parts {
    fn open(page: &Page) -> Self {
        let mut socket = TcpStream::connect(page.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        socket.write_all(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut parts = Self { socket, rest: Vec::new() };
        let head = parts.read_to(b"\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("multipart/x-mixed-replace; boundary=lcam-screen"), "{head}");
        parts.read_to(b"--lcam-screen\r\n");
        parts
    }

    fn fill(&mut self) {
        let mut bytes = [0; 16_384];
        let length = self.socket.read(&mut bytes).unwrap();
        assert!(length > 0, "the stream ends");
        self.rest.extend(&bytes[..length]);
    }

    fn read_to(&mut self, end: &[u8]) -> String {
        loop {
            if let Some(at) = self.rest.windows(end.len()).position(|window| window == end) {
                let head = self.rest.drain(..at + end.len()).collect();
                return String::from_utf8(head).unwrap();
            }
            self.fill();
        }
    }

    /// Takes a part apart. The stream is chunked: sizes in hexadecimal stand between.
    fn next(&mut self) -> Vec<u8> {
        let head = self.read_to(b"\r\n\r\n");
        let length = head.split("Content-Length: ").nth(1).unwrap().lines().next().unwrap();
        let length: usize = length.parse().unwrap();
        while self.rest.len() < length {
            self.fill();
        }
        let jpeg = self.rest.drain(..length).collect();
        self.read_to(b"--lcam-screen\r\n");
        jpeg
    }
}

fn brightness(jpeg: &[u8]) -> f64 {
    let picture = image::load_from_memory(jpeg).unwrap().to_luma8();
    let sum: f64 = picture.pixels().map(|pixel| f64::from(pixel[0])).sum();
    sum / f64::from(picture.width() * picture.height())
}

#[test]
fn a_stream_shows_each_screen_and_the_last_one_at_once() {
    let mut page = Page::open("?size=64x48");
    let plain = |level| {
        let mut frame = Frame::new(Size::new(64, 48));
        let area =
            embedded_graphics::primitives::Rectangle::new(Default::default(), Size::new(64, 48));
        let color = embedded_graphics::pixelcolor::Rgb888::new(level, level, level);
        let Ok(()) =
            embedded_graphics::draw_target::DrawTarget::fill_solid(&mut frame, &area, color);
        frame
    };
    page.browser.show(&plain(50)).unwrap();
    let mut parts = Parts::open(&page);
    assert!((brightness(&parts.next()) - 50.0).abs() < 3.0);
    for level in [90, 130, 170, 210] {
        page.browser.show(&plain(level)).unwrap();
        // A part is there whole before the next begins.
        assert!((brightness(&parts.next()) - f64::from(level)).abs() < 3.0);
    }
    let start = Instant::now();
    assert!((brightness(&parts.next()) - 210.0).abs() < 3.0, "the last is sent again");
    assert!((4.0..8.0).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
}

#[test]
fn streams_are_limited_and_a_closed_one_makes_room() {
    let mut page = Page::open("?size=64x48");
    page.browser.show(&screen(64, 48, 0.1)).unwrap();
    let mut open: Vec<Parts> = (0..8).map(|_| Parts::open(&page)).collect();
    let refused = page.get("/stream.mjpg");
    assert_eq!((refused.status, refused.header("retry-after")), (503, "5"));
    open.truncate(7);
    let start = Instant::now();
    while page.metric("lcam_http_streams") > 7.0 {
        assert!(start.elapsed() < Duration::from_secs(10));
        thread::sleep(Duration::from_millis(50));
    }
    Parts::open(&page);
}

#[test]
fn a_stream_that_nobody_reads_slows_no_screen_and_is_closed() {
    let mut page = Page::open("");
    page.browser.show(&screen(640, 480, 0.0)).unwrap();
    let mut deaf = TcpStream::connect(page.address()).unwrap();
    deaf.write_all(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let screens = [0.0, 0.25, 0.5, 0.75].map(|place| screen(640, 480, place));
    let (start, mut slowest) = (Instant::now(), Duration::ZERO);
    let mut is_full = false;
    for number in 0.. {
        let shown = Instant::now();
        page.browser.show(&screens[number % 4]).unwrap();
        slowest = slowest.max(shown.elapsed());
        thread::sleep(Duration::from_millis(5));
        // The kernel's buffers take some seconds' screens.
        is_full |= page.metric("lcam_http_streams") > 0.0;
        if is_full && page.metric("lcam_http_streams") < 1.0 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "the stream stays open");
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    drop(deaf);
}

#[test]
fn a_dropped_page_is_gone() {
    let page = Page::open("");
    let address = page.address();
    let idle = TcpStream::connect(address).unwrap();
    let start = Instant::now();
    drop(page);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(TcpStream::connect(address).is_err());
    drop(idle);
}

#[test]
fn a_port_that_is_taken_is_told() {
    let page = Page::open("");
    let error = Page::try_open(&format!("http://{}", page.address())).unwrap_err().to_string();
    assert!(error.contains("cannot serve there") && error.contains("another port"), "{error}");
    let error = Page::try_open("http://0.0.0.0:0").unwrap_err().to_string();
    assert!(error.contains("?token=FILE"), "{error}");
    let _: Answer = page.get("/");
}
