//! The Redis that the routers of an installation share, which no publisher waits for longer than [`DEADLINE`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{IntCounter, IntGauge, Registry};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, IntoConnectionInfo as _, RedisResult};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::Error;

/// The way there. Cheap to clone; all clones share the connection and what is known of it.
///
/// Whoever asks while Redis is known to be away is not answered, at once; [`RedisLink::watch`] finds out when it is back.
#[derive(Clone)]
pub(crate) struct RedisLink {
    client: Client,
    // Both are held for single operations only, never across an await.
    connection: Arc<Mutex<ConnectionManager>>,
    presence: Arc<Mutex<Presence>>,
    reachable: IntGauge,
    unanswered: IntCounter,
}

impl RedisLink {
    /// Does not wait for Redis.
    pub(crate) fn open(url: &SecretString, registry: &Registry) -> Result<Self, Error> {
        let client = client(url).map_err(|_| Error::RedisUrl)?;
        let connection = connection(&client).map_err(|_| Error::RedisUrl)?;
        let reachable = IntGauge::new(
            "caudal_ingest_router_redis_reachable",
            "Whether guesses and refused keys count for all routers together; 0 while Redis is away or too slow",
        )?;
        let unanswered = IntCounter::new(
            "caudal_ingest_router_redis_unanswered_total",
            "Questions and notes about keys that Redis did not answer in time, so that this router's own memory stood alone",
        )?;
        registry.register(Box::new(reachable.clone()))?;
        registry.register(Box::new(unanswered.clone()))?;
        Ok(Self {
            client,
            connection: Arc::new(Mutex::new(connection)),
            presence: Arc::default(),
            reachable,
            unanswered,
        })
    }

    /// For a question that is asked by [`RedisLink::answer`].
    pub(crate) fn connection(&self) -> ConnectionManager {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What Redis answers to `question`; none when it is away, or does not answer in time.
    pub(crate) async fn answer<T>(&self, question: impl Future<Output = RedisResult<T>>) -> Option<T> {
        let is_here = self.presence.lock().unwrap_or_else(PoisonError::into_inner).is_here();
        if is_here {
            match in_time(question).await {
                Ok(answer) => return Some(answer),
                Err(reason) => {
                    tracing::debug!(reason, "Redis did not answer about a key");
                    self.presence.lock().unwrap_or_else(PoisonError::into_inner).failed_somebody();
                    self.reachable.set(0);
                }
            }
        }
        self.unanswered.inc();
        None
    }

    /// Looks each second whether Redis answers in time and takes writes, and says when it goes and comes.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        let looking = async {
            loop {
                self.look().await;
                sleep(LOOK_EVERY).await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    async fn look(&self) {
        let seen = self.probe().await;
        let mut presence = self.presence.lock().unwrap_or_else(PoisonError::into_inner);
        let change = presence.looked_at(seen);
        self.reachable.set(i64::from(presence.is_here()));
        drop(presence);
        match change {
            Some(Change::Gone(reason)) => tracing::warn!(
                "Redis (REDIS_URL) is away: {reason}; until it is back each router counts guessed stream keys for itself"
            ),
            Some(Change::Back) => {
                tracing::info!("Redis is back: guessed stream keys count for all routers together");
            }
            None => {}
        }
    }

    /// A manager that was refused when it connected (the password is another one) never connects again by itself.
    fn connect_anew(&self) {
        if let Ok(anew) = connection(&self.client) {
            *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = anew;
        }
    }

    /// By a write, because a Redis that is full still answers.
    async fn probe(&self) -> Result<(), String> {
        let mut connection = self.connection();
        // First, for as long as a new connection may take.
        let first: RedisResult<()> = redis::cmd("PING").query_async(&mut connection).await;
        if let Err(error) = first {
            if !error.is_io_error() {
                self.connect_anew();
            }
            return Err(error.to_string());
        }
        let mut seen = Err(String::new());
        for _ in 0..TRIES {
            let mut write = redis::cmd("SET");
            write.arg("caudal:router-looks").arg("").arg("EX").arg(1);
            seen = in_time(write.query_async(&mut connection)).await;
            if seen.is_ok() {
                break;
            }
        }
        seen
    }
}

/// A `REDIS_URL` that is one.
fn client(url: &SecretString) -> RedisResult<Client> {
    let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(VANISHED);
    Client::open(url.expose_secret().trim().into_connection_info()?.set_tcp_settings(tcp))
}

/// Connects when it is first used.
fn connection(client: &Client) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE))
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

/// What Redis answers within [`DEADLINE`], or why it did not.
async fn in_time<T>(question: impl Future<Output = RedisResult<T>>) -> Result<T, String> {
    match timeout(DEADLINE, question).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("it did not answer within {DEADLINE:?}")),
    }
}

/// What is known of Redis.
#[derive(Debug, Default)]
enum Presence {
    /// Nothing yet.
    #[default]
    Unknown,
    Here,
    Away {
        /// So often in a row it was there when it was looked at.
        seen: u32,
        said: bool,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Gone(String),
    Back,
}

impl Presence {
    fn is_here(&self) -> bool {
        matches!(self, Self::Here)
    }

    /// A question was not answered in time. Nobody else asks until Redis has been looked at; whether it is away, and is to be
    /// called so, the next look decides.
    fn failed_somebody(&mut self) {
        match self {
            Self::Unknown | Self::Here => *self = Self::Away { seen: 0, said: false },
            Self::Away { seen, .. } => *seen = 0,
        }
    }

    /// It was looked at.
    fn looked_at(&mut self, found: Result<(), String>) -> Option<Change> {
        match (&mut *self, found) {
            (Self::Here, Ok(())) => None,
            (Self::Unknown, Ok(())) => {
                *self = Self::Here;
                None
            }
            (Self::Away { seen, said }, Ok(())) => {
                *seen = seen.saturating_add(1);
                if *seen < STEADY {
                    return None;
                }
                let change = said.then_some(Change::Back);
                *self = Self::Here;
                change
            }
            (Self::Away { seen, said: true }, Err(_)) => {
                *seen = 0;
                None
            }
            (_, Err(reason)) => {
                *self = Self::Away { seen: 0, said: true };
                Some(Change::Gone(reason))
            }
        }
    }
}

/// A hundred times what Redis needs in the same network, and too short for a streamer to notice.
const DEADLINE: Duration = Duration::from_millis(100);
/// Soon enough for both: while it is away, a guesser gains little in a second.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// One answer that was late, because a machine is busy, is no outage.
const TRIES: u32 = 2;
/// A Redis that comes and goes is away: each time that it goes, a publisher waits for [`DEADLINE`].
const STEADY: u32 = 3;
/// For a new connection, with its name looked up and its TLS handshake done.
const PATIENCE: Duration = Duration::from_secs(1);
/// After so long without a sign of the machine at the other end, the connection is broken and a new one is made. TCP itself
/// would take a quarter of an hour.
const VANISHED: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// What a Redis does, in the order in which it does it.
    #[derive(Clone, Copy)]
    enum Does {
        Answer,
        Fail,
        /// Somebody's question.
        FailSomebody,
    }

    #[test]
    fn redis_is_asked_while_it_is_here_and_its_going_and_coming_is_said_once_each() {
        use Does::{Answer, Fail, FailSomebody};
        let cases: &[(&str, &[Does], bool, &str)] = &[
            ("nothing known", &[], false, ""),
            ("there at the start", &[Answer], true, ""),
            ("away at the start", &[Fail, Fail, Fail], false, "gone"),
            ("comes later", &[Fail, Fail, Answer, Answer, Answer], true, "gone back"),
            ("not steady yet", &[Answer, Fail, Answer, Answer], false, "gone"),
            ("comes and goes", &[Answer, Fail, Answer, Answer, Fail, Answer, Answer], false, "gone"),
            ("one late answer", &[Answer, FailSomebody], false, ""),
            ("one late answer and well again", &[Answer, FailSomebody, Answer, Answer, Answer], true, ""),
            ("a late answer and then silence", &[Answer, FailSomebody, Answer, Fail, Fail], false, "gone"),
            (
                "a late answer to an early question",
                &[Answer, Fail, Answer, Answer, FailSomebody, Answer],
                false,
                "gone",
            ),
            (
                "twice",
                &[Fail, Answer, Answer, Answer, Fail, Fail, Answer, Answer, Answer],
                true,
                "gone back gone back",
            ),
        ];
        for (case, does, here, said) in cases {
            let mut presence = Presence::default();
            let mut words = Vec::new();
            for does in *does {
                let change = match does {
                    Answer => presence.looked_at(Ok(())),
                    Fail => presence.looked_at(Err("connection refused".to_owned())),
                    FailSomebody => {
                        presence.failed_somebody();
                        None
                    }
                };
                match change {
                    Some(Change::Gone(reason)) => {
                        assert_eq!(reason, "connection refused");
                        words.push("gone");
                    }
                    Some(Change::Back) => words.push("back"),
                    None => {}
                }
            }
            assert_eq!((presence.is_here(), words.join(" ").as_str()), (*here, *said), "{case}");
        }
    }
}
