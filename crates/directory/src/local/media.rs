//! What of ended streams lies in storage, and its removal.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use caudal_livestream::record::Spec;
use caudal_livestream::{InstallationId, StreamId};
use caudal_storage::{Disposable, SegmentStore, StorageError};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;

use super::Shared;

/// The storage as the controller uses it: only to remove.
pub(super) struct Media {
    store: SegmentStore,
    installation: InstallationId,
    /// Removals at once: live streams need the storage more.
    turns: Semaphore,
    failing: AtomicBool,
}

/// Whether an ended stream's media is to go. Of a stream that was only ever ended here nobody knows what it is.
pub(super) fn is_disposable(spec: Option<&Spec>) -> bool {
    spec.is_some_and(|spec| !spec.record)
}

impl Media {
    pub(super) fn new(store: SegmentStore, installation: InstallationId) -> Self {
        Self { store, installation, turns: Semaphore::new(REMOVALS), failing: AtomicBool::new(false) }
    }

    /// Removes a stream, however long the storage does not let it.
    pub(super) async fn remove(&self, stream: StreamId) {
        self.until_removed(stream).await;
        // A worker that outlived its controller ends within seconds. What it wrote in between goes too.
        sleep(STRAGGLERS).await;
        self.until_removed(stream).await;
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
/// provably this installation's and no recordings.
pub(super) async fn remove_orphans(shared: Arc<Shared>) {
    let mut sweeper = Sweeper { shared, left_alone: HashSet::new(), said: false };
    loop {
        if let Err(error) = sweeper.sweep().await {
            tracing::debug!(%error, "storage cannot be searched for forgotten streams");
        }
        sleep(SWEEP_INTERVAL).await;
    }
}

struct Sweeper {
    shared: Arc<Shared>,
    /// Streams that were looked at and stay: recordings, and what may be somebody else's.
    left_alone: HashSet<StreamId>,
    said: bool,
}

impl Sweeper {
    async fn sweep(&mut self) -> Result<(), StorageError> {
        let found = self.look().await?;
        if found.is_empty() {
            return Ok(());
        }
        // A copy of this installation has the same key, and its streams look like ours. While they are live, their states
        // change every few seconds.
        sleep(STRAGGLERS).await;
        let media = &self.shared.media;
        for (stream, seen) in found {
            if media.store.disposable(stream, media.installation).await? != Some(seen) {
                continue;
            }
            let Some(_reserved) = Reserved::new(&self.shared, stream) else { continue };
            tracing::info!(%stream, "removing a stream from storage that there is no record of");
            media.try_remove(stream).await?;
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<Vec<(StreamId, Disposable)>, StorageError> {
        let media = &self.shared.media;
        let mut stored = media.store.streams().await?;
        {
            // After they were listed: whatever is written is written after its stream is known here.
            let known = self.shared.commands();
            stored.retain(|stream| !known.contains_key(stream));
        }
        let mut found = Vec::new();
        for stream in stored {
            if self.left_alone.contains(&stream) {
                continue;
            }
            match media.store.disposable(stream, media.installation).await? {
                Some(seen) => found.push((stream, seen)),
                None if self.left_alone.len() < REMEMBERED => {
                    self.left_alone.insert(stream);
                }
                // Looked at again each time.
                None => {}
            }
        }
        if !self.said && !self.left_alone.is_empty() {
            self.said = true;
            let streams = self.left_alone.len();
            tracing::info!(
                streams,
                "storage holds streams that are recordings or not this installation's; they stay"
            );
        }
        Ok(found)
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
        let mut commands = shared.commands();
        if commands.contains_key(&stream) {
            return None;
        }
        // Nobody receives: whoever asks learns that there is no such stream.
        commands.insert(stream, mpsc::channel(1).0);
        Some(Self { shared, stream })
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.shared.commands().remove(&self.stream);
    }
}

const REMOVALS: usize = 2;
/// A worker stores what it has and ends within ten seconds of its controller's death, and a request that was on its
/// way may take 17 more.
const STRAGGLERS: Duration = Duration::from_mins(1);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
const SWEEP_INTERVAL: Duration = Duration::from_hours(1);
/// Ids of 16 bytes; beyond that their states are read again each hour.
const REMEMBERED: usize = 100_000;
