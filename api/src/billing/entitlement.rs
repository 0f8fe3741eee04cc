//! Who has what tier of which channel, for chat: asked often, so a replica remembers it for a moment.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use caudal_billing::Tier;
use sqlx::PgPool;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// Tiers as PostgreSQL has them.
pub(crate) struct Subscribed {
    /// None where nothing is sold, and so nothing is asked.
    database: Option<PgPool>,
    // Held for map operations only, never across an await.
    known: Mutex<HashMap<Place, (Option<Tier>, Instant)>>,
}

/// Somebody in a channel.
type Place = (Uuid, Uuid);

impl Subscribed {
    pub(crate) fn new(database: Option<PgPool>) -> Self {
        Self { database, known: Mutex::default() }
    }

    /// The tier that somebody has of a channel now.
    pub(crate) async fn tier_of(&self, user: Uuid, channel: Uuid) -> Option<Tier> {
        let database = self.database.as_ref()?;
        let (place, now) = ((user, channel), Instant::now());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&place).copied();
        if let Some((tier, asked)) = known
            && asked + REMEMBERED > now
        {
            return tier;
        }
        let asked = sqlx::query_scalar!(
            r#"select tier from subscriptions
               where user_id = $1 and streamer_id = $2 and status <> 'expired' and greatest(expires_at, grace_until) > now()"#,
            user,
            channel
        );
        let tier = match timeout(PATIENCE, asked.fetch_optional(database)).await {
            Ok(Ok(tier)) => tier.and_then(|tier| tier.parse().ok()),
            // While PostgreSQL is away the last answer holds.
            Ok(Err(_)) | Err(_) => known.and_then(|(tier, _)| tier),
        };
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.retain(|_, (_, asked)| *asked + REMEMBERED > now);
            // Nobody talks in so many rooms within a moment.
            if all.len() >= MOST {
                all.clear();
            }
        }
        all.insert(place, (tier, now));
        tier
    }
}

/// Whoever has just paid is not to wait, and whoever talks is not to cost a query for each line.
const REMEMBERED: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_millis(500);
/// A hundred bytes each.
const MOST: usize = 50_000;
