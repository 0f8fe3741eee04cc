//! One connection to one worker.

use std::time::Duration;

use caudal_rtmp::{RelayError, RelayPublisher};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::replay::{Cursor, Replay, Rest, Switch};
use crate::tag::{Body, Tag};

/// Sends what a [`Replay`] holds, from its own place in it.
///
/// Only [`BATCH`] is ever queued; a worker that takes it too slowly falls behind in the replay, and in the end out of
/// it.
#[derive(Debug)]
pub(crate) struct Relay {
    publisher: RelayPublisher<TcpStream>,
    cursor: Cursor,
    since: Instant,
    queued_in_all: usize,
    /// Counted by [`take_sent`](Self::take_sent).
    counted: usize,
    /// When the worker was last seen to take something, and how much it had by then.
    moved: (Instant, usize),
}

impl Relay {
    pub(crate) fn new(publisher: RelayPublisher<TcpStream>, cursor: Cursor) -> Self {
        let now = Instant::now();
        Self { publisher, cursor, since: now, queued_in_all: 0, counted: 0, moved: (now, 0) }
    }

    /// Sends a batch of what is there; without anything to send, resolves only when the relay is lost. May be dropped
    /// at any time.
    pub(crate) async fn progress(&mut self, replay: &Replay) -> Result<(), RelayError> {
        while self.publisher.queued_bytes() < BATCH {
            let Some(tag) = replay.read(&mut self.cursor) else { break };
            self.queue(&tag)?;
        }
        if self.publisher.queued_bytes() > 0 {
            self.publisher.flush().await
        } else {
            Err(self.publisher.lost().await)
        }
    }

    /// Sends a batch of what this relay has before `switch`. True once there is nothing more of that; without anything
    /// to send meanwhile, resolves only when the relay is lost. May be dropped at any time.
    pub(crate) async fn finish_before(
        &mut self,
        replay: &Replay,
        switch: Switch,
    ) -> Result<bool, RelayError> {
        let mut complete = false;
        while self.publisher.queued_bytes() < BATCH && !complete {
            match replay.read_before(&mut self.cursor, switch) {
                Rest::Tag(tag) => self.queue(&tag)?,
                Rest::Awaited => break,
                Rest::Complete => complete = true,
            }
        }
        if self.publisher.queued_bytes() > 0 {
            self.publisher.flush().await?;
            Ok(complete)
        } else if complete {
            Ok(true)
        } else {
            Err(self.publisher.lost().await)
        }
    }

    /// Ends it with the word that the publisher goes on elsewhere.
    pub(crate) async fn hand_over(self) {
        self.publisher.hand_over().await;
    }

    /// Media that waits for this relay.
    pub(crate) fn lag(&self, replay: &Replay) -> Duration {
        replay.lag(&self.cursor)
    }

    /// Nothing is left to be sent.
    pub(crate) fn is_drained(&mut self, replay: &Replay) -> bool {
        self.publisher.queued_bytes() == 0 && replay.is_read(&self.cursor)
    }

    /// True when the worker has taken nothing for [`STALL`] although there was something.
    pub(crate) fn is_stalled(&mut self) -> bool {
        let now = Instant::now();
        let sent = self.sent();
        if sent != self.moved.1 || self.publisher.queued_bytes() == 0 {
            self.moved = (now, sent);
        }
        now.duration_since(self.moved.0) >= STALL
    }

    /// For how long it has been up.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Frames that were left out since the last call.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        self.cursor.take_dropped()
    }

    /// Bytes sent since the last call.
    pub(crate) fn take_sent(&mut self) -> usize {
        let sent = self.sent();
        sent.saturating_sub(std::mem::replace(&mut self.counted, sent))
    }

    /// Ends it with the publisher's good-bye.
    pub(crate) async fn unpublish(self) {
        self.publisher.unpublish().await;
    }

    fn sent(&mut self) -> usize {
        self.queued_in_all.saturating_sub(self.publisher.queued_bytes())
    }

    fn queue(&mut self, tag: &Tag) -> Result<(), RelayError> {
        let before = self.publisher.queued_bytes();
        match &tag.body {
            Body::Metadata(metadata) => self.publisher.send_metadata(tag.timestamp_ms, metadata)?,
            Body::Audio(body) => self.publisher.send_audio(tag.timestamp_ms, body.clone())?,
            Body::Video(body) => self.publisher.send_video(tag.timestamp_ms, body.clone())?,
        }
        let added = self.publisher.queued_bytes().saturating_sub(before);
        self.queued_in_all = self.queued_in_all.saturating_add(added);
        Ok(())
    }
}

/// One write: a replay in a few dozen of them, and of a slow worker's media never more than this and the kernel's
/// buffers outside the replay.
const BATCH: usize = 256 * 1024;
/// A worker that reads nothing for so long hangs; its feed's heartbeat should have told the controller long ago.
const STALL: Duration = Duration::from_secs(10);
