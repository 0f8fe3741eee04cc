//! Those who listen in this replica, and what is told to all replicas.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::Utf8Bytes;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::listeners::Listeners;
use super::told::{To, Told};
use super::wanted::{MOST_STREAMERS, Wanted};
use crate::auth::AuthError;
use crate::bus::{Bus, Heard, Topic};
use crate::error::Error;
use crate::input::InputError;

/// All of them. All clones are one; somebody must [`Hub::run`] one.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

struct Inner {
    database: PgPool,
    bus: Arc<dyn Bus>,
    // Held for single operations only, never across an await.
    listeners: Mutex<Listeners>,
}

/// One who listens, until it is dropped. Whatever carries it on, a frame is a JSON text `{"event":…,"data":…}`.
pub(crate) struct Ear {
    hub: Hub,
    id: u64,
    inbox: mpsc::Receiver<Utf8Bytes>,
}

impl Hub {
    pub(crate) fn new(database: PgPool, bus: Arc<dyn Bus>) -> Self {
        Self(Arc::new(Inner { database, bus, listeners: Mutex::default() }))
    }

    /// One more, who hears nothing before [`Ear::subscribe`].
    pub(crate) fn listen(&self) -> Ear {
        let (outbox, inbox) = mpsc::channel(OUTBOX);
        let id = self.listeners().enter(outbox);
        Ear { hub: self.clone(), id, inbox }
    }

    /// Tells all replicas. Who does not hear it reads it later: it is not tried again.
    pub(super) async fn tell(&self, told: &Told) {
        let Ok(payload) = serde_json::to_vec(told) else { return };
        if let Err(error) = self.0.bus.publish(&topic(), Bytes::from(payload)).await {
            tracing::debug!(%error, "sockets are not told of something that happened");
        }
    }

    /// Hears what replicas tell, for ever.
    pub(crate) async fn run(&self) {
        loop {
            match self.0.bus.subscribe(&topic()).await {
                Ok(mut subscription) => {
                    while let Some(heard) = subscription.next().await {
                        // Nothing else is to be caught up with: what matters is kept.
                        if let Heard::Event(payload) = heard {
                            self.hear(&payload).await;
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "what replicas tell is not heard just now"),
            }
            sleep(PAUSE).await;
        }
    }

    async fn hear(&self, payload: &[u8]) {
        // Another version's replica may tell what this one does not know.
        let Ok(Told { to, frame }) = serde_json::from_slice(payload) else { return };
        let frame = Utf8Bytes::from(frame);
        match to {
            To::People(people) => self.listeners().tell_people(&people, &frame),
            To::AudienceOf(streamer) => {
                let here = self.listeners().following();
                let followers = self.followers(streamer, &here).await;
                self.listeners().tell_audience(streamer, &followers, &frame);
            }
        }
    }

    /// Who of the people here follows somebody. Asked when something happens: streams begin far less often than people follow,
    /// unfollow and block, come and go, and an index of all that would have to be told of each.
    async fn followers(&self, streamer: Uuid, here: &[Uuid]) -> Vec<Uuid> {
        let mut followers = Vec::new();
        for people in here.chunks(PEOPLE) {
            let found = sqlx::query_scalar!(
                "select follower_id from followers where following_id = $1 and follower_id = any($2)",
                streamer,
                people
            );
            match timeout(PATIENCE, found.fetch_all(&self.0.database)).await {
                Ok(Ok(found)) => followers.extend(found),
                Ok(Err(error)) => tracing::warn!(%error, "who follows a streamer cannot be asked"),
                Err(_) => tracing::warn!(%streamer, "who follows a streamer was not answered in time"),
            }
        }
        followers
    }

    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ear {
    /// Hears what `person` wants from now on, and nothing else. Without a person, who is live is no secret; whom one follows,
    /// and notifications, need one.
    ///
    /// # Errors
    /// When nobody is logged in whose follows could be meant, or there are too many names.
    pub(crate) fn subscribe(&self, person: Option<Uuid>, wanted: Wanted) -> Result<(), Error> {
        if wanted.streamers().len() > MOST_STREAMERS {
            let words = format!("{MOST_STREAMERS} streamers are the most that can be named");
            return Err(InputError::Malformed(words).into());
        }
        if wanted.is_followed() && person.is_none() {
            return Err(AuthError::Unauthenticated.into());
        }
        self.hub.listeners().want(self.id, person, wanted);
        Ok(())
    }

    /// The next frame; `None` when it was too slow, and is let go. Nothing is lost when it is dropped before it is done.
    pub(crate) async fn next(&mut self) -> Option<Utf8Bytes> {
        self.inbox.recv().await
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.hub.listeners().leave(self.id);
    }
}

fn topic() -> Topic {
    Topic::new("notifications", Uuid::nil())
}

/// Frames that a listener has waiting, at most.
const OUTBOX: usize = 128;
/// In one query.
const PEOPLE: usize = 5_000;
/// For one query; what happens next waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(3);
/// Before the bus is asked again.
const PAUSE: Duration = Duration::from_secs(1);
