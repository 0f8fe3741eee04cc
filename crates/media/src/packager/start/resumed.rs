//! What a worker that begins behind an earlier epoch makes of what has come, and of what it was told.

use caudal_livestream::timeline::{Timeline, Track as TrackModel};
use caudal_livestream::{InitHash, MediaDuration, MediaTime, RenditionName};

use super::super::continuation::{Reach, Rebuild, media_end};
use super::super::live::composition;
use super::super::{PackagerConfig, Resume};
use super::{Readiness, Start, Tag};
use crate::grid::Grid;
use crate::input_clock::SourceClock;
use crate::seam;

impl Start {
    /// What can be made again of an earlier epoch's last segments, from what has come.
    pub(super) fn rebuild(
        &self,
        config: &PackagerConfig,
        ready: &Readiness,
        clock: &SourceClock,
        inits: &[(&RenditionName, &InitHash)],
    ) -> Option<Rebuild> {
        let resume = config.resume.as_ref().filter(|_| clock.continues())?;
        let (from, shift) = self.leads_from()?;
        Rebuild::plan(resume, config.epoch, Reach { from, frame: ready.frame, shift }, inits)
    }

    /// Presentation time of the leading track's first frame, and that less its decode time.
    fn leads_from(&self) -> Option<(i64, i64)> {
        if self.video.is_some() {
            let first = self.pictures().next()?;
            let shift = composition(first);
            return Some((first.decode + shift, shift));
        }
        self.tags.iter().find_map(|tag| match tag {
            Tag::Sound(at, _) => Some((*at, 0)),
            Tag::Picture(_) => None,
        })
    }

    /// How much of the leading track is missing at the seam.
    pub(super) fn lost(&self, resume: &Resume, rebuild: Option<&Rebuild>) -> Option<MediaDuration> {
        let lead = resume.timeline.tracks.first()?;
        let (begins, given_up) = match rebuild {
            Some(rebuild) => (rebuild.track(&lead.name)?.start, rebuild.given_up()),
            // What the worker before had announced is dropped where it comes again.
            None => (self.leads_from()?.0.max(media_end(resume)), MediaDuration(0)),
        };
        seam::lost(lead.segments.iter(), MediaTime(begins), given_up)
    }
}

/// An earlier epoch that had sound alone froze a track set without video: that joins behind a discontinuity.
pub(super) fn video_may_lead(config: &PackagerConfig) -> bool {
    let Some(resume) = &config.resume else { return true };
    resume.timeline.tracks.is_empty() || resume.timeline.tracks.iter().any(TrackModel::is_video)
}

pub(super) fn frozen_grid(grid: Grid, timeline: &Timeline) -> Grid {
    let micros = |duration: MediaDuration| i64::try_from(duration.0).unwrap_or(i64::MAX);
    let lead = timeline.tracks.first().map_or(grid.part_target, |track| micros(track.part_target));
    grid.frozen(lead, i64::from(timeline.target_duration) * 1_000_000)
}
