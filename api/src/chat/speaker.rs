//! Who talks, and whether they still may.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::{Instant, timeout};

use super::author::Author;
use crate::app::Accounts;
use crate::auth::{AuthError, Caller};
use crate::error::Error;

/// Somebody who is logged in, for as long as their access token lasts.
#[derive(Clone, Debug)]
pub(crate) struct Speaker {
    caller: Caller,
    author: Author,
    expires: DateTime<Utc>,
    asked: Instant,
}

impl Speaker {
    /// The person of an access token.
    pub(crate) async fn of(accounts: &Accounts, token: &str) -> Result<Self, Error> {
        let (caller, expires) = Caller::of_token(accounts, token).await?;
        let author = Author::find(&accounts.database, caller.user).await?;
        let author = author.ok_or(AuthError::SessionRevoked)?;
        Ok(Self { caller, author, expires, asked: Instant::now() })
    }

    pub(crate) fn caller(&self) -> Caller {
        self.caller
    }

    pub(crate) fn author(&self) -> &Author {
        &self.author
    }

    /// How long the token lasts; none when it is over.
    pub(crate) fn lasts(&self) -> Option<Duration> {
        (self.expires - Utc::now()).to_std().ok()
    }

    /// Before each act: asks PostgreSQL now and then whether the session was ended or the person banned. While that is away, the
    /// last answer holds.
    pub(crate) async fn still_may(&mut self, accounts: &Accounts) -> Result<(), Error> {
        if self.lasts().is_none() {
            return Err(AuthError::TokenExpired.into());
        }
        if self.asked.elapsed() < ASK_EVERY {
            return Ok(());
        }
        let caller = self.caller;
        let asked = async {
            caller.check(accounts).await?;
            Author::find(&accounts.database, caller.user).await
        };
        match timeout(PATIENCE, asked).await {
            Ok(Err(Error::Database(error))) if crate::error::is_outage(&error) => {}
            // Whoever was made an admin, or is none any more, is so from here on.
            Ok(Ok(Some(author))) => self.author = author,
            Ok(Ok(None)) | Err(_) => {}
            Ok(Err(error)) => return Err(error),
        }
        self.asked = Instant::now();
        Ok(())
    }
}

/// A ban is noticed within a second where somebody talks; who is silent harms nobody.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// For that answer; without one it is as if PostgreSQL were away.
const PATIENCE: Duration = Duration::from_millis(500);
