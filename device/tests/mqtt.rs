//! Results at a real broker: mosquitto, which these tests start on a free port of this machine.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use lcam_device::observation::{ClassConfidence, Observation};
use lcam_device::publish::{BrokerProblem, PublishError, Publisher, open};
use rumqttc::{Client, Connection, Event, MqttOptions, Packet, QoS};

/// How long anything may take; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// A broker that ends with the test.
struct Broker {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Broker {
    /// Starts a broker; `settings` are lines of mosquitto.conf, in which `FOLDER` is its folder.
    fn start(settings: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings)
    }

    fn start_in(folder: tempfile::TempDir, settings: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = settings.replace("FOLDER", folder.path().to_str().unwrap());
        // Of a broker that runs as root the files would have to be another user's.
        let all = format!("user root\nlistener {port} 127.0.0.1\n{settings}\n");
        fs::write(folder.path().join("mosquitto.conf"), all).unwrap();
        Self { process: run(folder.path(), port), folder, port }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn restart(&mut self) {
        self.process = run(self.folder.path(), self.port);
    }

    fn address(&self, query: &str) -> String {
        format!("mqtt://127.0.0.1:{}/test/cam{query}", self.port)
    }

    /// Listens to everything; what is retained comes first.
    fn listen(&self) -> Listener {
        let id = format!("listener{}", fastrand::u32(..));
        let (client, connection) = Client::new(MqttOptions::new(id, "127.0.0.1", self.port), 10);
        client.subscribe("test/#", QoS::AtLeastOnce).unwrap();
        Listener { client, connection }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Finds a program of the package mosquitto, which lies where only root looks.
fn mosquitto(program: &str) -> Command {
    let system = Path::new("/usr/sbin").join(program);
    Command::new(if system.exists() { system } else { program.into() })
}

const MISSING: &str =
    "tests/setup.sh brings mosquitto where it runs as root; else: apt-get install mosquitto";

fn run(folder: &Path, port: u16) -> Child {
    let mut process = mosquitto("mosquitto")
        .arg("-c")
        .arg(folder.join("mosquitto.conf"))
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .expect(MISSING);
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let log = fs::read_to_string(folder.join("log")).unwrap();
        assert!(process.try_wait().unwrap().is_none(), "mosquitto ended: {log}");
        assert!(start.elapsed() < PATIENCE, "mosquitto does not listen: {log}");
        thread::sleep(Duration::from_millis(20));
    }
    process
}

struct Listener {
    client: Client,
    connection: Connection,
}

/// A message as it arrived.
#[derive(Debug)]
struct Message {
    topic: String,
    text: String,
    is_retained: bool,
}

impl Message {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl Listener {
    /// Gives the next message; `None` when there is none for so long.
    fn next(&mut self, patience: Duration) -> Option<Message> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.checked_duration_since(Instant::now())?;
            let event = self.connection.recv_timeout(left).ok()?;
            if let Ok(Event::Incoming(Packet::Publish(message))) = event {
                return Some(Message {
                    text: String::from_utf8(message.payload.to_vec()).unwrap(),
                    is_retained: message.retain,
                    topic: message.topic,
                });
            }
        }
    }

    /// Waits for a message that is wanted.
    fn wait(&mut self, mut is_wanted: impl FnMut(&Message) -> bool) -> Message {
        let start = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let message = self.next(left).expect("the message comes in time");
            if is_wanted(&message) {
                return message;
            }
        }
    }

    fn wait_for(&mut self, topic: &str, text: &str) -> Message {
        self.wait(|message| message.topic == topic && message.text.contains(text))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.client.disconnect();
    }
}

fn observation(frame: u64, detected: Option<&str>) -> Observation {
    let class =
        |label: &str| ClassConfidence { class: 7, label: label.to_owned(), confidence: 0.5 };
    let detected = detected.map(|label| ClassConfidence { class: label.len(), ..class(label) });
    let best = detected.clone().unwrap_or_else(|| class("fog"));
    Observation {
        frame,
        time: SystemTime::now(),
        top: vec![best.clone(), class("rain")],
        detected,
        explained: best,
        evidence_at: [0.5, 0.5],
        latency_ms: BTreeMap::new(),
    }
}

fn publisher(address: &str) -> Box<dyn Publisher> {
    open(&address.parse().unwrap()).unwrap()
}

/// Waits until a publisher's state is as it is wanted, and gives the last problem.
fn wait_until(
    publisher: &mut dyn Publisher,
    is_wanted: impl Fn(Option<&PublishError>) -> bool,
) -> Option<PublishError> {
    let start = Instant::now();
    loop {
        let problem = publisher.problem();
        if is_wanted(problem.as_ref()) {
            return problem;
        }
        assert!(start.elapsed() < PATIENCE, "{problem:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn observations_state_and_availability_arrive() {
    let broker = Broker::start("allow_anonymous true");
    let mut listener = broker.listen();
    let mut publisher = publisher(&broker.address(""));
    listener.wait_for("test/cam/availability", "online");
    let mut states = 0;
    for (frame, label) in (1..).zip([None, Some("cat"), Some("cat"), Some("horse"), Some("horse")])
    {
        publisher.publish(&observation(frame, label)).unwrap();
        let seen = listener.wait(|message| {
            states += usize::from(message.topic == "test/cam/state");
            message.topic == "test/cam/observation"
        });
        let json = seen.json();
        assert_eq!(
            (json["frame"].as_u64(), json["detected"]["label"].as_str()),
            (Some(frame), label)
        );
        assert!(!seen.is_retained);
    }
    // Nothing, then a cat, then a horse: each comes before its observation.
    assert_eq!(states, 3);
    // Whoever comes later learns the present state, and no old observation.
    let mut late = broker.listen();
    let retained: BTreeMap<String, String> =
        std::iter::from_fn(|| late.next(Duration::from_secs(1)))
            .map(|message| {
                assert!(message.is_retained, "{message:?}");
                (message.topic, message.text)
            })
            .collect();
    assert_eq!(retained.len(), 2, "{retained:?}");
    assert_eq!(retained["test/cam/availability"], "online");
    let state: serde_json::Value = serde_json::from_str(&retained["test/cam/state"]).unwrap();
    assert_eq!((state["label"].as_str(), state["class"].as_u64()), (Some("horse"), Some(5)));
    assert_eq!(state["confidence"], 0.5);
}

#[test]
fn a_clean_stop_says_so_at_once() {
    let broker = Broker::start("allow_anonymous true");
    let mut listener = broker.listen();
    let publisher = publisher(&broker.address(""));
    listener.wait_for("test/cam/availability", "online");
    let start = Instant::now();
    drop(publisher);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    listener.wait_for("test/cam/availability", "offline");
    let retained = broker.listen().wait_for("test/cam/availability", "");
    assert!(retained.is_retained && retained.text == "offline", "{retained:?}");
}

/// No test of its own: what [`a_killed_program_is_offline`] kills.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn publishes_until_it_is_killed() {
    let Ok(address) = std::env::var("LCAM_TEST_BROKER") else { return };
    let mut publisher = publisher(&address);
    for frame in 1..1000 {
        let _ = publisher.publish(&observation(frame, Some("cat")));
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_killed_program_is_offline() {
    let broker = Broker::start("allow_anonymous true");
    let mut listener = broker.listen();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "publishes_until_it_is_killed", "--ignored"])
        .env("LCAM_TEST_BROKER", broker.address(""))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    listener.wait_for("test/cam/observation", "\"frame\":3");
    process.kill().unwrap();
    process.wait().unwrap();
    listener.wait_for("test/cam/availability", "offline");
    assert!(broker.listen().wait_for("test/cam/availability", "offline").is_retained);
}

#[test]
fn a_broker_that_comes_back_learns_everything_anew() {
    let mut broker = Broker::start("allow_anonymous true");
    let mut publisher = publisher(&broker.address(""));
    broker.listen().wait_for("test/cam/availability", "online");
    publisher.publish(&observation(1, Some("cat"))).unwrap();
    broker.listen().wait_for("test/cam/state", "cat");
    for round in 0..2 {
        broker.kill();
        let problem = wait_until(publisher.as_mut(), |problem| problem.is_some()).unwrap();
        assert!(matches!(problem, PublishError::Broker { .. }), "{problem}");
        // Many more than any queue should hold; and the state changes meanwhile.
        let label = ["horse", "sparrow"][round];
        let start = Instant::now();
        for frame in 100..5100 {
            publisher.publish(&observation(frame, Some(label))).unwrap_err();
        }
        assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        broker.restart();
        let mut listener = broker.listen();
        wait_until(publisher.as_mut(), |problem| problem.is_none());
        listener.wait_for("test/cam/state", label);
        publisher.publish(&observation(9999, Some(label))).unwrap();
        let mut frames = Vec::new();
        while frames.last() != Some(&9999) {
            let seen = listener.wait(|message| message.topic == "test/cam/observation");
            frames.push(seen.json()["frame"].as_u64().unwrap());
        }
        assert!(frames.len() <= 2, "old frames were queued: {frames:?}");
        assert!(broker.listen().wait_for("test/cam/availability", "online").is_retained);
    }
}

#[test]
fn a_password_opens_the_broker_and_a_wrong_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (users, right, wrong) = (path("users"), path("right"), path("wrong"));
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c", &users, "cam", "open sesame"])
        .status()
        .expect(MISSING);
    assert!(made.success());
    fs::write(&right, "open sesame\n").unwrap();
    fs::write(&wrong, "open barley\n").unwrap();
    let broker = Broker::start_in(folder, "allow_anonymous false\npassword_file FOLDER/users");
    let address =
        |user: &str, file: &str| format!("mqtt://{user}127.0.0.1:{}/test/cam{file}", broker.port);
    for bad in [address("cam@", &format!("?password_file={wrong}")), address("", "")] {
        let mut refused = publisher(&bad);
        let problem = wait_until(refused.as_mut(), |problem| problem.is_some()).unwrap();
        let is_told =
            matches!(problem, PublishError::Broker { problem: BrokerProblem::NotAuthorized, .. });
        assert!(is_told, "{problem}");
        let text = refused.publish(&observation(1, None)).unwrap_err().to_string();
        assert!(text.contains("?password_file=PATH") && !text.contains("barley"), "{text}");
    }
    let mut accepted = publisher(&address("cam@", &format!("?password_file={right}")));
    // It is up once a retained message is confirmed by being there for another who knows the password.
    let mut options = MqttOptions::new("listener", "127.0.0.1", broker.port);
    options.set_credentials("cam", "open sesame");
    let (client, connection) = Client::new(options, 10);
    client.subscribe("test/#", QoS::AtLeastOnce).unwrap();
    Listener { client, connection }.wait_for("test/cam/availability", "online");
    accepted.publish(&observation(1, None)).unwrap();
    let missing = open(&address("cam@", "?password_file=/no/such").parse().unwrap()).unwrap_err();
    assert!(matches!(missing, PublishError::Password { .. }), "{missing}");
}

/// Makes an authority and a broker's certificate from it for `localhost`, as PEM files.
fn certificates(folder: &Path) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    fs::write(folder.join("ca.pem"), authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let broker = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    fs::write(folder.join("broker.pem"), broker.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    fs::write(folder.join("broker.key"), key.serialize_pem()).unwrap();
}

#[test]
fn an_encrypted_broker_is_trusted_by_its_authority_alone() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(folder.path());
    certificates(other.path());
    let authority = folder.path().join("ca.pem");
    let broker = Broker::start_in(
        folder,
        "allow_anonymous true\ncertfile FOLDER/broker.pem\nkeyfile FOLDER/broker.key\n\
         log_type all\nlog_dest file FOLDER/messages",
    );
    let address = |host: &str, authority: &Path| {
        format!("mqtts://{host}:{}/test/cam?ca_file={}", broker.port, authority.display())
    };
    // Of another authority, and of the right one for another name.
    let stranger = other.path().join("ca.pem");
    for (host, authority) in [("localhost", &stranger), ("127.0.0.1", &authority)] {
        let mut refused = publisher(&address(host, authority));
        let problem = wait_until(refused.as_mut(), |problem| problem.is_some()).unwrap();
        let is_told =
            matches!(problem, PublishError::Broker { problem: BrokerProblem::Untrusted(_), .. });
        assert!(is_told, "{host}: {problem}");
    }
    let mut trusted = publisher(&address("localhost", &authority));
    trusted.publish(&observation(1, Some("cat"))).unwrap();
    let messages = broker.folder.path().join("messages");
    let start = Instant::now();
    while !fs::read_to_string(&messages).unwrap_or_default().contains("'test/cam/observation'") {
        assert!(start.elapsed() < PATIENCE, "{:?}", trusted.problem());
        thread::sleep(Duration::from_millis(50));
    }
    assert!(trusted.problem().is_none());
    fs::write(other.path().join("empty.pem"), "").unwrap();
    let unusable = address("localhost", &other.path().join("empty.pem"));
    let error = open(&unusable.parse().unwrap()).unwrap_err();
    assert!(matches!(error, PublishError::Certificates { .. }), "{error}");
}

#[test]
fn a_broker_that_hangs_holds_nobody_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut publisher = publisher(&format!("mqtt://127.0.0.1:{port}/test/cam"));
    let (_connection, _) = silent.accept().unwrap();
    let start = Instant::now();
    for frame in 0..1000 {
        let _ = publisher.publish(&observation(frame, None));
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let problem = wait_until(publisher.as_mut(), |problem| problem.is_some()).unwrap();
    let is_told =
        matches!(problem, PublishError::Broker { problem: BrokerProblem::Unreachable(_), .. });
    assert!(is_told, "{problem}");
    let start = Instant::now();
    drop(publisher);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}
