//! After the track set is frozen: every tag goes to the plan and to the tracks that follow it.

mod audio;
mod header_change;
mod late_video;

use bytes::Bytes;
use caudal_livestream::{MediaDuration, MediaTime, RenditionName, UnixMillis};

use super::rung::Rung;
use super::{Output, Picture, VideoSetup};
use crate::access_unit::LENGTH_SIZE;
use crate::announcer::Announcer;
use crate::audio_input::AudioInput;
use crate::codec::VideoConfig;
use crate::cut_plan::{Advanced, CutPlan, FrameTiming};
use crate::input_clock::{Input, SourceClock};
use crate::nal;
use crate::report::{DiscontinuityCause, MediaReport};
use crate::sample::Sample;
use crate::track::{Covered, Track};

/// One stream's tracks and their plan.
#[derive(Debug)]
pub(super) struct Live {
    plan: CutPlan,
    source: Option<SourceVideo>,
    audio_track: Track,
    audio: AudioInput,
    rungs: Vec<Rung>,
    /// Where the audio ended when the last picture came, or that picture if it was further.
    audio_at_picture: i64,
    last_picture: UnixMillis,
    lost: Option<UnixMillis>,
    /// The relay connection that is up has brought a picture.
    shows: bool,
    /// The publisher pauses between pictures, by their timestamps: for so many more pictures.
    pauses: u16,
    /// Something of the publisher's was packaged since this was last asked.
    packaged: bool,
    /// That pictures of this relay connection stand still was reported.
    stands_still: bool,
    /// The header of video in a stream that began without; it joins with its first keyframe.
    late_video: Option<VideoSetup>,
}

/// The publisher's video.
#[derive(Debug)]
pub(super) struct SourceVideo {
    track: Track,
    config: VideoConfig,
    header: Bytes,
    /// A changed configuration, which takes effect with the next keyframe.
    next: Option<VideoSetup>,
    /// True where earlier pictures are of no use to a decoder, until a keyframe comes.
    waits_for_keyframe: bool,
    /// Decode time of the last picture, in microseconds.
    last: Option<i64>,
    /// Pictures that are shown before it were announced by an earlier epoch.
    behind: Option<i64>,
}

impl SourceVideo {
    pub(super) fn new(track: Track, config: VideoConfig, header: Bytes) -> Self {
        Self { track, config, header, next: None, waits_for_keyframe: false, last: None, behind: None }
    }

    pub(super) fn begin_behind(&mut self, end: Option<i64>) {
        self.behind = end;
    }
}

impl Live {
    pub(super) fn new(
        plan: CutPlan,
        source: Option<SourceVideo>,
        audio_track: Track,
        audio: AudioInput,
        rungs: Vec<Rung>,
        now: UnixMillis,
    ) -> Self {
        Self {
            plan,
            source,
            audio_track,
            audio,
            rungs,
            audio_at_picture: i64::MAX,
            last_picture: now,
            lost: None,
            shows: false,
            pauses: 0,
            packaged: false,
            stands_still: false,
            late_video: None,
        }
    }

    pub(super) fn connected(&mut self) {
        self.lost = None;
        self.shows = false;
        self.stands_still = false;
    }

    /// Whether something of the publisher's was packaged since the last call.
    pub(super) fn take_packaged(&mut self) -> bool {
        std::mem::take(&mut self.packaged)
    }

    /// Whether segments of the source or the audio are still being rebuilt. Rungs are not waited for: their encoder may take long.
    pub(super) fn is_rebuilding(&self) -> bool {
        let mut tracks = self.source.iter().map(|source| &source.track).chain([&self.audio_track]);
        tracks.any(|track| self.plan.is_rebuilding(track.cursor))
    }

    /// What comes next does not follow the last picture.
    pub(super) fn wait_for_keyframe(&mut self) {
        if let Some(source) = &mut self.source {
            source.waits_for_keyframe = true;
        }
    }

    /// What a replay may not go behind.
    pub(super) fn consumed(&self, input: Input) -> Option<i64> {
        match input {
            Input::Video => self.source.as_ref().and_then(|source| source.last).map(|last| last + 1),
            Input::Audio => Some(self.audio.end() - self.audio.frame() / 2),
        }
    }

    /// Where media ends on any track: nothing new may begin before it.
    pub(super) fn media_end(&self) -> i64 {
        let video = self.source.as_ref().and_then(|source| source.last).map(|last| last + self.plan.frame());
        let (edge, announced) = (self.plan.edge(), self.plan.announced_end());
        let end = [video, edge, announced].into_iter().flatten().map(|end| end + self.plan.shift()).max();
        end.unwrap_or(0).max(self.audio.end()).max(0)
    }

    /// The codec header, for an encoder that has to begin.
    pub(super) fn encode_header(&self, announcer: &mut Announcer) {
        if let Some(source) = &self.source {
            let at = source.last.or_else(|| self.plan.edge()).unwrap_or(0);
            announcer.outputs.push_back(Output::Encode {
                timestamp_ms: at / 1000,
                body: source.header.clone(),
                keyframe: false,
                sequence_header: Some(source.config.format()),
            });
        }
    }

    pub(super) fn video_header(&mut self, setup: VideoSetup) {
        match &mut self.source {
            Some(source) => {
                let known = (&source.config.record, source.config.colour);
                source.next = (known != (&setup.config.record, setup.config.colour)).then_some(setup);
            }
            None => self.late_video = Some(setup),
        }
    }

    pub(super) fn picture(
        &mut self,
        mut picture: Picture,
        now: UnixMillis,
        announcer: &mut Announcer,
        mut clock: Option<&mut SourceClock>,
    ) {
        if self.source.is_none()
            && (!picture.keyframe || !self.add_video(announcer, clock.as_deref_mut(), now))
        {
            return;
        }
        let Some(source) = &mut self.source else { return };
        if let Some(next) = &source.next {
            // Under other colours alone, decoders still understand the pictures.
            let recoded = next.config.record != source.config.record;
            let changed = picture.keyframe && self.change_video(announcer, clock.as_deref_mut(), now);
            if recoded && !changed {
                return;
            }
        }
        let Some(source) = &mut self.source else { return };
        if std::mem::take(&mut source.waits_for_keyframe) && !picture.keyframe {
            source.waits_for_keyframe = true;
            return;
        }
        if let Some(last) = source.last
            && picture.decode <= last
        {
            if last - picture.decode > MAX_STEP_BACK {
                if !std::mem::replace(&mut self.stands_still, true) {
                    announcer.report(MediaReport::StandingStill);
                }
                return;
            }
            picture.decode = last + 1000;
        }
        let pauses = source.last.is_some_and(|last| picture.decode - last > self.plan.part_target());
        self.pauses = if pauses { PAUSES_FOR } else { self.pauses.saturating_sub(1) };
        let shift = composition(&picture);
        let begins = self.plan.begins_run();
        if begins {
            // Pictures that are shown sooner after their decoding than the last run's must not overlap it. Those of a GOP that
            // goes on are as far behind as they were, give or take a rounding.
            let (delay, allowed) =
                if picture.keyframe { (shift, 0) } else { (self.plan.shift(), self.plan.frame()) };
            let overlap = self.plan.presentation_end() - picture.decode - delay;
            if let (Some(clock), true) = (clock, overlap > allowed) {
                let by = (overlap + 999) / 1000;
                clock.delay(by);
                picture.decode += by * 1000;
            }
        }
        if picture.keyframe && self.plan.awaits_first_frame() {
            self.plan.set_shift(shift);
        }
        if let Some(end) = source.behind {
            if picture.decode + self.plan.shift() + self.plan.frame() / 2 < end {
                // The rungs' encoder needs the whole GOP all the same.
                return announcer.outputs.push_back(encode(&picture));
            }
            source.behind = None;
        }
        source.last = Some(picture.decode);
        self.packaged = true;
        let for_encoder = encode(&picture);
        let decode_ms = u64::try_from(picture.decode / 1000).unwrap_or(0);
        let idr = picture.keyframe && nal::is_idr(source.config.codec, &picture.data, LENGTH_SIZE);
        let sample = Sample {
            decode_time: decode_ms,
            duration: 0,
            composition: i32::try_from(shift / 1000).unwrap_or(0),
            keyframe: picture.keyframe,
            idr,
            data: picture.data,
        };
        if self.plan.is_decided(picture.decode) {
            let covered = Covered::To(picture.decode + self.plan.frame() / 4);
            source.track.settle(&self.plan, covered, None, announcer);
            if !self.plan.is_lost(picture.decode) {
                source.track.push(sample);
            }
            announcer.outputs.push_back(for_encoder);
            return self.after_picture(now, announcer);
        }
        let timing = FrameTiming {
            decode: picture.decode,
            presentation: picture.decode + shift,
            keyframe: picture.keyframe,
            idr,
        };
        let advanced = self.plan.advance(timing);
        if begins {
            self.audio.begin(self.plan.run_start() + self.plan.shift());
        }
        report_plan(advanced, &self.plan, announcer);
        let next = advanced.hole.is_none().then_some(decode_ms);
        let (before, after) = if advanced.behind {
            let frame = self.plan.frame();
            (Covered::To(picture.decode + frame / 4), Covered::To(picture.decode + frame + frame / 4))
        } else {
            // What this picture itself closed by prediction is settled after it is in.
            (Covered::To(picture.decode + self.plan.frame() / 4), Covered::All)
        };
        source.track.settle(&self.plan, before, next, announcer);
        source.track.push(sample);
        source.track.settle(&self.plan, after, None, announcer);
        announcer.outputs.push_back(for_encoder);
        self.after_picture(now, announcer);
    }

    fn after_picture(&mut self, now: UnixMillis, announcer: &mut Announcer) {
        self.last_picture = now;
        self.shows = true;
        // Sound that fills a hole up to this picture is not ahead of it.
        let shown = self.source.as_ref().and_then(|source| source.last).map(|last| last + self.plan.shift());
        self.audio_at_picture = self.audio.end().max(shown.unwrap_or(i64::MIN));
        self.follow(announcer);
    }

    pub(super) fn rung_video(
        &mut self,
        name: &RenditionName,
        at: i64,
        body: &Bytes,
        announcer: &mut Announcer,
    ) {
        if let Some(rung) = named(&mut self.rungs, name) {
            rung.video(at, body, &self.plan, announcer);
        }
    }

    pub(super) fn rung_failed(&mut self, name: &RenditionName) {
        if let Some(rung) = named(&mut self.rungs, name) {
            rung.failed();
        }
    }

    pub(super) fn withdraw(&mut self, name: &RenditionName, announcer: &mut Announcer) {
        if let Some(rung) = named(&mut self.rungs, name) {
            rung.withdraw(announcer);
        }
    }

    pub(super) fn rung_returns(&mut self, name: &RenditionName) {
        if let Some(rung) = named(&mut self.rungs, name) {
            rung.come_back(self.plan.next_msn());
        }
    }

    pub(super) fn lost(&mut self, now: UnixMillis, announcer: &mut Announcer) {
        self.lost = Some(now);
        self.close_late(announcer);
    }

    pub(super) fn tick(&mut self, now: UnixMillis, announcer: &mut Announcer) {
        self.hold_picture(now);
        if now.0 - self.last_picture.0 > (self.plan.part_target() + self.plan.frame()) / 1000 {
            self.close_late(announcer);
        }
        // Another relay may bring the rest of a replay.
        let may_close = self.plan.is_open() && self.plan.is_rebuilt_to(self.leading_end());
        if self.lost.is_some_and(|lost| now.0 - lost.0 >= LOST_AFTER_MS) && may_close {
            self.close(announcer);
        }
    }

    /// What is there becomes a part. Segments that are rebuilt wait for the rest of their media, however late it is: shorter
    /// ones would be other bytes under names that viewers have seen.
    fn close_late(&mut self, announcer: &mut Announcer) {
        if !self.plan.is_behind_floor() {
            self.plan.close_late();
            self.settle_all(announcer);
        }
    }

    /// Where no sound says how long the last picture stays, the wall clock does, for as long as the relay is up. A publisher
    /// whose sound has stopped with its pictures is behind, and so is one whose pictures never lie apart: they are waited for.
    fn hold_picture(&mut self, now: UnixMillis) {
        let Some(last) = self.source.as_ref().and_then(|source| source.last) else { return };
        let Some(edge) = self.plan.edge().filter(|_| self.plan.is_open() && !self.plan.is_behind_floor())
        else {
            return;
        };
        let stays = (now.0 - self.last_picture.0) * 1000 - LATENESS;
        let is_known = self.shows && self.pauses > 0 && self.lost.is_none() && self.audio.is_absent();
        if is_known && stays > self.plan.part_target() + self.plan.frame() {
            self.plan.silence(last, (last + stays).min(edge + LONGEST_STEP));
        }
    }

    pub(super) fn finish(&mut self, announcer: &mut Announcer) {
        self.close(announcer);
        for rung in self.rungs.iter_mut().filter(|rung| rung.is_made()) {
            rung.finish(&self.plan, announcer);
        }
    }

    /// Ends the run: the next frame opens a segment behind a discontinuity, on every rendition.
    pub(super) fn break_run(&mut self, cause: DiscontinuityCause, announcer: &mut Announcer) {
        let fresh = !self.plan.begins_run();
        let msn = self.plan.break_here();
        if fresh {
            self.settle_to_the_end(announcer);
            self.audio_track.abandon_samples();
            announcer.report(MediaReport::Discontinuity { msn, cause });
        }
        let config = self.audio.config().clone();
        self.audio.restart(config, i64::MIN);
        self.audio_at_picture = i64::MAX;
        if let Some(source) = &mut self.source {
            source.last = None;
        }
    }

    fn close(&mut self, announcer: &mut Announcer) {
        self.plan.close_open_segment();
        self.settle_to_the_end(announcer);
    }

    /// Everything that is closed, whether its audio has come or not.
    fn settle_to_the_end(&mut self, announcer: &mut Announcer) {
        self.lose_what_is_not_rebuilt(announcer);
        if let (Some(edge), true) = (self.video_edge(), self.source.is_some()) {
            self.audio.fill(edge + self.plan.shift());
        }
        self.settle_all(announcer);
        self.audio_track.settle(&self.plan, Covered::All, None, announcer);
    }

    /// Before silence takes the place of sound that has not come.
    fn lose_what_is_not_rebuilt(&mut self, announcer: &mut Announcer) {
        let (end, shift) = (self.leading_end(), self.plan.shift());
        if let Some(source) = &mut self.source {
            source.track.settle(&self.plan, Covered::Ends(end), None, announcer);
            if self.audio.is_absent() {
                // The earlier epoch had silence up to its pictures too.
                self.audio.fill(end.min(self.plan.edge().unwrap_or(end)) + shift);
            }
            self.drain_audio(announcer);
        }
        let audio_end = self.audio.end() + self.audio.frame() / 2 - shift;
        self.audio_track.settle(&self.plan, Covered::Ends(audio_end), None, announcer);
    }

    /// Where the leading track's media ends, by the plan's times.
    fn leading_end(&self) -> i64 {
        let frame = self.plan.frame();
        match &self.source {
            Some(source) => source.last.map_or(0, |last| last + frame + frame / 4),
            None => self.audio.end() + frame / 4,
        }
    }

    fn settle_all(&mut self, announcer: &mut Announcer) {
        if let Some(source) = &mut self.source {
            source.track.settle(&self.plan, Covered::All, None, announcer);
        }
        self.follow(announcer);
    }

    /// Everything that goes after the plan: the audio, gaps of the source, rungs that lag.
    fn follow(&mut self, announcer: &mut Announcer) {
        if self.source.is_some() {
            if let Some(edge) = self.video_edge()
                && let Some((from, length)) = self.audio.follow_video(edge + self.plan.shift())
            {
                report_silence(from, length, announcer);
            }
            self.drain_audio(announcer);
        }
        for rung in self.rungs.iter_mut().filter(|rung| rung.is_made()) {
            rung.keep_up(&self.plan, announcer);
        }
    }

    /// Up to where the audio has to follow.
    fn video_edge(&self) -> Option<i64> {
        let edge = self.plan.edge()?;
        if !self.plan.is_behind_floor() {
            return Some(edge);
        }
        // The plan knows what an earlier epoch announced; its media is still on the way.
        let last = self.source.as_ref()?.last?;
        Some(edge.min(last + self.plan.frame()))
    }
}

fn named<'a>(rungs: &'a mut [Rung], name: &RenditionName) -> Option<&'a mut Rung> {
    rungs.iter_mut().find(|rung| rung.track.name == *name)
}

/// From decoding to presentation, in microseconds. Negative where an encoder does not delay what it reorders (NVENC,
/// some muxers): `trun` version 1 can say so.
pub(super) fn composition(picture: &Picture) -> i64 {
    i64::from(picture.composition_ms.clamp(-MAX_COMPOSITION_MS, MAX_COMPOSITION_MS)) * 1000
}

fn encode(picture: &Picture) -> Output {
    Output::Encode {
        timestamp_ms: picture.decode / 1000,
        body: picture.body.clone(),
        keyframe: picture.keyframe,
        sequence_header: None,
    }
}

fn report_plan(advanced: Advanced, plan: &CutPlan, announcer: &mut Announcer) {
    if let Some(msn) = advanced.outgrown {
        announcer.report(MediaReport::GopTooLong { msn, target_seconds: plan.target_seconds() });
    }
    if let Some((from, to)) = advanced.hole {
        let length = MediaTime(to).since(MediaTime(from));
        announcer.report(MediaReport::VideoGap { from: MediaTime(from), length });
    }
}

fn report_silence(from: i64, length: i64, announcer: &mut Announcer) {
    let length = MediaDuration(u64::try_from(length).unwrap_or(0));
    announcer.report(MediaReport::Silence { from: MediaTime(from), length });
}

/// A timestamp that steps back by less is an encoder's rounding: the picture is moved behind its predecessor.
const MAX_STEP_BACK: i64 = 200_000;
/// More reordering than any encoder does.
const MAX_COMPOSITION_MS: i32 = 5_000;
/// Ten seconds of motion between two slides.
const PAUSES_FOR: u16 = 300;
/// A picture that comes so much later than the one before it did, by their timestamps, still lies behind what was announced
/// meanwhile. TCP sends again what is lost after 0.2 s and then 0.4 s (Linux). Players of a picture that stays wait that much
/// longer, once.
const LATENESS: i64 = 1_000_000;
/// Ticks come every 50 ms. After a machine has slept for an hour, the plan goes on in steps that all tracks can follow.
const LONGEST_STEP: i64 = 2_000_000;
/// A relay that comes back at once continues the open segment.
const LOST_AFTER_MS: i64 = 1_000;
