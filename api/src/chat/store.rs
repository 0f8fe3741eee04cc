//! Messages in PostgreSQL.

use std::collections::HashSet;

use caudal_livestream::StreamId;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::draft::{Draft, fields_of, time_of};
use super::history::Line;
use super::position::Position;
use super::removal::Said;
use crate::account::Streamer;

/// A message that has its position.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a> {
    pub(super) message: &'a Draft,
    pub(super) position: Position,
}

/// The same without its author's name.
#[derive(Clone, Debug)]
pub(super) struct KeptRow {
    pub(super) id: Uuid,
    pub(super) stream: Uuid,
    pub(super) user: Uuid,
    pub(super) message: String,
    pub(super) reply_to: Option<Uuid>,
    pub(super) badges: Vec<String>,
    pub(super) position: Position,
}

impl From<Kept<'_>> for KeptRow {
    fn from(Kept { message, position }: Kept<'_>) -> Self {
        Self {
            id: message.id,
            stream: message.stream.0,
            user: message.author.id,
            message: message.text.as_str().to_owned(),
            reply_to: message.reply_to,
            badges: message.admitted.badges.clone(),
            position,
        }
    }
}

pub(super) async fn insert(database: &PgPool, kept: &[Kept<'_>]) -> Result<(), sqlx::Error> {
    let rows: Vec<KeptRow> = kept.iter().map(|kept| (*kept).into()).collect();
    insert_rows(database, &rows).await
}

/// All of them or none; those that are there already stay as they are.
pub(super) async fn insert_rows(database: &PgPool, rows: &[KeptRow]) -> Result<(), sqlx::Error> {
    let replies: Vec<Option<Uuid>> = rows.iter().map(|row| row.reply_to).collect();
    let column = |of: fn(&KeptRow) -> Uuid| rows.iter().map(of).collect::<Vec<_>>();
    sqlx::query!(
        r#"insert into chat_messages (id, stream_id, user_id, message, created_at, reply_to, epoch, sequence, badges)
           select id, stream_id, user_id, message, created_at, reply_to, epoch, sequence, string_to_array(badges, ',')
           from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[], $6::uuid[],
                       $7::bigint[], $8::bigint[], $9::text[])
               as said (id, stream_id, user_id, message, created_at, reply_to, epoch, sequence, badges)
           on conflict do nothing"#,
        &column(|row| row.id),
        &column(|row| row.stream),
        &column(|row| row.user),
        &rows.iter().map(|row| row.message.clone()).collect::<Vec<_>>(),
        &rows.iter().map(|row| time_of(row.id)).collect::<Vec<_>>(),
        &replies as _,
        &rows.iter().map(|row| row.position.epoch).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.position.offset).collect::<Vec<_>>(),
        // An array of arrays would have to be a rectangle.
        &rows.iter().map(|row| row.badges.join(",")).collect::<Vec<_>>()
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Whether PostgreSQL will never take a row: somebody or something that it names does not exist, or a value is none. Anything else may
/// be over when the same is tried again.
pub(super) fn is_refused_for_good(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref().is_some_and(is_for_good))
}

/// Whether there is no partition for a row's day: it has its time from a replica whose clock is wrong, or the day is still to be made.
pub(super) fn has_no_day(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("23514"))
}

/// By SQLSTATE: a violated foreign key, and data exceptions.
fn is_for_good(code: &str) -> bool {
    code == "23503" || code.starts_with("22")
}

/// The last messages of a room before a position, the latest first; removed ones are left out.
pub(super) async fn before(
    database: &PgPool,
    stream: StreamId,
    position: Option<Position>,
    most: i64,
) -> Result<Vec<Line>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select m.id, m.message, m.reply_to, m.epoch, m.sequence, m.badges,
                  u.id as user_id, u.username, u.display_name, u.avatar_url as avatar
           from chat_messages m join users u on u.id = m.user_id
           where m.stream_id = $1 and m.deleted_at is null
             and ($2::bigint is null or (m.epoch, m.sequence) < ($2, $3::bigint))
           order by m.epoch desc, m.sequence desc limit $4"#,
        stream.0,
        position.map(|position| position.epoch),
        position.map(|position| position.offset),
        most
    )
    .fetch_all(database)
    .await?;
    let lines = rows.into_iter().map(|row| {
        let author = Streamer {
            id: row.user_id,
            username: row.username,
            display_name: row.display_name,
            avatar: row.avatar,
        };
        let position = Position { epoch: row.epoch, offset: row.sequence };
        let fields = fields_of(row.id, stream, &author, &row.badges, &row.message, row.reply_to);
        Line::new(Said::new(row.id, author.id, stream, position), &fields)
    });
    Ok(lines.collect())
}

/// The highest epoch that a room has messages of; zero where there is none. What no clock says is passed over: an epoch above it could not
/// be written in JSON.
pub(super) async fn highest_epoch(database: &PgPool, stream: StreamId) -> Result<i64, sqlx::Error> {
    let highest = sqlx::query_scalar!(
        r#"select epoch from chat_messages where stream_id = $1 and epoch < $2
           order by epoch desc, sequence desc limit 1"#,
        stream.0,
        Position::MOST_EPOCH
    );
    Ok(highest.fetch_optional(database).await?.unwrap_or(0))
}

/// Which of these messages are marked as removed.
pub(super) async fn removed(database: &PgPool, messages: &[Uuid]) -> Result<HashSet<Uuid>, sqlx::Error> {
    let removed = sqlx::query_scalar!(
        "select id from chat_messages where id = any($1) and created_at = any($2) and deleted_at is not null",
        messages,
        &messages.iter().copied().map(time_of).collect::<Vec<_>>()
    );
    Ok(removed.fetch_all(database).await?.into_iter().collect())
}

/// Marks a message as removed. False when there is no such message, or it is removed already.
pub(super) async fn remove(
    db: impl PgExecutor<'_>,
    stream: StreamId,
    message: Uuid,
    by: Uuid,
) -> Result<bool, sqlx::Error> {
    let removed = sqlx::query!(
        r#"update chat_messages set deleted_at = now(), deleted_by = $4
           where id = $1 and created_at = $2 and stream_id = $3 and deleted_at is null"#,
        message,
        time_of(message),
        stream.0,
        by
    );
    Ok(removed.execute(db).await?.rows_affected() > 0)
}

/// Marks what somebody said in some rooms as removed, of the last day: as long as anybody would look for it.
pub(super) async fn purge(
    database: &PgPool,
    streams: &[Uuid],
    user: Uuid,
    by: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update chat_messages set deleted_at = now(), deleted_by = $3
           where stream_id = any($1) and user_id = $2 and deleted_at is null
             and created_at > now() - interval '1 day'"#,
        streams,
        user,
        by
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Marks what people said who were banned while it was on its way to PostgreSQL. To be called once the rows are committed: a ban that
/// this does not see yet is committed later, and its own purge sees the rows.
pub(super) async fn hide_banned(database: &PgPool, rows: &[KeptRow]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update chat_messages m set deleted_at = now(), deleted_by = b.banned_by
           from streams s join channel_bans b on b.channel_id = s.user_id
           where m.id = any($1) and m.created_at = any($2) and m.deleted_at is null
             and s.id = m.stream_id and b.user_id = m.user_id and (b.expires_at is null or b.expires_at > now())"#,
        &rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        &rows.iter().map(|row| time_of(row.id)).collect::<Vec<_>>()
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Empties what people said whose account was deleted while it was on its way to PostgreSQL, however long that took.
pub(super) async fn erase_of_deleted(database: &PgPool, rows: &[KeptRow]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"update chat_messages m
           set message = '', deleted_at = coalesce(m.deleted_at, now()), deleted_by = coalesce(m.deleted_by, m.user_id)
           from users u
           where m.id = any($1) and m.created_at = any($2) and m.message <> ''
             and u.id = m.user_id and u.deleted_at is not null"#,
        &rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        &rows.iter().map(|row| time_of(row.id)).collect::<Vec<_>>()
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Who wrote a message.
pub(super) async fn author_of(
    database: &PgPool,
    stream: StreamId,
    message: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select user_id from chat_messages where id = $1 and created_at = $2 and stream_id = $3",
        message,
        time_of(message),
        stream.0
    )
    .fetch_optional(database)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_be_refused_again_is_refused_for_good() {
        for (code, for_good) in [
            ("23503", true), // an author or a stream that is not there
            ("22021", true), // no text
            ("22P05", true),
            ("23514", false), // no partition for the day
            ("25006", false), // a server that is not promoted yet
            ("40001", false),
            ("40P01", false), // a deadlock
            ("55P03", false), // a lock that was not to be had
            ("58030", false), // a disk that fails
            ("57P01", false),
            ("53300", false),
            ("42P01", false), // an older schema
        ] {
            assert_eq!(is_for_good(code), for_good, "{code}");
        }
        assert!(!is_refused_for_good(&sqlx::Error::PoolTimedOut));
    }
}
