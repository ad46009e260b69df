//! Addresses of publishers, and what addresses have in common: host, port and `?name=value&...`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

/// An address that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It begins with no known scheme.
    #[error(
        "{address:?} is no address for results; give jsonl:-, jsonl:PATH, udp://HOST:PORT, mqtt://HOST/TOPIC or mqtts://HOST/TOPIC"
    )]
    Scheme {
        /// The address.
        address: String,
    },
    /// A part of it is missing or cannot be read.
    #[error("{address:?}: {expected}")]
    Form {
        /// The address.
        address: String,
        /// What is expected.
        expected: &'static str,
    },
    /// A parameter behind `?` is not known here, or is given twice.
    #[error("{address:?}: the parameter {name:?} is unknown or given twice; {}", known_parameters(.known))]
    Parameter {
        /// The address.
        address: String,
        /// The parameter's name.
        name: String,
        /// The names that are known.
        known: &'static [&'static str],
    },
    /// A parameter's value cannot be used.
    #[error("{address:?}: {name} takes {expected}, not {value:?}")]
    Value {
        /// The address.
        address: String,
        /// The parameter's name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is expected.
        expected: &'static str,
    },
}

fn known_parameters(known: &[&str]) -> String {
    match known {
        [] => "none is taken here".to_owned(),
        _ => format!("known is {}", known.join(", ")),
    }
}

/// Where results go, as it is written on the command line; see [`crate::publish`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishAddress {
    text: String,
    destination: Destination,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    Output,
    File { path: PathBuf, max_bytes: u64 },
    Udp(HostPort),
    Mqtt(MqttAddress),
}

/// A broker, and what to say there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttAddress {
    pub(super) host: HostPort,
    pub(super) is_encrypted: bool,
    pub(super) user: Option<String>,
    pub(super) topic: String,
    pub(super) client_id: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
}

/// A host's name or number, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// IPv6 numbers are without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The size of a file of JSON lines, in megabytes, at which a new one is begun.
const DEFAULT_MAX_MB: u64 = 64;
/// Above this a size in bytes would be no use on any device.
const LARGEST_MAX_MB: u64 = 1_000_000;

impl PublishAddress {
    pub(super) fn destination(&self) -> &Destination {
        &self.destination
    }
}

impl fmt::Display for PublishAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for PublishAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (place, mut query) = Query::split(text)?;
        let destination = if let Some(path) = place.strip_prefix("jsonl:") {
            lines(path, &mut query)?
        } else if let Some(place) = place.strip_prefix("udp://") {
            query.finish(&[])?;
            let expected = "give udp://HOST:PORT";
            let host = HostPort::parse(place, None).ok_or_else(|| query.malformed(expected))?;
            Destination::Udp(host)
        } else if let Some(place) = place.strip_prefix("mqtts://") {
            Destination::Mqtt(MqttAddress::parse(place, true, &mut query)?)
        } else if let Some(place) = place.strip_prefix("mqtt://") {
            Destination::Mqtt(MqttAddress::parse(place, false, &mut query)?)
        } else {
            return Err(AddressError::Scheme { address: text.to_owned() });
        };
        Ok(Self { text: text.to_owned(), destination })
    }
}

fn lines(path: &str, query: &mut Query) -> Result<Destination, AddressError> {
    match path {
        "" => return Err(query.malformed("give jsonl:PATH, or jsonl:- for standard output")),
        "-" => {
            query.finish(&[])?;
            return Ok(Destination::Output);
        }
        _ => {}
    }
    let max_mb = match query.take("max_mb") {
        None => DEFAULT_MAX_MB,
        Some(value) => {
            let number = value.parse().ok().filter(|mb| (1..=LARGEST_MAX_MB).contains(mb));
            let expected = "a whole number of megabytes from 1";
            number.ok_or_else(|| query.unusable("max_mb", value, expected))?
        }
    };
    query.finish(&["max_mb"])?;
    Ok(Destination::File { path: PathBuf::from(path), max_bytes: max_mb * 1_000_000 })
}

impl MqttAddress {
    fn parse(place: &str, is_encrypted: bool, query: &mut Query) -> Result<Self, AddressError> {
        let (authority, topic) = place.split_once('/').unwrap_or((place, ""));
        if !is_topic(topic) {
            return Err(query.malformed("give a topic behind the host, as in mqtt://HOST/TOPIC, without +, # and control characters"));
        }
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.is_empty() || user.contains(':')) {
            return Err(query.malformed(
                "give the user's name alone before @, and the password by ?password_file=PATH",
            ));
        }
        let default_port = if is_encrypted { 8883 } else { 1883 };
        let host = HostPort::parse(host, Some(default_port))
            .ok_or_else(|| query.malformed("give HOST or HOST:PORT before the topic"))?;
        let address = Self {
            host,
            is_encrypted,
            user: user.map(decode),
            topic: decode(topic),
            client_id: query.take("client_id"),
            password_file: query.take("password_file").map(PathBuf::from),
            ca_file: query.take("ca_file").map(PathBuf::from),
        };
        query.finish(&["password_file", "ca_file", "client_id"])?;
        address.check(query)?;
        Ok(address)
    }

    fn check(&self, query: &Query) -> Result<(), AddressError> {
        if self.ca_file.is_some() && !self.is_encrypted {
            return Err(query.malformed("ca_file is of use with mqtts:// alone"));
        }
        if self.password_file.is_some() && self.user.is_none() {
            return Err(query.malformed("a password needs a user: give USER@ before the host"));
        }
        match &self.client_id {
            Some(id)
                if id.is_empty() || id.len() > 200 || !id.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                let expected = "1 to 200 visible ASCII characters";
                Err(query.unusable("client_id", id.clone(), expected))
            }
            _ => Ok(()),
        }
    }
}

/// Tells whether messages can be sent to a topic and to others below it (MQTT 3.1.1, section 4.7).
fn is_topic(topic: &str) -> bool {
    let topic = decode(topic);
    let is_plain = |c: char| !matches!(c, '+' | '#') && !c.is_control();
    !topic.is_empty() && topic.len() <= 1000 && topic.chars().all(is_plain) && !topic.ends_with('/')
}

impl HostPort {
    /// Reads `HOST:PORT`, `[IPV6]:PORT`, and without a port if there is a usual one.
    pub(crate) fn parse(text: &str, default_port: Option<u16>) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let is_allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || host.len() > 253 || !host.chars().all(is_allowed) {
            return None;
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|&port| port > 0)?,
            None => default_port?,
        };
        Some(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What stands behind `?` in an address.
#[derive(Debug)]
pub(crate) struct Query {
    address: String,
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Splits an address at its first `?`.
    pub(crate) fn split(address: &str) -> Result<(&str, Self), AddressError> {
        let (place, query) = address.split_once('?').unwrap_or((address, ""));
        let mut split = Self { address: address.to_owned(), pairs: Vec::new() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(split.malformed("give parameters as ?NAME=VALUE&NAME=VALUE"));
            };
            split.pairs.push((decode(name), decode(value)));
        }
        Ok((place, split))
    }

    /// Takes a parameter out.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let place = self.pairs.iter().position(|(known, _)| known == name)?;
        Some(self.pairs.remove(place).1)
    }

    /// Refuses parameters that nobody took.
    pub(crate) fn finish(&self, known: &'static [&'static str]) -> Result<(), AddressError> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => {
                let (address, name) = (self.address.clone(), name.clone());
                Err(AddressError::Parameter { address, name, known })
            }
        }
    }

    pub(crate) fn malformed(&self, expected: &'static str) -> AddressError {
        AddressError::Form { address: self.address.clone(), expected }
    }

    pub(crate) fn unusable(
        &self,
        name: &'static str,
        value: String,
        expected: &'static str,
    ) -> AddressError {
        AddressError::Value { address: self.address.clone(), name, value, expected }
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests;
