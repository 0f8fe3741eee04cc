//! Video that comes to a stream which began without it.

use std::collections::VecDeque;

use caudal_livestream::timeline::{SOURCE, Track as TrackModel, TrackMedia};
use caudal_livestream::{MediaDuration, UnixMillis};

use super::{Live, SourceVideo, VideoSetup};
use crate::announcer::Announcer;
use crate::codec::{VideoConfig, plausible_fps};
use crate::grid::DEFAULT_FRAME;
use crate::input_clock::SourceClock;
use crate::report::{DiscontinuityCause, MediaReport};
use crate::track::{Track, TrackKind};

impl Live {
    /// Adds the source rendition behind a discontinuity; from there on the video makes the plan. There are no rungs:
    /// their encoder was told of the track set when that was frozen. False when there is no header, or no change is
    /// allowed now.
    pub(super) fn add_video(
        &mut self,
        announcer: &mut Announcer,
        clock: Option<&mut SourceClock>,
        now: UnixMillis,
    ) -> bool {
        let Ok(name) = SOURCE.parse() else { return false };
        let Some(setup) = self.late_video.take() else { return false };
        if !self.may_change(&name, announcer, clock, now) {
            self.late_video = Some(setup);
            announcer.report(MediaReport::TooManyChanges);
            return false;
        }
        let VideoSetup { config, header, init } = setup;
        self.break_run(DiscontinuityCause::VideoHeader, announcer);
        let frame = config
            .fps_milli
            .and_then(plausible_fps)
            .map_or(DEFAULT_FRAME, |fps| 1_000_000_000 / i64::from(fps));
        self.plan.lead_by_video(frame);
        let part_target = MediaDuration(u64::try_from(self.plan.part_target()).unwrap_or(0));
        let mut track = Track::new(name, TrackKind::Video, self.plan.next_msn(), part_target);
        track.set_init(&init, announcer);
        if let Some(timeline) = &mut announcer.timeline {
            // An earlier epoch's, if this one took up a stream whose video was away.
            timeline.tracks.retain(|model| model.name != track.name);
            timeline.tracks.insert(0, model(&track, &config, frame, part_target));
        }
        announcer.snapshot();
        self.source = Some(SourceVideo::new(track, config, header));
        self.encode_header(announcer);
        true
    }
}

fn model(track: &Track, config: &VideoConfig, frame: i64, part_target: MediaDuration) -> TrackModel {
    let frame_rate_milli = u32::try_from(1_000_000_000 / frame.max(1)).unwrap_or(30_000);
    TrackModel {
        name: track.name.clone(),
        media: TrackMedia::Video {
            width: config.width,
            height: config.height,
            frame_rate_milli,
            range: config.format().range,
        },
        codecs: config.codecs.clone(),
        peak_bandwidth: FIRST_RATE,
        average_bandwidth: FIRST_RATE,
        part_target,
        segments: VecDeque::new(),
        withdrawn: false,
    }
}

/// Until a segment has been measured.
const FIRST_RATE: u32 = 2_000_000;
