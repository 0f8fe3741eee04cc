use bytes::Bytes;
use caudal_livestream::Msn;
use caudal_livestream::timeline::TrackMedia;

use crate::announcer::Announcer;
use crate::cmaf::video_init;
use crate::codec::VideoConfig;
use crate::cut_plan::CutPlan;
use crate::flv::VideoTag;
use crate::report::MediaReport;
use crate::sample::Sample;
use crate::track::{Covered, Track};

/// A rendition that ffmpeg makes: follows the plan by presentation time.
#[derive(Debug)]
pub(super) struct Rung {
    pub(super) track: Track,
    config: Option<VideoConfig>,
    /// The last picture's decode time as packaged, in milliseconds.
    last: Option<i64>,
    /// True until a keyframe has come that a decoder can begin with.
    waits_for_keyframe: bool,
    /// Pictures that are shown before it (µs) were announced by an earlier epoch.
    behind: Option<i64>,
    pub(super) withdrawn: bool,
}

impl Rung {
    pub(super) fn new(track: Track, behind: Option<i64>) -> Self {
        Self { track, config: None, last: None, waits_for_keyframe: true, behind, withdrawn: false }
    }

    /// Its next encoder begins at a keyframe that may lie before what is missing: nothing to wait for.
    pub(super) fn failed(&mut self) {
        self.waits_for_keyframe = self.last.is_none();
    }

    pub(super) fn video(
        &mut self,
        timestamp_ms: u32,
        body: &Bytes,
        plan: &CutPlan,
        announcer: &mut Announcer,
    ) {
        match VideoTag::parse(body) {
            Err(error) => announcer.report(MediaReport::Malformed { reason: error.to_string() }),
            Ok(VideoTag::Nothing) => {}
            Ok(VideoTag::SequenceHeader { codec, record }) => match VideoConfig::parse(codec, &record) {
                Ok(config) => self.header(config, announcer),
                Err(error) => announcer.report(MediaReport::Malformed { reason: error.to_string() }),
            },
            Ok(VideoTag::Frame { keyframe, composition_ms, data, .. }) => {
                let Some(config) = &self.config else { return };
                if (self.waits_for_keyframe && !keyframe) || !config.is_whole(&data) {
                    return;
                }
                self.waits_for_keyframe = false;
                let presentation = i64::from(timestamp_ms) + i64::from(composition_ms);
                self.picture(presentation, keyframe, data, plan, announcer);
            }
        }
    }

    fn header(&mut self, config: VideoConfig, announcer: &mut Announcer) {
        if self.config.as_ref() == Some(&config) {
            return;
        }
        let init = match video_init(&config) {
            Ok(init) => init,
            Err(error) => return announcer.report(MediaReport::Malformed { reason: error.to_string() }),
        };
        self.track.set_init(&init, announcer);
        // The master playlist was written before the encoder said what it makes.
        let mut differs = false;
        if let Some(model) = announcer.track_mut(&self.track.name)
            && let TrackMedia::Video { width, height, .. } = &mut model.media
            && (model.codecs != config.codecs || (*width, *height) != (config.width, config.height))
        {
            model.codecs.clone_from(&config.codecs);
            (*width, *height) = (config.width, config.height);
            differs = true;
        }
        if differs {
            announcer.snapshot();
        }
        self.config = Some(config);
    }

    fn picture(
        &mut self,
        presentation: i64,
        keyframe: bool,
        data: Bytes,
        plan: &CutPlan,
        announcer: &mut Announcer,
    ) {
        // The source's delay, so that decode times of all renditions agree and none is after its presentation.
        let shift = plan.segment(self.track.cursor).map_or(plan.shift(), |segment| segment.shift) / 1000;
        let decode = presentation - shift;
        if self.last.is_some_and(|last| decode <= last) {
            return;
        }
        if self.behind.is_some_and(|end| presentation * 1000 + plan.frame() / 2 < end)
            || self.track.pending() > MAX_PENDING
        {
            return;
        }
        let Ok(decode_time) = u64::try_from(decode) else { return };
        self.last = Some(decode);
        let frame = plan.frame();
        let at = decode * 1000;
        self.track.settle(plan, Covered::To(at + frame / 4), Some(decode_time), announcer);
        let composition = u32::try_from(shift).unwrap_or(0);
        self.track.push(Sample { decode_time, duration: 0, composition, keyframe, data });
        self.track.settle(plan, Covered::To(at + frame + frame / 4), None, announcer);
    }

    /// Gives up what is more than [`MAX_LAG`] segments behind.
    pub(super) fn keep_up(&mut self, plan: &CutPlan, announcer: &mut Announcer) {
        while let Some(newest) = plan.newest_closed()
            && newest.0.saturating_sub(self.track.cursor.0) > MAX_LAG
            && let Some(end) = plan.segment(self.track.cursor).and_then(|segment| segment.end)
        {
            let before: Msn = self.track.cursor;
            self.track.settle(plan, Covered::To(end), None, announcer);
            if self.track.cursor == before {
                return;
            }
        }
    }
}

/// An encoder whose times are nonsense must not fill the memory.
const MAX_PENDING: usize = 2_000;
/// Encoders take a second at most to start anew; viewers have left the rung long before this.
const MAX_LAG: u64 = 6;
