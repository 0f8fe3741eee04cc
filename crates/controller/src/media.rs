//! What of ended streams lies in storage, and its removal.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caudal_livestream::record::Spec;
use caudal_livestream::{Epoch, InstallationId, StreamId};
use caudal_storage::{Disposable, Provenance, SegmentStore, StorageError};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::{Handle, NewestChange, Queue, Shared, queue};

/// Streams in storage that somebody of this process has looked at and that stay, though there is no record of them: recordings, and what may
/// be somebody else's. To read the states of all of them again takes long where there are many.
#[derive(Clone, Default)]
pub struct LeftAlone(Arc<Mutex<HashSet<StreamId>>>);

impl LeftAlone {
    fn streams(&self) -> MutexGuard<'_, HashSet<StreamId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The storage as the controller uses it: only to remove.
pub(crate) struct Media {
    store: SegmentStore,
    installations: Vec<InstallationId>,
    /// Removals at once: live streams need the storage more.
    turns: Semaphore,
    failing: AtomicBool,
}

/// Whether an ended stream's media is to go. Of a stream that was only ever ended here nobody knows what it is.
pub(crate) fn is_disposable(spec: Option<&Spec>) -> bool {
    spec.is_some_and(|spec| !spec.record)
}

impl Media {
    pub(crate) fn new(store: SegmentStore, installations: Vec<InstallationId>) -> Self {
        Self { store, installations, turns: Semaphore::new(REMOVALS), failing: AtomicBool::new(false) }
    }

    /// Removes a stream, however long the storage does not let it.
    pub(crate) async fn remove(&self, stream: StreamId) {
        self.until_removed(stream).await;
        // A worker that outlived its controller ends within seconds. What it wrote in between goes too.
        sleep(STRAGGLERS).await;
        self.until_removed(stream).await;
    }

    /// The highest epoch that a worker of this stream has claimed; none also where the storage does not say at once.
    pub(crate) async fn highest_claim(&self, stream: StreamId) -> Option<Epoch> {
        let epochs = timeout(CLAIMS_DEADLINE, self.store.epochs(stream)).await.ok()?;
        epochs.ok()?.into_iter().max()
    }

    async fn until_removed(&self, stream: StreamId) {
        let mut pause = FIRST_PAUSE;
        while self.try_remove(stream).await.is_err() {
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    async fn try_remove(&self, stream: StreamId) -> Result<(), StorageError> {
        // Never closed.
        let _turn = self.turns.acquire().await;
        match self.store.remove_stream(stream).await {
            Ok(foreign) => {
                if foreign > 0 {
                    tracing::info!(%stream, foreign, "among the media of an ended stream lie files that are not Caudal's; they stay");
                }
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("ended streams can be removed from storage again");
                }
                Ok(())
            }
            Err(error) => {
                if self.failing.swap(true, Ordering::Relaxed) {
                    tracing::debug!(%stream, %error, "an ended stream cannot be removed from storage");
                } else {
                    tracing::warn!(%stream, %error, "ended streams cannot be removed from storage now; trying again until they are");
                }
                Err(error)
            }
        }
    }
}

/// Finds streams in storage that the directory has no record of, now and each hour, and removes those that are
/// provably this installation's and no recordings. Nobody knows why there is no record: a folder of data may have been
/// lost, and another controller may have the stream. So one that has not ended is given a day.
pub(crate) async fn remove_orphans(shared: Arc<Shared>) {
    let mut sweeper = Sweeper { shared, said: false, said_open: false };
    loop {
        if let Err(error) = sweeper.sweep().await {
            tracing::warn!(%error, "storage cannot be searched for streams that there is no record of; trying again in an hour");
        }
        sleep(SWEEP_INTERVAL).await;
    }
}

struct Sweeper {
    shared: Arc<Shared>,
    said: bool,
    said_open: bool,
}

impl Sweeper {
    async fn sweep(&mut self) -> Result<(), StorageError> {
        let named = match self.shared.carriers.store.named().await {
            Ok(named) => named,
            Err(error) => {
                tracing::warn!(%error, "which streams have a record cannot be told; storage is searched in an hour");
                return Ok(());
            }
        };
        let mut failures = Failures::default();
        let found = self.look(&named, &mut failures).await?;
        if !found.is_empty() {
            self.remove(found, &mut failures).await;
        }
        failures.say();
        Ok(())
    }

    async fn remove(&self, found: Vec<(StreamId, Disposable)>, failures: &mut Failures) {
        // A copy of this installation has the same key, and its streams look like ours. While one has a publisher, its state
        // changes with each segment.
        sleep(STRAGGLERS).await;
        let media = &self.shared.media;
        for (stream, seen) in found {
            match media.store.provenance(stream, &media.installations).await {
                Ok(Provenance::Disposable(now)) if now == seen => {}
                Ok(_) => continue,
                Err(error) => {
                    failures.add(stream, error);
                    continue;
                }
            }
            let Some(_reserved) = Reserved::new(&self.shared, stream) else { continue };
            tracing::info!(%stream, "removing a stream from storage that there is no record of");
            // A failure has been logged there; the next sweep finds the stream again.
            let _ = media.try_remove(stream).await;
        }
    }

    async fn look(
        &mut self,
        named: &HashSet<StreamId>,
        failures: &mut Failures,
    ) -> Result<Vec<(StreamId, Disposable)>, StorageError> {
        let (media, left_alone) = (&self.shared.media, &self.shared.carriers.left_alone);
        let mut stored = media.store.streams().await?;
        {
            // After they were listed: whatever is written is written after its stream is known here.
            let known = self.shared.handles();
            stored.retain(|stream| !known.contains_key(stream) && !named.contains(stream));
        }
        let mut found = Vec::new();
        let (mut kept, mut unknown, mut open) = (0_usize, 0_usize, 0_usize);
        for stream in stored {
            if left_alone.streams().contains(&stream) {
                continue;
            }
            match media.store.provenance(stream, &media.installations).await {
                Ok(Provenance::Disposable(seen)) => {
                    if seen.has_ended() || self.is_abandoned(&seen) {
                        found.push((stream, seen));
                    } else {
                        open = open.saturating_add(1);
                    }
                    continue;
                }
                Ok(Provenance::Kept) => kept = kept.saturating_add(1),
                Ok(Provenance::Unknown) => unknown = unknown.saturating_add(1),
                // Looked at again by the next sweep. The other streams must not wait for this one's disk to be mended.
                Err(error) => {
                    failures.add(stream, error);
                    continue;
                }
            }
            // Beyond that, looked at again each time.
            let mut left_alone = left_alone.streams();
            if left_alone.len() < REMEMBERED {
                left_alone.insert(stream);
            }
        }
        if !self.said && (kept > 0 || unknown > 0) {
            self.said = true;
            say_what_stays(kept, unknown);
        }
        if open > 0 && !std::mem::replace(&mut self.said_open, true) {
            tracing::warn!(
                streams = open,
                "storage holds streams of this installation that there is no record of and that have not ended: another \
                 controller may have them, or records were lost; they go once nothing was written to them for a day"
            );
        }
        Ok(found)
    }

    /// By this machine's clock and the storage's. Where they are a day apart, a live stream is kept only by a state that
    /// changes within the minute before the removal, so by a publisher that sends.
    fn is_abandoned(&self, seen: &Disposable) -> bool {
        let age = self.shared.wall_now().0.saturating_sub(seen.written().0);
        u64::try_from(age).is_ok_and(|age| Duration::from_millis(age) >= ABANDONED)
    }
}

fn say_what_stays(kept: usize, unknown: usize) {
    if kept > 0 {
        tracing::info!(
            streams = kept,
            "storage holds streams that are recordings or another installation's; they stay"
        );
    }
    if unknown > 0 {
        tracing::info!(
            streams = unknown,
            "storage holds streams made by a version that did not say whose they are; they stay until you remove them, \
             see \"Media of older versions\" in docs/operating.md"
        );
    }
}

/// The streams that one sweep could not look at, as the one line that is logged of them.
#[derive(Default)]
struct Failures {
    streams: usize,
    first: Option<(StreamId, StorageError)>,
}

impl Failures {
    fn add(&mut self, stream: StreamId, error: StorageError) {
        self.streams = self.streams.saturating_add(1);
        self.first.get_or_insert((stream, error));
    }

    fn say(self) {
        let Self { streams, first: Some((first, error)) } = self else { return };
        tracing::warn!(
            streams,
            %first,
            %error,
            "in storage lie streams that there is no record of and whose states cannot be read; they stay, and are looked at again in an hour"
        );
    }
}

/// Keeps a stream from being opened while it is removed.
struct Reserved<'a> {
    shared: &'a Shared,
    stream: StreamId,
}

impl<'a> Reserved<'a> {
    /// None when it has been opened meanwhile.
    fn new(shared: &'a Shared, stream: StreamId) -> Option<Self> {
        let mut handles = shared.handles();
        if handles.contains_key(&stream) {
            return None;
        }
        // Nobody receives: whoever asks learns that there is no such stream.
        let waiting = shared.carriers.metrics.waiting(Queue::Streams);
        handles.insert(
            stream,
            Handle {
                commands: queue::channel(1, waiting).0,
                changes: watch::channel(NewestChange::default()).0,
                never_opened: false,
            },
        );
        Some(Self { shared, stream })
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.shared.handles().remove(&self.stream);
    }
}

const REMOVALS: usize = 2;
/// A worker stores what it has and ends within ten seconds of its controller's death, and a request that was on its
/// way may take 17 more.
const STRAGGLERS: Duration = Duration::from_mins(1);
/// The state of a stream that another controller has is written with each segment, and not at all while the publisher is away:
/// for its reconnect window, which is a day at most, or while that controller is down. Whoever set up two of them has a day
/// to notice.
const ABANDONED: Duration = Duration::from_hours(24);
/// The stream waits for its next worker meanwhile.
const CLAIMS_DEADLINE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
const SWEEP_INTERVAL: Duration = Duration::from_hours(1);
/// Ids of 16 bytes; beyond that their states are read again each hour.
const REMEMBERED: usize = 100_000;
