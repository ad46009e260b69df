//! A browser page as a running program has it, and requests to it by plain sockets.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use embedded_graphics::geometry::Size;
use image::{Rgb, RgbImage};
use lcam_device::browser::{Browser, BrowserError};
use lcam_device::control::Command;
use lcam_device::frame::Frame;
use lcam_device::observation::{ClassConfidence, Observation};
use lcam_device::screen::{Explained, Rank, Scene, draw};
use lcam_device::status::{SharedStatus, Status};
use lcam_device::timing::{Quantiles, Stage};
use lcam_models::map::{ClassMap, GridSize};
use lcam_models::picture::read_picture;
use lcam_models::preprocess::{ImageSize, Normalization, Preprocess};

/// A page and what its program shares with it; [`Page::split`] parts them.
#[derive(Debug)]
pub(crate) struct Page<B = Browser> {
    pub(crate) browser: B,
    pub(crate) status: SharedStatus,
    pub(crate) commands: Receiver<Command>,
    address: SocketAddr,
}

impl Page {
    /// Opens a page on a free port, for this machine alone.
    pub(crate) fn open(query: &str) -> Self {
        Self::open_at(&format!("http://127.0.0.1:0{query}"))
    }

    pub(crate) fn open_at(address: &str) -> Self {
        Self::try_open(address).unwrap()
    }

    pub(crate) fn try_open(address: &str) -> Result<Self, BrowserError> {
        let status = SharedStatus::default();
        *status.lock() = running();
        let (sender, commands) = sync_channel(4);
        let browser = Browser::open(&address.parse()?, status.clone(), sender)?;
        let port = browser.local_address().port();
        let address = match browser.local_address() {
            address if address.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], port)),
            address => address,
        };
        Ok(Self { browser, status, commands, address })
    }

    pub(crate) fn split(self) -> (Page<()>, Browser) {
        let Self { browser, status, commands, address } = self;
        (Page { browser: (), status, commands, address }, browser)
    }
}

impl<B> Page<B> {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost"))
    }

    pub(crate) fn try_get(&self, path: &str) -> Option<Answer> {
        try_exchange(self.address, &format!("GET {path} HTTP/1.1\r\nHost: localhost"), b"")
    }

    pub(crate) fn post(&self, body: &str) -> Answer {
        let length = body.len();
        let head = format!(
            "POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}"
        );
        exchange(self.address, &head, body.as_bytes())
    }

    /// Sends a request without a body.
    pub(crate) fn send(&self, head: &str) -> Answer {
        exchange(self.address, head, b"")
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    }
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Gives a header's content, empty without it; names are in lower case.
    pub(crate) fn header(&self, name: &str) -> &str {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(known, _)| *known == name).map_or("", |(_, content)| content)
    }
}

/// Sends a request on a connection of its own and reads the whole answer.
pub(crate) fn exchange(address: SocketAddr, head: &str, body: &[u8]) -> Answer {
    try_exchange(address, head, body).expect("an answer comes")
}

fn try_exchange(address: SocketAddr, head: &str, body: &[u8]) -> Option<Answer> {
    let mut socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    // A server that has seen enough may close before all is sent.
    let _ = socket.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes());
    let _ = socket.write_all(body);
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = socket.read(&mut piece) {
        all.extend(&piece[..length]);
    }
    let end = all.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head, body: all[end + 4..].to_vec() })
}

/// The status of a program that has seen a cat.
fn running() -> Status {
    let mut labels: Vec<String> = (0..1000).map(|n| format!("class {n}, number {n}")).collect();
    for (class, label) in RANKING {
        labels[class] = label.to_owned();
    }
    let confidences = [0.883, 0.061, 0.021, 0.012, 0.004];
    let top: Vec<ClassConfidence> = RANKING
        .into_iter()
        .zip(confidences)
        .map(|((class, label), confidence)| ClassConfidence {
            class,
            label: label.to_owned(),
            confidence,
        })
        .collect();
    let stages = [
        (Stage::Draw, 4.4, 5.2),
        (Stage::Infer, 61.0, 66.4),
        (Stage::PostProcess, 1.2, 2.6),
        (Stage::Preprocess, 3.4, 4.1),
    ];
    Status {
        camera: "Integrated webcam, 640x480 YUYV at 30 /s".to_owned(),
        model: "efficientnet-lite0.onnx".to_owned(),
        model_sha256: "3f9c21d7".repeat(8),
        runtime: "tract 0.23.9, float32, 4 threads".to_owned(),
        labels: labels.into(),
        frames: 12_345,
        passes: 6_120,
        last_frame: Some(Instant::now()),
        latency_ms: stages.map(|(stage, p50, p95)| (stage, Quantiles { p50, p95 })).into(),
        observation: Some(Observation {
            frame: 12_345,
            time: SystemTime::now(),
            detected: Some(top[0].clone()),
            explained: top[0].clone(),
            top,
            evidence_at: [0.5, 0.4],
            latency_ms: BTreeMap::new(),
        }),
        ..Status::default()
    }
}

const RANKING: [(usize, &str); 5] = [
    (285, "Egyptian cat"),
    (281, "tabby, tabby cat"),
    (282, "tiger cat"),
    (287, "lynx, catamount"),
    (165, "black-and-tan coonhound"),
];

/// Draws a real screen of a photograph, with a map whose evidence lies at a share of the width.
pub(crate) fn screen(width: u32, height: u32, place: f32) -> Frame {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/samples/chelsea.jpg");
    let picture: RgbImage = read_picture(path.as_ref()).unwrap();
    let mut picture = image::imageops::thumbnail(&picture, 320, 240);
    // Something that differs between places everywhere.
    picture.put_pixel(0, 0, Rgb([255; 3]));
    let size = GridSize { height: 7, width: 7 };
    let bump = |cell: usize| {
        let (row, column) = ((cell / 7) as f32 - 2.5, (cell % 7) as f32 - 6.0 * place);
        -(row * row) - (column * column)
    };
    let map = ClassMap::new(size, (0..49).map(bump).collect()).unwrap().min_max();
    let ranks = RANKING.map(|(_, label)| label.split(',').next().unwrap());
    let ranking: Vec<Rank<'_>> = ranks
        .into_iter()
        .zip([0.883, 0.061, 0.021, 0.012, 0.004])
        .map(|(label, confidence)| Rank { label, confidence })
        .collect();
    let input = ImageSize { width: 224, height: 224 };
    let crop = Preprocess::usual(input, Normalization::IMAGENET).crop_box(ImageSize::of(&picture));
    let explained = [Explained { class: ranking[0], map: &map }];
    let mut frame = Frame::new(Size::new(width, height));
    let Ok(()) = draw(
        &Scene {
            picture: &picture,
            crop,
            explained: &explained,
            ranking: &ranking,
            mode: lcam_device::control::DisplayMode::Heat,
        },
        &mut frame,
    );
    frame
}
