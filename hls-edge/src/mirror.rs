//! A stream as its workers announce it, one after the other: never backwards, whatever a feed says.

use caudal_livestream::RenditionName;
use caudal_livestream::feed::Event;
use caudal_livestream::timeline::{SegmentPhase, Timeline, TimelineGap, Track};
use caudal_media::playlist::listed;

/// What readers of the mirror must look at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// One rendition.
    Rendition(RenditionName),
    /// All of them.
    Whole,
}

/// The last timeline, and the one that will replace it.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    timeline: Option<Timeline>,
    /// A timeline that stands behind what viewers have seen already: a second connection's, or a new worker's. It
    /// follows its events, and each rendition takes over once it has caught up: a new worker's encoder is seconds
    /// behind its source.
    coming: Option<Timeline>,
}

impl Mirror {
    /// What viewers see; none before anything was announced.
    pub(crate) fn timeline(&self) -> Option<&Timeline> {
        self.timeline.as_ref()
    }

    /// Takes in an announcement.
    pub(crate) fn apply(&mut self, event: &Event) -> Result<Change, TimelineGap> {
        if let Event::Snapshot(whole) = event {
            whole.check()?;
            return Ok(self.offer(whole.as_ref().clone()));
        }
        if let Some(mut coming) = self.coming.take() {
            coming.apply(event)?;
            return Ok(self.offer(coming));
        }
        let Some(timeline) = &mut self.timeline else { return Ok(Change::None) };
        timeline.apply(event)?;
        Ok(match event {
            Event::Part(part) => Change::Rendition(part.rendition.clone()),
            Event::Segment(segment) => Change::Rendition(segment.rendition.clone()),
            // The report of it leaves the others' playlists.
            Event::Withdrawn { .. } | Event::End | Event::Snapshot(_) => Change::Whole,
            // Says only where a file can be had.
            Event::Stored { rendition, .. } => Change::Rendition(rendition.clone()),
            Event::Input(_) | Event::Heartbeat | Event::Floor(_) | Event::Reached(_) => Change::None,
        })
    }

    /// A feed is gone: what it had begun to tell is of no use.
    pub(crate) fn feed_lost(&mut self) {
        self.coming = None;
    }

    /// Takes `whole` up, unless it is of an older epoch; keeps it until it has caught up.
    pub(crate) fn offer(&mut self, mut whole: Timeline) -> Change {
        self.coming = None;
        if let Some(current) = &self.timeline {
            if whole.epoch < current.epoch || (current.ended && whole.epoch == current.epoch) {
                return Change::None;
            }
            // What a later epoch says of a broadcast that was over is true, whatever the earlier one thought.
            if !whole.ended
                && !current.ended
                && whole.tracks.iter().any(|track| behind(&whole, track, current))
            {
                let change = self.show_what_caught_up(&whole);
                self.coming = Some(whole);
                return change;
            }
            keep_what_was_listed(&mut whole, current);
            forget_what_left(&mut whole, current);
        }
        self.timeline = Some(whole);
        Change::Whole
    }

    /// The leading renditions decide: without the source there is nothing to see, and without sound little.
    fn show_what_caught_up(&mut self, whole: &Timeline) -> Change {
        let Some(current) = &self.timeline else { return Change::None };
        let is_rung = |index: usize, track: &Track| index > 0 && track.is_video();
        if whole
            .tracks
            .iter()
            .enumerate()
            .any(|(index, track)| !is_rung(index, track) && behind(whole, track, current))
        {
            return Change::None;
        }
        let mut shown = whole.clone();
        for track in &mut shown.tracks {
            if behind(whole, track, current)
                && let Some(seen) = current.track(&track.name)
            {
                track.clone_from(seen);
            }
        }
        keep_what_was_listed(&mut shown, current);
        forget_what_left(&mut shown, current);
        self.timeline = Some(shown);
        Change::Whole
    }
}

fn behind(whole: &Timeline, coming: &Track, current: &Timeline) -> bool {
    let seen = current.track(&coming.name).filter(|seen| !seen.withdrawn && !coming.withdrawn);
    seen.is_some_and(|seen| position(whole, coming) < position(current, seen))
}

/// Of what is listed the last segment, whether it is whole, and its parts while it is not.
fn position(timeline: &Timeline, track: &Track) -> Option<(u64, bool, usize)> {
    listed(timeline, track).next_back().map(|last| match last.phase {
        SegmentPhase::Open => (last.msn.0, false, last.parts.len()),
        SegmentPhase::Finished | SegmentPhase::Stored => (last.msn.0, true, 0),
    })
}

/// A segment's EXTINF and address must not change (RFC 8216bis §6.2.1). Of what its predecessor announced and stored neither in
/// media nor in its state a new worker knows only where all of it ends: it makes gaps of even lengths, under other names.
fn keep_what_was_listed(coming: &mut Timeline, current: &Timeline) {
    for track in &mut coming.tracks {
        let Some(seen) = current.track(&track.name) else { continue };
        let was_listed = |msn| {
            let mut listed = seen.segments.iter().filter(|segment| segment.phase != SegmentPhase::Open);
            listed.find(|segment| segment.msn == msn)
        };
        let mut kept_until = None;
        for segment in track.segments.iter_mut().filter(|segment| segment.gap) {
            if let Some(listed) = was_listed(segment.msn) {
                segment.clone_from(listed);
                segment.become_gap();
                kept_until = Some((segment.msn.next(), segment.start.plus(segment.duration)));
            } else if let Some((msn, start)) = kept_until.take()
                && segment.msn == msn
            {
                // Not listed whole, such as the last one: it takes what is left of the time.
                let end = segment.start.plus(segment.duration);
                let later = start.0.saturating_sub(segment.start.0) / 1000;
                segment.program_date_time.0 = segment.program_date_time.0.saturating_add(later);
                (segment.start, segment.duration) = (start, end.since(start));
            }
        }
    }
}

/// MEDIA-SEQUENCE must not go back when another worker keeps a longer window.
fn forget_what_left(coming: &mut Timeline, current: &Timeline) {
    for track in &mut coming.tracks {
        let Some(first) = current.track(&track.name).and_then(|seen| seen.segments.front()) else { continue };
        while track.segments.front().is_some_and(|segment| segment.msn < first.msn) {
            track.segments.pop_front();
        }
    }
}
