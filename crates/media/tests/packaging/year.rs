//! A simulated year of one channel: hours of quiet between minutes in which something happens.

use std::collections::BTreeMap;

use bytes::Bytes;
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{Epoch, Generation, Msn, RenditionName, SessionId, UnixMillis};
use caudal_media::{Beyond, MediaReport, PackagerConfig, Resume};

use crate::recorder::{
    AVC_RECORD, NOW, Recorder, avc_frame, avc_header, config, decode_times, rendition, rung,
};
use crate::resumption::floor;

const SECOND: i64 = 1_000;
const DAY: i64 = 86_400 * SECOND;
/// Ten pictures a second and 64 ms of sound a frame: sparse, so that a year takes seconds.
const PICTURE: i64 = 100;
const GOP: i64 = 20;
const SOUND: i64 = 64;

/// The channel, its encoder, and whoever watches.
struct Channel {
    recorder: Recorder,
    epoch: u32,
    session: u128,
    /// The encoder's clock at the beginning of the year, in milliseconds; modulo 2^32 on the wire.
    clock: i64,
    /// Tags of late, as the router keeps them.
    replay: Vec<(i64, u32, Bytes, bool)>,
    /// Breaks that the publisher has made so far.
    breaks: u64,
    seen: BTreeMap<RenditionName, Seen>,
}

/// How far a rendition has come.
#[derive(Clone, Copy, Default)]
struct Seen {
    msn: u64,
    date: i64,
    discontinuity: u64,
    decode: u64,
    /// The last segment whose decode times were looked at.
    looked_at: u64,
}

impl Channel {
    fn start() -> Self {
        let mut recorder = Recorder::new(ladder(1, None));
        headers(&mut recorder);
        Self {
            recorder,
            epoch: 1,
            session: 0,
            clock: 0,
            replay: Vec::new(),
            breaks: 0,
            seen: BTreeMap::new(),
        }
    }

    /// Media from one millisecond of the year to another, at `speed` thousandths of real time.
    fn send(&mut self, from: i64, length: i64, speed: i64, rung: Encoder) {
        let mut tags: Vec<(i64, bool, i64)> = (0..length / PICTURE).map(|n| (n * PICTURE, true, n)).collect();
        tags.extend((0..length / SOUND).map(|n| (n * SOUND, false, n)));
        tags.sort_unstable();
        for (at, video, n) in tags {
            let stamp = self.stamp(from + at);
            let body = if video { avc_frame(n % GOP == 0, 0, 60) } else { sound() };
            self.replay.push((from + at, stamp, body.clone(), video));
            self.recorder.at(from + at * 1000 / speed);
            tag(&mut self.recorder, stamp, body, video);
            if n % 4 == 0 {
                self.recorder.tick();
            }
            if rung == Encoder::Works {
                self.recorder.encode(&rendition("240p"));
            } else {
                self.recorder.encodes.clear();
            }
        }
        // The encoder's clock is behind the wall's from now on, or before it.
        self.clock -= length * 1000 / speed - length;
        let kept = from + length - 8 * SECOND;
        self.replay.retain(|(at, ..)| *at >= kept);
    }

    fn stamp(&self, at: i64) -> u32 {
        u32::try_from((at + self.clock).rem_euclid(1 << 32)).expect("32 bits")
    }

    /// Nobody sends anything, for the most of a day.
    fn is_quiet(&mut self, from: i64, to: i64) {
        for after in [100, 1_100, 5_000, 31_000, 3_600_000] {
            self.recorder.at((from + after).min(to));
            self.recorder.tick();
        }
        self.recorder.at(to);
    }

    /// The encoder is started anew, and counts from somewhere else.
    fn restarts(&mut self, at: i64, first_stamp: i64) {
        self.session += 1;
        self.clock = first_stamp - at;
        self.replay.clear();
        self.recorder.packager.publisher_lost(UnixMillis(NOW + at));
        let session = SessionId(uuid::Uuid::from_u128(self.session));
        self.recorder.packager.publisher(session, Generation(u32::try_from(self.session).expect("few")));
        headers(&mut self.recorder);
    }

    /// The worker is lost, and another one goes on from what is stored and what the router kept.
    fn worker_is_lost(&mut self, at: i64) {
        self.check();
        let timeline = self.recorder.timeline.clone().expect("announced");
        let state = self.recorder.state.clone().expect("stored");
        let resume = Resume {
            timeline: state,
            clock: self.recorder.packager.clock(),
            floor: floor(&timeline),
            beyond: Beyond::SameEpoch,
        };
        self.epoch += 1;
        let session = SessionId(uuid::Uuid::from_u128(self.session));
        let mut recorder = Recorder::published_by(ladder(self.epoch, Some(resume)), session);
        recorder.at(at);
        headers(&mut recorder);
        let first = self.replay.iter().position(|(_, _, body, video)| *video && body[0] == 0x17);
        for (_, stamp, body, video) in &self.replay[first.expect("a keyframe is kept")..] {
            tag(&mut recorder, *stamp, body.clone(), *video);
            recorder.encode(&rendition("240p"));
        }
        self.recorder = recorder;
    }

    fn rung_is_shown(&self) -> bool {
        let timeline = self.recorder.timeline.as_ref().expect("announced");
        timeline.track(&rendition("240p")).is_some_and(|track| !track.withdrawn)
    }

    /// What is new goes on from what was there, and nothing of it is kept for ever.
    fn check(&mut self) {
        let recorder = &mut self.recorder;
        let mut stored = Vec::new();
        for (name, segments) in std::mem::take(&mut recorder.segments) {
            let seen = self.seen.entry(name.clone()).or_default();
            for segment in &segments {
                assert!(
                    segment.msn.0 > seen.msn || segment.epoch.0 < self.epoch,
                    "{name} {segment:?}: {} was there",
                    seen.msn
                );
                assert!(
                    segment.program_date_time.0 >= seen.date || segment.msn.0 <= seen.msn,
                    "{name} {segment:?}"
                );
                assert!(segment.discontinuity >= seen.discontinuity, "{name} {segment:?}");
                if segment.msn.0 > seen.msn {
                    *seen = Seen {
                        msn: segment.msn.0,
                        date: segment.program_date_time.0,
                        discontinuity: segment.discontinuity,
                        ..*seen
                    };
                }
                stored.push((name.clone(), segment.msn));
            }
        }
        for ((name, msn), data) in std::mem::take(&mut recorder.wholes) {
            let seen = self.seen.entry(name.clone()).or_default();
            let mut before = 0;
            for decode in decode_times(&data) {
                assert!(decode >= before, "{name} {msn} {decode}");
                before = decode;
                // What an earlier worker announced is made again.
                assert!(decode >= seen.decode || msn.0 <= seen.looked_at, "{name} {msn} {decode}");
            }
            seen.decode = seen.decode.max(before);
            seen.looked_at = seen.looked_at.max(msn.0);
        }
        recorder.files.clear();
        for (name, msn) in stored {
            recorder.packager.stored(&name, msn);
        }
        recorder.drain();
    }

    fn held(&self) -> usize {
        format!("{:?}", self.recorder.packager).len()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoder {
    Works,
    IsGone,
}

fn ladder(epoch: u32, resume: Option<Resume>) -> PackagerConfig {
    PackagerConfig { ladder: vec![rung("240p", 240)], epoch: Epoch(epoch), resume, ..config() }
}

fn headers(recorder: &mut Recorder) {
    recorder.metadata(Some(10_000), true, true);
    // AAC-LC, 16 kHz, mono.
    recorder.audio(0, Bytes::from_static(b"\xaf\x00\x14\x08"));
    recorder.video(0, avc_header(AVC_RECORD));
}

fn sound() -> Bytes {
    Bytes::from_static(b"\xaf\x01\x01\x40\x20\x06\x4f\xde\x02\x70\x0c\x1c")
}

fn tag(recorder: &mut Recorder, stamp: u32, body: Bytes, video: bool) {
    if video { recorder.video(stamp, body) } else { recorder.audio(stamp, body) }
}

#[test]
fn a_year_of_one_channel_breaks_only_where_its_publisher_does() {
    let mut channel = Channel::start();
    // Every day at noon; and whenever half of the encoder's 32 bits are full or all of them, while it runs for months.
    let mut stretches: Vec<i64> = (0..365).map(|day| day * DAY + DAY / 2).collect();
    let wraps: Vec<i64> = (1..=4).map(|half| half << 31).collect();
    stretches.extend(wraps.iter().map(|at| at - 5 * SECOND));
    stretches.sort_unstable();
    let (mut warm, mut came_back) = (0, 0);
    let mut last_end = 0;
    for (n, &begins) in stretches.iter().enumerate() {
        let (mut at, day) = (begins, begins / DAY);
        if n > 0 {
            channel.is_quiet(last_end, at);
            // Nobody knows what was missed meanwhile.
            channel.breaks += 1;
        }
        let is_wrap = wraps.contains(&(begins + 5 * SECOND));
        match day {
            // Until day 100 one session runs through four halves of the timestamps.
            _ if is_wrap => {}
            // The next begins near their end, or at zero.
            100..200 if day % 7 == 0 => {
                let first = if day % 14 == 0 { (1 << 32) - 3 * SECOND } else { 0 };
                channel.restarts(at, first);
            }
            _ => {}
        }
        channel.send(at, 12 * SECOND, 1000, Encoder::Works);
        at += 12 * SECOND;
        match day {
            _ if is_wrap => {}
            // A slow hour: the encoder's machine gives nine seconds in ten.
            _ if day % 13 == 5 => {
                channel.send(at, 18 * SECOND, 900, Encoder::Works);
                at += 20 * SECOND;
            }
            // The encoder's clock is set, forwards or back.
            _ if day % 17 == 3 => {
                channel.clock += if day % 2 == 0 { 3_600_000 } else { -2_500 };
                channel.breaks += 1;
                channel.replay.clear();
                channel.send(at, 10 * SECOND, 1000, Encoder::Works);
                at += 10 * SECOND;
            }
            _ if day % 30 == 11 => {
                channel.worker_is_lost(at + 700);
                channel.send(at, 14 * SECOND, 1000, Encoder::Works);
                at += 14 * SECOND;
            }
            // The machine has a bad moment, and then room again.
            _ if day % 11 == 7 => {
                let name = rendition("240p");
                channel.recorder.packager.withdraw(&name);
                channel.send(at, 6 * SECOND, 1000, Encoder::IsGone);
                channel.recorder.segments.remove(&name);
                assert!(!channel.rung_is_shown(), "day {day}");
                channel.recorder.packager.rung_returns(&name);
                channel.recorder.packager.rung_video(&name, 0, avc_header(crate::recorder::OTHER_AVC_RECORD));
                channel.send(at + 6 * SECOND, 12 * SECOND, 1000, Encoder::Works);
                at += 18 * SECOND;
                came_back += 1;
            }
            _ => {}
        }
        last_end = at;
        channel.check();
        assert!(channel.rung_is_shown(), "no rung is lost: day {day}");
        let changes =
            channel.recorder.reports.drain(..).filter(|report| *report == MediaReport::TooManyChanges);
        assert_eq!(changes.count(), 0, "day {day}");
        assert_eq!(channel.recorder.unplayable, [], "day {day}");
        for name in ["source", "audio", "240p"] {
            let found = channel.seen[&rendition(name)].discontinuity;
            assert_eq!(found, channel.breaks, "{name}, day {day}, {begins}");
        }
        // Thirty days have seen all there is.
        if day < 30 {
            warm = warm.max(channel.held());
        }
        assert!(day < 30 || channel.held() <= warm * 5 / 4, "day {day}: {} of {warm}", channel.held());
    }
    assert!(came_back > 20 && channel.epoch > 8, "{came_back} {}", channel.epoch);
    let timeline: &Timeline = channel.recorder.timeline.as_ref().expect("announced");
    for track in &timeline.tracks {
        let last = track.segments.back().expect("segments");
        assert!(last.msn > Msn(365 * 6), "{} {}", track.name, last.msn);
        // The encoder has lost two seconds in every slow hour; where media lies is what the wall clock says.
        let off = last.program_date_time.0 - (NOW + last_end);
        assert!((-4 * SECOND..=0).contains(&off), "{}: {off}", track.name);
    }
}
