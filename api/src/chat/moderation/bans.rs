//! Keeping somebody from talking in a channel, for a while or for good.

use axum::http::Uri;
use caudal_livestream::StreamId;
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::changes::{Change, open_rooms, tell};
use super::modlog::Act;
use crate::account::Streamer;
use crate::app::Chat;
use crate::chat::draft::{Kind, fields_of_ban, fields_of_unban};
use crate::chat::{ChatError, store};
use crate::error::Error;
use crate::json::words_of_fields;
use crate::page::{ByTime, Page, Paging};
use crate::text::Reason;

/// How somebody is banned.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Banning {
    /// Null is for good, which has to be said.
    #[serde(deserialize_with = "Option::deserialize")]
    #[garde(range(min = 1, max = LONGEST))]
    #[schema(required, minimum = 1, maximum = 1_209_600, example = 600)]
    duration_seconds: Option<i32>,
    #[garde(dive)]
    reason: Option<Reason>,
}

impl Banning {
    /// Checked; in words what is wrong with it.
    pub(crate) fn new(duration_seconds: Option<i32>, reason: Option<&str>) -> Result<Self, String> {
        let banning = Self { duration_seconds, reason: reason.map(Reason::new) };
        banning.validate().map_err(|report| words_of_fields(&report))?;
        Ok(banning)
    }
}

/// Bans somebody, or changes their ban. Their messages of the last day are gone from the channel's open rooms.
pub(crate) async fn ban(
    chat: &Chat,
    stream: StreamId,
    actor: Uuid,
    person: Uuid,
    banning: &Banning,
) -> Result<(), Error> {
    let mut change = Change::begin(&chat.database, stream, actor).await?;
    let username = change.target(person).await?;
    let channel = change.channel;
    let others = sqlx::query_scalar!(
        r#"select count(*) as "others!" from channel_bans
           where channel_id = $1 and user_id <> $2 and (expires_at is null or expires_at > now())"#,
        channel,
        person
    );
    if others.fetch_one(change.db()).await? >= MOST_BANS {
        return Err(ChatError::TooMany("bans", MOST_BANS).into());
    }
    let reason = banning.reason.as_ref().map(Reason::as_str).filter(|reason| !reason.is_empty());
    sqlx::query!(
        r#"insert into channel_bans (channel_id, user_id, banned_by, reason, expires_at)
           values ($1, $2, $3, $4, now() + make_interval(secs => $5::double precision))
           on conflict (channel_id, user_id) do update
           set banned_by = excluded.banned_by, reason = excluded.reason, expires_at = excluded.expires_at,
               created_at = excluded.created_at"#,
        channel,
        person,
        actor,
        reason,
        banning.duration_seconds.map(f64::from)
    )
    .execute(change.db())
    .await?;
    // Who may not talk keeps nobody's order.
    sqlx::query!("delete from channel_moderators where channel_id = $1 and user_id = $2", channel, person)
        .execute(change.db())
        .await?;
    let act = if banning.duration_seconds.is_some() { Act::Timeout } else { Act::Ban };
    let detail = json!({ "durationSeconds": banning.duration_seconds, "reason": reason });
    change.log(act, Some(person), &detail).await?;
    let rooms = open_rooms(change.db(), channel).await?;
    change.commit(chat).await?;
    let told = tell(chat, &rooms, Kind::UserBanned, |room| {
        fields_of_ban(room, person, &username, banning.duration_seconds)
    });
    let told = told.await;
    // Behind the event: whatever was accepted before it is in PostgreSQL by now, or is marked on its way there (`store::hide_banned`).
    let purged = store::purge(&chat.database, &rooms, person, actor).await;
    told?;
    Ok(purged?)
}

/// Lets somebody talk again; that they may is as good. Whoever has deleted their account may be taken off the list too.
pub(crate) async fn unban(chat: &Chat, stream: StreamId, actor: Uuid, person: Uuid) -> Result<(), Error> {
    let mut change = Change::begin(&chat.database, stream, actor).await?;
    let username = change.former_target(person).await?;
    let channel = change.channel;
    let ended = lift(&mut change, person).await?;
    let rooms = open_rooms(change.db(), channel).await?;
    if ended {
        change.commit(chat).await?;
    } else {
        drop(change);
    }
    // Also where there was no ban: the rooms may not have been told when it ended.
    tell(chat, &rooms, Kind::UserUnbanned, |room| fields_of_unban(room, person, &username)).await?;
    Ok(())
}

/// Ends somebody's ban. Whether there was one.
pub(super) async fn lift(change: &mut Change, person: Uuid) -> Result<bool, Error> {
    let channel = change.channel;
    let ended = sqlx::query!(
        "delete from channel_bans where channel_id = $1 and user_id = $2 and (expires_at is null or expires_at > now())",
        channel,
        person
    );
    let ended = ended.execute(change.db()).await?.rows_affected() > 0;
    if ended {
        change.log(Act::Unban, Some(person), &json!({})).await?;
    }
    Ok(ended)
}

/// A ban that holds, for moderators.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChatBan)]
pub(crate) struct BanView {
    user: Streamer,
    /// Null once that account is gone.
    by: Option<Streamer>,
    reason: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

/// Those of a channel, the latest first.
pub(crate) async fn list(
    database: &PgPool,
    channel: Uuid,
    uri: &Uri,
    paging: &Paging,
) -> Result<Page<BanView>, Error> {
    let (at, id) = ByTime::after(paging.cursor.as_deref())?;
    let rows = sqlx::query!(
        r#"select b.reason, b.expires_at, b.created_at,
                  u.id, u.username, u.display_name, u.avatar_url as avatar,
                  m.id as "by_id?", m.username as "by_username?", m.display_name as by_display_name,
                  m.avatar_url as by_avatar
           from channel_bans b join users u on u.id = b.user_id left join users m on m.id = b.banned_by
           where b.channel_id = $1 and (b.expires_at is null or b.expires_at > now())
             and ($2::timestamptz is null or (b.created_at, b.user_id) < ($2, $3::uuid))
           order by b.created_at desc, b.user_id desc limit $4"#,
        channel,
        at,
        id,
        paging.limit.rows()
    )
    .fetch_all(database)
    .await?;
    let place = |ban: &BanView| ByTime::new(ban.created_at, ban.user.id);
    let rows: Vec<_> = rows
        .into_iter()
        .map(|row| BanView {
            user: Streamer {
                id: row.id,
                username: row.username,
                display_name: row.display_name,
                avatar: row.avatar,
            },
            by: row.by_id.zip(row.by_username).map(|(id, username)| Streamer {
                id,
                username,
                display_name: row.by_display_name,
                avatar: row.by_avatar,
            }),
            reason: row.reason,
            expires_at: row.expires_at,
            created_at: row.created_at,
        })
        .collect();
    Ok(Page::new(rows, paging.limit.items(), uri, place, |ban| ban))
}

/// Removes those that are over.
pub(crate) async fn sweep(database: &PgPool) -> Result<(), Error> {
    sqlx::query!(
        r#"delete from channel_bans where (channel_id, user_id) in (
               select channel_id, user_id from channel_bans where expires_at < now() - interval '1 day' limit 10000
           )"#
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Two weeks, as on Twitch; longer is for good.
const LONGEST: i32 = 1_209_600;
/// That hold in one channel: replicas remember all of them.
pub(super) const MOST_BANS: i64 = 10_000;
