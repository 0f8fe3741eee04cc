//! Everything that can go wrong with a request, by subject. How each is answered: `problem`.

use thiserror::Error;

use crate::administration::AdminError;
use crate::auth::AuthError;
use crate::billing::BillingError;
use crate::chat::ChatError;
use crate::event_subscriptions::EventSubscriptionError;
use crate::input::InputError;
use crate::limits::LimitError;
use crate::people::PeopleError;
use crate::pictures::PictureError;
use crate::registration::RegistrationError;
use crate::stream::StreamError;
use crate::stream_key::KeyError;

/// Why a request did not get what it asked for.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// Who asks.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The stream asked about.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The person asked about.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// What an admin may not do to somebody.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// An account that is to be opened.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// The room asked about.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// The webhook asked for.
    #[error(transparent)]
    EventSubscription(#[from] EventSubscriptionError),
    /// The subscription asked for.
    #[error(transparent)]
    Billing(#[from] BillingError),
    /// The stream key asked for.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A picture that was sent or asked for.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// What was sent.
    #[error(transparent)]
    Input(#[from] InputError),
    /// How often and how much is asked.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A browser's page of somebody else's asks for what is for ours.
    #[error("pages of another site may not do this")]
    ForeignOrigin,
    /// Nothing is served there.
    #[error("{0} does not exist")]
    NotFound(&'static str),
    /// PostgreSQL: away, or asked what it cannot answer.
    #[error("{}", words_of_database(.0))]
    Database(#[from] sqlx::Error),
    /// A bug, or a broken environment.
    #[error("{BUG}")]
    Internal(String),
}

/// True while PostgreSQL is away or full, which is nobody's bug.
pub(crate) fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            true
        }
        // Operator intervention (57), insufficient resources (53), connection exceptions (08), a database that takes no
        // connections (55000).
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| ["57", "53", "08", "55000"].iter().any(|class| code.starts_with(class))),
        _ => false,
    }
}

fn words_of_database(error: &sqlx::Error) -> String {
    if is_outage(error) {
        format!("the database cannot be reached just now; try again in {RETRY_SECONDS} s")
    } else {
        BUG.to_owned()
    }
}

/// When to come back to what is away or busy: long enough for a restart of PostgreSQL, and said in words and in
/// `Retry-After` alike.
pub(crate) const RETRY_SECONDS: u64 = 2;
/// For what nobody but the operator can do anything about.
const BUG: &str = "something went wrong on the server; its log says what, under this answer's requestId";

#[cfg(test)]
mod tests;
