//! Relay connections that have not proven yet that the stream is theirs to bring.
//!
//! A newcomer always gets a place. When there is none, the oldest connection of the address that has most of them goes: whoever
//! reaches the port and says nothing shuts it for nobody else, and a relay that was let in is no stranger any more.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// All of them. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub(super) struct Strangers {
    // Held for single operations only, never across an await. The oldest comes first.
    waiting: Arc<Mutex<Vec<Stranger>>>,
}

#[derive(Clone)]
struct Stranger {
    address: IpAddr,
    sent_away: CancellationToken,
}

/// A stranger's place; given back when it is dropped.
pub(super) struct Place {
    strangers: Strangers,
    sent_away: CancellationToken,
}

impl Strangers {
    /// A place for a new connection, which may have been another one's until now.
    pub(super) fn enter(&self, address: IpAddr) -> Place {
        let sent_away = CancellationToken::new();
        let mut waiting = self.lock();
        if waiting.len() >= MAX_STRANGERS {
            let crowd = |of: IpAddr| waiting.iter().filter(|stranger| stranger.address == of).count();
            // Of several equal ones the last, which backwards is the oldest.
            let goes =
                (0..waiting.len()).rev().max_by_key(|at| waiting.get(*at).map(|other| crowd(other.address)));
            if let Some(goes) = goes {
                waiting.remove(goes).sent_away.cancel();
                tracing::debug!(%address, "more strangers than a stream has places for: the oldest goes");
            }
        }
        waiting.push(Stranger { address, sent_away: sent_away.clone() });
        drop(waiting);
        Place { strangers: self.clone(), sent_away }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Stranger>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Resolves when the place is another one's.
    pub(super) async fn over(&self) {
        self.sent_away.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Only this place's token is cancelled by this drop; one that was sent away is in the list no more.
        self.sent_away.cancel();
        self.strangers.lock().retain(|stranger| !stranger.sent_away.is_cancelled());
    }
}

/// A relay and its successor come one at a time; all others have lost their way.
pub(super) const MAX_STRANGERS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_the_busiest_address_goes_for_a_newcomer() {
        let strangers = Strangers::default();
        let [router, crowd]: [IpAddr; 2] =
            ["192.0.2.1", "198.51.100.1"].map(|address| address.parse().unwrap());
        let honest = strangers.enter(router);
        let others: Vec<Place> = (1..MAX_STRANGERS).map(|_| strangers.enter(crowd)).collect();
        let newcomer = strangers.enter(router);
        let gone: Vec<bool> = others.iter().map(|place| place.sent_away.is_cancelled()).collect();
        assert!(gone[0] && !gone[1..].contains(&true), "{gone:?}");
        assert!(!honest.sent_away.is_cancelled() && !newcomer.sent_away.is_cancelled());
        drop(others);
        assert_eq!(strangers.lock().len(), 2);
    }
}
