//! At most one publisher at a time tries to become that of a stream: whoever has one key is one contender, however many
//! connections it opens, and however fast it comes back each time.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caudal_livestream::StreamId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The streams that somebody is trying to get. No longer than the waiting room, in which each contender has its place.
#[derive(Debug, Default)]
pub(crate) struct Contenders {
    contested: watch::Sender<HashSet<StreamId>>,
    /// Streams whose publisher has returned lately. Held for single operations only, never across an await.
    returns: Mutex<HashMap<StreamId, Return>>,
}

#[derive(Clone, Copy, Debug)]
struct Return {
    at: Instant,
    /// The next contender gets its turn no sooner.
    next: Instant,
}

/// The only contender of a stream, until this is dropped.
#[derive(Debug)]
pub(crate) struct Contender<'a> {
    stream: StreamId,
    all: &'a Contenders,
}

impl Contenders {
    /// Waits until no other contender of `stream` is left, and for a moment where its publishers return one right after the other: each
    /// return is several writes for api, controller and all who watch the directory. Those who wait are not served in order.
    pub(crate) async fn enter(&self, stream: StreamId) -> Contender<'_> {
        // From before the first look, so that no end is missed.
        let mut changes = self.contested.subscribe();
        while !self.contested.send_if_modified(|contested| contested.insert(stream)) {
            // Fails only without a sender, which is `self`.
            let _ = changes.changed().await;
        }
        let contender = Contender { stream, all: self };
        let next = self.returns().get(&stream).map(|last| last.next);
        if let Some(next) = next {
            sleep_until(next).await;
        }
        contender
    }

    /// A contender has become the publisher of `stream`, which had one before.
    pub(crate) fn returned(&self, stream: StreamId, now: Instant) {
        let mut returns = self.returns();
        returns.retain(|_, last| now.saturating_duration_since(last.at) < QUICK_RETURN);
        // An encoder whose network flaps once is let in at once, and then once more.
        let next = if returns.contains_key(&stream) { now + PAUSE } else { now };
        returns.insert(stream, Return { at: now, next });
    }

    fn returns(&self) -> MutexGuard<'_, HashMap<StreamId, Return>> {
        self.returns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Contender<'_> {
    fn drop(&mut self) {
        self.all.contested.send_modify(|contested| {
            contested.remove(&self.stream);
        });
    }
}

/// An encoder waits for longer before it tries again (OBS for 2 s and then ever longer), and then sends media for a while.
const QUICK_RETURN: Duration = Duration::from_secs(5);
/// Less than a contender may be held ([`HOLD`](crate::takeover::HOLD)): one that comes alone gets in.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_second_contender_of_a_stream_waits_for_the_end_of_the_first_and_those_of_others_do_not() {
        let contenders = Contenders::default();
        let stream = StreamId::generate();
        let first = contenders.enter(stream).await;
        let mut second = pin!(contenders.enter(stream));
        assert!(second.as_mut().now_or_never().is_none());
        let _other = contenders.enter(StreamId::generate()).await;
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        let second = second.await;
        assert!(contenders.enter(stream).now_or_never().is_none());
        drop(second);
        drop(contenders.enter(stream).await);
        assert_eq!(contenders.contested.borrow().len(), 1, "nothing is kept of those who have ended");
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_again_and_again_waits_a_second_and_nobody_else_does() {
        let contenders = Contenders::default();
        let stream = StreamId::generate();
        let comes_back = async |pause| {
            tokio::time::advance(Duration::from_millis(pause)).await;
            let knocks = Instant::now();
            let _contender = contenders.enter(stream).await;
            contenders.returned(stream, Instant::now());
            knocks.elapsed().as_millis()
        };
        let mut waited = Vec::new();
        for pause in [0, 100, 100, 100, 3000, 100, 5000, 4999, 999] {
            waited.push(comes_back(pause).await);
        }
        assert_eq!(waited, [0, 0, 900, 900, 0, 900, 0, 0, 1]);
        let begun = Instant::now();
        let other = StreamId::generate();
        drop(contenders.enter(other).await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        tokio::time::advance(QUICK_RETURN).await;
        contenders.returned(other, Instant::now());
        assert_eq!(contenders.returns().len(), 1, "nothing is kept of those who came back long ago");
    }
}
