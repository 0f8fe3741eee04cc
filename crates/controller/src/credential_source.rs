//! Where workers' storage credentials come from, where workers have none of their own.

use std::time::Duration;

use caudal_livestream::StreamId;
use caudal_storage::StreamCredentials;
use futures::future::BoxFuture;
use thiserror::Error;

/// Makes credentials that open one stream's objects: an STS, or a test's.
pub trait CredentialSource: Send + Sync + 'static {
    /// Credentials for a worker that is to be assigned the stream, which a broadcast waits for. Where the stream has some that hold long
    /// enough for a worker to begin with, it gets those at the first poll, and others are made beside it when they are due.
    ///
    /// # Errors
    /// [`NoCredentials`], within seconds. Asking again may help.
    fn credentials(&self, stream: StreamId) -> BoxFuture<'_, Result<StreamCredentials, NoCredentials>>;

    /// What a worker of the stream is to have by now: the stream's present credentials until about half of their life is over, then
    /// others. These never hold up [`credentials`](Self::credentials) of any stream.
    ///
    /// # Errors
    /// [`NoCredentials`]. Asking again may help.
    fn renewed(&self, stream: StreamId) -> BoxFuture<'_, Result<Fresh, NoCredentials>>;

    /// Nobody will ask for this stream's any more.
    fn forget(&self, stream: StreamId);
}

/// Credentials, and when there are to be others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// What a worker gets.
    pub credentials: StreamCredentials,
    /// From now until the worker is to get the next ones.
    pub renew_in: Duration,
}

/// Why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{detail}")]
pub struct NoCredentials {
    /// In a few words, without names of accounts: for people who have nothing to do with the storage.
    pub reason: String,
    /// For the log.
    pub detail: String,
}
