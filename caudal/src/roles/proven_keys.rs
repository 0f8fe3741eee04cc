//! When a controller's keys have proved to be the right ones, and what is noted then.

use std::convert::Infallible;
use std::future::pending;
use std::path::Path;
use std::sync::Arc;

use caudal_directory::Streams;
use caudal_livestream::record::LiveStream;
use tokio::sync::watch;

use crate::secrets::{KeySource, remember, remember_changed_keys, remember_keys};

/// Notes in `folder` which keys are in use as soon as they have proved to be the right ones, and goes on for ever.
pub fn note_once_proven(
    keys: &KeySource,
    folder: &Path,
    streams: watch::Receiver<Streams>,
) -> impl Future<Output = Infallible> {
    remember_changed_keys(keys, folder);
    let opened = once_opened(streams);
    async move {
        opened.await;
        if let Some(master) = keys.master() {
            remember(master, folder);
        }
        remember_keys(keys, folder);
        pending().await
    }
}

/// Waits for a stream that was not there when this was called. A router opened it, which has the same keys, and was told by
/// the api that the publisher may: so they are right, and no mistyped secret of a first start is held against the next.
fn once_opened(mut streams: watch::Receiver<Streams>) -> impl Future<Output = ()> {
    let taken_up = streams.borrow().clone();
    async move {
        let is_new = |record: &Arc<LiveStream>| !taken_up.contains_key(&record.spec.stream);
        if streams.wait_for(|streams| streams.values().any(is_new)).await.is_err() {
            // The directory has ended: nobody opens a stream any more.
            pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use caudal_livestream::fixtures::record;
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_stream_from_before_proves_no_keys_and_one_that_is_opened_does() {
        let open = |streams: &watch::Sender<Streams>| {
            streams.send_modify(|streams| streams.insert(Arc::new(record())));
        };
        let streams = watch::Sender::new(Streams::default());
        open(&streams);
        let mut opened = Box::pin(once_opened(streams.subscribe()));
        assert_eq!(opened.as_mut().now_or_never(), None);
        streams.send_modify(|_| {});
        assert_eq!(opened.as_mut().now_or_never(), None);
        open(&streams);
        assert_eq!(opened.as_mut().now_or_never(), Some(()));
    }
}
