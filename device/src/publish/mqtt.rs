//! MQTT 3.1.1: observations, the present state and whether the device is there, at a broker.
//!
//! | topic | quality of service | content |
//! | --- | --- | --- |
//! | `TOPIC/observation` | 0 | each [`Observation`] as JSON, as fast as the broker takes them |
//! | `TOPIC/state` | 1, retained | `{"label", "class", "confidence", "time"}` of the detected class, or nulls, whenever another one is detected |
//! | `TOPIC/availability` | 1, retained | `online`; `offline` after a clean stop, and as the last will |
//!
//! The connection has a thread of its own. It is made anew after 1 s, then 2 s and so on up to 30 s, for ever; the
//! state is then said anew, since a broker may have forgotten it. Nothing is queued while there is no broker.

mod session;
mod tls;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, io};

use rumqttc::{LastWill, MqttOptions, QoS, Transport};
use serde::Serialize;
use tokio::sync::Notify;

use super::address::MqttAddress;
use super::{PublishError, Publisher, encode};
use crate::observation::{ClassConfidence, Observation};
use crate::small_file;

pub use session::BrokerProblem;

/// How often a silent connection is tried. A broker gives the last will after one and a half of it.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The largest message; an observation that lists a thousand classes has less than a tenth of it.
const LARGEST_BYTES: usize = 1 << 20;
/// Messages that await the broker's confirmation: a state and an availability, and again after a change.
const IN_FLIGHT: u16 = 8;

/// A broker that results are sent to.
#[derive(Debug)]
pub(super) struct MqttPublisher {
    address: String,
    description: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the caller and the connection's thread share.
#[derive(Debug, Default)]
struct Shared {
    mail: Mutex<Mail>,
    wake: Notify,
}

/// What is to be sent, and how the connection is.
#[derive(Debug, Default)]
struct Mail {
    /// The newest observation that was not sent.
    observation: Option<Vec<u8>>,
    /// The class of the last state, once there is one.
    detected: Option<Option<usize>>,
    state: Vec<u8>,
    is_state_new: bool,
    problem: Option<BrokerProblem>,
    is_stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Serialize)]
struct State<'a> {
    label: Option<&'a str>,
    class: Option<usize>,
    confidence: Option<f32>,
    /// In seconds since 1970, UTC.
    time: f64,
}

impl MqttPublisher {
    pub(super) fn open(address: String, broker: &MqttAddress) -> Result<Self, PublishError> {
        let options = options(&address, broker)?;
        let shared = Arc::new(Shared::default());
        let session = {
            let (shared, topic) = (Arc::clone(&shared), broker.topic.clone());
            move || session::run(options, &topic, &shared)
        };
        let thread = thread::Builder::new().name("lcam-mqtt".to_owned()).spawn(session);
        let thread = match thread {
            Ok(thread) => Some(thread),
            Err(problem) => return Err(PublishError::Thread { address, problem }),
        };
        let encryption = if broker.is_encrypted { ", by TLS" } else { "" };
        let description =
            format!("MQTT broker {}, topic {}{encryption}", broker.host, broker.topic);
        Ok(Self { address, description, shared, thread })
    }
}

impl Publisher for MqttPublisher {
    fn publish(&mut self, observation: &Observation) -> Result<(), PublishError> {
        let message = encode(observation);
        if message.len() > LARGEST_BYTES {
            let (address, bytes) = (self.address.clone(), message.len());
            return Err(PublishError::TooLarge { address, bytes, limit: LARGEST_BYTES });
        }
        let mut mail = self.shared.lock();
        mail.observation = Some(message);
        mail.note_state(observation);
        drop(mail);
        self.shared.wake.notify_one();
        self.problem().map_or(Ok(()), Err)
    }

    fn problem(&self) -> Option<PublishError> {
        let problem = self.shared.lock().problem.clone()?;
        Some(PublishError::Broker { address: self.address.clone(), problem })
    }

    fn description(&self) -> String {
        self.description.clone()
    }
}

impl Drop for MqttPublisher {
    /// Says `offline` and leaves, within [`session::FAREWELL`].
    fn drop(&mut self) {
        self.shared.lock().is_stopped = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Mail {
    fn note_state(&mut self, observation: &Observation) {
        let detected = observation.detected.as_ref();
        let class = detected.map(|detected| detected.class);
        if self.detected == Some(class) {
            return;
        }
        self.detected = Some(class);
        let since = observation.time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let state = State {
            label: detected.map(|ClassConfidence { label, .. }| label.as_str()),
            class,
            confidence: detected.map(|detected| detected.confidence),
            time: since.as_secs_f64(),
        };
        self.state = serde_json::to_vec(&state).unwrap_or_default();
        self.is_state_new = true;
    }
}

fn options(address: &str, broker: &MqttAddress) -> Result<MqttOptions, PublishError> {
    let id = broker.client_id.clone().unwrap_or_else(|| usual_client_id(&broker.topic));
    let host = if broker.host.host.contains(':') {
        format!("[{}]", broker.host.host)
    } else {
        broker.host.host.clone()
    };
    let mut options = MqttOptions::new(id, host, broker.host.port);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_inflight(IN_FLIGHT);
    options.set_max_packet_size(LARGEST_BYTES, LARGEST_BYTES);
    let topic = availability_topic(&broker.topic);
    options.set_last_will(LastWill::new(topic, OFFLINE, QoS::AtLeastOnce, true));
    if let Some(user) = &broker.user {
        let password = match &broker.password_file {
            Some(path) => read_password(path).map_err(|problem| PublishError::Password {
                address: address.to_owned(),
                path: path.clone(),
                problem,
            })?,
            None => String::new(),
        };
        options.set_credentials(user, password);
    }
    if broker.is_encrypted {
        let config = tls::config(broker.ca_file.as_deref()).map_err(|problem| {
            PublishError::Certificates { address: address.to_owned(), problem }
        })?;
        options.set_transport(Transport::tls_with_config(config.into()));
    }
    Ok(options)
}

const ONLINE: &str = "online";
const OFFLINE: &str = "offline";

fn availability_topic(topic: &str) -> String {
    format!("{topic}/availability")
}

fn read_password(path: &Path) -> io::Result<String> {
    let text = small_file::read(path)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.contains('\n') {
        return Err(io::Error::other("it is not one line"));
    }
    Ok(password.to_owned())
}

/// Makes a name that lasts, of 20 letters and digits as every broker takes them: one that comes back after a power cut
/// takes its old connection's place, and so the last will comes before `online` and not after it.
fn usual_client_id(topic: &str) -> String {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let uname = rustix::system::uname();
    let mut hasher = DefaultHasher::new();
    (machine, uname.nodename().to_bytes(), topic).hash(&mut hasher);
    format!("lcam{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::testing::observation;

    #[test]
    fn a_state_is_new_when_another_class_is_detected() {
        let mut mail = Mail::default();
        let mut is_new = |detected| {
            mail.is_state_new = false;
            mail.note_state(&observation(1, detected));
            mail.is_state_new
        };
        let seen = [None, None, Some(1), Some(1), Some(2), None].map(&mut is_new);
        assert_eq!(seen, [true, false, true, false, true, true]);
        mail.note_state(&observation(1, Some(1)));
        let state: serde_json::Value = serde_json::from_slice(&mail.state).unwrap();
        assert_eq!(state["label"], "tabby, tabby cat");
        assert_eq!((state["class"].as_u64(), state["confidence"].as_f64()), (Some(1), Some(0.75)));
    }

    #[test]
    fn the_usual_name_lasts_and_every_broker_takes_it() {
        let id = usual_client_id("door");
        assert_eq!(id, usual_client_id("door"));
        assert_ne!(id, usual_client_id("gate"));
        assert!(id.len() == 20 && id.bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
    }

    #[test]
    fn a_password_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        for (text, expected) in [("a b\r\n", Some("a b")), ("", None), ("\n", None), ("a\nb", None)]
        {
            fs::write(&path, text).unwrap();
            assert_eq!(read_password(&path).ok().as_deref(), expected, "{text:?}");
        }
    }
}
