//! What a broadcast that is not recorded leaves behind while it runs: it may run for months, and its disk is not to
//! grow by that.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use caudal_livestream::timeline::{Segment, SegmentPhase, Timeline, Track};
use caudal_livestream::{Epoch, InitHash, Msn, RenditionName, StreamId};
use caudal_storage::{Key, SegmentStore, StorageError, StreamFile};
use tokio::time::Instant;

/// Remembers which files the window has left behind, and looks for those that nobody remembers.
#[derive(Debug)]
pub(super) struct Removal {
    stream: StreamId,
    epoch: Epoch,
    /// What is stored of each window. A segment may be stored long after later ones.
    seen: HashMap<RenditionName, BTreeMap<Msn, Epoch>>,
    leaving: VecDeque<(StreamFile, Instant)>,
    next_sweep: Option<Instant>,
    /// Initialization segments that no segment of the window needed at the last sweep.
    unneeded: HashSet<(RenditionName, InitHash)>,
}

impl Removal {
    pub(super) fn new(stream: StreamId, epoch: Epoch) -> Self {
        Self {
            stream,
            epoch,
            seen: HashMap::new(),
            leaving: VecDeque::new(),
            next_sweep: None,
            unneeded: HashSet::new(),
        }
    }

    /// Removes what left the window long enough ago, and now and then everything else that the window does not need. What cannot be
    /// removed waits for the next look at storage, and holds nothing else up.
    pub(super) async fn carry_out(&mut self, store: &SegmentStore, timeline: &Timeline, now: Instant) {
        self.follow(timeline, now);
        let next_sweep = *self.next_sweep.get_or_insert(now + FIRST_SWEEP);
        if now >= next_sweep {
            self.next_sweep = Some(now + SWEEP_INTERVAL);
            // What it did not get to, the next one finds.
            if let Err(error) = self.sweep(store, timeline, now).await {
                tracing::debug!(stream = %self.stream, %error, "storage cannot be searched for leftovers");
            }
        }
        while let Some(file) = self.take_due(now) {
            let begun = Instant::now();
            if let Err(error) = store.delete(&Key::Live(self.stream, file)).await {
                tracing::warn!(stream = %self.stream, %error, "what left the window cannot be removed");
                if begun.elapsed() >= REFUSED_WITHIN {
                    break;
                }
            }
        }
    }

    fn follow(&mut self, timeline: &Timeline, now: Instant) {
        for track in &timeline.tracks {
            let seen = self.seen.entry(track.name.clone()).or_default();
            let start = track.segments.front().map(|segment| segment.msn);
            while let Some(first) = seen.first_entry()
                && start.is_some_and(|start| *first.key() < start)
            {
                let (msn, epoch) = first.remove_entry();
                self.leaving.push_back((StreamFile::Segment(track.name.clone(), msn, epoch), now));
            }
            let is_stored = |segment: &&Segment| segment.phase == SegmentPhase::Stored && !segment.gap;
            for segment in track.segments.iter().filter(is_stored) {
                seen.entry(segment.msn).or_insert(segment.epoch);
            }
        }
    }

    fn take_due(&mut self, now: Instant) -> Option<StreamFile> {
        let due = |(_, since): &mut (StreamFile, Instant)| now.duration_since(*since) >= REMOVAL_GRACE;
        self.leaving.pop_front_if(due).map(|(file, _)| file)
    }

    /// Finds what workers before this one, and writes that came too late, left in storage.
    async fn sweep(
        &mut self,
        store: &SegmentStore,
        timeline: &Timeline,
        now: Instant,
    ) -> Result<(), StorageError> {
        let unneeded_before = std::mem::take(&mut self.unneeded);
        let mut removed = Ok(());
        for track in &timeline.tracks {
            let Some(start) = start_of(timeline, track) else { continue };
            for (msn, epoch) in store.segments(self.stream, &track.name).await? {
                let file = StreamFile::Segment(track.name.clone(), msn, epoch);
                if msn < start && !self.leaving.iter().any(|(leaving, _)| *leaving == file) {
                    self.leaving.push_back((file, now));
                }
            }
            for hash in store.inits(self.stream, &track.name).await? {
                if track.segments.iter().any(|segment| segment.init.as_ref() == Some(&hash)) {
                    continue;
                }
                let init = (track.name.clone(), hash);
                // One that was just written has no segment yet; by the next sweep it has.
                if unneeded_before.contains(&init) {
                    let (rendition, hash) = init;
                    let init = store.delete(&Key::Live(self.stream, StreamFile::Init(rendition, hash))).await;
                    removed = removed.and(init);
                } else {
                    self.unneeded.insert(init);
                }
            }
        }
        removed = removed.and(self.forget_states(store).await);
        removed.and(store.remove_unfinished(self.stream).await)
    }

    /// Of the epochs before this one, the highest that can be taken up stays, in case this one's state is damaged.
    async fn forget_states(&self, store: &SegmentStore) -> Result<(), StorageError> {
        let mut before = store.epochs(self.stream).await?;
        before.retain(|epoch| *epoch < self.epoch);
        before.sort_unstable_by(|a, b| b.cmp(a));
        let mut kept = false;
        for epoch in before {
            if kept {
                store.delete(&Key::Live(self.stream, StreamFile::State(epoch))).await?;
            } else {
                kept = matches!(store.state(self.stream, epoch).await, Ok(Some(state)) if state.filled.is_some());
            }
        }
        Ok(())
    }
}

/// The first segment that a track still needs. The window of one that was withdrawn moves no more.
fn start_of(timeline: &Timeline, track: &Track) -> Option<Msn> {
    let shown = if track.withdrawn { timeline.tracks.iter().find(|track| !track.withdrawn)? } else { track };
    shown.segments.front().map(|segment| segment.msn)
}

/// A player that loaded the last playlist with a segment may still ask for it.
pub(super) const REMOVAL_GRACE: Duration = Duration::from_secs(30);
/// A storage that takes longer to say that it does not remove a file hangs or is away: the next writing is not kept waiting by all the
/// other files.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// Not while a worker that has just taken over has better things to do.
const FIRST_SWEEP: Duration = Duration::from_mins(1);
/// A lost worker leaves half a minute of segments behind; an hour of those is no harm.
const SWEEP_INTERVAL: Duration = Duration::from_hours(1);
