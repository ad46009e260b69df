//! Publishers: where results go as data, one observation after another.
//!
//! | address | what it is |
//! | --- | --- |
//! | `jsonl:-` | JSON lines on standard output |
//! | `jsonl:PATH[?max_mb=64]` | JSON lines added to a file; a full one becomes `PATH.1` |
//! | `udp://HOST:PORT` | one JSON object a datagram |
//! | `mqtt://[USER@]HOST[:PORT]/TOPIC` | an MQTT broker; `mqtts://` by TLS |
//!
//! MQTT takes `?password_file=PATH`, `?ca_file=PATH` and `?client_id=ID`. Values are percent-encoded.
//!
//! A [`Publisher`] holds up its caller for [`PATIENCE`] at most, whatever its receiver does, and remembers one
//! observation at most: of several that could not be sent the newest is. One that fails goes on trying; its errors
//! end when it works again. Results that nobody took are lost: this is a live view, not a log that is delivered.

mod address;
mod json_lines;
mod mqtt;
mod udp;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::observation::Observation;

pub use address::{AddressError, MqttAddress, PublishAddress};
pub(crate) use address::{HostPort, Query};
pub use mqtt::BrokerProblem;

/// The longest that [`Publisher::publish`] waits for a receiver.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// Where observations go.
pub trait Publisher: fmt::Debug + Send {
    /// Sends an observation, or leaves it to be sent.
    ///
    /// # Errors
    /// Returns [`PublishError`] when it was not sent, or when what was left to be sent before was not. The next call
    /// tries anew.
    fn publish(&mut self, observation: &Observation) -> Result<(), PublishError>;

    /// Tells what is wrong now, without an observation to send: a broker may go while nothing is seen.
    fn problem(&self) -> Option<PublishError> {
        None
    }

    /// Tells in one line where results go.
    fn description(&self) -> String;
}

/// Results could not be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A file cannot be written.
    #[error(
        "{address}: cannot write {path}: {problem}; check that the folder exists, is writable and has room"
    )]
    File {
        /// The publisher's address.
        address: String,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        problem: io::Error,
    },
    /// The path is a pipe, a device or a folder.
    #[error("{address}: {path} is no file; give one, or jsonl:- for standard output")]
    NoFile {
        /// The publisher's address.
        address: String,
        /// The path.
        path: PathBuf,
    },
    /// Standard output cannot be written.
    #[error("{address}: cannot write to standard output: {problem}; does its reader still run?")]
    Output {
        /// The publisher's address.
        address: String,
        /// What the operating system said.
        problem: io::Error,
    },
    /// The reader of standard output is too slow.
    #[error("{address}: whoever reads standard output takes nothing; results are dropped")]
    Stalled {
        /// The publisher's address.
        address: String,
    },
    /// A host's name is not known.
    #[error("{address}: {host} is not found: {problem}; check the name and the network")]
    Resolve {
        /// The publisher's address.
        address: String,
        /// The host.
        host: String,
        /// What the resolver said.
        problem: String,
    },
    /// A datagram was not sent.
    #[error(
        "{address}: cannot send a datagram: {problem}; check that the receiver runs and is reached"
    )]
    Datagram {
        /// The publisher's address.
        address: String,
        /// What the operating system said.
        problem: io::Error,
    },
    /// An observation is too large to be sent in one piece.
    #[error("{address}: an observation has {bytes} bytes, {limit} fit; list fewer classes")]
    TooLarge {
        /// The publisher's address.
        address: String,
        /// Its size as JSON.
        bytes: usize,
        /// The most that can be sent.
        limit: usize,
    },
    /// A password's file cannot be used.
    #[error("{address}: cannot read the password in {path}: {problem}; give a file of one line")]
    Password {
        /// The publisher's address.
        address: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: io::Error,
    },
    /// The certificates that a broker is checked against cannot be used.
    #[error("{address}: {problem}; give the authority's certificate as PEM by ?ca_file=PATH")]
    Certificates {
        /// The publisher's address.
        address: String,
        /// What is wrong with them.
        problem: String,
    },
    /// The broker cannot be used now; it is tried again and again.
    #[error("{address}: {problem}")]
    Broker {
        /// The publisher's address.
        address: String,
        /// What is wrong.
        problem: BrokerProblem,
    },
    /// The publisher's own thread cannot be started.
    #[error("{address}: cannot start a thread: {problem}; is the system out of memory?")]
    Thread {
        /// The publisher's address.
        address: String,
        /// What the operating system said.
        problem: io::Error,
    },
}

/// Opens a publisher. What may come later, as a host or a broker, is not waited for.
///
/// # Errors
/// Returns [`PublishError`] for a file that cannot be written, or for a password or certificates that cannot be read.
pub fn open(address: &PublishAddress) -> Result<Box<dyn Publisher>, PublishError> {
    use address::Destination;
    let text = address.to_string();
    Ok(match address.destination() {
        Destination::Output => Box::new(json_lines::OutputLines::standard(text)?),
        Destination::File { path, max_bytes } => {
            Box::new(json_lines::FileLines::open(text, path.clone(), *max_bytes)?)
        }
        Destination::Udp(host) => Box::new(udp::UdpPublisher::new(text, host.clone())),
        Destination::Mqtt(broker) => Box::new(mqtt::MqttPublisher::open(text, broker)?),
    })
}

/// Encodes an observation as one line of JSON, without the line feed.
fn encode(observation: &Observation) -> Vec<u8> {
    // Its maps have text as keys, which alone could fail.
    serde_json::to_vec(observation).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod testing {
    use std::collections::BTreeMap;
    use std::time::{Duration, SystemTime};

    use crate::observation::{ClassConfidence, Observation};

    pub(crate) const LABELS: [&str; 4] =
        ["tench, Tinca tinca", "tabby, tabby cat", "espresso", "tripod"];

    /// Makes the observation of a frame on which a class, or none, is detected.
    pub(crate) fn observation(frame: u64, detected: Option<usize>) -> Observation {
        let class = |class: usize, confidence| ClassConfidence {
            class,
            label: LABELS[class].to_owned(),
            confidence,
        };
        let best = detected.unwrap_or(0);
        Observation {
            frame,
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            top: vec![class(best, 0.75), class((best + 1) % 4, 0.125)],
            detected: detected.map(|detected| class(detected, 0.75)),
            explained: class(best, 0.75),
            evidence_at: [0.5, 0.25],
            latency_ms: BTreeMap::from([(crate::timing::Stage::Infer, 12.5)]),
        }
    }
}
