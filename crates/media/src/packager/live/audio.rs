//! The publisher's sound: it follows the video's plan, and makes the plan where there is no video.

use bytes::Bytes;
use caudal_livestream::UnixMillis;
use caudal_livestream::timeline::TrackMedia;

use super::{Live, report_silence};
use crate::announcer::Announcer;
use crate::audio_input::Accepted;
use crate::cmaf::audio_init;
use crate::codec::ConfigError;
use crate::codec::aac::AacConfig;
use crate::cut_plan::FrameTiming;
use crate::input_clock::SourceClock;
use crate::report::{DiscontinuityCause, MediaReport};
use crate::track::{Covered, TrackKind};

impl Live {
    pub(in crate::packager) fn audio_begins(&mut self, at: i64) {
        self.audio.begin(at);
    }

    pub(in crate::packager) fn audio_continues(&mut self, tick: u64) {
        self.audio.take_up(tick);
    }

    /// False when the publisher has used up its changes: its frames are not of the configuration that stays.
    ///
    /// # Errors
    /// [`ConfigError`] when no initialization segment can be written.
    pub(in crate::packager) fn audio_header(
        &mut self,
        config: AacConfig,
        now: UnixMillis,
        announcer: &mut Announcer,
        clock: Option<&mut SourceClock>,
    ) -> Result<bool, ConfigError> {
        let current = self.audio.config();
        let alike = current.core_rate == config.core_rate
            && current.channels == config.channels
            && current.codecs == config.codecs
            && current.frame_samples == config.frame_samples;
        if current.record == config.record || alike {
            return Ok(true);
        }
        let init = audio_init(&config)?;
        if !self.may_change(&self.audio_track.name, announcer, clock, now) {
            return Ok(false);
        }
        self.break_run(DiscontinuityCause::AudioHeader, announcer);
        if let TrackKind::Audio { stride, .. } = self.audio_track.kind() {
            let (rate, frame) = (config.core_rate, config.frame_samples);
            self.audio_track.set_kind(TrackKind::Audio { rate, frame, stride });
        }
        if let Some(model) = announcer.track_mut(&self.audio_track.name) {
            model.codecs.clone_from(&config.codecs);
            model.media = TrackMedia::Audio { sample_rate: config.output_rate, channels: config.channels };
        }
        self.audio.restart(config, i64::MIN);
        self.audio_track.set_init(&init, announcer);
        announcer.snapshot();
        Ok(true)
    }

    pub(in crate::packager) fn sound(
        &mut self,
        at: i64,
        data: Bytes,
        now: UnixMillis,
        announcer: &mut Announcer,
    ) {
        if self.source.is_none() && self.plan.begins_run() {
            self.audio.begin(at);
        }
        let accepted = self.audio.accept(at, data);
        self.packaged |= !matches!(accepted, Accepted::Late(_));
        match accepted {
            Accepted::InRow | Accepted::Late(false) => {}
            Accepted::AfterSilence(from, length) => report_silence(from, length, announcer),
            Accepted::Late(true) => announcer.report(MediaReport::LateAudio),
        }
        if self.source.is_none() {
            self.last_picture = now;
            return self.lead_by_audio(announcer);
        }
        if !matches!(accepted, Accepted::Late(_)) {
            self.audio_at_picture = self.audio_at_picture.min(self.audio.end());
        }
        let patience = if self.plan.begins_run() || self.plan.is_behind_floor() {
            RUN_PATIENCE
        } else {
            self.plan.part_target() + self.plan.frame()
        };
        if self.audio.end() - self.audio_at_picture > patience
            && let Some(first) = self.audio.first()
        {
            let begins = self.plan.begins_run();
            let shift = self.plan.shift();
            self.plan.silence(first - shift, self.audio.end() - shift);
            if begins {
                self.audio.begin(self.plan.run_start() + shift);
            }
        }
        self.follow(announcer);
    }

    pub(super) fn drain_audio(&mut self, announcer: &mut Announcer) {
        while let Some(middle) = self.audio.next_middle() {
            let segment = self.plan.segment(self.audio_track.cursor);
            let at = middle - segment.map_or(self.plan.shift(), |segment| segment.shift);
            self.audio_track.settle(&self.plan, Covered::To(at), None, announcer);
            if self.plan.edge().is_none_or(|edge| at >= edge) {
                return;
            }
            let Some(sample) = self.audio.take() else { return };
            // What lies before the segment belongs to one that was closed without it.
            if self.plan.segment(self.audio_track.cursor).is_some_and(|segment| at >= segment.start) {
                self.audio_track.push(sample);
            }
        }
    }

    fn lead_by_audio(&mut self, announcer: &mut Announcer) {
        while let Some(start) = self.audio.first() {
            let Some(sample) = self.audio.take() else { return };
            let half = self.audio.frame() / 2;
            if self.plan.is_decided(start) {
                self.audio_track.settle(&self.plan, Covered::To(start + half), None, announcer);
                self.audio_track.push(sample);
                continue;
            }
            self.plan.advance(FrameTiming { decode: start, presentation: start, keyframe: true, idr: false });
            self.audio_track.settle(&self.plan, Covered::To(start + half), None, announcer);
            self.audio_track.push(sample);
            self.audio_track.settle(&self.plan, Covered::All, None, announcer);
        }
    }
}

/// After a break the audio waits that long for the video that opens the next run.
const RUN_PATIENCE: i64 = 1_000_000;
