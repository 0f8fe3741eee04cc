//! The connection to Redis: one, multiplexed, reconnecting by itself.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use secrecy::{ExposeSecret as _, SecretString};

use crate::error::StartError;

/// Cheap to clone; all clones share the connection.
#[derive(Clone)]
pub(crate) struct RedisStore(ConnectionManager);

impl RedisStore {
    /// Does not wait for Redis: everything that uses it has an answer for its absence.
    pub(crate) fn open(url: &SecretString) -> Result<Self, StartError> {
        let client = redis::Client::open(url.expose_secret()).map_err(StartError::RedisUrl)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(1);
        ConnectionManager::new_lazy_with_config(client, config).map(Self).map_err(StartError::RedisUrl)
    }

    pub(crate) fn connection(&self) -> ConnectionManager {
        self.0.clone()
    }
}

/// Every request waits for Redis at most this long before it goes on without.
const PATIENCE: Duration = Duration::from_millis(500);
