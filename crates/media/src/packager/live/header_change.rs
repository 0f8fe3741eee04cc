//! A codec header that says something new in the middle of the stream.

use caudal_livestream::{RenditionName, UnixMillis};

use super::{Live, VideoSetup};
use crate::announcer::Announcer;
use crate::input_clock::SourceClock;
use crate::report::{DiscontinuityCause, MediaReport};

impl Live {
    /// Whether a rendition may have another initialization segment now. Counts the discontinuity that comes with it.
    pub(super) fn may_change(
        &self,
        rendition: &RenditionName,
        announcer: &Announcer,
        clock: Option<&mut SourceClock>,
        now: UnixMillis,
    ) -> bool {
        announcer.inits_in_window(rendition) < MAX_INITS
            && clock.is_some_and(|clock| self.plan.begins_run() || clock.allow_change(now))
    }

    /// The header that waits takes effect with the keyframe that has come. False when no change is allowed now.
    pub(super) fn change_video(
        &mut self,
        announcer: &mut Announcer,
        clock: Option<&mut SourceClock>,
        now: UnixMillis,
    ) -> bool {
        let Some(source) = &mut self.source else { return false };
        let Some(VideoSetup { config, header, init }) = source.next.take() else { return true };
        if source.track.is_under(&init) {
            (source.config, source.header) = (config, header);
            return true;
        }
        let name = source.track.name.clone();
        if !self.may_change(&name, announcer, clock, now) {
            if let Some(source) = &mut self.source {
                source.next = Some(VideoSetup { config, header, init });
            }
            announcer.report(MediaReport::TooManyChanges);
            return false;
        }
        self.break_run(DiscontinuityCause::VideoHeader, announcer);
        if let Some(fps) = config.fps_milli {
            self.plan.set_frame(1_000_000_000 / i64::from(fps.max(1)));
        }
        let Some(source) = &mut self.source else { return false };
        source.track.set_init(&init, announcer);
        if let Some(model) = announcer.track_mut(&source.track.name) {
            config.describe(model);
        }
        source.config = config;
        source.header = header;
        announcer.snapshot();
        self.encode_header(announcer);
        true
    }
}

/// ARCHITECTURE §6.
const MAX_INITS: usize = 16;
