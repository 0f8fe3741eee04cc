//! Whether this process may still do what it does as the leader.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caudal_kubernetes::calls::client_while;
use kube::Client;
use tokio::time::Instant;

/// How long what a leader has decided may be carried out. A call may wait half a minute for its turn, and somebody else may lead by then.
#[derive(Clone, Debug)]
pub struct Leadership {
    // Never held across an await.
    until: Arc<Mutex<Option<Instant>>>,
}

impl Leadership {
    pub(crate) fn until(until: Instant) -> Self {
        Self { until: Arc::new(Mutex::new(Some(until))) }
    }

    pub(crate) fn prolong(&self, until: Instant) {
        *self.lock() = Some(until);
    }

    /// It is over, whatever the lease says.
    pub(crate) fn end(&self) {
        *self.lock() = None;
    }

    /// Whether nobody else can lead yet.
    pub(crate) fn lasts(&self) -> bool {
        self.lock().is_some_and(|until| Instant::now() < until)
    }

    /// A client for what is done because this process leads: its calls are not sent once it may lead no longer.
    pub(crate) fn client(&self, client: &Client) -> Client {
        let leadership = self.clone();
        client_while(client.clone(), "this operator leads no longer", move || leadership.lasts())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
