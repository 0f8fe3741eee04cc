//! Requests that wait for something to come: how many may, in all and of one address.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use caudal_service::origin::Origin;
use prometheus::IntGauge;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::answer::Refusal;
use crate::watched::Watched;

/// The places of all streams.
pub(crate) struct WaitingRoom {
    places: Semaphore,
    per_address: usize,
    /// Addresses that wait, no others.
    by_origin: Mutex<HashMap<Origin, usize>>,
    gauge: IntGauge,
}

/// One of the bounded number of requests that wait. Dropping it frees the place.
pub(crate) struct Place<'a> {
    room: &'a WaitingRoom,
    origin: Option<Origin>,
    _edge: SemaphorePermit<'a>,
    _stream: SemaphorePermit<'a>,
}

impl WaitingRoom {
    pub(crate) fn new(places: usize, per_address: usize, gauge: IntGauge) -> Self {
        Self { places: Semaphore::new(places), per_address, by_origin: Mutex::default(), gauge }
    }

    /// A place for a request from `origin`; a proxy's requests are many people's and count for no address.
    pub(crate) fn enter<'a>(
        &'a self,
        watched: &'a Watched,
        origin: Option<Origin>,
    ) -> Result<Place<'a>, Refusal> {
        let edge = self.places.try_acquire().map_err(|_| Refusal::Busy)?;
        let stream = watched.waiting.try_acquire().map_err(|_| Refusal::Busy)?;
        if let Some(origin) = origin {
            let mut by_origin = self.lock();
            let waiting = by_origin.get(&origin).copied().unwrap_or(0);
            if waiting >= self.per_address {
                return Err(Refusal::Busy);
            }
            by_origin.insert(origin, waiting.saturating_add(1));
        }
        self.gauge.inc();
        Ok(Place { room: self, origin, _edge: edge, _stream: stream })
    }

    /// Held for single operations only, never across an await.
    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, usize>> {
        self.by_origin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.room.gauge.dec();
        let Some(origin) = self.origin else { return };
        let mut by_origin = self.room.lock();
        if let Some(waiting) = by_origin.get_mut(&origin) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                by_origin.remove(&origin);
            }
        }
    }
}
