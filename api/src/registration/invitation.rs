//! Invitations: a token that an admin hands on, good for some registrations until its time is over.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::RegistrationError;
use crate::administration::{Act, Actor, record};
use crate::error::Error;

/// What whoever is invited sends with the registration. Random, so that a fast hash keeps it.
#[derive(Clone)]
pub(crate) struct InvitationToken(String);

impl InvitationToken {
    fn generate() -> Self {
        let mut bytes = [0_u8; TOKEN_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// What cannot be one finds nothing, like one that was never made.
    fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.trim().as_bytes()).to_vec()
    }
}

impl fmt::Debug for InvitationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for InvitationToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl Serialize for InvitationToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// An invitation, for admins. Its token is not in it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Invitation {
    pub(crate) id: Uuid,
    note: Option<String>,
    /// Registrations that it is good for, and those that were.
    uses: i32,
    used: i32,
    /// The username of the admin who made it.
    created_by: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// What an admin wants.
#[derive(Debug)]
pub(crate) struct NewInvitation<'a> {
    /// Whom it is for.
    pub(crate) note: Option<&'a str>,
    /// 1 to 100.
    pub(crate) uses: i32,
    pub(crate) lasts: TimeDelta,
}

impl NewInvitation<'_> {
    /// Makes it; the token cannot be had again.
    pub(crate) async fn make(
        self,
        tx: &mut PgConnection,
        actor: Actor,
    ) -> Result<(Invitation, InvitationToken), Error> {
        let (id, token, now) = (Uuid::now_v7(), InvitationToken::generate(), Utc::now());
        let expires_at = now + self.lasts;
        // One after the other, so that there are never more.
        sqlx::query!("lock table invitations in share row exclusive mode").execute(&mut *tx).await?;
        let made = sqlx::query!(
            r#"insert into invitations (id, token_hash, note, uses, created_by, created_at, expires_at)
               select $1, $2, $3, $4, $5, $6, $7 where (select count(*) from invitations) < $8"#,
            id,
            token.hash(),
            self.note,
            self.uses,
            actor.user(),
            now,
            expires_at,
            MOST_INVITATIONS
        )
        .execute(&mut *tx)
        .await?;
        if made.rows_affected() == 0 {
            return Err(RegistrationError::TooManyInvitations.into());
        }
        let act = Act::InvitationMade { invitation: id, uses: self.uses, note: self.note, expires_at };
        record(&mut *tx, actor, act).await?;
        let made = Invitation::find(tx, id).await?;
        Ok((made.ok_or_else(|| Error::Internal("a new invitation is gone".into()))?, token))
    }
}

impl Invitation {
    async fn find(db: impl PgExecutor<'_>, id: Uuid) -> Result<Option<Self>, Error> {
        let found = sqlx::query_as!(
            Self,
            r#"select i.id, i.note, i.uses, i.used, u.username as "created_by?", i.created_at, i.expires_at
               from invitations i left join users u on u.id = i.created_by where i.id = $1"#,
            id
        );
        Ok(found.fetch_optional(db).await?)
    }

    /// The latest first; those that have expired are not shown any more.
    pub(crate) async fn list(
        db: impl PgExecutor<'_>,
        before: Option<Uuid>,
        rows: i64,
    ) -> Result<Vec<Self>, Error> {
        let found = sqlx::query_as!(
            Self,
            r#"select i.id, i.note, i.uses, i.used, u.username as "created_by?", i.created_at, i.expires_at
               from invitations i left join users u on u.id = i.created_by
               where i.expires_at > now() and ($1::uuid is null or i.id < $1) order by i.id desc limit $2"#,
            before,
            rows
        );
        Ok(found.fetch_all(db).await?)
    }
}

/// Counts one use, in the transaction of the registration that it is for: whoever comes at the same moment waits, and finds
/// what is left.
pub(crate) async fn redeem(tx: &mut PgConnection, token: Option<&InvitationToken>) -> Result<(), Error> {
    let token = token.ok_or(RegistrationError::InvitationInvalid)?;
    let counted = sqlx::query!(
        "update invitations set used = used + 1 where token_hash = $1 and expires_at > now() and used < uses",
        token.hash()
    );
    if counted.execute(tx).await?.rows_affected() == 0 {
        return Err(RegistrationError::InvitationInvalid.into());
    }
    Ok(())
}

/// Whether it is good for a registration now: asked before a password is hashed, which is work.
pub(crate) async fn check(db: impl PgExecutor<'_>, token: Option<&InvitationToken>) -> Result<(), Error> {
    let token = token.ok_or(RegistrationError::InvitationInvalid)?;
    let good = sqlx::query_scalar!(
        r#"select true as "good!" from invitations where token_hash = $1 and expires_at > now() and used < uses"#,
        token.hash()
    );
    good.fetch_optional(db).await?.ok_or(RegistrationError::InvitationInvalid)?;
    Ok(())
}

/// Takes one back; whoever has registered by it stays.
pub(crate) async fn remove(tx: &mut PgConnection, actor: Actor, invitation: Uuid) -> Result<(), Error> {
    let removed = sqlx::query_scalar!(
        "delete from invitations where id = $1 and expires_at > now() returning used",
        invitation
    );
    let used = removed.fetch_optional(&mut *tx).await?.ok_or(Error::NotFound("this invitation"))?;
    record(tx, actor, Act::InvitationRemoved { invitation, used }).await
}

/// What was made of them stays in the audit log.
pub(crate) async fn forget_expired(db: impl PgExecutor<'_>) -> Result<(), Error> {
    sqlx::query!("delete from invitations where expires_at < now()").execute(db).await?;
    Ok(())
}

/// As many as nobody guesses.
const TOKEN_BYTES: usize = 24;
/// So that people see what they have.
const PREFIX: &str = "inv_";
/// At the same time: more than a person hands out, and an end to the rows.
pub(crate) const MOST_INVITATIONS: i64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_random_and_not_shown_by_accident() {
        let (one, other) = (InvitationToken::generate(), InvitationToken::generate());
        assert_eq!((one.0.len(), &one.0[..4]), (36, "inv_"));
        assert_ne!(one.0, other.0);
        assert_eq!(format!("{one:?}"), "***");
        assert_eq!(InvitationToken(format!(" {}\n", one.0)).hash(), one.hash(), "as it is pasted");
    }
}
