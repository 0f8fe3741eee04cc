//! Refused keys of open broadcasts, as all routers know them.

use caudal_livestream::StreamId;
use redis::AsyncCommands as _;

use crate::redis_link::RedisLink;

/// A mark in Redis for each open stream whose key the api has refused since: of streams, not of keys, so that a stranger makes
/// none.
pub(crate) struct SharedRefusals(RedisLink);

impl SharedRefusals {
    pub(crate) fn new(link: RedisLink) -> Self {
        Self(link)
    }

    /// The api has refused the keys that opened these.
    pub(crate) async fn refuse(&self, streams: &[StreamId]) {
        if streams.is_empty() {
            return;
        }
        let mut marks = redis::pipe();
        for stream in streams {
            marks.set_ex(mark(*stream), "", REMEMBERED).ignore();
        }
        let mut connection = self.0.connection();
        let _: Option<()> = self.0.answer(marks.query_async(&mut connection)).await;
    }

    /// The api has let the key of this stream in.
    pub(crate) async fn accept(&self, stream: StreamId) {
        let mut connection = self.0.connection();
        let _: Option<()> = self.0.answer(connection.del(mark(stream))).await;
    }

    /// Whether any router has heard that the key of this stream is refused; no when Redis does not say.
    pub(crate) async fn holds(&self, stream: StreamId) -> bool {
        let mut connection = self.0.connection();
        self.0.answer(connection.exists(mark(stream))).await.unwrap_or(false)
    }
}

fn mark(stream: StreamId) -> String {
    format!("caudal:refused:{stream}")
}

/// Seconds. An encoder with a refused key tries again by itself, which is heard each time; a day without a try is long enough
/// for whoever refused it to end the broadcast.
const REMEMBERED: u64 = 24 * 3600;
