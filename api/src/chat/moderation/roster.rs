//! A channel's moderators.

use axum::http::Uri;
use caudal_livestream::StreamId;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::bans::lift;
use super::changes::{Change, open_rooms, tell};
use super::modlog::Act;
use super::place::Place;
use crate::app::Chat;
use crate::chat::ChatError;
use crate::chat::draft::{Kind, fields_of_role, fields_of_unban};
use crate::error::Error;
use crate::people::{ListedPerson, People};

/// Makes somebody a moderator; that they are one is as good. Who may not talk keeps nobody's order, so a ban ends with it.
pub(crate) async fn appoint(chat: &Chat, stream: StreamId, owner: Uuid, person: Uuid) -> Result<(), Error> {
    let mut change = begin(chat, stream, owner).await?;
    change.target(person).await?;
    let channel = change.channel;
    let others = sqlx::query_scalar!(
        r#"select count(*) as "others!" from channel_moderators where channel_id = $1 and user_id <> $2"#,
        channel,
        person
    );
    if others.fetch_one(change.db()).await? >= MOST_MODERATORS {
        return Err(ChatError::TooMany("moderators", MOST_MODERATORS).into());
    }
    let added = sqlx::query!(
        "insert into channel_moderators (channel_id, user_id) values ($1, $2) on conflict do nothing",
        channel,
        person
    );
    let added = added.execute(change.db()).await?.rows_affected() > 0;
    let lifted = lift(&mut change, person).await?;
    finish(chat, change, person, added.then_some(Act::AddModerator), lifted).await
}

/// Makes somebody a viewer again; that they are one is as good.
pub(crate) async fn dismiss(chat: &Chat, stream: StreamId, owner: Uuid, person: Uuid) -> Result<(), Error> {
    let mut change = begin(chat, stream, owner).await?;
    let channel = change.channel;
    let removed = sqlx::query!(
        "delete from channel_moderators where channel_id = $1 and user_id = $2",
        channel,
        person
    );
    let changed = removed.execute(change.db()).await?.rows_affected() > 0;
    finish(chat, change, person, changed.then_some(Act::RemoveModerator), false).await
}

/// Commits what has changed, if anything has, and tells the channel's rooms what the person is; also where nothing has: the rooms may
/// not have been told when it did.
async fn finish(
    chat: &Chat,
    mut change: Change,
    person: Uuid,
    done: Option<Act>,
    lifted: bool,
) -> Result<(), Error> {
    let channel = change.channel;
    let now = Place::find(change.db(), channel, person).await?;
    let rooms = open_rooms(change.db(), channel).await?;
    let changed = done.is_some() || lifted;
    if let Some(act) = done {
        change.log(act, Some(person), &json!({})).await?;
    }
    if changed {
        change.commit(chat).await?;
    } else {
        drop(change);
    }
    // Whose account is gone hears nothing any more.
    let Some((place, username)) = now else { return Ok(()) };
    if lifted {
        tell(chat, &rooms, Kind::UserUnbanned, |room| fields_of_unban(room, person, &username)).await?;
    }
    tell(chat, &rooms, Kind::RoleChanged, |room| fields_of_role(room, person, &username, place.role()))
        .await?;
    Ok(())
}

async fn begin(chat: &Chat, stream: StreamId, owner: Uuid) -> Result<Change, Error> {
    let change = Change::begin(&chat.database, stream, owner).await?;
    if change.place.owner { Ok(change) } else { Err(ChatError::NotRoomOwner.into()) }
}

/// All of them, the latest first.
pub(crate) async fn list(database: &PgPool, channel: Uuid, uri: &Uri) -> Result<People, Error> {
    let rows = sqlx::query_as!(
        ListedPerson,
        r#"select u.id, u.username, u.display_name, u.avatar_url as avatar, m.created_at as since
           from channel_moderators m join users u on u.id = m.user_id
           where m.channel_id = $1 order by m.created_at desc, m.user_id desc"#,
        channel
    );
    Ok(People::of(rows.fetch_all(database).await?, usize::MAX, uri))
}

/// Of one channel.
const MOST_MODERATORS: i64 = 100;
