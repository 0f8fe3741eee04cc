use std::collections::VecDeque;

use bytes::Bytes;
use caudal_livestream::feed::{Event, SegmentAnnounced};
use caudal_livestream::timeline::{CaptionChannel, Segment, Timeline, Track};
use caudal_livestream::{Epoch, MediaTime, Msn, RenditionName, UnixMillis};

use crate::captions::merge;
use crate::cmaf::InitSegment;
use crate::packager::Output;
use crate::report::MediaReport;

/// Keeps the timeline and the outputs in step: what is announced has been applied.
#[derive(Debug)]
pub(crate) struct Announcer {
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) timeline: Option<Timeline>,
    pub(crate) epoch: Epoch,
    /// Wall clock of media time 0.
    pub(crate) anchor: UnixMillis,
    inits: VecDeque<(RenditionName, InitSegment)>,
}

impl Announcer {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            outputs: VecDeque::new(),
            timeline: None,
            epoch,
            anchor: UnixMillis(0),
            inits: VecDeque::new(),
        }
    }

    pub(crate) fn report(&mut self, report: MediaReport) {
        self.outputs.push_back(Output::Report(report));
    }

    /// Hands an initialization segment to the shell, unless the live window needs it already: one that it no longer
    /// needed may have been removed from storage.
    pub(crate) fn init(&mut self, rendition: &RenditionName, init: &InitSegment) {
        let same =
            |(name, known): &(RenditionName, InitSegment)| name == rendition && known.hash == init.hash;
        let track = self.timeline.as_ref().and_then(|timeline| timeline.track(rendition));
        let needed =
            track.is_some_and(|track| track.segments.iter().any(|s| s.init.as_ref() == Some(&init.hash)));
        if needed && self.inits.iter().any(same) {
            return;
        }
        self.inits.retain(|known| !same(known));
        self.inits.push_back((rendition.clone(), init.clone()));
        if self.inits.len() > MAX_KNOWN_INITS {
            self.inits.pop_front();
        }
        self.outputs.push_back(Output::Init {
            rendition: rendition.clone(),
            hash: init.hash.clone(),
            data: init.data.clone(),
        });
    }

    /// Different initialization segments that the rendition's live window needs.
    pub(crate) fn inits_in_window(&self, rendition: &RenditionName) -> usize {
        let Some(track) = self.timeline.as_ref().and_then(|timeline| timeline.track(rendition)) else {
            return 0;
        };
        let mut hashes: Vec<_> = track.segments.iter().filter_map(|segment| segment.init.as_ref()).collect();
        hashes.sort();
        hashes.dedup();
        hashes.len()
    }

    /// Announces channels on which captions have come, where they are news.
    pub(crate) fn captions(&mut self, channels: &[CaptionChannel]) {
        if self.timeline.as_mut().is_some_and(|timeline| merge(&mut timeline.captions, channels)) {
            self.snapshot();
        }
    }

    pub(crate) fn snapshot(&mut self) {
        if let Some(timeline) = &self.timeline {
            let event = Event::Snapshot(Box::new(timeline.clone()));
            self.outputs.push_back(Output::Announce { event, data: None });
        }
    }

    /// Applies and announces. What does not follow is a fault of this crate, and is not announced.
    pub(crate) fn announce(&mut self, event: Event, data: Option<Bytes>) {
        let Some(timeline) = &mut self.timeline else { return };
        // To a reader, a rendition that it does not know is one of a newer version, and `apply` passes it over.
        let unknown = rendition_of(&event).filter(|rendition| timeline.track(rendition).is_none());
        let applied = match unknown {
            Some(rendition) => Err(format!("there is no rendition {rendition}")),
            None => timeline.apply(&event).map_err(|gap| gap.to_string()),
        };
        match applied {
            Ok(()) => self.outputs.push_back(Output::Announce { event, data }),
            Err(reason) => {
                debug_assert!(false, "{reason}");
                self.report(MediaReport::Malformed { reason });
            }
        }
    }

    /// `data` are the bytes of a segment that was made without parts.
    pub(crate) fn segment(
        &mut self,
        rendition: &RenditionName,
        segment: Segment,
        rates: (u32, u32),
        data: Option<Bytes>,
    ) {
        let window_start = self.window_start(rendition, &segment);
        let (peak_bandwidth, average_bandwidth) = rates;
        let rendition = rendition.clone();
        let announced =
            SegmentAnnounced { rendition, segment, window_start, peak_bandwidth, average_bandwidth };
        self.announce(Event::Segment(announced), data);
    }

    pub(crate) fn date(&self, at: MediaTime) -> UnixMillis {
        UnixMillis(self.anchor.0.saturating_add(at.0 / 1000))
    }

    pub(crate) fn track_mut(&mut self, name: &RenditionName) -> Option<&mut Track> {
        self.timeline.as_mut()?.tracks.iter_mut().find(|track| track.name == *name)
    }

    /// The oldest segment that six target durations still need.
    fn window_start(&self, rendition: &RenditionName, newest: &Segment) -> Msn {
        let Some(timeline) = &self.timeline else { return newest.msn };
        let Some(track) = timeline.track(rendition) else { return newest.msn };
        let wanted = u64::from(timeline.target_duration)
            .saturating_mul(WINDOW_TARGET_DURATIONS * 1_000_000)
            .max(WINDOW_MICROS);
        let mut covered = newest.duration.0;
        let mut start = newest.msn;
        for segment in track.segments.iter().rev().filter(|segment| segment.msn < newest.msn) {
            if covered >= wanted {
                break;
            }
            covered = covered.saturating_add(segment.duration.0);
            start = segment.msn;
        }
        start
    }
}

fn rendition_of(event: &Event) -> Option<&RenditionName> {
    match event {
        Event::Part(announced) => Some(&announced.rendition),
        Event::Segment(announced) => Some(&announced.rendition),
        Event::Stored { rendition, .. } | Event::Withdrawn { rendition } => Some(rendition),
        Event::Snapshot(_)
        | Event::Input(_)
        | Event::End
        | Event::Heartbeat
        | Event::Floor(_)
        | Event::Reached(_) => None,
    }
}

/// Parts stay fetchable for six target durations, and delta updates skip up to there.
const WINDOW_TARGET_DURATIONS: u64 = 6;
/// With 2 s targets, 12 s would be too little for plain players.
const WINDOW_MICROS: u64 = 30_000_000;
const MAX_KNOWN_INITS: usize = 128;

#[cfg(test)]
mod tests {
    use caudal_livestream::{MediaDuration, StreamId};

    use super::*;

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "there is no rendition 720p"))]
    fn a_rendition_that_the_timeline_does_not_have_is_not_announced() {
        let mut announcer = Announcer::new(Epoch(1));
        announcer.timeline = Some(Timeline {
            stream: StreamId::generate(),
            epoch: Epoch(1),
            target_duration: 2,
            part_hold_back: MediaDuration::from_millis(600),
            first_msn: Msn(0),
            tracks: Vec::new(),
            captions: Vec::new(),
            ended: false,
        });
        announcer.announce(Event::Withdrawn { rendition: "720p".parse().unwrap() }, None);
        let said: Vec<_> = announcer.outputs.into_iter().collect();
        assert!(matches!(said.as_slice(), [Output::Report(MediaReport::Malformed { .. })]), "{said:?}");
    }
}
