//! The lifecycle as the api uses it: patches that the operator heeds.

use std::sync::Arc;
use std::time::Duration;

use caudal_kubernetes::calls::{Failure, call};
use caudal_kubernetes::names;
use caudal_livestream::StreamId;
use caudal_livestream::record::LiveStream;
use caudal_livestream::report::EndReason;
use futures::future::BoxFuture;
use tokio::time::timeout;

use super::wanted::{Fresh, dropped, ended, revoked};
use super::{KubernetesDirectory, Shared};
use crate::{StreamControl, StreamDirectory as _, Unavailable};

impl Shared {
    async fn is_certainly_missing(&self, stream: StreamId) -> bool {
        if !self.replica().is_missing(stream) {
            return false;
        }
        // The watch's connection may have been cut off without anybody knowing yet.
        let name = names::live_stream(stream);
        let asked = timeout(ASKED_WITHIN, call(self.api.get_metadata(&name))).await;
        matches!(asked, Ok(Err(Failure::NotFound)))
    }
}

impl StreamControl for KubernetesDirectory {
    fn end(&self, stream: StreamId, reason: EndReason) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            let decide = |known: Option<&_>| Ok(ended(known, stream, reason));
            self.shared.carry_out(stream, Fresh::WhereUnknown, decide).await
        })
    }

    fn drop_publisher(&self, stream: StreamId, reason: String) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            let decide = |known: Option<&_>| Ok(dropped(known, &reason));
            self.shared.carry_out(stream, Fresh::WhereUnknown, decide).await
        })
    }

    fn revoke_key(&self, stream: StreamId) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            let decide = |known: Option<&_>| Ok(revoked(known));
            self.shared.carry_out(stream, Fresh::WhereUnknown, decide).await
        })
    }

    fn inspect(&self, stream: StreamId) -> Option<Arc<LiveStream>> {
        self.get(stream)
    }

    fn running(&self) -> Vec<Arc<LiveStream>> {
        self.shared.streams.borrow().values().cloned().collect()
    }

    fn is_current(&self) -> bool {
        self.shared.replica().is_current()
    }

    fn is_missing(&self, stream: StreamId) -> bool {
        self.shared.replica().is_missing(stream)
    }

    fn is_certainly_missing(&self, stream: StreamId) -> BoxFuture<'_, bool> {
        Box::pin(self.shared.is_certainly_missing(stream))
    }
}

/// Whoever asks holds a transaction open.
const ASKED_WITHIN: Duration = Duration::from_secs(1);
