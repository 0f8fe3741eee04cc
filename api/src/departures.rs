//! Who has to go at once: whoever is banned, and every log-in that was ended. Their sockets close on every replica.
//!
//! Requests ask PostgreSQL each time who may still ask; a socket was asked once, when it said whose it is. Replicas tell
//! each other through the bus, and besides look into PostgreSQL every few seconds: an operator may ban by
//! `users.banned_at` alone (docs/operating.md), and a message may be lost.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bus::{Bus, Heard, Subscription, Topic};
use crate::sockets::Sockets;

/// Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Departures {
    bus: Arc<dyn Bus>,
    topic: Topic,
    sockets: Sockets,
}

/// What replicas tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Departure {
    /// All log-ins of a person are void.
    PersonBanned {
        /// The person.
        user: Uuid,
    },
    /// One is.
    SessionEnded {
        /// The log-in.
        session: Uuid,
    },
}

impl Departures {
    pub(crate) fn new(bus: Arc<dyn Bus>, sockets: Sockets) -> Self {
        Self { bus, topic: Topic::new("people", Uuid::nil()), sockets }
    }

    /// Closes the sockets here, and has the other replicas do the same. To be called once it is committed.
    pub(crate) async fn announce(&self, departure: Departure) {
        // Not by way of the bus, which may be away.
        self.carry_out(departure);
        let Ok(payload) = serde_json::to_vec(&departure) else { return };
        let reason = match timeout(PATIENCE, self.bus.publish(&self.topic, Bytes::from(payload))).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        tracing::warn!(reason, "other replicas are not told who has to go; they look within seconds");
    }

    /// Hears what other replicas say, and looks every so often, until `shutdown`.
    pub(crate) async fn attend(self, database: PgPool, every: Duration, shutdown: CancellationToken) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut subscription = None;
        loop {
            if subscription.is_none() {
                subscription = shutdown.run_until_cancelled(self.subscribe()).await.flatten();
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                heard = next(&mut subscription) => match heard {
                    Some(Heard::Event(payload)) => match serde_json::from_slice(&payload) {
                        Ok(departure) => self.carry_out(departure),
                        Err(error) => tracing::debug!(%error, "a newer replica says something else of people"),
                    },
                    // Something may have been said meanwhile.
                    Some(Heard::Lagged(_) | Heard::Back) => self.look(&database).await,
                    Some(Heard::Lost) => {}
                    None => subscription = None,
                },
                _ = ticks.tick() => self.look(&database).await,
            }
        }
    }

    async fn subscribe(&self) -> Option<Subscription> {
        let subscribed = self.bus.subscribe(&self.topic).await.inspect_err(
            |error| tracing::warn!(%error, "what other replicas say of people cannot be heard; trying again"),
        );
        subscribed.ok()
    }

    fn carry_out(&self, departure: Departure) {
        let closed = match departure {
            Departure::PersonBanned { user } => {
                self.sockets.send_away(|wearer| wearer.user == user, BANNED, WHY_BANNED)
            }
            Departure::SessionEnded { session } => {
                self.sockets.send_away(|wearer| wearer.session == session, ENDED, WHY_ENDED)
            }
        };
        if closed > 0 {
            tracing::info!(?departure, closed, "sockets were closed");
        }
    }

    /// Of those who are here, who may not be any more?
    async fn look(&self, database: &PgPool) {
        let sessions = self.sockets.sessions();
        for some in sessions.chunks(AT_ONCE) {
            match timeout(PATIENCE, gone(database, some)).await {
                Ok(Ok(gone)) => {
                    for Gone { session, banned } in gone {
                        let (code, reason) = if banned { (BANNED, WHY_BANNED) } else { (ENDED, WHY_ENDED) };
                        self.sockets.send_away(|wearer| wearer.session == session, code, reason);
                    }
                }
                // While PostgreSQL is away nobody is known to be gone; the next look is soon.
                Ok(Err(error)) => return tracing::debug!(%error, "who has to go cannot be asked"),
                Err(_) => return tracing::debug!("who has to go is not answered in time"),
            }
        }
    }
}

/// A log-in that is over.
struct Gone {
    session: Uuid,
    banned: bool,
}

async fn gone(database: &PgPool, sessions: &[Uuid]) -> Result<Vec<Gone>, sqlx::Error> {
    sqlx::query_as!(
        Gone,
        r#"select here.session as "session!",
                  coalesce(u.banned_at is not null or u.deleted_at is not null, false) as "banned!"
           from unnest($1::uuid[]) as here (session)
           left join sessions s on s.id = here.session left join users u on u.id = s.user_id
           where s.id is null or s.revoked_at is not null or u.banned_at is not null or u.deleted_at is not null"#,
        sessions
    )
    .fetch_all(database)
    .await
}

async fn next(subscription: &mut Option<Subscription>) -> Option<Heard> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => pending().await,
    }
}

/// Close codes, in docs/realtime.md.
pub(crate) const BANNED: u16 = 4403;
pub(crate) const ENDED: u16 = 4401;
const WHY_BANNED: &str = "this account is banned";
const WHY_ENDED: &str = "the session has been ended";
/// For Redis, and for PostgreSQL; who asks for a ban waits for the first.
const PATIENCE: Duration = Duration::from_secs(2);
/// Log-ins in one query.
const AT_ONCE: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_of_two_releases_understand_each_other() {
        let id = Uuid::nil();
        for (departure, text) in [
            (
                Departure::PersonBanned { user: id },
                r#"{"event":"person_banned","user":"00000000-0000-0000-0000-000000000000"}"#,
            ),
            (
                Departure::SessionEnded { session: id },
                r#"{"event":"session_ended","session":"00000000-0000-0000-0000-000000000000"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&departure).unwrap(), text);
            assert_eq!(serde_json::from_str::<Departure>(text).unwrap(), departure);
        }
    }
}
