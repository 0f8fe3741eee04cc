//! The rules of all rooms that somebody talks in here, and how this replica learns that they have changed.
//!
//! A room's rules are read from PostgreSQL when somebody first needs them and again when they have changed, not for each message.
//! Whoever changes them counts `chat_settings.version` up in the same transaction and says so on the bus, and every replica asks at
//! the next message. A bus loses events, so a replica also asks for the version when it has not asked for [`ASK_EVERY`]: one look-up by
//! key in a room where somebody talks, and none where nobody does. So a change holds everywhere within a second, whatever is lost
//! on the way; a sweep over all rooms would ask for many that nobody talks in, and a time to live alone would read everything
//! again and again.
//!
//! While PostgreSQL is away the last rules hold. A room of which this replica knows none says nothing: who is banned must not get in by way
//! of a replica that has just started.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use caudal_livestream::StreamId;
use sqlx::PgPool;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::bans::MOST_BANS;
use super::rules::{Ban, Rules};
use super::settings::{Links, Settings};
use super::terms::Terms;
use crate::bus::{Bus, Heard, Topic};
use crate::chat::ChatError;

/// Shared by all rooms of a replica.
pub(crate) struct Rulebook {
    database: PgPool,
    bus: Arc<dyn Bus>,
    // Held for single operations only, never across an await.
    pages: Mutex<HashMap<StreamId, Arc<Page>>>,
}

/// One room's.
#[derive(Default)]
struct Page {
    /// Whose room it is, once that was read.
    channel: OnceLock<Uuid>,
    /// How often it was said that something has changed.
    changes: AtomicU64,
    /// Held while PostgreSQL is asked: all others who talk in the room wait for that one answer.
    read: tokio::sync::Mutex<Read>,
}

#[derive(Default)]
struct Read {
    rules: Option<Arc<Rules>>,
    /// When PostgreSQL was asked last, and how many changes had been told of by then.
    asked: Option<(Instant, u64)>,
}

impl Rulebook {
    /// With nothing in it.
    pub(crate) fn new(database: PgPool, bus: Arc<dyn Bus>) -> Self {
        Self { database, bus, pages: Mutex::default() }
    }

    /// The rules of a room, half a second old at most where PostgreSQL answers.
    pub(crate) async fn of(&self, stream: StreamId) -> Result<Arc<Rules>, ChatError> {
        let page = self.page(stream)?;
        let mut read = page.read.lock().await;
        // Before PostgreSQL is asked: what changes meanwhile is asked for again.
        let changes = page.changes.load(Ordering::Acquire);
        if !read.is_fresh(changes) {
            let asked = timeout(PATIENCE, self.read(stream, read.rules.as_ref())).await;
            read.asked = Some((Instant::now(), changes));
            match asked {
                // Nothing is remembered of a room that is closed: there are more of them each day, and anybody may name them.
                Ok(Ok(Some(rules))) if rules.over => {
                    self.pages().remove(&stream);
                    return Ok(rules);
                }
                Ok(Ok(Some(rules))) => {
                    page.channel.get_or_init(|| rules.channel);
                    read.rules = Some(rules);
                }
                Ok(Ok(None)) => {
                    self.pages().remove(&stream);
                    return Err(ChatError::UnknownStream);
                }
                // Twice a second for each room while PostgreSQL is away, which others say.
                Ok(Err(error)) if crate::error::is_outage(&error) => {
                    tracing::debug!(%error, %stream, "a room's rules cannot be asked for; the last ones hold");
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, %stream, "a room's rules cannot be read; the last ones hold");
                }
                Err(_) => {
                    tracing::debug!(%stream, "PostgreSQL is slow to tell a room's rules; the last ones hold");
                }
            }
        }
        read.rules.clone().ok_or(ChatError::Unavailable)
    }

    /// Says that a channel's rules have changed, here at once and to all other replicas. Those that do not hear it notice soon.
    pub(crate) async fn changed(&self, channel: Uuid) {
        self.doubt(Some(channel));
        let payload = Bytes::from(channel.to_string());
        if let Err(error) = self.bus.publish(&topic(), payload).await {
            tracing::debug!(%error, "other replicas find out by themselves that a channel's rules have changed");
        }
    }

    /// That something has changed in a room which hears of it by another way.
    pub(crate) fn doubt_room(&self, stream: StreamId) {
        if let Some(page) = self.pages().get(&stream) {
            page.changes.fetch_add(1, Ordering::Release);
        }
    }

    /// Hears what other replicas change, until `stop`.
    pub(crate) async fn listen(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(self.hear_all()).await.is_some() {}
    }

    /// Until the bus ends, or does not take the subscription, and a while after.
    async fn hear_all(&self) {
        match self.bus.subscribe(&topic()).await {
            Ok(mut subscription) => {
                while let Some(heard) = subscription.next().await {
                    self.hear(&heard);
                }
            }
            Err(error) => tracing::warn!(%error, "changes to rooms' rules are not heard, and asked for"),
        }
        sleep(AGAIN).await;
    }

    /// Forgets rooms that nobody has talked in for a while; to be called every few seconds.
    pub(crate) fn sweep(&self) {
        self.pages().retain(|_, page| {
            // Whoever holds it needs it.
            page.read
                .try_lock()
                .map_or(true, |read| read.asked.is_some_and(|(asked, _)| asked.elapsed() < IDLE))
        });
    }

    fn hear(&self, heard: &Heard) {
        match heard {
            Heard::Event(payload) => {
                let channel = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok());
                self.doubt(channel);
            }
            Heard::Lagged(_) | Heard::Lost | Heard::Back => self.doubt(None),
        }
    }

    /// The rooms of a channel, or all.
    fn doubt(&self, channel: Option<Uuid>) {
        for page in self.pages().values() {
            if channel.is_none() || page.channel.get().is_none_or(|of| Some(*of) == channel) {
                page.changes.fetch_add(1, Ordering::Release);
            }
        }
    }

    fn page(&self, stream: StreamId) -> Result<Arc<Page>, ChatError> {
        let mut pages = self.pages();
        if pages.len() >= MOST_ROOMS && !pages.contains_key(&stream) {
            return Err(ChatError::Full);
        }
        Ok(Arc::clone(pages.entry(stream).or_default()))
    }

    /// The version first: what changes after that has a higher one, and is read again.
    async fn read(
        &self,
        stream: StreamId,
        known: Option<&Arc<Rules>>,
    ) -> Result<Option<Arc<Rules>>, sqlx::Error> {
        let row = sqlx::query!(
            r#"select s.user_id as channel,
                      coalesce(s.ended_at < now() - interval '10 minutes', false) as "over!",
                      c.version as "version?", c.slow_seconds as "slow_seconds?", c.followers_only_minutes,
                      c.subs_only as "subs_only?", c.emote_only as "emote_only?", c.unique_only as "unique_only?",
                      c.links as "links?"
               from streams s left join chat_settings c on c.channel_id = s.user_id
               where s.id = $1"#,
            stream.0
        );
        let Some(row) = row.fetch_optional(&self.database).await? else { return Ok(None) };
        let (version, over) = (row.version.unwrap_or(0), row.over);
        if let Some(known) = known.filter(|known| known.version == version) {
            let same = known.over == over;
            return Ok(Some(if same {
                Arc::clone(known)
            } else {
                Arc::new(Rules { over, ..Rules::clone(known) })
            }));
        }
        let usual = Settings::DEFAULT;
        let mut rules = Rules {
            channel: row.channel,
            version,
            over,
            settings: Settings {
                slow_seconds: row.slow_seconds.unwrap_or(usual.slow_seconds),
                followers_only_minutes: row.followers_only_minutes,
                subs_only: row.subs_only.unwrap_or(usual.subs_only),
                emote_only: row.emote_only.unwrap_or(usual.emote_only),
                unique_only: row.unique_only.unwrap_or(usual.unique_only),
                links: row.links.map_or(usual.links, Links::from),
            },
            moderators: [].into(),
            bans: [].into(),
            terms: Arc::new(Terms::none()),
        };
        if version > 0 {
            self.read_lists(&mut rules, known).await?;
        }
        Ok(Some(Arc::new(rules)))
    }

    async fn read_lists(&self, rules: &mut Rules, known: Option<&Arc<Rules>>) -> Result<(), sqlx::Error> {
        let channel = rules.channel;
        let moderators =
            sqlx::query_scalar!("select user_id from channel_moderators where channel_id = $1", channel);
        rules.moderators = moderators.fetch_all(&self.database).await?.into_iter().collect();
        let bans = sqlx::query!(
            r#"select user_id, expires_at from channel_bans
               where channel_id = $1 and (expires_at is null or expires_at > now()) limit $2"#,
            channel,
            MOST_BANS
        );
        let bans = bans.fetch_all(&self.database).await?;
        rules.bans = bans.into_iter().map(|ban| (ban.user_id, Ban { until: ban.expires_at })).collect();
        let terms =
            sqlx::query_scalar!("select term from blocked_terms where channel_id = $1 order by id", channel);
        let terms = terms.fetch_all(&self.database).await?;
        rules.terms = match known.filter(|known| known.terms.are(&terms)) {
            Some(known) => Arc::clone(&known.terms),
            None => Arc::new(Terms::compile(terms)),
        };
        Ok(())
    }

    fn pages(&self) -> MutexGuard<'_, HashMap<StreamId, Arc<Page>>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    fn is_fresh(&self, changes: u64) -> bool {
        self.asked.is_some_and(|(asked, then)| then == changes && asked.elapsed() < ASK_EVERY)
    }
}

/// One for all channels: changes are few.
fn topic() -> Topic {
    Topic::new("rules", Uuid::nil())
}

/// With [`PATIENCE`], what is left of the second in which a change holds everywhere.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// For PostgreSQL, whose last answer will do.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two tries at the bus.
const AGAIN: Duration = Duration::from_secs(5);
/// As many as the bus has topics.
const MOST_ROOMS: usize = crate::bus::MAX_TOPICS;
/// An outage of PostgreSQL shorter than this silences nobody who has talked.
const IDLE: Duration = Duration::from_secs(600);
