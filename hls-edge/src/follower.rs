//! The task that follows one watched stream: its record in the directory, its worker's feed, its state in storage.
//!
//! It begins with the first request and ends a minute after the last one. Following what nobody watches would cost
//! every edge a decoded event for each part of every stream; what it would save the first viewer is one connection to
//! a worker and one snapshot, a millisecond or two in the same network.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use caudal_directory::FeedLost;
use caudal_livestream::feed::{Event, Frame, PartAnnounced};
use caudal_livestream::record::{LiveStream, NextWorker, Phase, WorkerAddress};
use caudal_livestream::state::StoredState;
use caudal_livestream::timeline::{SegmentPhase, Timeline, TimelineGap};
use caudal_livestream::{Epoch, RenditionName, UnixMillis};
use caudal_storage::SegmentStore;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{interval_at, sleep};

use crate::feeds::{Feeds, Heard};
use crate::memory::{FileKey, part};
use crate::mirror::{Change, Mirror};
use crate::request::MediaFile;
use crate::sources::{AnnouncedSize, Sources};
use crate::watched::{Fetched, Watched};

/// Follows `watched` until nobody watches it (`is_idle` says so and forgets it in one step) or the directory forgets it.
pub(crate) struct Follower<I> {
    pub(crate) sources: Sources,
    pub(crate) watched: Arc<Watched>,
    pub(crate) record: watch::Receiver<Option<Arc<LiveStream>>>,
    pub(crate) is_idle: I,
    pub(crate) mirror: Mirror,
    /// The part that was announced and whose bytes come next.
    pub(crate) announced: Option<PartAnnounced>,
    /// Fetches what the feed's snapshot names; never more than one task.
    pub(crate) prefetch: JoinSet<()>,
    /// Looks for a timeline in storage, which may hang while a worker can be followed; never more than one task.
    pub(crate) stored: JoinSet<Option<Timeline>>,
}

/// Why a feed is followed no longer.
enum FeedEnd {
    /// Connect again, in a moment.
    Lost,
    /// The same, each time later: what came is no feed of this stream, and may well be none the next time.
    Unfit,
    /// The record names another worker.
    Replaced,
    /// Nobody watches.
    Idle,
}

impl<I: Fn() -> bool> Follower<I> {
    pub(crate) async fn run(mut self) {
        let mut pauses = Pauses::default();
        loop {
            let record = self.record.borrow_and_update().clone();
            let Some(record) = record else {
                self.watched.gone.cancel();
                return;
            };
            let over = self
                .mirror
                .timeline()
                .is_some_and(|timeline| timeline.ended && timeline.epoch >= record.status.epoch);
            let mut tried = Try::Unreached;
            if !over {
                if let Some((worker, epoch)) = self.worker_of(&record) {
                    let end = self.follow(worker, epoch, &mut tried).await;
                    self.begin_anew();
                    match end {
                        FeedEnd::Idle => return,
                        FeedEnd::Replaced => continue,
                        FeedEnd::Lost => {}
                        FeedEnd::Unfit => tried = Try::Unfit,
                    }
                } else {
                    self.watched.set_worker(None);
                }
                if tried != Try::Fit {
                    self.look_into_storage();
                }
            }
            // Storage has all of it by the time that it is old. Between two workers what the lost one had not stored is nowhere else.
            if over || matches!(record.status.phase, Phase::Ended | Phase::Failed) {
                self.expire();
            } else {
                self.watched.memory().make_room();
            }
            let mut pause_over = pin!(sleep(pauses.behind(tried)));
            loop {
                tokio::select! {
                    changed = self.record.changed() => if changed.is_err() { return } else { break },
                    () = &mut pause_over => break,
                    Some(found) = self.stored.join_next() => self.take_up_stored(found),
                }
            }
            if (self.is_idle)() {
                return;
            }
        }
    }

    /// The worker to follow. The record may be behind what is shown: during a move, the next worker begins before the record
    /// says that the stream is its own. What an earlier one says then does not fit any more.
    fn worker_of(&self, record: &LiveStream) -> Option<(WorkerAddress, Epoch)> {
        let status = &record.status;
        let shown = self.mirror.timeline().map(|timeline| timeline.epoch);
        let next = status.next.filter(|next| Some(next.epoch) == shown);
        let named = status.worker.filter(|_| shown <= Some(status.epoch));
        next.map(|next| (next.address, next.epoch)).or(named.map(|worker| (worker, status.epoch)))
    }

    /// Reads feeds of one worker, and of the one that it hands over to, until that is lost or replaced.
    async fn follow(&mut self, worker: WorkerAddress, epoch: Epoch, tried: &mut Try) -> FeedEnd {
        let watched = Arc::clone(&self.watched);
        let mut opening = self.sources.opening(&watched, worker, epoch, watched.wanted(Instant::now()));
        let opened = loop {
            tokio::select! {
                opened = &mut opening => break opened,
                // A worker that is gone may take seconds to show it; its successor is not kept waiting.
                () = replaced(&mut self.record, worker, epoch) => return FeedEnd::Replaced,
                Some(found) = self.stored.join_next() => self.take_up_stored(found),
            }
        };
        let mut feeds = match opened {
            Ok(opened) => Feeds::new(worker, epoch, opened),
            Err(error) => {
                tracing::debug!(stream = %watched.stream, %epoch, %error, "no feed");
                return FeedEnd::Lost;
            }
        };
        *tried = Try::Fit;
        watched.set_worker(Some((worker, epoch)));
        let mut tick = interval_at(tokio::time::Instant::now() + TICK, TICK);
        let mut looked_into_storage = false;
        feeds.name_next(self.next_worker());
        loop {
            let (worker, epoch) = feeds.worker();
            tokio::select! {
                heard = feeds.next(&self.sources, &watched) => if let Err(end) = self.hear(heard, &feeds) {
                    return end;
                },
                () = watched.wants_changed.notified(), if feeds.is_open() => feeds.widen(&self.sources, &watched),
                named = named(&mut self.record, worker, epoch) => match named {
                    Named::Other if !self.go_over(&mut feeds) => return FeedEnd::Replaced,
                    // Only now: the record names the stream's new worker and no next one at once, and that is to be taken over
                    // before it is forgotten.
                    Named::Other | Named::Same => feeds.name_next(self.next_worker()),
                },
                _ = tick.tick() => {
                    if (self.is_idle)() {
                        return FeedEnd::Idle;
                    }
                    self.expire();
                    feeds.renew(&self.sources, &watched);
                    // A new worker says nothing until its publisher returns, and whoever comes meanwhile is to see what there was.
                    if self.mirror.timeline().is_none() && !std::mem::replace(&mut looked_into_storage, true) {
                        self.look_into_storage();
                    }
                }
                Some(found) = self.stored.join_next() => if self.mirror.timeline().is_none() {
                    self.take_up_stored(found);
                },
            }
        }
    }

    fn next_worker(&self) -> Option<NextWorker> {
        self.record.borrow().as_ref().and_then(|record| record.status.next)
    }

    /// An error when the feeds are of no more use.
    fn hear(&mut self, heard: Heard, feeds: &Feeds) -> Result<(), FeedEnd> {
        let error = match heard {
            Heard::Frame(frame) => self.take(frame, feeds).err(),
            Heard::Anew => {
                self.begin_anew();
                None
            }
            Heard::Begun(snapshot) => {
                self.begin_anew();
                self.watched.set_worker(Some(feeds.worker()));
                self.take(snapshot, feeds).err()
            }
            Heard::Lost(error) => Some(error),
            Heard::Over => return Err(FeedEnd::Lost),
        };
        let Some(error) = error else { return Ok(()) };
        self.sources.metrics.feeds_lost.inc();
        let (stream, epoch) = (self.watched.stream, feeds.worker().1);
        if error.is_unfit() {
            tracing::warn!(%stream, %epoch, %error, "the feed does not fit its stream");
            return Err(FeedEnd::Unfit);
        }
        tracing::info!(%stream, %epoch, %error, "feed lost");
        Err(FeedEnd::Lost)
    }

    /// The record names another worker. True if `feeds` go on with that one's.
    fn go_over(&mut self, feeds: &mut Feeds) -> bool {
        let named = self.record.borrow().as_ref().and_then(|record| self.worker_of(record));
        if !named.is_some_and(|(worker, epoch)| feeds.go_over(worker, epoch)) {
            return false;
        }
        self.begin_anew();
        self.watched.set_worker(named);
        true
    }

    /// What a feed had begun to tell is of no use any more.
    fn begin_anew(&mut self) {
        self.mirror.feed_lost();
        self.announced = None;
    }

    fn take(&mut self, frame: Frame, feeds: &Feeds) -> Result<(), FeedLost> {
        let names = feeds.names();
        match frame {
            Frame::Bytes(data) => match self.announced.take() {
                Some(announced) => {
                    if u32::try_from(data.len()) != Ok(announced.part.size) {
                        return Err(FeedLost::OtherSize { announced: announced.part.size, came: data.len() });
                    }
                    self.keep(&announced, data);
                    Ok(self.apply(&Event::Part(announced))?)
                }
                None => Ok(()),
            },
            Frame::Event(event) => {
                if let Some(announced) = self.announced.take() {
                    // Bytes that never came: the part is announced all the same, and fetched when it is asked for.
                    self.apply(&Event::Part(announced))?;
                }
                match event {
                    Event::Part(announced) if names.contains(&announced.rendition) => {
                        self.announced = Some(announced);
                        Ok(())
                    }
                    event => {
                        if let Event::Snapshot(timeline) = &event {
                            let (_, epoch) = feeds.worker();
                            timeline.check_said_by(self.watched.stream, epoch).map_err(TimelineGap::from)?;
                            self.prefetch(timeline, names);
                        }
                        Ok(self.apply(&event)?)
                    }
                }
            }
        }
    }

    /// Fetches what a player asks for first, and what is nowhere else if the worker dies now: the init, the last
    /// whole segment while it is not stored, and the parts of the open one.
    fn prefetch(&mut self, timeline: &Timeline, names: &[RenditionName]) {
        let mut files = Vec::new();
        for track in timeline.tracks.iter().filter(|track| names.contains(&track.name)) {
            let key = |file| FileKey { rendition: track.name.clone(), file };
            let last = track.segments.back();
            let init = last.and_then(|last| last.init.clone());
            files.extend(init.map(|hash| (key(MediaFile::Init(hash)), AnnouncedSize::Init)));
            let open = last.filter(|last| last.phase == SegmentPhase::Open);
            let parts =
                open.into_iter().flat_map(|open| open.parts.iter().map(move |part| (open.epoch, part)));
            files.extend(parts.map(|(epoch, part)| {
                (key(MediaFile::Part(epoch, part.number)), AnnouncedSize::of_part(epoch, part.size))
            }));
            let whole = track.segments.iter().rev().find(|segment| segment.phase != SegmentPhase::Open);
            let unstored = whole.filter(|whole| whole.phase == SegmentPhase::Finished && !whole.gap);
            files.extend(unstored.map(|whole| {
                (key(MediaFile::Segment(whole.msn, whole.epoch)), AnnouncedSize::of_segment(whole))
            }));
        }
        let (sources, watched) = (self.sources.clone(), Arc::clone(&self.watched));
        self.prefetch.abort_all();
        while self.prefetch.try_join_next().is_some() {}
        self.prefetch.spawn(async move {
            for (key, size) in files {
                let here = watched.memory().get(&key).is_some();
                if !here {
                    let fetch = async { sources.ask_worker(&watched, &key, size).await.map(Fetched::Recent) };
                    // A player that asks for it fetches it again.
                    let _ = watched.fetch_once(&key, fetch).await;
                }
            }
        });
    }

    fn keep(&self, announced: &PartAnnounced, data: Bytes) {
        let Some((_, epoch)) = self.watched.worker() else { return };
        let key = part(&announced.rendition, epoch, announced.part.number);
        self.watched.memory().put(key, data, Instant::now());
    }

    fn apply(&mut self, event: &Event) -> Result<(), TimelineGap> {
        if let Event::Segment(announced) = event {
            self.watched.memory().finish(&announced.rendition, &announced.segment, Instant::now());
        }
        let change = self.mirror.apply(event)?;
        self.publish(&change);
        if let (Event::Part(announced), Change::Rendition(_)) = (event, &change) {
            self.measure(announced);
        }
        Ok(())
    }

    fn publish(&self, change: &Change) {
        if *change != Change::None
            && let Some(timeline) = self.mirror.timeline()
        {
            self.watched.publish(&Arc::new(timeline.clone()), change);
        }
    }

    /// How long after its last frame was due by the publisher's clock a part is here.
    fn measure(&self, announced: &PartAnnounced) {
        let Some(segment) = self
            .mirror
            .timeline()
            .and_then(|timeline| timeline.track(&announced.rendition))
            .and_then(|track| track.segments.back())
        else {
            return;
        };
        let end =
            segment.program_date_time.0.saturating_add(i64::try_from(segment.duration.0 / 1000).unwrap_or(0));
        let late = now_unix().0.saturating_sub(end).max(0);
        self.sources
            .metrics
            .feed_lag
            .observe(Duration::from_millis(u64::try_from(late).unwrap_or(0)).as_secs_f64());
    }

    fn expire(&self) {
        let target = self.mirror.timeline().map_or(DEFAULT_TARGET, |timeline| timeline.target_duration);
        // Six target durations after they were listed last, which is at most three after they came.
        let span = Duration::from_secs(u64::from(target)) * 9;
        let mut memory = self.watched.memory();
        memory.expire(Instant::now(), span);
        memory.make_room();
    }

    /// With nothing in memory, or nothing new to come, what the workers left in storage says how the stream stands.
    fn needs_stored(&self) -> bool {
        let finished = self.record.borrow().as_ref().is_some_and(|record| record.status.phase.is_over());
        self.mirror.timeline().is_none() || finished
    }

    fn look_into_storage(&mut self) {
        if self.needs_stored() && self.stored.is_empty() {
            let (store, stream) = (self.sources.store.clone(), self.watched.stream);
            self.stored.spawn(async move { stored_timeline(&store, stream).await });
        }
    }

    fn take_up_stored(&mut self, found: Result<Option<Timeline>, JoinError>) {
        if let Ok(Some(timeline)) = found
            && self.needs_stored()
        {
            let change = self.mirror.offer(timeline);
            self.publish(&change);
        }
    }
}

/// How a try at following a worker went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Try {
    /// There was no feed.
    Unreached,
    /// There was one.
    Fit,
    /// What came was no feed of this stream.
    Unfit,
}

/// How long the next try is waited for.
struct Pauses {
    unreached: Duration,
    unfit: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { unreached: FIRST_PAUSE, unfit: FIRST_PAUSE }
    }
}

impl Pauses {
    fn behind(&mut self, tried: Try) -> Duration {
        match tried {
            Try::Fit => {
                *self = Self::default();
                FIRST_PAUSE
            }
            Try::Unreached => {
                self.unreached = (self.unreached * 2).min(LONGEST_PAUSE);
                self.unreached
            }
            Try::Unfit => {
                self.unreached = FIRST_PAUSE;
                self.unfit = (self.unfit * 2).min(LONGEST_UNFIT_PAUSE);
                self.unfit
            }
        }
    }
}

/// What a changed record says of the worker that is followed.
enum Named {
    Same,
    /// It names another one, or is gone.
    Other,
}

/// Returns when the record has changed. Without any worker in it, this one may still have something to say, ENDLIST above
/// all; and of a move, the edge may know before the record does.
async fn named(
    record: &mut watch::Receiver<Option<Arc<LiveStream>>>,
    worker: WorkerAddress,
    epoch: Epoch,
) -> Named {
    if record.changed().await.is_err() {
        return Named::Other;
    }
    let now = record.borrow();
    let Some(status) = now.as_ref().map(|record| &record.status) else { return Named::Other };
    let is_other = |named| status.epoch > epoch || (status.epoch == epoch && named != worker);
    if status.worker.is_some_and(is_other) { Named::Other } else { Named::Same }
}

/// Returns when the record names another worker than this one, or is gone.
async fn replaced(
    record: &mut watch::Receiver<Option<Arc<LiveStream>>>,
    worker: WorkerAddress,
    epoch: Epoch,
) {
    while matches!(named(record, worker, epoch).await, Named::Same) {}
}

/// The timeline of the highest filled state.
async fn stored_timeline(store: &SegmentStore, stream: caudal_livestream::StreamId) -> Option<Timeline> {
    let mut epochs = store.epochs(stream).await.ok()?;
    epochs.sort_unstable_by(|a, b| b.cmp(a));
    for epoch in epochs.into_iter().take(MAX_STATES) {
        // What is only a claim, or cannot be read, says nothing.
        if let Ok(Some(StoredState { filled: Some(filled), .. })) = store.state(stream, epoch).await {
            return Some(filled.timeline);
        }
    }
    None
}

fn now_unix() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixMillis(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

/// Until a worker that refused is asked again. A new record, which is the usual cure, is waited for beside it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Each try costs a snapshot, and a line in the log.
const LONGEST_UNFIT_PAUSE: Duration = Duration::from_secs(5);
/// How often old media is forgotten and the set of renditions looked at.
const TICK: Duration = Duration::from_secs(1);
/// Claims without content that are looked behind: workers that died before their first part.
const MAX_STATES: usize = 8;
/// While there is no timeline; nothing is kept then anyway.
const DEFAULT_TARGET: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_whose_feed_is_wrong_again_and_again_is_asked_ever_more_seldom() {
        use Try::{Fit, Unfit, Unreached};
        for (tries, millis) in [
            (&[Fit, Fit, Fit][..], &[100, 100, 100][..]),
            (
                &[Unreached, Unreached, Unreached, Unreached, Unreached, Fit],
                &[200, 400, 800, 1000, 1000, 100],
            ),
            (&[Unfit; 8], &[200, 400, 800, 1600, 3200, 5000, 5000, 5000]),
            (&[Unfit, Unfit, Unreached, Unfit, Fit, Unfit], &[200, 400, 200, 800, 100, 200]),
        ] {
            let mut pauses = Pauses::default();
            let waited: Vec<_> = tries.iter().map(|tried| pauses.behind(*tried).as_millis()).collect();
            assert_eq!(waited, millis, "{tries:?}");
        }
    }
}
