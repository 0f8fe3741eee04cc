//! Links by which somebody sets a new password without the old one.

use secrecy::SecretString;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::one_time_token::{OneTimeToken, hash_of_sent};
use crate::error::Error;
use crate::input::{FieldError, InputError};

/// What becomes of a link when as many as there may be are open already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowded {
    /// It is not made. Strangers may ask for links to be mailed; the ones in the mailbox stay good.
    Refuse,
    /// The oldest one gives way: an administrator's is handed on at once.
    MakeRoom,
}

/// The page that a link opens. The token is behind a `#`: browsers tell no server of it, and no log has it.
pub(crate) fn link(public_url: &str, token: &OneTimeToken) -> String {
    format!("{public_url}/reset-password#token={}", token.reveal())
}

/// A token for somebody who is not deleted.
pub(crate) async fn issue(
    db: &mut PgConnection,
    user: Uuid,
    crowded: Crowded,
) -> Result<Option<OneTimeToken>, sqlx::Error> {
    // Locked, so that two at once are counted.
    let locked = sqlx::query_scalar!(
        "select id from users where id = $1 and deleted_at is null for no key update",
        user
    );
    if locked.fetch_optional(&mut *db).await?.is_none() {
        return Ok(None);
    }
    sqlx::query!("delete from password_resets where user_id = $1 and expires_at <= now()", user)
        .execute(&mut *db)
        .await?;
    match crowded {
        Crowded::Refuse => {
            let open = sqlx::query_scalar!(
                r#"select count(*) as "open!" from password_resets where user_id = $1"#,
                user
            );
            if open.fetch_one(&mut *db).await? >= MOST_OF_ONE_PERSON {
                return Ok(None);
            }
        }
        Crowded::MakeRoom => {
            sqlx::query!(
                r#"delete from password_resets where token_hash in (
                       select token_hash from password_resets where user_id = $1 order by created_at desc offset $2
                   )"#,
                user,
                MOST_OF_ONE_PERSON - 1
            )
            .execute(&mut *db)
            .await?;
        }
    }
    let token = OneTimeToken::generate();
    sqlx::query!(
        r#"insert into password_resets (token_hash, user_id, expires_at)
           values ($1, $2, now() + make_interval(hours => $3))"#,
        token.hash(),
        user,
        GOOD_FOR_HOURS
    )
    .execute(db)
    .await?;
    Ok(Some(token))
}

/// Whose a token is, as long as it is good.
pub(crate) async fn person(db: impl PgExecutor<'_>, token: &SecretString) -> Result<Uuid, Error> {
    let found = sqlx::query_scalar!(
        "select user_id from password_resets where token_hash = $1 and expires_at > now()",
        hash_of_sent(token)
    );
    found.fetch_optional(db).await?.ok_or_else(no_good)
}

/// Uses a token up, and all others of the same person with it.
pub(crate) async fn redeem(db: &mut PgConnection, user: Uuid, token: &SecretString) -> Result<(), Error> {
    let used = sqlx::query_scalar!(
        r#"delete from password_resets where user_id = $1
           returning token_hash = $2 and expires_at > now() as "good!""#,
        user,
        hash_of_sent(token)
    );
    if used.fetch_all(db).await?.contains(&true) { Ok(()) } else { Err(no_good()) }
}

/// Nobody's link to this person's password is good any more.
pub(crate) async fn forget_of(db: impl PgExecutor<'_>, user: Uuid) -> Result<(), Error> {
    sqlx::query!("delete from password_resets where user_id = $1", user).execute(db).await?;
    Ok(())
}

/// Forgets a link that reached nobody.
pub(crate) async fn forget(db: impl PgExecutor<'_>, token_hash: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from password_resets where token_hash = $1", token_hash).execute(db).await?;
    Ok(())
}

/// Forgets what nobody used in time.
pub(crate) async fn forget_old(db: impl PgExecutor<'_>) -> Result<(), Error> {
    sqlx::query!(
        r#"delete from password_resets where token_hash in (
               select token_hash from password_resets where expires_at <= now() limit 10000
           )"#
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One answer for a token that never was, was used, or is too old.
pub(crate) fn no_good() -> Error {
    let words = "this link was used before, or is too old; ask for a new one";
    InputError::Invalid(vec![FieldError::new("/token", "invalid", words)]).into()
}

/// Somebody who is impatient asks twice.
const MOST_OF_ONE_PERSON: i64 = 3;
/// Long enough for a mail that is late, short enough for a mailbox that is read by others later.
const GOOD_FOR_HOURS: i32 = 1;
