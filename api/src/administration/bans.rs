//! Who may not be here. What else a ban ends, and what becomes of one that was set in the database alone: `bans`,
//! `departures`.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Act, Actor, AdminError, record};
use crate::auth::end_sessions;
use crate::billing;
use crate::error::Error;
use crate::event_subscriptions;
use crate::people::PeopleError;
use crate::stream::{End, Owner, request_end};

/// Bans somebody and ends all their log-ins. The broadcast that is to be ended, whose wish to end is recorded.
pub(crate) async fn ban(
    tx: &mut PgConnection,
    actor: Actor,
    user: Uuid,
    reason: Option<&str>,
) -> Result<Option<Uuid>, Error> {
    if actor.user() == Some(user) {
        return Err(PeopleError::Oneself.into());
    }
    let owner = Owner::lock(tx, user).await?.ok_or(PeopleError::Unknown)?;
    let admin = sqlx::query_scalar!(r#"select role = 'admin' as "admin!" from users where id = $1"#, user);
    if admin.fetch_one(&mut *tx).await? {
        return Err(AdminError::IsAdmin.into());
    }
    let changed = sqlx::query!(
        r#"update users set banned_at = coalesce(banned_at, now()), ban_reason = $2, updated_at = now()
           where id = $1 and (banned_at is null or ban_reason is distinct from $2)"#,
        user,
        reason
    )
    .execute(&mut *tx)
    .await?
    .rows_affected()
        > 0;
    let running = sqlx::query_scalar!(
        r#"select id from streams
           where user_id = $1 and ended_at is null and (is_live or authorized_at is not null)"#,
        user
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(stream) = running {
        request_end(tx, owner, stream, End::Banned).await?;
    }
    // So that what somebody else may have of this account does not come back with the end of the ban.
    end_sessions(&mut *tx, user, None).await?;
    event_subscriptions::remove_all_of(&mut *tx, user).await?;
    // Whoever cannot log in cannot cancel, and a channel that is shut has nothing to sell.
    billing::stop_all_of(&mut *tx, user).await?;
    if changed {
        record(tx, actor, Act::Banned { user, reason }).await?;
    }
    Ok(running)
}

/// Lets somebody in again; who is not banned stays so.
pub(crate) async fn unban(tx: &mut PgConnection, actor: Actor, user: Uuid) -> Result<(), Error> {
    Owner::lock(tx, user).await?.ok_or(PeopleError::Unknown)?;
    let ended = sqlx::query!(
        r#"update users set banned_at = null, ban_reason = null, updated_at = now()
           where id = $1 and banned_at is not null"#,
        user
    );
    if ended.execute(&mut *tx).await?.rows_affected() > 0 {
        record(tx, actor, Act::Unbanned { user }).await?;
    }
    Ok(())
}
