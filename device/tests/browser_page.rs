//! The browser page in a real browser: headless Chromium, on a desktop's and on a phone's screen.
//!
//! The pictures of it lie in the folder that `LCAM_PAGE_PICTURES` names, for the eye.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support {
    #[expect(dead_code, reason = "other tests use the rest")]
    pub(crate) mod page;
}

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use lcam_device::panel::Panel;
use lcam_device::status::Part;
use support::page::{Page, screen};

/// The width of a small phone, in CSS pixels.
const PHONE: u32 = 400;

/// The browser is started by one test at a time: three of them on two cores hold up one another's screenshots for
/// longer than any patience.
static BROWSER: Mutex<()> = Mutex::new(());

/// Waits for the browser; to be kept until the test ends, and taken before its page opens, whose frame grows old.
fn turn() -> MutexGuard<'static, ()> {
    BROWSER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the browser; gives what it writes.
fn chromium(folder: &Path, arguments: &[String]) -> String {
    let output = Command::new("timeout")
        .args(["120", "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .args(["--disable-sync", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .args(arguments)
        .output()
        .unwrap();
    assert_ne!(
        output.status.code(),
        Some(127),
        "tests/setup.sh brings Chromium where it runs as root; else: apt-get install chromium"
    );
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Stands before the page's server, hands everything on, and adds `/probe`: the page in a frame of a phone's width,
/// and a script that tells what has become of it. Gives its address and the paths that were asked for.
fn with_probe(page: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let paths = Arc::clone(&asked);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, paths) = (client.unwrap(), Arc::clone(&paths));
            thread::spawn(move || hand_on(client, page, &paths));
        }
    });
    (address, asked)
}

/// Serves one request of a connection; ends with either side.
fn hand_on(mut client: TcpStream, page: SocketAddr, paths: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let field = line.to_lowercase();
        if let Some(value) = field.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            head.push_str("Connection: close\r\n\r\n");
            break;
        }
        if !field.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    paths.lock().unwrap().push(path.clone());
    if path == "/probe" {
        let page = probe();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n";
        let _ = client.write_all(format!("{head}{page}").as_bytes());
        return;
    }
    let mut server = TcpStream::connect(page).unwrap();
    server.write_all(head.as_bytes()).unwrap();
    server.write_all(&body).unwrap();
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}

fn probe() -> String {
    format!(
        r#"<!doctype html><meta charset="utf-8"><pre id="found"></pre>
<iframe id="frame" src="/" style="width:{PHONE}px;height:900px;border:0"></iframe>
<script>
let isPressed = false;
setInterval(() => {{
  const inside = frame.contentDocument, root = inside.documentElement, live = inside.getElementById("live");
  const search = inside.getElementById("search");
  if (!isPressed && search) {{
    search.value = "TABBY";
    search.dispatchEvent(new Event("input"));
    const first = inside.getElementById("found").querySelector("button");
    if (first) {{
      isPressed = true;
      first.click();
      inside.getElementById("freeze").click();
      inside.querySelector("[data-mode=side-by-side]").click();
    }}
  }}
  const wide = [...inside.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > {PHONE} + 0.5);
  found.textContent = [
    "overflow " + (root.scrollWidth - root.clientWidth),
    "wide " + wide.map(e => e.tagName + " " + e.id).join(","),
    "picture " + live.naturalWidth + "x" + live.naturalHeight,
    "elsewhere " + frame.contentWindow.performance.getEntriesByType("resource").filter(r => !r.name.startsWith(location.origin + "/")).length,
    "label " + inside.getElementById("label").textContent,
  ].join(";") + ";";
}}, 200);
</script>"#
    )
}

/// Where pictures for the eye are put.
fn pictures(folder: &Path) -> PathBuf {
    std::env::var_os("LCAM_PAGE_PICTURES").map_or_else(|| folder.to_owned(), PathBuf::from)
}

#[test]
fn the_page_shows_what_is_seen() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut page = Page::open("");
    page.browser.show(&screen(640, 480, 0.4)).unwrap();
    let url = format!("http://{}/", page.address());
    let arguments = ["--virtual-time-budget=4000".to_owned(), "--dump-dom".to_owned(), url.clone()];
    let document = chromium(folder.path(), &arguments);
    for expected in [
        r#"<div id="label">Egyptian cat</div>"#,
        r#"<div id="certainty">88.3 %</div>"#,
        "black-and-tan coonhound",
        r#"<th title="the network's pass">infer</th><td>61.0</td><td>66.4</td>"#,
        "efficientnet-lite0.onnx 3f9c21d7<",
        r#"<span id="pill" role="status" class="good">running</span>"#,
        "<title>Egyptian cat - L-CAM</title>",
    ] {
        assert!(document.contains(expected), "{expected} is not in {document}");
    }
    let place = |stage: &str| document.find(&format!(">{stage}</th>")).unwrap();
    let places = ["preprocess", "infer", "post-process", "draw"].map(place);
    assert!(places.is_sorted(), "stages stand in a frame's order: {places:?}");
    page.status.fail(Part::Camera, "the camera is gone: no such device; plug it in");
    page.status.lock().frozen = true;
    let document = chromium(folder.path(), &arguments);
    for expected in ["<b>camera</b><span>the camera is gone", "1 fault</span>", "Go on</button>"] {
        assert!(document.contains(expected), "{expected} is not in {document}");
    }
}

#[test]
fn the_page_fits_a_phone_its_buttons_work_and_it_asks_nobody_else() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut page = Page::open("");
    page.browser.show(&screen(640, 480, 0.4)).unwrap();
    // Long words are the widest.
    page.status.lock().camera = "Kamera-mit-einem-Namen-ohne-Leerzeichen-".repeat(5);
    page.status
        .fail(Part::Publisher("mqtts://a-user@a-host.example/a-topic".repeat(4)), &"x".repeat(300));
    let (address, asked) = with_probe(page.address());
    let arguments = [
        "--virtual-time-budget=6000".to_owned(),
        "--dump-dom".to_owned(),
        format!("http://{address}/probe"),
    ];
    let document = chromium(folder.path(), &arguments);
    let found =
        document.split("<pre id=\"found\">").nth(1).unwrap().split("</pre>").next().unwrap();
    for expected in
        ["overflow 0;", "wide ;", "picture 640x480;", "elsewhere 0;", "label Egyptian cat;"]
    {
        assert!(found.contains(expected), "{expected} is not in {found}");
    }
    let mut commands: Vec<_> =
        page.commands.try_iter().map(|command| format!("{command:?}")).collect();
    commands.sort();
    assert_eq!(commands, ["Explain(Some(ClassIndex(281)))", "Freeze", "Mode(SideBySide)"]);
    let asked = asked.lock().unwrap();
    for path in ["/", "/status.json", "/labels.json"] {
        assert!(asked.iter().any(|known| known == path), "{path} is not in {asked:?}");
    }
    assert!(asked.iter().any(|known| known.starts_with("/stream.mjpg")), "{asked:?}");
}

#[test]
fn the_page_is_pictured() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut page = Page::open("");
    page.browser.show(&screen(640, 480, 0.4)).unwrap();
    let picture = |name: &str, size: &str| {
        page.status.lock().last_frame = Some(Instant::now());
        let path = pictures(folder.path()).join(name);
        let arguments = [
            "--virtual-time-budget=4000".to_owned(),
            format!("--window-size={size}"),
            format!("--screenshot={}", path.display()),
            format!("http://{}/", page.address()),
        ];
        chromium(folder.path(), &arguments);
        let picture = image::open(&path).unwrap().to_rgb8();
        let colors: BTreeSet<[u8; 3]> = picture.pixels().map(|pixel| pixel.0).collect();
        // The photograph is there: text on plain ground has some hundred colours.
        assert!(colors.len() > 5000, "{name} has {} colours", colors.len());
    };
    picture("desktop.png", "1280,900");
    page.status.fail(Part::Camera, "/dev/video0: the camera is gone: no such device; plug it in");
    page.status
        .fail(Part::Publisher("mqtt://broker.local/door".to_owned()), "the broker is not reached");
    page.status.lock().frozen = true;
    picture("phone.png", "500,1500");
}
