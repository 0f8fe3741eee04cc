//! Channels that count what waits in them.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{SendError, TrySendError};

use crate::waiting::{Waiting, Waits};

/// A bounded channel; `waiting` counts what was sent and not received yet, senders that wait for room included.
pub fn channel<T>(bound: usize, waiting: Waiting) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(bound);
    (Sender { sender, waiting }, Receiver(receiver))
}

/// The end that is written to.
pub struct Sender<T> {
    sender: mpsc::Sender<Queued<T>>,
    waiting: Waiting,
}

/// The end that is read.
pub struct Receiver<T>(mpsc::Receiver<Queued<T>>);

/// Something that waits, and is counted for as long as it does.
pub(crate) struct Queued<T> {
    item: T,
    _waits: Waits,
}

impl<T> Sender<T> {
    /// Waits for room.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub async fn send(&self, item: T) -> Result<(), SendError<T>> {
        let sent = self.sender.send(Queued::new(item, &self.waiting)).await;
        sent.map_err(|SendError(queued)| SendError(queued.item))
    }

    /// Waits for nothing.
    ///
    /// # Errors
    /// When there is no room, or nobody reads any more.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        self.sender.try_send(Queued::new(item, &self.waiting)).map_err(|error| match error {
            TrySendError::Full(queued) => TrySendError::Full(queued.item),
            TrySendError::Closed(queued) => TrySendError::Closed(queued.item),
        })
    }
}

// Derived, it would ask that of the items too.
impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), waiting: self.waiting.clone() }
    }
}

impl<T> Receiver<T> {
    /// The next one; none once nobody can send any more. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<T> {
        self.0.recv().await.map(Queued::take)
    }
}

impl<T> Queued<T> {
    pub(crate) fn new(item: T, waiting: &Waiting) -> Self {
        Self { item, _waits: waiting.begin() }
    }

    /// It waits no longer.
    pub(crate) fn take(self) -> T {
        self.item
    }
}

#[cfg(test)]
mod tests {
    use prometheus::IntGauge;

    use super::*;

    #[tokio::test]
    async fn what_waits_is_counted_until_it_is_taken_or_nobody_can_take_it_any_more() {
        let depth = IntGauge::new("depth", "of a queue").unwrap();
        let (sender, mut receiver) = channel(2, Waiting::new(depth.clone()));
        sender.send(1).await.unwrap();
        sender.try_send(2).unwrap();
        assert!(matches!(sender.try_send(3), Err(TrySendError::Full(3))));
        assert_eq!(depth.get(), 2, "what found no room does not wait");
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(depth.get(), 1);
        drop(receiver);
        assert!(matches!(sender.send(4).await, Err(SendError(4))));
        assert_eq!(depth.get(), 0);
    }
}
