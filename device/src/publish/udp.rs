//! Datagrams: one observation as JSON each, to one receiver.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{HostPort, PublishError, Publisher, encode};
use crate::observation::Observation;

/// What fits into one datagram: 65,535 less the headers of IPv4 and UDP.
const LARGEST_BYTES: usize = 65_507;
/// How long a name that was not found is not asked for again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A receiver of datagrams. Its name is looked up aside, since a resolver may take half a minute to answer.
#[derive(Debug)]
pub(super) struct UdpPublisher {
    address: String,
    host: HostPort,
    state: State,
}

#[derive(Debug)]
enum State {
    Resolving(Receiver<io::Result<SocketAddr>>),
    Ready(UdpSocket),
    Unknown { problem: String, since: Instant },
}

impl UdpPublisher {
    pub(super) fn new(address: String, host: HostPort) -> Self {
        let state = State::resolve(&host);
        Self { address, host, state }
    }

    fn send(&mut self, datagram: &[u8]) -> Result<(), PublishError> {
        self.state.proceed(&self.host);
        let socket = match &self.state {
            State::Ready(socket) => socket,
            State::Resolving(_) => return Ok(()),
            State::Unknown { problem, .. } => {
                let (address, host) = (self.address.clone(), self.host.host.clone());
                return Err(PublishError::Resolve { address, host, problem: problem.clone() });
            }
        };
        match socket.send(datagram) {
            Ok(_) => Ok(()),
            // A socket without room drops the datagram, as any router on the way would.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(problem) if problem.kind() == io::ErrorKind::ConnectionRefused => {
                // It tells of the datagram before: nobody was there. This one is not sent yet.
                let _ = socket.send(datagram);
                Err(self.failed(problem))
            }
            Err(problem) => {
                // The name may stand for another address by now, or the network may be another.
                let since = Instant::now();
                let error = self.failed(io::Error::from(problem.kind()));
                self.state = State::Unknown { problem: problem.to_string(), since };
                Err(error)
            }
        }
    }

    fn failed(&self, problem: io::Error) -> PublishError {
        PublishError::Datagram { address: self.address.clone(), problem }
    }
}

impl Publisher for UdpPublisher {
    fn publish(&mut self, observation: &Observation) -> Result<(), PublishError> {
        let datagram = encode(observation);
        if datagram.len() > LARGEST_BYTES {
            let (address, bytes) = (self.address.clone(), datagram.len());
            return Err(PublishError::TooLarge { address, bytes, limit: LARGEST_BYTES });
        }
        self.send(&datagram)
    }

    fn description(&self) -> String {
        format!("datagrams to {}", self.host)
    }
}

impl State {
    fn resolve(host: &HostPort) -> Self {
        let (sender, receiver) = sync_channel(1);
        let HostPort { host, port } = host.clone();
        let resolve = move || {
            let found = (host.as_str(), port).to_socket_addrs().and_then(|mut all| {
                all.next().ok_or_else(|| io::Error::other("it has no address"))
            });
            let _ = sender.send(found);
        };
        match thread::Builder::new().name("lcam-resolve".to_owned()).spawn(resolve) {
            Ok(_) => Self::Resolving(receiver),
            Err(problem) => Self::unknown(&problem),
        }
    }

    fn unknown(problem: &io::Error) -> Self {
        Self::Unknown { problem: problem.to_string(), since: Instant::now() }
    }

    fn proceed(&mut self, host: &HostPort) {
        match self {
            Self::Resolving(answer) => match answer.try_recv() {
                Ok(Ok(address)) => {
                    *self =
                        connect(address).map_or_else(|error| Self::unknown(&error), Self::Ready);
                }
                Ok(Err(problem)) => *self = Self::unknown(&problem),
                Err(TryRecvError::Disconnected) => *self = Self::resolve(host),
                Err(TryRecvError::Empty) => {}
            },
            Self::Unknown { since, .. } if since.elapsed() >= RETRY_AFTER => {
                *self = Self::resolve(host);
            }
            Self::Unknown { .. } | Self::Ready(_) => {}
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.set_broadcast(true)?;
    socket.connect(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::testing::observation;

    fn publisher(host: &str, port: u16) -> UdpPublisher {
        let host = HostPort { host: host.to_owned(), port };
        UdpPublisher::new(format!("udp://{host}"), host)
    }

    /// Publishes until a result is as it is wanted, for a second at most.
    fn publish_until(
        publisher: &mut UdpPublisher,
        is_wanted: impl Fn(&Result<(), PublishError>) -> bool,
    ) -> bool {
        (0..100).any(|frame| {
            thread::sleep(Duration::from_millis(10));
            is_wanted(&publisher.publish(&observation(frame, Some(1))))
        })
    }

    #[test]
    fn a_datagram_is_one_object() {
        for any in ["127.0.0.1", "::1"] {
            let receiver = UdpSocket::bind((any, 0)).unwrap();
            receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut publisher = publisher(any, receiver.local_addr().unwrap().port());
            while matches!(publisher.state, State::Resolving(_)) {
                publisher.publish(&observation(8, Some(1))).unwrap();
            }
            publisher.publish(&observation(9, None)).unwrap();
            let mut last = serde_json::Value::Null;
            while last["frame"] != 9 {
                let mut bytes = [0; 4096];
                let length = receiver.recv(&mut bytes).unwrap();
                last = serde_json::from_slice(&bytes[..length]).unwrap();
            }
        }
    }

    #[test]
    fn nobody_there_is_an_error_until_somebody_is() {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut publisher = publisher("127.0.0.1", port);
        assert!(publish_until(&mut publisher, Result::is_err));
        // It lasts: an error that came and went with every other frame would flicker.
        thread::sleep(Duration::from_millis(20));
        let error = publisher.publish(&observation(1, None)).unwrap_err();
        assert!(error.to_string().contains("check that the receiver runs"), "{error}");
        let receiver = UdpSocket::bind(("127.0.0.1", port)).unwrap();
        assert!(publish_until(&mut publisher, Result::is_ok));
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert!(receiver.recv(&mut [0; 4096]).unwrap() > 100);
    }

    #[test]
    fn a_name_that_is_not_found_is_told() {
        let mut publisher = publisher("no-such-host.invalid", 9);
        let start = Instant::now();
        publisher.publish(&observation(1, None)).unwrap();
        assert!(start.elapsed() < Duration::from_millis(100), "the resolver was waited for");
        let is_told = (0..1500).any(|_| {
            thread::sleep(Duration::from_millis(10));
            matches!(publisher.publish(&observation(2, None)), Err(PublishError::Resolve { .. }))
        });
        assert!(is_told);
    }

    #[test]
    fn what_fits_no_datagram_is_refused() {
        let mut large = observation(1, Some(1));
        large.top = vec![large.top[0].clone(); 2000];
        let refused = publisher("127.0.0.1", 9).publish(&large).unwrap_err();
        assert!(matches!(refused, PublishError::TooLarge { .. }), "{refused}");
    }
}
