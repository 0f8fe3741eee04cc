//! One connection to one worker.

use std::time::Duration;

use caudal_rtmp::{RelayError, RelayPublisher};
use caudal_traces::Span;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::metrics::Metrics;
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
    /// Something is kept that the worker does not await yet.
    held: Option<Held>,
    /// The publisher may send more.
    holds: bool,
    metrics: Metrics,
    /// Over when the relay is.
    _span: Span,
}

/// Tags that are kept, from the first one on.
#[derive(Clone, Copy, Debug)]
struct Held {
    since: Instant,
    until: Instant,
}

impl Relay {
    /// `holds`: the publisher may send more, so that what it has sent may wait for that.
    pub(crate) fn new(
        publisher: RelayPublisher<TcpStream>,
        cursor: Cursor,
        holds: bool,
        metrics: Metrics,
        span: Span,
    ) -> Self {
        let now = Instant::now();
        Self {
            publisher,
            cursor,
            since: now,
            queued_in_all: 0,
            counted: 0,
            moved: (now, 0),
            held: None,
            holds,
            metrics,
            _span: span,
        }
    }

    /// Sends a batch of what is there; without anything to send, resolves when the worker has said what it awaits, or when
    /// the relay is lost. May be dropped at any time.
    pub(crate) async fn progress(&mut self, replay: &Replay) -> Result<(), RelayError> {
        if let Some(until) = self.hold(replay) {
            tokio::select! {
                heard = self.publisher.hear() => return self.heard(heard),
                // The publisher is slower than the worker thought, or has stopped.
                () = sleep_until(until) => self.publisher.forget_awaited(),
            }
        }
        self.let_go();
        while self.publisher.queued_bytes() < BATCH {
            let Some(tag) = replay.read(&mut self.cursor) else { break };
            self.queue(&tag)?;
        }
        let heard = if self.publisher.queued_bytes() > 0 {
            self.publisher.flush().await
        } else {
            self.publisher.hear().await
        };
        self.heard(heard)
    }

    /// Counts what the worker has said meanwhile.
    fn heard(&mut self, outcome: Result<(), RelayError>) -> Result<(), RelayError> {
        self.metrics.relay_awaited.inc_by(self.publisher.take_words());
        outcome
    }

    /// What was kept goes on.
    fn let_go(&mut self) {
        if let Some(held) = self.held.take() {
            self.metrics.relay_hold.observe(held.since.elapsed().as_secs_f64());
        }
    }

    /// From now on nothing waits for what the worker awaits: it does not come.
    pub(crate) fn hold_nothing(&mut self) {
        self.holds = false;
    }

    /// Until when what is there is kept, because the worker can make nothing of it without what comes next.
    fn hold(&mut self, replay: &Replay) -> Option<Instant> {
        let awaited = self.publisher.awaited().filter(|_| self.holds)?;
        if self.publisher.queued_bytes() > 0 {
            return None;
        }
        let ahead = replay.only_before(&self.cursor, awaited).filter(|ahead| *ahead <= FARTHEST)?;
        let begin = || {
            let since = Instant::now();
            Held { since, until: since + (ahead + LATENESS).min(LONGEST_HOLD) }
        };
        Some(self.held.get_or_insert_with(begin).until)
    }

    /// Sends a batch of what this relay has before `switch`. True once there is nothing more of that; without anything
    /// to send meanwhile, resolves only when the relay is lost. May be dropped at any time.
    pub(crate) async fn finish_before(
        &mut self,
        replay: &Replay,
        switch: Switch,
    ) -> Result<bool, RelayError> {
        self.let_go();
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
/// What is awaited is late then. It was due 25 ms before the part ends, and the worker closes a part that has not ended a frame
/// later than it should have: with this it has all that there is before, at 60 frames a second too.
const LATENESS: Duration = Duration::from_millis(40);
/// What lies further before is of another run of timestamps.
const FARTHEST: Duration = Duration::from_secs(1);
/// Of longer parts, the beginning.
const LONGEST_HOLD: Duration = Duration::from_millis(300);
/// A worker that reads nothing for so long hangs; its feed's heartbeat should have told the controller long ago.
const STALL: Duration = Duration::from_secs(10);
