//! A thousand clients that connect and behave badly; alone in this file, since files, threads and memory of the whole
//! process are counted.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support {
    #[expect(dead_code, reason = "other tests use the rest")]
    pub(crate) mod page;
}

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use lcam_device::panel::Panel;
use support::page::{Page, screen};

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// What a rude client does, by its number.
fn be_rude(address: std::net::SocketAddr, number: usize) -> Option<TcpStream> {
    let mut socket = TcpStream::connect(address).ok()?;
    let sent: &[u8] = match number % 6 {
        0 => b"",
        1 => b"GET / HTTP/1.1\r\nHost: local",
        2 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\xff\xfe\x00garbage\r\n\r\n",
        3 => b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n",
        4 => b"POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n{",
        _ => b"GET /labels.json HTTP/1.1\r\nHost: localhost\r\n\r\nGET /labels.json HTTP/1.1\r\nHost: localhost\r\n\r\n",
    };
    let _ = socket.write_all(sent);
    if number % 12 == 3 {
        // In the middle of a part.
        let _ = socket.set_read_timeout(Some(Duration::from_millis(50)));
        let _ = socket.read(&mut [0; 100]);
    }
    Some(socket)
}

#[test]
fn a_thousand_rude_clients_leave_nothing_behind() {
    let (page, mut browser) = Page::open("?size=320x240").split();
    let (stop, stopped) = sync_channel::<()>(0);
    // Screens go on all the time.
    let shower = thread::spawn(move || {
        let screens = [screen(320, 240, 0.2), screen(320, 240, 0.8)];
        let mut slowest = Duration::ZERO;
        while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
            for screen in &screens {
                let start = Instant::now();
                browser.show(screen).unwrap();
                slowest = slowest.max(start.elapsed());
                thread::sleep(Duration::from_millis(10));
            }
        }
        (browser, slowest)
    });
    assert_eq!(page.get("/healthz").status, 200);
    let (files, memory) = (open_files(), page.metric("process_resident_memory_bytes"));
    let (start, running) = (Instant::now(), threads());
    for batch in 0..20 {
        let sockets: Vec<_> =
            (0..50).filter_map(|n| be_rude(page.address(), batch * 50 + n)).collect();
        assert!(threads() <= running + 2, "{} threads", threads());
        thread::sleep(Duration::from_millis(50));
        drop(sockets);
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    // Those that say nothing are closed after five seconds.
    let start = Instant::now();
    while page.try_get("/healthz").is_none_or(|answer| answer.status != 200) {
        assert!(start.elapsed() < Duration::from_secs(15), "the page does not answer");
        thread::sleep(Duration::from_millis(100));
    }
    let start = Instant::now();
    while page.metric("lcam_http_connections") > 1.0 || page.metric("lcam_http_streams") > 0.0 {
        assert!(start.elapsed() < Duration::from_secs(20), "connections are left");
        thread::sleep(Duration::from_millis(100));
    }
    drop(stop);
    let (_browser, slowest) = shower.join().unwrap();
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(open_files() <= files + 2, "{} files, {files} before", open_files());
    let grown = page.metric("process_resident_memory_bytes") - memory;
    assert!(grown < 32e6, "{grown} bytes more");
}
