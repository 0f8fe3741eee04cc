//! A link to a new password, for an administrator to hand on: the way without mail.

use std::time::Duration;

use secrecy::SecretString;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout;

use crate::auth::password_reset::{self, Crowded};
use crate::database;
use crate::names::NormalName;

/// Makes a link for whoever has this username or email address. `public_url` is the address of the pages.
///
/// # Errors
/// In words for the administrator: nobody has that name, or the database does not answer.
pub async fn password_reset_link(
    database_url: &SecretString,
    public_url: &str,
    name: &str,
) -> Result<String, String> {
    let options = database::options(database_url)?.application_name("caudal-admin");
    let made = async {
        let mut connection = options.connect().await?;
        let name = NormalName::of(name);
        let found = sqlx::query_scalar!(
            "select id from users where (username_normal = $1 or email_normal = $1) and deleted_at is null",
            name.as_str()
        );
        let Some(user) = found.fetch_optional(&mut connection).await? else { return Ok(None) };
        let mut tx = connection.begin().await?;
        let token = password_reset::issue(&mut tx, user, Crowded::MakeRoom).await?;
        tx.commit().await?;
        connection.close().await?;
        if token.is_some() {
            tracing::info!(target: "caudal_api::audit", %user, "an administrator made a link to a new password");
        }
        Ok::<_, sqlx::Error>(token)
    };
    match timeout(WITHIN, made).await {
        Ok(Ok(Some(token))) => Ok(password_reset::link(public_url, &token)),
        Ok(Ok(None)) => Err("nobody has this username or email address".to_owned()),
        Ok(Err(error)) => Err(format!("the database: {error}")),
        Err(_) => Err(format!("the database did not answer within {} s", WITHIN.as_secs())),
    }
}

/// For everything.
const WITHIN: Duration = Duration::from_secs(4);
