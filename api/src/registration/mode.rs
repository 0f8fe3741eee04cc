//! Which way of registering holds. PostgreSQL is asked each time, so that all replicas agree.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};

use crate::administration::{Act, Actor, record};
use crate::error::Error;

/// Who may open an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistrationMode {
    /// Everybody.
    Open,
    /// Whoever was invited.
    Invitation,
    /// Nobody.
    Closed,
}

impl RegistrationMode {
    /// As the database keeps it, and as JSON has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Invitation => "invitation",
            Self::Closed => "closed",
        }
    }

    /// A word of a later version lets nobody in: it cannot mean less than this one knows of.
    fn parse(text: &str) -> Self {
        [Self::Open, Self::Invitation].into_iter().find(|mode| mode.as_str() == text).unwrap_or(Self::Closed)
    }
}

/// What holds, for admins.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Standing {
    mode: RegistrationMode,
    /// What holds where no admin has said anything.
    setting: RegistrationMode,
    /// When an admin said so; null where the setting holds.
    changed_at: Option<DateTime<Utc>>,
}

impl Standing {
    pub(crate) async fn find(db: impl PgExecutor<'_>, setting: RegistrationMode) -> Result<Self, Error> {
        let said = sqlx::query!("select mode, changed_at from registration").fetch_optional(db).await?;
        let mode = said.as_ref().map_or(setting, |said| RegistrationMode::parse(&said.mode));
        Ok(Self { mode, setting, changed_at: said.map(|said| said.changed_at) })
    }
}

/// What holds now.
pub(crate) async fn in_force(
    db: impl PgExecutor<'_>,
    setting: RegistrationMode,
) -> Result<RegistrationMode, Error> {
    Ok(Standing::find(db, setting).await?.mode)
}

/// Says what holds from now on; `None` leaves it to the setting again.
pub(crate) async fn set(
    tx: &mut PgConnection,
    actor: Actor,
    setting: RegistrationMode,
    mode: Option<RegistrationMode>,
) -> Result<(), Error> {
    // Also where there is no row yet that could be locked.
    sqlx::query!("lock table registration in share row exclusive mode").execute(&mut *tx).await?;
    let before = Standing::find(&mut *tx, setting).await?;
    if before.changed_at.map(|_| before.mode) == mode {
        return Ok(());
    }
    match mode {
        Some(mode) => {
            sqlx::query!(
                r#"insert into registration (mode) values ($1)
                   on conflict (only_row) do update set mode = excluded.mode, changed_at = now()"#,
                mode.as_str()
            )
            .execute(&mut *tx)
            .await?;
        }
        None => {
            sqlx::query!("delete from registration").execute(&mut *tx).await?;
        }
    }
    let (from, to) = (before.mode, mode.unwrap_or(setting));
    record(tx, actor, Act::RegistrationChanged { from, to, by_setting: mode.is_none() }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_the_same_word_everywhere_and_an_unknown_one_lets_nobody_in() {
        for mode in [RegistrationMode::Open, RegistrationMode::Invitation, RegistrationMode::Closed] {
            assert_eq!(RegistrationMode::parse(mode.as_str()), mode);
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
        }
        assert_eq!(RegistrationMode::parse("by_letter"), RegistrationMode::Closed);
    }
}
