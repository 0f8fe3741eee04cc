//! Turns for addresses that guess stream keys.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use caudal_service::origin::Origin;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};

use crate::takeover::HOLD;

/// Who may ask the api about a key although its address has guessed: a few at a time and slowly, so that a good key passes
/// whoever else guesses behind the same address, and wherever else somebody guesses. The first of each address has its
/// turn among the first of all others, and does not wait behind the many that another address has sent. Only as many
/// addresses as have a turn within [`HOLD`] can be served so while all of them guess: 48.
#[derive(Debug)]
pub(crate) struct Suspects {
    first: Semaphore,
    further: Semaphore,
    /// How many of each address wait or have a turn. Never longer than the waiting room, in which each has a place.
    waiting: Mutex<HashMap<Origin, usize>>,
}

/// The right to ask about one key, until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _permit: SemaphorePermit<'a>,
    _waiting: Waiting<'a>,
}

#[derive(Debug)]
struct Waiting<'a> {
    origin: Origin,
    suspects: &'a Suspects,
}

impl Default for Suspects {
    fn default() -> Self {
        Self { first: Semaphore::new(AT_ONCE), further: Semaphore::new(AT_ONCE), waiting: Mutex::default() }
    }
}

impl Suspects {
    /// A turn, after a second at least; none when too many others wait.
    pub(crate) async fn turn(&self, origin: Origin) -> Option<Turn<'_>> {
        let (waiting, is_first) = self.enter(origin);
        let lane = if is_first { &self.first } else { &self.further };
        let permit = timeout(HOLD, lane.acquire()).await.ok()?.ok()?;
        sleep(PAUSE).await;
        Some(Turn { _permit: permit, _waiting: waiting })
    }

    fn enter(&self, origin: Origin) -> (Waiting<'_>, bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.entry(origin).or_default();
        *count = count.saturating_add(1);
        (Waiting { origin, suspects: self }, *count == 1)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.suspects.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(&self.origin) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                waiting.remove(&self.origin);
            }
        }
    }
}

/// How many questions a second the first of all addresses may ask together, and how many all others.
const AT_ONCE: usize = 16;
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;

    fn origin(last: u8) -> Origin {
        Origin::from(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
    }

    /// How long an address waits for its turn while each of these keeps 32 connections knocking.
    async fn waits(hostile: std::ops::Range<u8>, newcomer: u8) -> Option<Duration> {
        let suspects = Arc::new(Suspects::default());
        let mut guessers = tokio::task::JoinSet::new();
        for address in hostile {
            for _ in 0..32 {
                let suspects = Arc::clone(&suspects);
                guessers.spawn(async move {
                    loop {
                        drop(suspects.turn(origin(address)).await);
                    }
                });
            }
        }
        sleep(Duration::from_secs(10)).await;
        let begun = Instant::now();
        let turn = suspects.turn(origin(newcomer)).await;
        let waited = turn.is_some().then(|| begun.elapsed());
        drop(turn);
        guessers.shutdown().await;
        assert!(suspects.waiting.lock().unwrap().is_empty(), "nothing is kept of those who have left");
        waited
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_that_guess_keep_no_other_address_from_its_turn() {
        assert_eq!(waits(0..0, 99).await, Some(PAUSE));
        for hostile in [0..1, 0..2, 0..20] {
            let waited = waits(hostile.clone(), 99).await.expect("a turn");
            assert!(waited <= PAUSE * 3, "{waited:?} beside {hostile:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_guesser_behind_an_address_leaves_turns_to_others_there() {
        let waited = waits(0..1, 0).await.expect("a turn");
        assert!(waited <= PAUSE * 4, "{waited:?}");
    }
}
