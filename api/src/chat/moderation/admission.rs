//! Whether somebody may say something now. How often they may is left to the log (`policy`), which knows it for all replicas.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use caudal_billing::Tier;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::time::timeout;
use uuid::Uuid;

use super::rules::Rules;
use super::settings::Settings;
use crate::app::Chat;
use crate::chat::ChatError;
use crate::chat::author::Author;
use crate::chat::policy::{Pace, Unique};
use crate::disguise::{Reading, Stars, words};

/// What the log must still count, and what is stamped on the message.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) pace: Pace,
    pub(crate) badges: Vec<String>,
}

/// Who keeps order passes all modes, terms and links; who subscribes passes the modes; nobody passes a ban, nor the pace of those who are like them.
pub(crate) async fn admit(
    chat: &Chat,
    rules: &Rules,
    author: &Author,
    text: &str,
) -> Result<Admitted, ChatError> {
    let (user, now) = (author.person.id, Utc::now());
    rules.let_in(user, now)?;
    let place = rules.place_of(user, author.admin);
    let tier = chat.subscribed.tier_of(user, rules.channel).await;
    let badges: Vec<String> = place.badges().into_iter().chain(tier.and_then(badge_of)).collect();
    let unique =
        |mode: fn(u64) -> Unique| if rules.settings.unique_only { mode(hash_of(text)) } else { Unique::Off };
    if place.moderates() {
        return Ok(Admitted { pace: Pace { unique: unique(Unique::Remember), ..Pace::MODERATORS }, badges });
    }
    rules.allow(text)?;
    if rules.settings == Settings::DEFAULT || tier.is_some() {
        return Ok(Admitted { pace: Pace { unique: unique(Unique::Remember), ..Pace::USUAL }, badges });
    }
    let followed = match rules.settings.followers_only_minutes {
        Some(_) => followed_since(&chat.database, user, rules.channel).await?,
        None => None,
    };
    rules.modes_allow(followed, now)?;
    let slow = Duration::from_secs(u64::try_from(rules.settings.slow_seconds).unwrap_or(0));
    Ok(Admitted { pace: Pace { slow, unique: unique(Unique::Demand), ..Pace::USUAL }, badges })
}

/// The badge of a tier that has one.
fn badge_of(tier: Tier) -> Option<String> {
    match tier {
        Tier::Basic => None,
        Tier::Pro => Some("subscriber_pro".to_owned()),
        Tier::Premium => Some("subscriber_premium".to_owned()),
    }
}

/// Asked each time: following is not among what a channel's version counts. A room that is for followers has to wait while PostgreSQL is away.
async fn followed_since(
    database: &PgPool,
    follower: Uuid,
    channel: Uuid,
) -> Result<Option<DateTime<Utc>>, ChatError> {
    let since = sqlx::query_scalar!(
        "select created_at from followers where follower_id = $1 and following_id = $2",
        follower,
        channel
    );
    match timeout(PATIENCE, since.fetch_optional(database)).await {
        Ok(Ok(since)) => Ok(since),
        Ok(Err(error)) => {
            tracing::warn!(%error, "whether somebody follows cannot be asked");
            Err(ChatError::Unavailable)
        }
        Err(_) => Err(ChatError::Unavailable),
    }
}

/// Of the words alone, so that a capital letter or a full stop makes no other message.
fn hash_of(text: &str) -> u64 {
    let compared = words(text, Reading::Plain, Stars::Punctuation);
    let mut hasher = DefaultHasher::new();
    // What has no words, such as an emoji, is what it is.
    let what = if compared.trim().is_empty() { text } else { &compared };
    what.hash(&mut hasher);
    hasher.finish()
}

const PATIENCE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_are_the_same_message() {
        for same in ["HOLA, mundo!", "hola   mundo", "hólа mundo."] {
            assert_eq!(hash_of(same), hash_of("hola mundo"), "{same}");
        }
        assert_ne!(hash_of("hola"), hash_of("hola mundo"));
        assert_ne!(hash_of("😀"), hash_of("😡"));
    }
}
