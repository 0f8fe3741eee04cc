//! At most one publisher at a time tries to become that of a stream: whoever has one key is one contender, however many
//! connections it opens.

use std::collections::HashSet;

use caudal_livestream::StreamId;
use tokio::sync::watch;

/// The streams that somebody is trying to get. No longer than the waiting room, in which each contender has its place.
#[derive(Debug, Default)]
pub(crate) struct Contenders(watch::Sender<HashSet<StreamId>>);

/// The only contender of a stream, until this is dropped.
#[derive(Debug)]
pub(crate) struct Contender<'a> {
    stream: StreamId,
    all: &'a Contenders,
}

impl Contenders {
    /// Waits until no other contender of `stream` is left. Those who wait are not served in order.
    pub(crate) async fn enter(&self, stream: StreamId) -> Contender<'_> {
        // From before the first look, so that no end is missed.
        let mut changes = self.0.subscribe();
        while !self.0.send_if_modified(|contested| contested.insert(stream)) {
            // Fails only without a sender, which is `self`.
            let _ = changes.changed().await;
        }
        Contender { stream, all: self }
    }
}

impl Drop for Contender<'_> {
    fn drop(&mut self) {
        self.all.0.send_modify(|contested| {
            contested.remove(&self.stream);
        });
    }
}

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
        assert_eq!(contenders.0.borrow().len(), 1, "nothing is kept of those who have ended");
    }
}
