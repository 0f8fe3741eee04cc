//! Where a publisher's 32-bit millisecond timestamps lie on the stream's timeline.

mod budget;
mod pace;
mod rebase;
mod replay;
mod replay_age;

use caudal_livestream::state::InputClock;
use caudal_livestream::{Generation, MediaTime, SessionId, UnixMillis};

use self::budget::Budget;
use self::pace::{Pace, Verdict};
use self::replay::{ReplayFilter, Replayed};
use self::replay_age::Burst;

/// Unwraps timestamps, and judges which belong to a new timeline.
///
/// Each track has a clock of its own: encoders begin them at different numbers, and restart one without the other.
#[derive(Debug)]
pub(crate) struct SourceClock {
    session: SessionId,
    generation: Generation,
    /// Wall clock of media time 0, in milliseconds, once media has come.
    anchor: Option<i64>,
    video: Option<TrackClock>,
    audio: Option<TrackClock>,
    /// An earlier epoch's clock, until this one has heard a track.
    resumed: Option<TrackClock>,
    latest: Option<Latest>,
    pace: Option<Pace>,
    /// The next tag begins a new timeline, whatever its timestamp is.
    anew: bool,
    /// It does so because another session began.
    other_session: bool,
    /// The first media behind the last jump lies there (ms).
    run_from: Option<i64>,
    /// The clock before the last jump, for tags of the other track that were still on their way.
    stragglers: Option<Stragglers>,
    filter: Option<ReplayFilter>,
    /// Set where a timeline begins at the wall clock's place.
    burst: Option<Burst>,
    /// Since when sound lies far from the pictures that come with it.
    apart_since: Option<UnixMillis>,
    changes: Budget,
    sessions: Budget,
}

/// What a tag's timestamp means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It lies there.
    At(MediaTime),
    /// It was consumed before, or belongs to what was left behind by a jump.
    Drop,
    /// It is the first of those that are dropped until the wall clock has caught up.
    TooFast,
    /// It does not follow the last: a new timeline has to be agreed with [`SourceClock::rebase`].
    Jump,
}

/// Which of the two tracks a tag is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Video,
    Audio,
}

impl Input {
    fn other(self) -> Self {
        match self {
            Self::Video => Self::Audio,
            Self::Audio => Self::Video,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct TrackClock {
    /// The greatest timestamp, unwrapped, in milliseconds.
    last: i64,
    /// Media time of timestamp 0, in milliseconds.
    offset: i64,
    /// When the last tag came; `None` before the first one of a relay connection.
    heard: Option<UnixMillis>,
    /// When it last got an offset of its own behind a jump.
    moved: Option<UnixMillis>,
}

impl TrackClock {
    fn end(self) -> i64 {
        self.last + self.offset
    }

    fn was_heard_within(self, ms: i64, now: UnixMillis) -> bool {
        self.heard.is_some_and(|heard| now.0 - heard.0 <= ms)
    }
}

/// How far the timeline has come, and when.
#[derive(Clone, Copy, Debug)]
struct Latest {
    at: i64,
    heard: UnixMillis,
}

#[derive(Clone, Copy, Debug)]
struct Stragglers {
    last: i64,
    left: u32,
}

impl SourceClock {
    pub(crate) fn new(session: SessionId, generation: Generation) -> Self {
        Self {
            session,
            generation,
            anchor: None,
            video: None,
            audio: None,
            resumed: None,
            latest: None,
            pace: None,
            anew: false,
            other_session: false,
            run_from: None,
            stragglers: None,
            filter: None,
            burst: None,
            apart_since: None,
            changes: Budget::new(MAX_CHANGES_A_MINUTE),
            sessions: Budget::new(MAX_SESSIONS_A_MINUTE),
        }
    }

    pub(crate) fn resume(clock: InputClock) -> Self {
        let resumed = TrackClock {
            last: i64::from(clock.wraps) << 32 | i64::from(clock.last_rtmp),
            offset: clock.offset.0 / 1000,
            heard: None,
            moved: None,
        };
        Self {
            anchor: Some(clock.date_anchor.0),
            resumed: Some(resumed),
            ..Self::new(clock.session, clock.generation)
        }
    }

    /// Where the earlier epoch's clock puts this timestamp; none of another session's, which says nothing beside it.
    pub(crate) fn resumed_place(&self, session: SessionId, rtmp: u32) -> Option<MediaTime> {
        let resumed = self.resumed.filter(|_| self.session == session)?;
        let (unwrapped, _) = unwrap(resumed.last, rtmp);
        Some(MediaTime((unwrapped + resumed.offset) * 1000))
    }

    /// A relay connection begins. Another session's timestamps say nothing beside the last one's: an encoder that is
    /// stopped and started within seconds begins at zero again.
    pub(crate) fn connect(&mut self, session: SessionId, generation: Generation) {
        self.other_session = self.anchor.is_some() && (self.other_session || self.session != session);
        self.anew |= self.other_session;
        self.session = session;
        self.generation = generation;
        self.stragglers = None;
        let filter = ReplayFilter { video: true, audio: true, began: None };
        self.filter = (self.anchor.is_some() && !self.anew).then_some(filter);
        for track in [&mut self.video, &mut self.audio].into_iter().flatten() {
            track.heard = None;
        }
    }

    /// Whether the next media has nothing to do with the last: its pictures cannot be decoded without a keyframe.
    pub(crate) fn begins_anew(&self) -> bool {
        self.anew
    }

    /// `consumed` is where the track's media ends so far.
    pub(crate) fn place(
        &mut self,
        input: Input,
        rtmp: u32,
        consumed: Option<MediaTime>,
        now: UnixMillis,
    ) -> Placed {
        let Some(anchor) = self.anchor else {
            self.anchor = Some(now.0 - FIRST_MEDIA_MS);
            self.burst = Some(Burst::new(now));
            return self.put(input, rtmp.into(), FIRST_MEDIA_MS - i64::from(rtmp), now);
        };
        if self.pace.is_some_and(|pace| pace.is_ahead()) {
            let end = self.latest.map_or(0, |latest| latest.at);
            match self.pace.as_mut().map(|pace| pace.judge(end - (now.0 - anchor), now)) {
                Some(Verdict::CaughtUp) => self.anew = true,
                _ => return Placed::Drop,
            }
        }
        if self.anew {
            return Placed::Jump;
        }
        let own = self.track(input);
        let Some(known) = own.or(self.track(input.other())).or(self.resumed) else { return Placed::Jump };
        let (unwrapped, delta) = unwrap(known.last, rtmp);
        let at = unwrapped + known.offset;
        match self.replay(input, MediaTime(at * 1000), delta, consumed, now) {
            Replayed::Consumed => {
                // What follows is judged by what came before it, whoever needed that.
                let last = own.map_or(unwrapped, |own| own.last.max(unwrapped));
                *self.track_mut(input) = Some(TrackClock { last, heard: Some(now), ..known });
                if self.latest.is_none_or(|latest| latest.at < at) {
                    self.latest = Some(Latest { at, heard: now });
                }
                return Placed::Drop;
            }
            Replayed::Wanted => {
                // It goes on from here, not from what the earlier worker heard last.
                *self.track_mut(input) = Some(TrackClock { last: unwrapped, heard: Some(now), ..known });
                let furthest = self.latest.map_or(at, |latest| latest.at.max(at));
                self.latest = Some(Latest { at: furthest, heard: now });
                return Placed::At(MediaTime(at * 1000));
            }
            Replayed::No => {}
        }
        match own {
            Some(own) => self.place_next(input, rtmp, own, now),
            None => self.place_first(input, rtmp, known, now),
        }
    }

    /// A tag of a track that was heard before.
    fn place_next(&mut self, input: Input, rtmp: u32, own: TrackClock, now: UnixMillis) -> Placed {
        let (unwrapped, delta) = unwrap(own.last, rtmp);
        let at = unwrapped + own.offset;
        if (-MAX_STEP_BACK_MS..=JUMP_MS).contains(&delta) || self.is_slow(input, delta, at, now) {
            if self.run_from.is_some_and(|from| at < from) && own.moved.is_none() {
                return Placed::Drop;
            }
            if let Some(video) =
                self.video.filter(|video| input == Input::Audio && self.strays(at, *video, now))
            {
                self.apart_since = None;
                // What lay ahead of the pictures is no measure of how far the timeline has come.
                self.latest = video.heard.map(|heard| Latest { at: video.end(), heard });
                return self.put_audio_anew(video.end(), rtmp, now);
            }
            return self.put(input, unwrapped, own.offset, now);
        }
        match self.video {
            Some(video) if input == Input::Audio => self.move_audio(rtmp, own, video, now),
            _ => Placed::Jump,
        }
    }

    /// Sound whose clock jumped beside pictures: no decoder notices, and the pictures have not changed.
    fn move_audio(&mut self, rtmp: u32, own: TrackClock, video: TrackClock, now: UnixMillis) -> Placed {
        let expected = self.expected(now);
        let (unwrapped, _) = unwrap(video.last, rtmp);
        let beside = unwrapped + video.offset;
        if (beside - expected).abs() <= JUMP_MS && beside >= own.end() - MAX_STEP_BACK_MS {
            // It follows the pictures, which jumped before.
            return self.put(Input::Audio, unwrapped, video.offset, now);
        }
        if !video.was_heard_within(ALIVE_MS, now) {
            return Placed::Jump;
        }
        self.put_audio_anew(expected.max(own.end()), rtmp, now)
    }

    /// Sound goes on at `from`, on a clock of its own.
    fn put_audio_anew(&mut self, from: i64, rtmp: u32, now: UnixMillis) -> Placed {
        self.audio = None;
        let placed = self.put(Input::Audio, rtmp.into(), from - i64::from(rtmp), now);
        if let Some(audio) = &mut self.audio {
            audio.moved = Some(now);
        }
        placed
    }

    /// Whether sound has been far from the pictures that come with it for so long that it will not come back by itself:
    /// a sound card's crystal that is slower or faster than the camera's gets there within days.
    fn strays(&mut self, at: i64, video: TrackClock, now: UnixMillis) -> bool {
        let apart = video.was_heard_within(ALIVE_MS, now) && (at - video.end()).abs() > MAX_APART_MS;
        let since = self.apart_since.filter(|_| apart).unwrap_or(now);
        self.apart_since = apart.then_some(since);
        now.0 - since.0 > APART_FOR_MS
    }

    /// The first tag of a track: it lies where its timestamp says, or else where the other track is now.
    fn place_first(&mut self, input: Input, rtmp: u32, known: TrackClock, now: UnixMillis) -> Placed {
        let (unwrapped, delta) = unwrap(known.last, rtmp);
        let at = unwrapped + known.offset;
        let behind = match input {
            Input::Video => JUMP_MS,
            Input::Audio => MAX_AUDIO_LAG_MS,
        };
        let has_other = self.track(input.other()).is_some();
        let ahead = if has_other { at - self.expected(now) } else { delta };
        if (-behind..=JUMP_MS).contains(&ahead) {
            if self.run_from.is_some_and(|from| at < from) {
                return Placed::Drop;
            }
            return self.put(input, unwrapped, known.offset, now);
        }
        if self.is_straggler(rtmp) {
            return Placed::Drop;
        }
        if !has_other {
            return Placed::Jump;
        }
        let offset = self.expected(now) - i64::from(rtmp);
        self.put(input, rtmp.into(), offset, now)
    }

    /// Whether the wall clock says the same as a timestamp that is far from its track's last: a slide every five
    /// seconds, or pictures that pause while the sound goes on. When both tracks paused, nobody was there.
    fn is_slow(&self, input: Input, delta: i64, at: i64, now: UnixMillis) -> bool {
        let (Some(own), Some(latest)) = (self.track(input), self.latest) else { return false };
        let Some(heard) = own.heard.filter(|_| delta > 0) else { return false };
        let alone = self
            .track(input.other())
            .is_none_or(|other| other.heard.is_none_or(|other| heard.0 - other.0 > JUMP_MS));
        let alive = now.0 - latest.heard.0 <= JUMP_MS;
        // Beside a track that was replayed, nobody knows when its last tag was sent.
        let wall = self.anchor.map_or(at, |anchor| now.0 - anchor);
        let as_long_as_it_took = [self.expected(now), wall].iter().any(|place| (at - place).abs() <= JUMP_MS);
        (alive || (alone && delta <= MAX_STILL_MS)) && as_long_as_it_took
    }

    /// Where media that comes now would lie, had it come without a pause.
    fn expected(&self, now: UnixMillis) -> i64 {
        let resumed = || self.resumed.map_or(0, TrackClock::end);
        self.latest.map_or_else(resumed, |latest| latest.at + (now.0 - latest.heard.0).clamp(0, MAX_STILL_MS))
    }

    fn put(&mut self, input: Input, unwrapped: i64, offset: i64, now: UnixMillis) -> Placed {
        let at = unwrapped + offset;
        let lead = at - (now.0 - self.anchor.unwrap_or(now.0 - FIRST_MEDIA_MS));
        if let Some(burst) = &mut self.burst {
            burst.saw(lead, now);
        }
        if self.pace.get_or_insert_with(|| Pace::new(lead, now)).judge(lead, now) != Verdict::Fine {
            return Placed::TooFast;
        }
        let track = self.track_mut(input);
        let before = track.filter(|known| known.offset == offset);
        *track = Some(TrackClock {
            last: before.map_or(unwrapped, |known| known.last.max(unwrapped)),
            offset,
            heard: Some(now),
            moved: track.and_then(|known| known.moved),
        });
        let furthest = self.latest.map_or(at, |latest| latest.at.max(at));
        self.latest = Some(Latest { at: furthest, heard: now });
        Placed::At(MediaTime(at * 1000))
    }

    /// Everything from here on lies so many milliseconds later.
    pub(crate) fn delay(&mut self, by: i64) {
        for track in [&mut self.video, &mut self.audio, &mut self.resumed].into_iter().flatten() {
            track.offset += by;
        }
        if let Some(latest) = &mut self.latest {
            latest.at += by;
        }
    }

    /// Counts one discontinuity; false when there were too many in the last minute.
    pub(crate) fn allow_change(&mut self, now: UnixMillis) -> bool {
        self.changes.spend(now)
    }

    /// Whether timestamps go on where an earlier epoch's left off.
    pub(crate) fn continues(&self) -> bool {
        self.run_from.is_none()
    }

    /// Wall clock of an instant of the timeline.
    pub(crate) fn date(&self, at: MediaTime) -> UnixMillis {
        UnixMillis(self.anchor.unwrap_or(0) + at.0 / 1000)
    }

    pub(crate) fn state(&self) -> Option<InputClock> {
        let leader = self.video.or(self.audio).or(self.resumed)?;
        // Beside a picture that stays for minutes, sound says how far the publisher has come.
        let on_its_clock = self.audio.filter(|audio| audio.offset == leader.offset);
        let last = on_its_clock.map_or(leader.last, |audio| audio.last.max(leader.last));
        Some(InputClock {
            session: self.session,
            generation: self.generation,
            offset: MediaTime(leader.offset * 1000),
            wraps: u32::try_from(last >> 32).unwrap_or(0),
            last_rtmp: low(last),
            date_anchor: UnixMillis(self.anchor?),
        })
    }

    fn track(&self, input: Input) -> Option<TrackClock> {
        match input {
            Input::Video => self.video,
            Input::Audio => self.audio,
        }
    }

    fn track_mut(&mut self, input: Input) -> &mut Option<TrackClock> {
        match input {
            Input::Video => &mut self.video,
            Input::Audio => &mut self.audio,
        }
    }

    fn is_straggler(&mut self, rtmp: u32) -> bool {
        let Some(old) = &mut self.stragglers else { return false };
        let (_, delta) = unwrap(old.last, rtmp);
        if old.left == 0 || delta.abs() > JUMP_MS {
            return false;
        }
        old.left -= 1;
        true
    }
}

/// The timestamp nearest to `last` that has these 32 low bits, and how far from it that is.
fn unwrap(last: i64, rtmp: u32) -> (i64, i64) {
    let delta = i64::from(rtmp.wrapping_sub(low(last)).cast_signed());
    (last + delta, delta)
}

fn low(unwrapped: i64) -> u32 {
    u32::try_from(unwrapped.rem_euclid(1 << 32)).unwrap_or(0)
}

/// Where the first media of a broadcast lies. Before it goes the lead-in of 14 s; pictures may lie 3 s before the first sound,
/// and be shown 5 s before they are decoded.
const FIRST_MEDIA_MS: i64 = 24_000;
/// ARCHITECTURE §5: a greater one is a discontinuity, anything less a hole.
const JUMP_MS: i64 = 3_000;
/// A track's timestamp that steps back by less is an encoder's rounding.
const MAX_STEP_BACK_MS: i64 = 200;
/// A track that was heard so recently goes on while the other one jumps.
const ALIVE_MS: i64 = 2_000;
/// Sound may come so much later than the pictures of its time, when it begins.
const MAX_AUDIO_LAG_MS: i64 = 5_000;
/// Later sound is waited for no more, and earlier sound makes its own frames wait as long.
const MAX_APART_MS: i64 = 6_000;
/// Longer than any burst in which one track comes before the other.
const APART_FOR_MS: i64 = 2_000;
/// A picture that is shown for longer is an encoder that was away.
const MAX_STILL_MS: i64 = 60_000;
/// ARCHITECTURE §6.
const MAX_CHANGES_A_MINUTE: usize = 6;
/// An encoder tries again each second or two.
const MAX_SESSIONS_A_MINUTE: usize = 30;

#[cfg(test)]
mod tests;
