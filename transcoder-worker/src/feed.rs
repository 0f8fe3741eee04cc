//! `GET /feed`: everything announced, to every reader at once, and no reader slows another.

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use caudal_livestream::RenditionName;
use caudal_livestream::assignment::Floor;
use caudal_livestream::feed::{Event, FloorSteps, InputState, bytes_frame_head};
use caudal_livestream::timeline::Timeline;
use http_body::Frame;
use thiserror::Error;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// All open feeds of one stream. Owned by the session, so that a snapshot and the events after it fit together.
pub(crate) struct FeedBroadcaster {
    readers: Vec<FeedReader>,
    floors: FloorSteps,
    metrics: Metrics,
}

/// A feed as its session holds it.
pub(crate) struct FeedReader {
    scope: Scope,
    wants: HashSet<RenditionName>,
    queue: Arc<FeedQueue>,
}

/// A feed as its HTTP response holds it.
pub(crate) struct FeedBody {
    queue: Arc<FeedQueue>,
}

/// The reader was too slow; its connection ends without the end of the body.
#[derive(Debug, Error)]
#[error("the reader was more than {MAX_BEHIND:?} or {MAX_QUEUED} bytes behind")]
pub(crate) struct FeedCut;

#[derive(Default)]
struct FeedQueue(Mutex<Queued>);

#[derive(Default)]
struct Queued {
    frames: VecDeque<(Bytes, Instant)>,
    bytes: usize,
    ending: Option<Ending>,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Nothing more will be queued.
    Ended,
    /// What was queued is gone.
    Cut,
    /// Nobody reads.
    Left,
}

/// Which announcements a feed carries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// What each rendition announces, for edges.
    Renditions,
    /// How far the stream is, for its controller.
    Control,
}

impl Scope {
    fn carries(self, event: &Event) -> bool {
        match event {
            Event::Input(_) | Event::End | Event::Heartbeat => true,
            Event::Floor(_) | Event::Reached(_) => self == Self::Control,
            Event::Snapshot(_)
            | Event::Part(_)
            | Event::Segment(_)
            | Event::Stored { .. }
            | Event::Withdrawn { .. } => self == Self::Renditions,
        }
    }
}

/// The two ends of a new feed that carries all announcements, and the parts of `wants`.
pub(crate) fn feed(wants: HashSet<RenditionName>) -> (FeedReader, FeedBody) {
    FeedReader::new(Scope::Renditions, wants)
}

/// The two ends of a new feed that carries what a controller needs.
pub(crate) fn control_feed() -> (FeedReader, FeedBody) {
    FeedReader::new(Scope::Control, HashSet::new())
}

impl FeedBroadcaster {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { readers: Vec::new(), floors: FloorSteps::default(), metrics }
    }

    /// A reader joins. It gets a snapshot now, or the floor, if anything was announced yet.
    pub(crate) fn join(&mut self, mut reader: FeedReader, timeline: Option<&Timeline>, input: InputState) {
        let now = Instant::now();
        if let Some(timeline) = timeline {
            reader.forget_unknown(timeline);
            let standing = match reader.scope {
                Scope::Renditions => Some(Event::Snapshot(Box::new(timeline.clone()))),
                Scope::Control => Floor::of(timeline).map(Event::Floor),
            };
            if let Some(standing) = standing {
                reader.queue.push([standing.encode()], now);
            }
        }
        reader.queue.push([Event::Input(input).encode()], now);
        self.readers.push(reader);
        self.count();
    }

    /// Tells control readers how far the announcements are, where that is news. To be called once the announcements of a
    /// turn are out: several parts that end together are one position.
    pub(crate) fn tell_floor(&mut self, timeline: &Timeline) {
        if let Some(event) = self.floors.take(timeline) {
            self.announce(&event, None);
        }
    }

    /// Tells all readers whose feed carries such an event. `data` are the part's bytes, for those that asked for its rendition; they are not copied.
    pub(crate) fn announce(&mut self, event: &Event, data: Option<&Bytes>) {
        self.announce_at(event, data, Instant::now());
    }

    fn announce_at(&mut self, event: &Event, data: Option<&Bytes>, now: Instant) {
        if !self.readers.iter().any(|reader| reader.scope.carries(event)) {
            return;
        }
        if let Event::Snapshot(timeline) = event {
            self.readers.iter_mut().for_each(|reader| reader.forget_unknown(timeline));
        }
        let plain = event.encode();
        let with_data = match (event, data) {
            (Event::Part(part), Some(data)) => {
                bytes_frame_head(data.len()).ok().map(|head| (&part.rendition, glue(&plain, &head), data))
            }
            _ => None,
        };
        self.readers.retain(|reader| {
            if !reader.scope.carries(event) {
                return true;
            }
            let kept = match &with_data {
                Some((rendition, head, data)) if reader.wants.contains(*rendition) => {
                    reader.queue.push([head.clone(), (*data).clone()], now)
                }
                _ => reader.queue.push([plain.clone()], now),
            };
            if kept == Kept::Cut {
                self.metrics.feed_cut.inc();
            }
            kept == Kept::Yes
        });
        self.count();
    }

    /// Ends all feeds, once what is queued has been read.
    pub(crate) fn close(&mut self) {
        for reader in self.readers.drain(..) {
            reader.queue.end(Ending::Ended);
        }
        self.count();
    }

    fn count(&self) {
        self.metrics.feed_readers.set(i64::try_from(self.readers.len()).unwrap_or(i64::MAX));
    }
}

impl FeedReader {
    fn new(scope: Scope, wants: HashSet<RenditionName>) -> (Self, FeedBody) {
        let queue = Arc::new(FeedQueue::default());
        (Self { scope, wants, queue: Arc::clone(&queue) }, FeedBody { queue })
    }

    /// The set of renditions is frozen before the first snapshot: no others will ever come.
    fn forget_unknown(&mut self, timeline: &Timeline) {
        self.wants.retain(|name| timeline.track(name).is_some());
    }
}

impl Drop for FeedBroadcaster {
    fn drop(&mut self) {
        self.close();
    }
}

#[derive(PartialEq, Eq)]
enum Kept {
    Yes,
    Cut,
    Left,
}

impl FeedQueue {
    /// Queues frames. Full (by bytes or by the age of what is oldest) means that the reader is cut off and what was
    /// queued is freed.
    fn push<const N: usize>(&self, frames: [Bytes; N], now: Instant) -> Kept {
        let mut queued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queued.ending.is_some() {
            return Kept::Left;
        }
        let size: usize = frames.iter().map(Bytes::len).sum();
        let behind = queued.frames.front().is_some_and(|(_, since)| now.duration_since(*since) > MAX_BEHIND);
        // A frame alone may be longer than the limit (a part of a very high bit rate); then nothing else may wait.
        let full = !queued.frames.is_empty() && queued.bytes.saturating_add(size) > MAX_QUEUED;
        if behind || full {
            queued.ending = Some(Ending::Cut);
            queued.frames = VecDeque::new();
        } else {
            queued.bytes = queued.bytes.saturating_add(size);
            queued.frames.extend(frames.into_iter().map(|frame| (frame, now)));
        }
        let cut = queued.ending.is_some();
        let waker = queued.waker.take();
        drop(queued);
        if let Some(waker) = waker {
            waker.wake();
        }
        if cut { Kept::Cut } else { Kept::Yes }
    }

    fn end(&self, ending: Ending) {
        let mut queued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queued.ending.get_or_insert(ending);
        if ending == Ending::Left {
            queued.frames = VecDeque::new();
        }
        if let Some(waker) = queued.waker.take() {
            waker.wake();
        }
    }
}

impl http_body::Body for FeedBody {
    type Data = Bytes;
    type Error = FeedCut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, FeedCut>>> {
        let mut queued = self.queue.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((frame, _)) = queued.frames.pop_front() {
            queued.bytes = queued.bytes.saturating_sub(frame.len());
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        match queued.ending {
            Some(Ending::Cut) => Poll::Ready(Some(Err(FeedCut))),
            Some(Ending::Ended | Ending::Left) => Poll::Ready(None),
            None => {
                queued.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for FeedBody {
    fn drop(&mut self) {
        self.queue.end(Ending::Left);
    }
}

fn glue(first: &Bytes, second: &Bytes) -> Bytes {
    let mut glued = BytesMut::with_capacity(first.len().saturating_add(second.len()));
    glued.extend_from_slice(first);
    glued.extend_from_slice(second);
    glued.freeze()
}

/// ARCHITECTURE §4: a reader over this is disconnected.
const MAX_QUEUED: usize = 4 * 1024 * 1024;
/// The same by time. Heartbeats are queued each second, so a stopped reader shows within three.
const MAX_BEHIND: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
