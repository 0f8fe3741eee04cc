//! Sessions: one log-in each, one row each, kept alive by refresh tokens that change at every use.
//!
//! A refresh token that is used a second time was probably copied, and its session ends. But a second use can be innocent:
//! two tabs, or an answer that the network lost. So the predecessor of the newest token is still good while nobody has
//! shown to have received the newest: see [`Standing::judge`].

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::AuthError;
use super::refresh_token::{RefreshToken, Sealer, Serial, former_hash};
use crate::address::Origin;
use crate::client::Client;
use crate::config::{Deadlines, Secrets};
use crate::error::Error;

/// What a session gives out.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) token: RefreshToken,
    pub(crate) serial: Serial,
    pub(crate) user: Uuid,
    pub(crate) session: Uuid,
    pub(crate) expires_at: DateTime<Utc>,
}

/// A refresh token that is one of ours; its session may have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recognised {
    pub(crate) session: Uuid,
    /// `None` for a former token that was spent before sessions numbered theirs.
    serial: Option<Serial>,
}

/// Begins, goes on with and ends sessions.
pub(crate) struct Sessions {
    sealer: Sealer,
    idle: TimeDelta,
    longest: TimeDelta,
    grace: TimeDelta,
}

impl Sessions {
    pub(crate) fn new(secrets: &Secrets, deadlines: &Deadlines) -> Self {
        let delta = |duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        Self {
            sealer: Sealer::new(&secrets.jwt, &secrets.other_jwt),
            idle: delta(deadlines.refresh_token),
            longest: delta(deadlines.session),
            grace: delta(deadlines.refresh_grace),
        }
    }

    /// Somebody logged in.
    pub(crate) async fn begin(
        &self,
        db: &mut PgConnection,
        user: Uuid,
        client: &Client,
    ) -> Result<Issued, Error> {
        let (now, session, serial) = (Utc::now(), Uuid::now_v7(), Serial(0));
        let ends_at = now + self.longest;
        let expires_at = (now + self.idle).min(ends_at);
        // Whoever logs in by a script and never out gets no more rows than this.
        sqlx::query!(
            r#"delete from sessions where id in (
                   select id from sessions where user_id = $1
                   order by exchanged_at desc, id desc offset $2 for update skip locked
               )"#,
            user,
            MOST_OF_ONE_PERSON - 1
        )
        .execute(&mut *db)
        .await?;
        sqlx::query!(
            r#"insert into sessions (id, user_id, serial, exchanged_at, expires_at, ends_at, user_agent, ip, created_at)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $4)"#,
            session,
            user,
            serial.0,
            now,
            expires_at,
            ends_at,
            client.user_agent,
            client.address.to_string(),
        )
        .execute(db)
        .await?;
        Ok(Issued { token: self.sealer.token(session, serial), serial, user, session, expires_at })
    }

    /// Tells one of our tokens from an invention. Only a former token needs the database for it.
    pub(crate) async fn recognise(
        &self,
        db: impl PgExecutor<'_>,
        token: &RefreshToken,
    ) -> Result<Option<Recognised>, Error> {
        match token {
            RefreshToken::Numbered { session, serial, seal } => {
                let ours = self.sealer.made(*session, *serial, seal);
                Ok(ours.then_some(Recognised { session: *session, serial: Some(*serial) }))
            }
            RefreshToken::Former(bytes) => {
                // The newest of a session is its number 0. So is the one before: its answer may have been on its way when
                // the tokens were changed.
                let found = sqlx::query!(
                    r#"select family_id,
                              used_at is null or exists (
                                  select from refresh_tokens child where child.parent_id = token.id and child.used_at is null
                              ) as "newest!"
                       from refresh_tokens token where token_hash = $1"#,
                    former_hash(bytes)
                )
                .fetch_optional(db)
                .await?;
                Ok(found.map(|found| Recognised {
                    session: found.family_id,
                    serial: found.newest.then_some(Serial(0)),
                }))
            }
        }
    }

    /// Changes a token for its successor.
    ///
    /// [`AuthError::RefreshReused`] when it was used before and no grace covers that: the session is ended then, which is
    /// committed.
    pub(crate) async fn exchange(
        &self,
        database: &PgPool,
        presented: Recognised,
        client: &Client,
    ) -> Result<Issued, Error> {
        let Recognised { session, serial: presented } = presented;
        let mut tx = database.begin().await?;
        // The lock makes simultaneous uses one after the other, and a log-out waits for them or is seen by them.
        let found = sqlx::query_as!(
            Standing,
            r#"select user_id as "user", serial as "newest: Serial", predecessor as "predecessor: Serial", received,
                      exchanged_at, expires_at, ends_at, revoked_at is not null as "ended!"
               from sessions where id = $1 for update"#,
            session
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(AuthError::RefreshInvalid)?;

        let now = Utc::now();
        match found.judge(presented, now, self.grace) {
            Verdict::Over => Err(AuthError::RefreshInvalid.into()),
            Verdict::Reused => {
                end_session(&mut *tx, session).await?;
                tx.commit().await?;
                tracing::warn!(user = %found.user, %session, "a refresh token was used twice; its session is ended");
                Err(AuthError::RefreshReused.into())
            }
            Verdict::Again => Ok(Issued {
                token: self.sealer.token(session, found.newest),
                serial: found.newest,
                user: found.user,
                session,
                expires_at: found.expires_at,
            }),
            Verdict::Next => {
                let serial = found.newest.next();
                let expires_at = (now + self.idle).min(found.ends_at);
                sqlx::query!(
                    r#"update sessions set serial = $2, predecessor = $3, exchanged_at = $4, received = false,
                              expires_at = $5, user_agent = $6, ip = $7
                       where id = $1"#,
                    session,
                    serial.0,
                    presented.map(|serial| serial.0),
                    now,
                    expires_at,
                    client.user_agent,
                    client.address.to_string(),
                )
                .execute(&mut *tx)
                .await?;
                tx.commit().await?;
                let token = self.sealer.token(session, serial);
                Ok(Issued { token, serial, user: found.user, session, expires_at })
            }
        }
    }
}

/// A session as it stands when one of its tokens is presented.
#[derive(Clone, Copy, Debug)]
struct Standing {
    user: Uuid,
    newest: Serial,
    /// What the newest was given for.
    predecessor: Option<Serial>,
    /// Whether the newest's access token was seen since: its holder got the answer.
    received: bool,
    exchanged_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The session ended or died out.
    Over,
    /// The newest token, once more.
    Again,
    /// A new one; what was newest is spent.
    Next,
    /// Two people have this session.
    Reused,
}

impl Standing {
    /// What the holder of `presented` gets.
    ///
    /// The predecessor gets the newest again for `grace`: two tabs, or a retry. After that it gets a *new* token, as long
    /// as nobody has used what came with the newest: the answer was lost while a phone slept. The newest is spent then, so
    /// that a thief who did receive it is found out by using it, and nobody stays one step behind for ever.
    fn judge(&self, presented: Option<Serial>, now: DateTime<Utc>, grace: TimeDelta) -> Verdict {
        if self.ended || self.expires_at <= now || self.ends_at <= now {
            return Verdict::Over;
        }
        match presented {
            Some(serial) if serial == self.newest => Verdict::Next,
            // Ours and from the future: the database was restored from a backup.
            Some(serial) if serial > self.newest => Verdict::Over,
            Some(serial) if Some(serial) == self.predecessor => {
                if now - self.exchanged_at <= grace {
                    Verdict::Again
                } else if self.received {
                    Verdict::Reused
                } else {
                    Verdict::Next
                }
            }
            _ => Verdict::Reused,
        }
    }
}

/// No token of this session is good for anything any more. Its sockets are closed by `departures`, within seconds, or at
/// once where it is told.
pub(crate) async fn end_session(db: impl PgExecutor<'_>, session: Uuid) -> Result<(), Error> {
    sqlx::query!("update sessions set revoked_at = now() where id = $1 and revoked_at is null", session)
        .execute(db)
        .await?;
    Ok(())
}

/// Whether `user` had a session from this origin in the last weeks.
pub(crate) async fn was_here(db: impl PgExecutor<'_>, user: Uuid, origin: Origin) -> Result<bool, Error> {
    let found = sqlx::query_scalar!(
        r#"select exists (
               select from sessions
               where user_id = $1
                 and ip::inet <<= set_masklen($2::text::inet, case family($2::text::inet) when 4 then 32 else 64 end)
           ) as "found!""#,
        user,
        origin.to_string()
    );
    Ok(found.fetch_one(db).await?)
}

/// Forgets sessions that have ended for good. None that could still be refreshed goes, and none whose access tokens, which
/// last `access_token`, could still be shown; an ended one stays until then, because only its row says that it ended.
pub(crate) async fn forget_old_sessions(
    db: impl PgExecutor<'_>,
    access_token: std::time::Duration,
) -> Result<(), Error> {
    sqlx::query!(
        r#"delete from sessions where id in (
               select id from sessions where ends_at < now() - make_interval(secs => $1) - interval '1 day' limit 10000
           )"#,
        access_token.as_secs_f64()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Browsers and devices of one person; the one unused for longest makes room.
pub(super) const MOST_OF_ONE_PERSON: i64 = 100;

#[cfg(test)]
mod tests;
