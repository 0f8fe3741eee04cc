//! What goes when somebody deletes their account, and what stays without them.
//!
//! The row in `users` stays, because broadcasts hang on it, and has nothing of the person any more; titles and descriptions stay as they
//! were written. What there may be a lot of
//! (followers, messages) is erased in portions: at once as far as one goes, and in the background until nothing is left.

use caudal_livestream::StreamId;
use futures::future::join_all;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::Chat;
use crate::billing;
use crate::chat;
use crate::error::Error;
use crate::event_subscriptions;
use crate::pictures;
use crate::stream::{End, Owner, close_unused, default_title, request_end};
use crate::stream_key::Sealed;
use crate::username::{Skeleton, of_deleted};

/// Makes an account nobody's, with a stream key that nobody has. Returns the broadcast whose end must be ordered once this is
/// committed.
pub(crate) async fn anonymise(
    db: &mut PgConnection,
    owner: Owner,
    nobodys_key: &Sealed,
) -> Result<Option<Uuid>, Error> {
    let user = owner.user;
    let username =
        sqlx::query_scalar!("select username from users where id = $1", user).fetch_one(&mut *db).await?;
    // The title that broadcasts have whose streamer never wrote one.
    sqlx::query!(
        "update streams set title = $3, revision = revision + 1 where user_id = $1 and title = $2",
        user,
        default_title(&username),
        default_title(&of_deleted(user))
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        r#"insert into former_names (skeleton_hash, free_at) values ($1, now() + make_interval(days => $2))
           on conflict (skeleton_hash) do update set free_at = excluded.free_at"#,
        Skeleton::of(&username).hash(),
        NAME_IS_KEPT_DAYS
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        r#"update users
           set username = $2::varchar, username_normal = $2::varchar, username_skeleton = null, display_name = null,
               display_name_normal = null, email = $3::varchar, email_normal = $3::varchar, email_verified_at = null,
               avatar_url = null, bio = null, role = 'user', password_hash = 'none', stream_key = $4, stream_key_enc = $5,
               stream_key_kid = $6, key_rotated_at = now(), key_held_until = null, deleted_at = now(),
               erasing_since = now(), updated_at = now()
           where id = $1"#,
        user,
        of_deleted(user),
        format!("{}@deleted.invalid", user.simple()),
        nobodys_key.hash,
        nobodys_key.encrypted,
        nobodys_key.kid
    )
    .execute(&mut *db)
    .await?;
    pictures::hide_of_person(&mut *db, user).await?;
    let open = sqlx::query!(
        r#"select id, authorized_at is not null as "admitted!" from streams where user_id = $1 and ended_at is null"#,
        user
    );
    let open = open.fetch_optional(&mut *db).await?;
    let broadcast = open.as_ref().filter(|stream| stream.admitted).map(|stream| stream.id);
    match open {
        Some(stream) if stream.admitted => request_end(&mut *db, owner, stream.id, End::Banned).await?,
        // Nobody is to be told of what was only prepared.
        Some(stream) => close_unused(&mut *db, owner, stream.id, End::Banned).await?,
        None => {}
    }
    // Ended ones as well: they say where the person was.
    sqlx::query!(
        r#"with own as (select id from sessions where user_id = $1 order by id for update)
           update sessions s set revoked_at = coalesce(s.revoked_at, now()), user_agent = null, ip = null
           from own where s.id = own.id"#,
        user
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!("delete from refresh_tokens where user_id = $1", user).execute(&mut *db).await?;
    sqlx::query!("delete from password_resets where user_id = $1", user).execute(&mut *db).await?;
    sqlx::query!("delete from email_verifications where user_id = $1", user).execute(&mut *db).await?;
    // They name whom the person followed.
    sqlx::query!("delete from notifications where user_id = $1", user).execute(&mut *db).await?;
    sqlx::query!("delete from notification_preferences where user_id = $1", user).execute(&mut *db).await?;
    event_subscriptions::remove_all_of(&mut *db, user).await?;
    billing::stop_all_of(&mut *db, user).await?;
    Ok(broadcast)
}

/// Erases a portion of whom a deleted person followed and blocked, who followed and blocked them, and what they said; rooms that
/// go on are told what was taken away. Whether there may be more.
pub(crate) async fn erase(chat: &Chat, user: Uuid) -> Result<bool, Error> {
    let database = &chat.database;
    // Rows that somebody else is at are left for the next time: nobody waits for anybody.
    let follows = sqlx::query!(
        r#"delete from followers where (follower_id, following_id) in (
               select follower_id, following_id from followers where follower_id = $1 or following_id = $1
               limit $2 for update skip locked
           )"#,
        user,
        PORTION
    );
    let follows = follows.execute(database).await?.rows_affected();
    let blocks = sqlx::query!(
        r#"delete from user_blocks where (blocker_id, blocked_id) in (
               select blocker_id, blocked_id from user_blocks where blocker_id = $1 or blocked_id = $1
               limit $2 for update skip locked
           )"#,
        user,
        PORTION
    );
    let blocks = blocks.execute(database).await?.rows_affected();
    let messages = sqlx::query!(
        r#"with portion as (
               select id, created_at, deleted_at is null as shown from chat_messages
               where user_id = $1 and message <> '' order by created_at desc limit $2 for update skip locked
           )
           update chat_messages m
           set message = '', deleted_at = coalesce(m.deleted_at, now()), deleted_by = coalesce(m.deleted_by, $1)
           from portion p where m.id = p.id and m.created_at = p.created_at
           returning m.id, m.stream_id, p.shown as "shown!""#,
        user,
        PORTION
    )
    .fetch_all(database)
    .await?;
    let more = follows > 0 || blocks > 0 || !messages.is_empty();

    let shown: Vec<(Uuid, Uuid)> = messages
        .into_iter()
        .filter(|message| message.shown)
        .map(|message| (message.stream_id, message.id))
        .collect();
    let streams: Vec<Uuid> = shown.iter().map(|(stream, _)| *stream).collect();
    // In other rooms nobody is who could hear of it, and whoever enters reads what the database has.
    let going_on = sqlx::query_scalar!(
        r#"select id from streams
           where id = any($1) and (ended_at is null or ended_at > now() - interval '10 minutes')"#,
        &streams
    )
    .fetch_all(database)
    .await?;
    let told: Vec<_> = shown.into_iter().filter(|(stream, _)| going_on.contains(stream)).collect();
    for some in told.chunks(TOLD_AT_ONCE) {
        let telling =
            some.iter().map(|(stream, message)| chat::tell_removed(chat, StreamId(*stream), *message));
        for told in join_all(telling).await {
            // What is gone is gone: whoever has it on the screen has it there until the page is opened anew.
            if let Err(error) = told {
                tracing::debug!(%error, "a room was not told of a message that is gone");
            }
        }
    }
    Ok(more)
}

/// Goes on with what was begun, and ends it where nothing is left.
pub(crate) async fn go_on(chat: &Chat) -> Result<(), Error> {
    let leaving = sqlx::query!(
        r#"select id, erasing_since < now() - interval '10 minutes' as "settled!" from users
           where erasing_since is not null order by erasing_since limit 200"#
    )
    .fetch_all(&chat.database)
    .await?;
    for person in leaving {
        let more = erase(chat, person.id).await?;
        // A message that was accepted before the deletion may be on its way into the database for some time.
        if !more && person.settled {
            // What somebody else was at just now is left for the next time.
            sqlx::query!(
                r#"update users set erasing_since = null
                   where id = $1
                     and not exists (select from followers where follower_id = $1)
                     and not exists (select from followers where following_id = $1)
                     and not exists (select from user_blocks where blocker_id = $1)
                     and not exists (select from user_blocks where blocked_id = $1)
                     and not exists (select from chat_messages where user_id = $1 and message <> '')"#,
                person.id
            )
            .execute(&chat.database)
            .await?;
        }
    }
    Ok(())
}

/// Lets go of names that were kept long enough.
pub(crate) async fn free_names(database: &sqlx::PgPool) -> Result<(), Error> {
    sqlx::query!(
        r#"delete from former_names where skeleton_hash in (
               select skeleton_hash from former_names where free_at <= now() limit 10000
           )"#
    )
    .execute(database)
    .await?;
    Ok(())
}

/// A year: links to the channel are followed for long, and whoever takes its name up sooner takes its visitors over.
const NAME_IS_KEPT_DAYS: i32 = 365;
/// Rows at once: a fraction of a second.
const PORTION: i64 = 2_000;
/// Messages that rooms are told of side by side; the log has room for a thousand.
const TOLD_AT_ONCE: usize = 200;
