//! Where workers' storage credentials come from, where workers have none of their own.

use std::time::Duration;

use caudal_livestream::StreamId;
use caudal_storage::StreamCredentials;
use futures::future::BoxFuture;
use thiserror::Error;

/// Makes credentials that open one stream's objects: an STS, or a test's.
pub trait CredentialSource: Send + Sync + 'static {
    /// Credentials of the stream, of whose life about half is left at least. The same again until then, so that a worker that is
    /// found in a hurry waits for nobody.
    ///
    /// # Errors
    /// [`NoCredentials`], within seconds. Asking again may help.
    fn credentials(&self, stream: StreamId) -> BoxFuture<'_, Result<Fresh, NoCredentials>>;

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

/// Why there are no credentials of which half is left.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{detail}")]
pub struct NoCredentials {
    /// In a few words, without names of accounts: for people who have nothing to do with the storage.
    pub reason: String,
    /// For the log.
    pub detail: String,
    /// Older ones that still hold for a while.
    pub held: Option<StreamCredentials>,
}
