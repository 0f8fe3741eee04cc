//! Who may try keys.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::guess_guard::{GuessGuard, SharedGuesses};
use crate::known_keys::KeyHash;

/// By this router's own counts, and by those of all routers, where they share a Redis and it answers in time. What one of them
/// does not let through waits for a turn of [`crate::suspects::Suspects`].
#[derive(Default)]
pub(crate) struct Guesses {
    // Held for single operations only, never across an await.
    own: Mutex<GuessGuard>,
    shared: Option<SharedGuesses>,
}

impl Guesses {
    pub(crate) fn new(shared: Option<SharedGuesses>) -> Self {
        Self { own: Mutex::default(), shared }
    }

    /// Whether a publisher from `address` may try this key at once.
    pub(crate) async fn allow(&self, address: IpAddr, key: &KeyHash) -> bool {
        let own = {
            let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            own.allows(address, key, Instant::now())
        };
        match &self.shared {
            // Nothing that other routers know lets it through.
            _ if !own => false,
            Some(shared) => shared.allows(address, key).await.unwrap_or(true),
            None => true,
        }
    }

    /// This key, which came from `address`, is nobody's.
    pub(crate) async fn wrong(&self, address: IpAddr, key: &KeyHash) {
        {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            own.wrong(address, key, Instant::now());
        }
        if let Some(shared) = &self.shared {
            shared.wrong(address, key).await;
        }
    }
}
