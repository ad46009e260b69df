//! The connection: one future drives it, the other says what is to be said.

use std::time::Duration;

use futures_util::future::{Either, join, select};
use rumqttc::{
    AsyncClient, ClientError, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions,
    Packet, QoS,
};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{KEEP_ALIVE, OFFLINE, ONLINE, Shared, availability_topic};

/// The longest that a clean stop takes.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);
/// The first and the longest pause before a connection is tried again.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// A connection on which nothing moves for so long hangs: a ping is due after [`KEEP_ALIVE`].
const HANGS_AFTER: Duration = KEEP_ALIVE.saturating_mul(3);
/// Messages between the two futures.
const QUEUE: usize = 4;

/// Why a broker cannot be used now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerProblem {
    /// Nothing answers there.
    #[error("the broker is not reached: {0}; check that it runs, its address and the network")]
    Unreachable(String),
    /// It does not let this user in.
    #[error("the broker refuses this user; check USER@ in the address and ?password_file=PATH")]
    NotAuthorized,
    /// It refuses for another reason.
    #[error("the broker refuses the connection: {0}")]
    Refused(String),
    /// No encrypted connection comes about.
    #[error(
        "no trusted connection to the broker: {0}; check ?ca_file=PATH, the host's name and the clock"
    )]
    Untrusted(String),
    /// The connection was there and is lost.
    #[error("the connection to the broker is lost: {0}")]
    Lost(String),
    /// The connection's thread cannot work.
    #[error("the connection cannot be driven: {0}")]
    Runtime(String),
}

/// Works until the publisher is stopped.
pub(super) fn run(options: MqttOptions, topic: &str, shared: &Shared) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            shared.lock().problem = Some(BrokerProblem::Runtime(error.to_string()));
            return;
        }
    };
    let (client, events) = AsyncClient::new(options, QUEUE);
    let (connection, watched) = watch::channel(Connection::default());
    let (stop, stopped) = watch::channel(false);
    let speaker = Speaker { client, topic, shared, connection: watched.clone(), stop };
    let work = join(drive(events, shared, connection), speaker.speak());
    runtime.block_on(async {
        let mut is_up = watched;
        let end = async {
            let mut stopped = stopped;
            let _ = stopped.wait_for(|&is_stopped| is_stopped).await;
            if is_up.borrow_and_update().is_up {
                sleep(FAREWELL).await;
            }
        };
        select(Box::pin(work), Box::pin(end)).await;
    });
    // A name that is being looked up is not waited for.
    runtime.shutdown_background();
}

/// Whether there is a connection, and which one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Connection {
    is_up: bool,
    number: u64,
}

/// Keeps the connection until it ends after a stop.
async fn drive(mut events: EventLoop, shared: &Shared, connection: watch::Sender<Connection>) {
    let mut pause = PAUSES[0];
    loop {
        let problem = match timeout(HANGS_AFTER, events.poll()).await {
            Ok(Ok(Event::Incoming(Packet::ConnAck(_)))) => {
                pause = PAUSES[0];
                shared.lock().problem = None;
                connection.send_modify(|c| *c = Connection { is_up: true, number: c.number + 1 });
                continue;
            }
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => BrokerProblem::from(error),
            Err(_) => {
                events.clean();
                BrokerProblem::Lost("nothing moves".to_owned())
            }
        };
        connection.send_modify(|connection| connection.is_up = false);
        {
            let mut mail = shared.lock();
            if mail.is_stopped {
                return;
            }
            mail.problem = Some(problem);
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES[1]);
    }
}

/// Says what there is to say.
struct Speaker<'a> {
    client: AsyncClient,
    topic: &'a str,
    shared: &'a Shared,
    connection: watch::Receiver<Connection>,
    stop: watch::Sender<bool>,
}

impl Speaker<'_> {
    async fn speak(mut self) {
        let mut spoken_on = 0;
        loop {
            let Connection { is_up, number } = *self.connection.borrow_and_update();
            let is_stopped = self.shared.lock().is_stopped;
            if is_stopped {
                let _ = self.stop.send(true);
            }
            // The connection's other end is this function's caller: both go together.
            let result = match is_up {
                true if is_stopped => return self.leave().await.unwrap_or(()),
                true => self.tell(number != spoken_on).await,
                false => Ok(()),
            };
            if result.is_ok() && is_up {
                spoken_on = number;
            }
            let mail = std::pin::pin!(self.shared.wake.notified());
            let change = std::pin::pin!(self.connection.changed());
            if let Either::Right((Err(_), _)) = select(mail, change).await {
                return;
            }
        }
    }

    /// Sends what is new; on a new connection all that is retained.
    async fn tell(&self, is_new: bool) -> Result<(), ClientError> {
        if is_new {
            self.send_retained(&availability_topic(self.topic), ONLINE.into()).await?;
        }
        let (state, observation) = {
            let mut mail = self.shared.lock();
            let has_state = mail.detected.is_some() && (mail.is_state_new || is_new);
            mail.is_state_new = false;
            (has_state.then(|| mail.state.clone()), mail.observation.take())
        };
        if let Some(state) = state {
            self.send_retained(&format!("{}/state", self.topic), state).await?;
        }
        if let Some(observation) = observation {
            let topic = format!("{}/observation", self.topic);
            self.client.publish(topic, QoS::AtMostOnce, false, observation).await?;
        }
        Ok(())
    }

    async fn leave(&self) -> Result<(), ClientError> {
        self.send_retained(&availability_topic(self.topic), OFFLINE.into()).await?;
        self.client.disconnect().await
    }

    async fn send_retained(&self, topic: &str, message: Vec<u8>) -> Result<(), ClientError> {
        self.client.publish(topic, QoS::AtLeastOnce, true, message).await
    }
}

impl From<ConnectionError> for BrokerProblem {
    fn from(error: ConnectionError) -> Self {
        use ConnectReturnCode::{BadUserNamePassword, NotAuthorized};
        match error {
            ConnectionError::Io(error) => Self::Unreachable(error.to_string()),
            ConnectionError::NetworkTimeout => Self::Unreachable("no answer in time".to_owned()),
            ConnectionError::Tls(error) => Self::Untrusted(one_line(&error.to_string())),
            ConnectionError::ConnectionRefused(BadUserNamePassword | NotAuthorized) => {
                Self::NotAuthorized
            }
            ConnectionError::ConnectionRefused(code) => Self::Refused(format!("{code:?}")),
            error => Self::Lost(one_line(&error.to_string())),
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
