use std::path::Path;

use super::*;

fn parse(text: &str) -> Destination {
    let address: PublishAddress = text.parse().unwrap();
    assert_eq!(address.to_string(), text);
    address.destination
}

#[test]
fn reads_files_and_datagrams() {
    assert_eq!(parse("jsonl:-"), Destination::Output);
    let file = |path: &str, megabytes: u64| Destination::File {
        path: path.into(),
        max_bytes: megabytes * 1_000_000,
    };
    assert_eq!(parse("jsonl:out/seen.jsonl"), file("out/seen.jsonl", 64));
    assert_eq!(parse("jsonl:/var/log/seen?max_mb=2"), file("/var/log/seen", 2));
    let host = |host: &str, port| Destination::Udp(HostPort { host: host.to_owned(), port });
    assert_eq!(parse("udp://127.0.0.1:9000"), host("127.0.0.1", 9000));
    assert_eq!(parse("udp://[::1]:9000"), host("::1", 9000));
}

#[test]
fn reads_brokers() {
    let Destination::Mqtt(plain) = parse("mqtt://broker.local/home/door") else { panic!() };
    assert_eq!(
        (plain.host.to_string().as_str(), plain.topic.as_str()),
        ("broker.local:1883", "home/door")
    );
    assert!(!plain.is_encrypted && plain.user.is_none() && plain.password_file.is_none());
    let text =
        "mqtts://cam%40door@[fe80::1]:1/a%20b?client_id=door&ca_file=ca%26.pem&password_file=p";
    let Destination::Mqtt(full) = parse(text) else { panic!() };
    assert_eq!(full.host.to_string(), "[fe80::1]:1");
    assert_eq!((full.user.as_deref(), full.topic.as_str()), (Some("cam@door"), "a b"));
    assert_eq!(full.client_id.as_deref(), Some("door"));
    assert_eq!(full.ca_file.as_deref(), Some(Path::new("ca&.pem")));
    let Destination::Mqtt(usual) = parse("mqtts://h/t") else { panic!() };
    assert_eq!(usual.host.port, 8883);
}

#[test]
fn says_what_is_wrong() {
    for (text, expected) in [
        ("", "is no address for results"),
        ("http://host/", "is no address for results"),
        ("jsonl:", "jsonl:-"),
        ("jsonl:-?max_mb=3", "none is taken here"),
        ("jsonl:a?max_mb=0", "whole number of megabytes"),
        ("jsonl:a?max_mb=99999999999999999999", "whole number of megabytes"),
        ("jsonl:a?max_mb=1&max_mb=2", "given twice"),
        ("jsonl:a?max", "NAME=VALUE"),
        ("udp://host", "udp://HOST:PORT"),
        ("udp://host:0", "udp://HOST:PORT"),
        ("udp://:1", "udp://HOST:PORT"),
        ("udp://[::g]:1", "udp://HOST:PORT"),
        ("udp://a b:1", "udp://HOST:PORT"),
        ("mqtt://host", "give a topic"),
        ("mqtt://host/", "give a topic"),
        ("mqtt://host/a/#", "give a topic"),
        ("mqtt://host/a%00", "give a topic"),
        ("mqtt://host:x/t", "HOST or HOST:PORT"),
        ("mqtt:///t", "HOST or HOST:PORT"),
        ("mqtt://user:secret@host/t", "password_file"),
        ("mqtt://@host/t", "password_file"),
        ("mqtt://host/t?password_file=p", "USER@"),
        ("mqtt://host/t?ca_file=c", "mqtts://"),
        ("mqtt://host/t?client_id=", "visible ASCII"),
        ("mqtt://host/t?retain=1", "known is password_file, ca_file, client_id"),
    ] {
        let error = text.parse::<PublishAddress>().unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
