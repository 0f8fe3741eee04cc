//! Permission to watch a stream. A request gets one from the function that stands for its way of asking, and nobody else
//! can make one: where a stream is looked up for viewers, a [`Grant`] is what is asked for.

use std::sync::Arc;

use caudal_livestream::StreamId;
use caudal_livestream::admission::Access;
use caudal_livestream::record::LiveStream;

use crate::asker::Asker;
use crate::streams::Streams;

/// A stream that the directory knows and that a request may watch, as it was when the request came.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    // Private, so that no other file can make one.
    record: Arc<LiveStream>,
}

impl Grant {
    /// What `asker` may watch by the path that its request came on.
    pub(crate) fn of(streams: &Streams, stream: StreamId, asker: &Asker) -> Option<Self> {
        match asker.ticket {
            None => Self::by_public_path(streams, stream),
            Some(_) => Self::by_ticket_path(streams, stream),
        }
    }

    /// `/live/{stream}/…`: only what anybody may watch.
    fn by_public_path(streams: &Streams, stream: StreamId) -> Option<Self> {
        let record = streams.record(stream)?;
        (record.spec.access == Access::Public).then_some(Self { record })
    }

    /// `/v/{ticket}/live/{stream}/…`: the same. A ticket tells players apart and opens nothing, so it does not matter here
    /// whether it is one of ours.
    fn by_ticket_path(streams: &Streams, stream: StreamId) -> Option<Self> {
        Self::by_public_path(streams, stream)
    }

    /// The stream.
    pub(crate) fn stream(&self) -> StreamId {
        self.record.spec.stream
    }

    /// Its record.
    pub(crate) fn record(&self) -> &Arc<LiveStream> {
        &self.record
    }
}
