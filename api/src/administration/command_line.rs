//! Roles, for whoever has the database: the first admin is made in this way.

use std::time::Duration;

use secrecy::SecretString;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use super::{Actor, Role, set_role};
use crate::database;
use crate::error::Error;
use crate::names::NormalName;

/// What somebody is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedRole {
    /// One of those who run the platform.
    Admin,
    /// Like everybody else.
    User,
}

/// Makes the person called `name` an admin, or takes that away, in the database of an api. What came of it, in words.
///
/// # Errors
/// In words for the operator.
pub async fn set_role_by_name(
    database_url: &SecretString,
    name: &str,
    wanted: WantedRole,
) -> Result<String, String> {
    let mut connection = database::connect_once(database_url).await?;
    let told = timeout(WITHIN, change(&mut connection, name, wanted)).await;
    told.map_err(|_| "PostgreSQL does not answer in time; look whether it is well".to_owned())?
}

async fn change(connection: &mut PgConnection, name: &str, wanted: WantedRole) -> Result<String, String> {
    let normal = NormalName::of(name.trim().trim_start_matches('@'));
    let changing = async {
        let mut tx = connection.begin().await?;
        let found = sqlx::query!(
            "select id, username from users where username_normal = $1 and deleted_at is null",
            normal.as_str()
        );
        let Some(person) = found.fetch_optional(&mut *tx).await? else { return Ok(None) };
        let role = match wanted {
            WantedRole::Admin => Role::Admin,
            WantedRole::User => Role::User,
        };
        let changed = set_role(&mut tx, Actor::CommandLine, person.id, role).await?;
        tx.commit().await?;
        Ok::<_, Error>(Some((person.username, changed)))
    };
    match changing.await {
        Ok(Some((name, changed))) => Ok(match (wanted, changed) {
            (WantedRole::Admin, true) => format!("{name} is an admin now."),
            (WantedRole::Admin, false) => format!("{name} is an admin already."),
            (WantedRole::User, true) => format!("{name} is no admin any more."),
            (WantedRole::User, false) => format!("{name} is no admin."),
        }),
        Ok(None) => Err("nobody here is called that; expected the username of an account".to_owned()),
        Err(Error::Database(error)) => Err(database::words_of_query(&error)),
        Err(error) => Err(error.to_string()),
    }
}

/// Longer than anybody holds the rows that this needs.
const WITHIN: Duration = Duration::from_secs(10);
