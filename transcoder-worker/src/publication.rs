//! What is written about the segments: state, logs, playlists and the manifest; and what left the window is removed.
//!
//! Always the newest only: when storage is slow, what would be written over at once is not written at all.

mod removal;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::{FilledState, InputClock, Ownership, StoredState};
use caudal_livestream::timeline::{SegmentPhase, Timeline, Track};
use caudal_livestream::{Epoch, Msn, RenditionName, StreamId};
use caudal_media::manifest::{self, Reach};
use caudal_media::playlist;
use caudal_storage::{
    Durability, Key, LoggedTrack, ReplaceError, SegmentLog, SegmentStore, StorageError, StreamFile, Version,
};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::removal::Removal;
use crate::finish;
use crate::outage::Trouble;

/// How the stream stands, as the session last saw it.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) timeline: Timeline,
    pub(crate) clock: Option<InputClock>,
    /// Nothing will be added under this epoch.
    pub(crate) closed: bool,
}

/// Writes one epoch of one stream.
pub(crate) struct Publication {
    store: SegmentStore,
    stream: StreamId,
    epoch: Epoch,
    worker: WorkerAddress,
    owner: Ownership,
    written: HashMap<StreamFile, (Version, Bytes)>,
    /// What the stored master names; empty before there is one, and `None` before anybody looked.
    named: Option<HashSet<RenditionName>>,
    log: LogKeeper,
    removal: Removal,
    fence_checked: Option<Instant>,
}

/// Why nothing more is written.
#[derive(Debug, Error)]
pub(crate) enum PublicationError {
    /// A higher epoch was claimed.
    #[error("epoch {0} was claimed: this worker has been replaced")]
    Fenced(Epoch),
    /// To be tried again.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Cannot happen with the types that are written.
    #[error("state cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Publication {
    pub(crate) fn new(
        store: SegmentStore,
        stream: StreamId,
        epoch: Epoch,
        worker: WorkerAddress,
        owner: Ownership,
    ) -> Self {
        Self {
            store,
            stream,
            epoch,
            worker,
            owner,
            written: HashMap::new(),
            named: None,
            log: LogKeeper::default(),
            removal: Removal::new(stream, epoch),
            fence_checked: None,
        }
    }

    /// Writes each new standing, until there will be no other or a higher epoch was claimed.
    pub(crate) async fn follow(
        mut self,
        mut standings: watch::Receiver<Option<Standing>>,
        mut trouble: Trouble,
    ) -> Result<(), PublicationError> {
        let (mut pending, mut over) = (false, false);
        while !over || pending {
            if !pending {
                over = standings.changed().await.is_err();
                // A boundary ends a segment of each rendition and then says of each that it is stored: one writing for all.
                let last = standings.wait_for(|standing| standing.as_ref().is_some_and(|last| last.closed));
                let _ = timeout(GATHERED_FOR, last).await;
            }
            let Some(mut standing) = standings.borrow_and_update().clone() else { continue };
            if over {
                // What the session did not see stored by its deadline is lost, and the end must be said all the same.
                let ended = finish::ended(standing.timeline.clone(), self.epoch);
                if !standing.timeline.ended || ended == standing.timeline {
                    break;
                }
                standing.timeline = ended;
            }
            pending = match self.write(&standing, Instant::now()).await {
                Ok(()) => {
                    trouble.over();
                    false
                }
                Err(fenced @ PublicationError::Fenced(_)) => return Err(fenced),
                Err(error) => {
                    trouble.wait(&error).await;
                    true
                }
            };
        }
        Ok(())
    }

    /// State first, playlists after it: whoever reads a playlist finds a state that knows at least as much.
    pub(crate) async fn write(&mut self, standing: &Standing, now: Instant) -> Result<(), PublicationError> {
        self.check_fence().await?;
        let written = self.write_files(standing).await;
        if self.owner.record {
            return written;
        }
        // Also when nothing could be written: a full disk gets room by this alone.
        self.removal.carry_out(&self.store, &standing.timeline, now).await;
        written
    }

    /// Says in every stored playlist that nothing will follow, when there is no timeline to render them from.
    pub(crate) async fn close_stored(&mut self) -> Result<(), PublicationError> {
        self.check_fence().await?;
        self.close_all_but(&[]).await
    }

    async fn close_all_but(&mut self, rendered: &[Track]) -> Result<(), PublicationError> {
        for rendition in self.store.renditions(self.stream).await? {
            if rendered.iter().any(|track| track.name == rendition) {
                continue;
            }
            let file = StreamFile::Playlist(rendition);
            let Some(text) = self.read(file.clone()).await? else { continue };
            if let Some(closed) = playlist::closed(&text) {
                self.replace(file, closed, Durability::Synced).await?;
            }
        }
        Ok(())
    }

    async fn write_files(&mut self, standing: &Standing) -> Result<(), PublicationError> {
        self.write_state(standing).await?;
        let timeline = &standing.timeline;
        if self.owner.record {
            self.log.collect(timeline);
        }
        if self.log.is_due(standing.closed || timeline.ended) {
            let log = self.log.next(self.stream, self.epoch, timeline);
            let key = Key::Live(self.stream, StreamFile::Log(self.epoch, log.number));
            self.store.put(&key, Bytes::from(serde_json::to_vec(&log)?)).await?;
            self.log.written();
        }
        let named = self.named(timeline).await?;
        if is_due(timeline, named) {
            let shown = shown(timeline, named);
            self.write_playlists(&shown).await?;
            if timeline.ended && standing.closed {
                self.close_all_but(&shown.tracks).await?;
            }
        }
        Ok(())
    }

    /// Which tracks the stored master names, of this epoch or an earlier one.
    async fn named(&mut self, timeline: &Timeline) -> Result<&HashSet<RenditionName>, PublicationError> {
        if self.named.is_none() {
            let master = self.read(StreamFile::Master).await?;
            let master = master.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let names = timeline.tracks.iter().map(|track| &track.name);
            self.named = Some(names.filter(|name| playlist::names(&master, name)).cloned().collect());
        }
        Ok(self.named.get_or_insert_default())
    }

    /// A playlist that an earlier epoch may have written. One that is too long is none of ours, and the broadcast goes on and ends
    /// without it.
    async fn read(&self, file: StreamFile) -> Result<Option<Bytes>, StorageError> {
        match self.store.get(&Key::Live(self.stream, file)).await {
            Err(error @ StorageError::TooLong { .. }) => {
                tracing::warn!(%error, "a stored playlist cannot be read");
                Ok(None)
            }
            read => read,
        }
    }

    async fn write_playlists(&mut self, timeline: &Timeline) -> Result<(), PublicationError> {
        // The last words of a broadcast are not written again with a next segment.
        let durability = if timeline.ended { Durability::Synced } else { Durability::Lazy };
        for track in &timeline.tracks {
            let text = playlist::stored_media(timeline, track);
            self.replace(StreamFile::Playlist(track.name.clone()), text, durability).await?;
        }
        self.replace(StreamFile::Manifest, manifest::dash(timeline, Reach::Stored), durability).await?;
        // Last, so that whoever finds it finds what it names.
        self.replace(StreamFile::Master, playlist::master(timeline), durability).await?;
        self.named = Some(timeline.tracks.iter().map(|track| track.name.clone()).collect());
        Ok(())
    }

    async fn write_state(&mut self, standing: &Standing) -> Result<(), PublicationError> {
        let state = StoredState {
            stream: self.stream,
            epoch: self.epoch,
            worker: self.worker,
            owner: Some(self.owner),
            filled: Some(FilledState {
                timeline: standing.timeline.clone(),
                clock: standing.clock,
                closed: standing.closed,
            }),
        };
        let key = Key::Live(self.stream, StreamFile::State(self.epoch));
        self.store.put(&key, Bytes::from(state.write()?)).await?;
        Ok(())
    }

    /// Writes a playlist if it changed, over the one that this epoch wrote last.
    async fn replace(
        &mut self,
        file: StreamFile,
        text: String,
        durability: Durability,
    ) -> Result<(), PublicationError> {
        let text = Bytes::from(text);
        let known = self.written.get(&file);
        if known.is_some_and(|(_, last)| *last == text) {
            return Ok(());
        }
        let key = Key::Live(self.stream, file.clone());
        let mut version = known.map(|(version, _)| version.clone());
        for _ in 0..REPLACE_ATTEMPTS {
            match self.store.replace(&key, text.clone(), version.as_ref(), durability).await {
                Ok(version) => {
                    self.written.insert(file, (version, text));
                    return Ok(());
                }
                // An earlier epoch's, or a later one's: only the fence can say. Our own answer may have been lost, too.
                Err(ReplaceError::Changed) => {
                    self.fence_checked = None;
                    self.check_fence().await?;
                    version = self.store.version(&key).await?;
                }
                Err(ReplaceError::Storage(error)) => return Err(error.into()),
            }
        }
        // Somebody keeps writing; the next standing tries again, behind the fence.
        Ok(())
    }

    async fn check_fence(&mut self) -> Result<(), PublicationError> {
        if self.fence_checked.is_some_and(|at| at.elapsed() < FENCE_INTERVAL) {
            return Ok(());
        }
        match self.store.epochs(self.stream).await?.into_iter().max() {
            Some(highest) if highest > self.epoch => Err(PublicationError::Fenced(highest)),
            _ => {
                self.fence_checked = Some(Instant::now());
                Ok(())
            }
        }
    }
}

/// Whether playlists are written. A rung that has just come, or makes nothing, holds only the first ones back: whoever reads
/// the master once should find every rung.
fn is_due(timeline: &Timeline, named: &HashSet<RenditionName>) -> bool {
    if timeline.ended {
        return !named.is_empty() || timeline.tracks.iter().any(has_media);
    }
    let enough = |track: &Track| playlist::stored(track).count() >= FIRST_PLAYLIST_SEGMENTS;
    let excused = |track: &Track| track.withdrawn || (!named.is_empty() && track.is_rung());
    timeline.tracks.iter().all(|track| excused(track) || enough(track))
}

/// The timeline with the tracks that playlists name: no rung before there is a picture of it. One that was named stays, as do
/// source and sound, or a pause would cost players the track for good.
fn shown<'a>(timeline: &'a Timeline, named: &HashSet<RenditionName>) -> Cow<'a, Timeline> {
    let is_shown = |track: &Track| {
        !track.withdrawn && (!track.is_rung() || named.contains(&track.name) || has_media(track))
    };
    if timeline.tracks.iter().all(is_shown) {
        return Cow::Borrowed(timeline);
    }
    let mut shown = timeline.clone();
    shown.tracks.retain(is_shown);
    Cow::Owned(shown)
}

fn has_media(track: &Track) -> bool {
    playlist::stored(track).any(|segment| !segment.gap)
}

/// Gathers finished segments for the next log object.
#[derive(Debug, Default)]
struct LogKeeper {
    gathered: Vec<LoggedTrack>,
    last: HashMap<RenditionName, Msn>,
    number: u32,
    since: Option<Instant>,
}

impl LogKeeper {
    fn collect(&mut self, timeline: &Timeline) {
        for track in &timeline.tracks {
            let last = self.last.get(&track.name).copied();
            // Segments of earlier epochs stand in their logs, as far as those got.
            let new = track
                .segments
                .iter()
                .filter(|segment| {
                    segment.epoch == timeline.epoch && last.is_none_or(|last| segment.msn > last)
                })
                .take_while(|segment| segment.phase == SegmentPhase::Stored || segment.gap);
            let new: Vec<_> = new.cloned().collect();
            let Some(newest) = new.last().map(|segment| segment.msn) else { continue };
            self.since.get_or_insert_with(Instant::now);
            self.last.insert(track.name.clone(), newest);
            match self.gathered.iter_mut().find(|logged| logged.name == track.name) {
                Some(logged) => logged.segments.extend(new),
                None => self.gathered.push(LoggedTrack {
                    name: track.name.clone(),
                    media: track.media.clone(),
                    codecs: track.codecs.clone(),
                    segments: new,
                }),
            }
        }
    }

    fn is_due(&self, last: bool) -> bool {
        self.since.is_some_and(|since| last || since.elapsed() >= LOG_INTERVAL)
    }

    fn next(&self, stream: StreamId, epoch: Epoch, timeline: &Timeline) -> SegmentLog {
        let target_duration = timeline.target_duration;
        SegmentLog { stream, epoch, number: self.number, target_duration, tracks: self.gathered.clone() }
    }

    fn written(&mut self) {
        self.gathered.clear();
        self.since = None;
        self.number = self.number.saturating_add(1);
    }
}

/// Players start badly with fewer (RFC 8216 §6.3.3 has them begin three target durations from the end).
const FIRST_PLAYLIST_SEGMENTS: usize = 3;
/// ARCHITECTURE §4: an object a minute.
const LOG_INTERVAL: Duration = Duration::from_mins(1);
/// A folder stores a boundary's segments within 10 ms, a bucket within 100; edges hear of them by the feed, which does not wait.
const GATHERED_FOR: Duration = Duration::from_millis(200);
/// A replaced worker notices within this, even where nothing it writes tells it.
const FENCE_INTERVAL: Duration = Duration::from_secs(4);
/// A worker that was just replaced may write once more between our look and our write.
const REPLACE_ATTEMPTS: usize = 3;

#[cfg(test)]
mod tests;
