//! Links by which somebody shows that an address is theirs.

use secrecy::SecretString;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::one_time_token::{OneTimeToken, hash_of_sent};
use super::password_reset::no_good;
use crate::error::Error;

/// The page that a link opens; behind the `#` no server and no log sees the token.
pub(crate) fn link(public_url: &str, token: &OneTimeToken) -> String {
    format!("{public_url}/verify-email#token={}", token.reveal())
}

/// A token for the address that somebody has; none when it is verified, or as many links as there may be are on their way.
pub(crate) async fn issue(db: &mut PgConnection, user: Uuid) -> Result<Option<OneTimeToken>, sqlx::Error> {
    // Locked, so that two at once are counted.
    let unverified = sqlx::query_scalar!(
        r#"select email from users where id = $1 and deleted_at is null and email_verified_at is null
           for no key update"#,
        user
    );
    let Some(email) = unverified.fetch_optional(&mut *db).await? else { return Ok(None) };
    let sent = sqlx::query_scalar!(
        r#"select count(*) as "sent!" from email_verifications
           where user_id = $1 and created_at > now() - interval '1 hour'"#,
        user
    );
    if sent.fetch_one(&mut *db).await? >= MOST_AN_HOUR {
        return Ok(None);
    }
    let token = OneTimeToken::generate();
    sqlx::query!(
        r#"insert into email_verifications (token_hash, user_id, email, expires_at)
           values ($1, $2, $3, now() + make_interval(hours => $4))"#,
        token.hash(),
        user,
        email,
        GOOD_FOR_HOURS
    )
    .execute(db)
    .await?;
    Ok(Some(token))
}

/// Takes the address that the token was sent to as verified. Opening the link again is as good: a page that is reloaded must
/// not say that it failed.
pub(crate) async fn redeem(db: &mut PgConnection, token: &SecretString) -> Result<Uuid, Error> {
    let found = sqlx::query!(
        r#"select v.user_id, v.email from email_verifications v join users u on u.id = v.user_id
           where v.token_hash = $1 and v.expires_at > now() and v.email = u.email and u.deleted_at is null"#,
        hash_of_sent(token)
    );
    let found = found.fetch_optional(&mut *db).await?.ok_or_else(no_good)?;
    sqlx::query!(
        r#"update users set email_verified_at = now(), updated_at = now()
           where id = $1 and email = $2 and email_verified_at is null and deleted_at is null"#,
        found.user_id,
        found.email
    )
    .execute(db)
    .await?;
    Ok(found.user_id)
}

/// Forgets a link that reached nobody.
pub(crate) async fn forget(db: impl PgExecutor<'_>, token_hash: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from email_verifications where token_hash = $1", token_hash).execute(db).await?;
    Ok(())
}

/// Forgets what nobody used in time.
pub(crate) async fn forget_old(db: impl PgExecutor<'_>) -> Result<(), Error> {
    sqlx::query!(
        r#"delete from email_verifications where token_hash in (
               select token_hash from email_verifications where expires_at <= now() limit 10000
           )"#
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Registering sends one; the others are for whoever does not find it. They are also all rows that one person can make: 3 an hour.
const MOST_AN_HOUR: i64 = 3;
/// Over a weekend.
const GOOD_FOR_HOURS: i32 = 72;
