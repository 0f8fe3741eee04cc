//! A reader of a packager's outputs that checks every promise of ARCHITECTURE §5 as they come.

use std::collections::BTreeMap;

use bytes::Bytes;
use caudal_livestream::admission::{BroadcastHints, LadderRung, LatencyMode};
use caudal_livestream::feed::Event;
use caudal_livestream::timeline::{Segment, SegmentPhase, Timeline};
use caudal_livestream::{Epoch, Generation, Msn, RenditionName, SessionId, StreamId, UnixMillis};
use caudal_media::{MediaReport, Output, Packager, PackagerConfig, SourceMetadata};

pub(crate) const NOW: i64 = 1_700_000_000_000;

/// x264, 640x360 at 30 fps, High, from ffmpeg's FLV.
pub(crate) const AVC_RECORD: &[u8] = b"\x01\x64\x00\x1e\xff\xe1\x00\x1a\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\xf9\x70\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x3c\x0f\x16\x2d\x96\x01\x00\x06\x68\xeb\xe3\xcb\x22\xc0\xfd\xf8\xf8\x00";
/// The same without B-frames.
pub(crate) const OTHER_AVC_RECORD: &[u8] = b"\x01\x64\x00\x1e\xff\xe1\x00\x19\x67\x64\x00\x1e\xac\xb4\x05\x01\x7f\xcb\x80\x88\x00\x00\x03\x00\x08\x00\x00\x03\x01\xe0\x78\xb1\x75\x01\x00\x05\x68\xef\x0f\x2c\x8b\xfd\xf8\xf8\x00";

pub(crate) fn config() -> PackagerConfig {
    PackagerConfig {
        stream: StreamId(uuid::Uuid::nil()),
        epoch: Epoch(1),
        latency_mode: LatencyMode::Low,
        ladder: Vec::new(),
        hints: None,
        resume: None,
    }
}

pub(crate) fn hints(keyframe_ms: u32) -> BroadcastHints {
    BroadcastHints { keyframe_ms, max_frame_ms: 34, fps_milli: 30_000 }
}

pub(crate) fn rung(name: &str, height: u32) -> LadderRung {
    LadderRung { name: name.parse().expect("a name"), height, bitrate: 600_000 }
}

pub(crate) fn rendition(name: &str) -> RenditionName {
    name.parse().expect("a name")
}

/// Everything that came out.
pub(crate) struct Recorder {
    pub(crate) packager: Packager,
    pub(crate) timeline: Option<Timeline>,
    /// All finished segments, also those that left the window.
    pub(crate) segments: BTreeMap<RenditionName, Vec<Segment>>,
    pub(crate) files: BTreeMap<RenditionName, Vec<u8>>,
    /// What each segment consists of, so far.
    pub(crate) wholes: BTreeMap<(RenditionName, Msn), Vec<u8>>,
    /// The timeline as it stood at the last whole segment: what a worker has stored.
    pub(crate) state: Option<Timeline>,
    pub(crate) inits: Vec<(RenditionName, String, Bytes)>,
    pub(crate) encodes: Vec<(i64, Bytes, bool, bool)>,
    pub(crate) reports: Vec<MediaReport>,
    /// When the publisher was given up, and why.
    pub(crate) unplayable: Vec<(i64, String)>,
    pub(crate) parts: usize,
    pub(crate) first_part_after: Option<i64>,
    pub(crate) ended: bool,
    /// Frames come at one distance: audio parts are then within 85 % of their target as well.
    pub(crate) steady: bool,
    /// The rung that is encoded as pictures come, at each tick.
    pub(crate) encoder: Option<RenditionName>,
    now: i64,
}

impl Recorder {
    pub(crate) fn new(config: PackagerConfig) -> Self {
        Self::published_by(config, SessionId(uuid::Uuid::nil()))
    }

    pub(crate) fn published_by(config: PackagerConfig, session: SessionId) -> Self {
        let mut packager = Packager::new(config);
        packager.publisher(session, Generation(1));
        Self {
            packager,
            timeline: None,
            segments: BTreeMap::new(),
            files: BTreeMap::new(),
            wholes: BTreeMap::new(),
            state: None,
            inits: Vec::new(),
            encodes: Vec::new(),
            reports: Vec::new(),
            unplayable: Vec::new(),
            parts: 0,
            first_part_after: None,
            ended: false,
            steady: false,
            encoder: None,
            now: NOW,
        }
    }

    pub(crate) fn metadata(&mut self, fps_milli: Option<u32>, has_video: bool, has_audio: bool) {
        self.packager.metadata(&SourceMetadata {
            fps_milli,
            has_video,
            has_audio,
            ..SourceMetadata::default()
        });
    }

    pub(crate) fn at(&mut self, ms: i64) {
        self.now = self.now.max(NOW + ms);
    }

    pub(crate) fn wall(&self) -> UnixMillis {
        UnixMillis(self.now)
    }

    pub(crate) fn video(&mut self, ms: u32, body: Bytes) {
        self.packager.video(ms, body, UnixMillis(self.now));
        self.drain();
    }

    pub(crate) fn audio(&mut self, ms: u32, body: Bytes) {
        self.packager.audio(ms, body, UnixMillis(self.now));
        self.drain();
    }

    /// How many of the pictures that [`Recorder::encode`] made are in a rendition's files.
    pub(crate) fn pictures_of(&self, name: &RenditionName) -> usize {
        // The first of 300 bytes says what kind of picture it is.
        let picture = [0x41; 299];
        let mut rest = self.files.get(name).expect("a rendition").as_slice();
        let mut pictures = 0;
        while let Some(at) = rest.windows(picture.len()).position(|bytes| bytes == picture) {
            pictures += 1;
            rest = &rest[at + picture.len()..];
        }
        pictures
    }

    /// Encodes for a rung what the packager has given out, as an encoder without B-frames does. Returns how many
    /// pictures.
    pub(crate) fn encode(&mut self, name: &RenditionName) -> usize {
        let frames: Vec<_> = self.encodes.drain(..).collect();
        let mut pictures = 0;
        for (at, body, keyframe, header) in frames {
            if header {
                self.packager.rung_video(name, at, avc_header(OTHER_AVC_RECORD));
            } else {
                pictures += 1;
                let composition = i32::from_be_bytes([body[2], body[3], body[4], 0]) >> 8;
                let presentation = at + i64::from(composition);
                self.packager.rung_video(name, presentation, avc_frame(keyframe, 0, 300));
            }
            self.drain();
        }
        pictures
    }

    pub(crate) fn tick(&mut self) {
        self.packager.tick(UnixMillis(self.now));
        self.drain();
        if let Some(rung) = self.encoder.clone() {
            self.encode(&rung);
        }
    }

    pub(crate) fn finish(&mut self) {
        if let Some(rung) = self.encoder.clone() {
            self.encode(&rung);
        }
        self.packager.finish(UnixMillis(self.now));
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.packager.poll() {
            match output {
                Output::Init { rendition, hash, data } => {
                    self.inits.push((rendition, hash.to_string(), data));
                }
                Output::Announce { event, data } => self.announced(&event, data),
                Output::Encode { timestamp_ms, body, keyframe, sequence_header } => {
                    self.encodes.push((timestamp_ms, body, keyframe, sequence_header.is_some()));
                }
                Output::Report(report) => self.reports.push(report),
                Output::Unplayable(what) => self.unplayable.push((self.now - NOW, what)),
            }
        }
    }

    fn announced(&mut self, event: &Event, data: Option<Bytes>) {
        match event {
            Event::Part(_) => assert!(data.is_some(), "a part has bytes"),
            Event::Segment(of) => {
                let alone = of.segment.parts.is_empty() && !of.segment.gap;
                assert_eq!(data.is_some(), alone, "bytes come with what has no parts: {of:?}");
            }
            _ => assert!(data.is_none()),
        }
        match event {
            Event::Snapshot(timeline) => {
                if let Some(known) = &self.timeline {
                    assert_eq!(known.target_duration, timeline.target_duration, "frozen");
                    assert_eq!(known.part_hold_back, timeline.part_hold_back, "frozen");
                }
                self.timeline = Some(timeline.as_ref().clone());
                return;
            }
            Event::Part(part) => {
                let data = data.expect("a part has bytes");
                assert_eq!(data.len(), usize::try_from(part.part.size).expect("small"));
                self.parts += 1;
                self.first_part_after.get_or_insert(self.now - NOW);
                self.files.entry(part.rendition.clone()).or_default().extend_from_slice(&data);
                let whole = (part.rendition.clone(), part.msn);
                self.wholes.entry(whole).or_default().extend_from_slice(&data);
                let timeline = self.timeline.as_ref().expect("a snapshot comes first");
                let target = timeline.track(&part.rendition).expect("announced").part_target;
                assert!(part.part.duration <= target, "{} > {target:?}: {part:?}", part.part.duration);
                assert!(part.part.duration.0 > 0, "{part:?}");
                if let Some(opens) = &part.opens {
                    let hash = opens.init.as_ref().expect("media needs an init").to_string();
                    let known =
                        self.inits.iter().any(|(name, known, _)| *name == part.rendition && *known == hash);
                    assert!(known, "an init comes before what needs it");
                }
            }
            Event::Segment(announced) => {
                let segment = &announced.segment;
                assert_eq!(segment.phase, SegmentPhase::Finished);
                self.check_segment(&announced.rendition, segment);
                if let Some(data) = data {
                    assert_eq!(data.len(), usize::try_from(segment.size).expect("small"));
                    self.wholes.insert((announced.rendition.clone(), segment.msn), data.to_vec());
                }
                self.segments.entry(announced.rendition.clone()).or_default().push(segment.clone());
            }
            Event::End => self.ended = true,
            _ => {}
        }
        let timeline = self.timeline.as_mut().expect("a snapshot comes first");
        timeline.apply(event).expect("events follow each other");
        if matches!(event, Event::Segment(_) | Event::Stored { .. }) {
            self.state = self.timeline.clone();
        }
    }

    /// What could not be packaged.
    pub(crate) fn refusals(&self) -> Vec<&MediaReport> {
        let refusal = |report: &&MediaReport| {
            matches!(report, MediaReport::Malformed { .. } | MediaReport::UnsupportedCodec { .. })
        };
        self.reports.iter().filter(refusal).collect()
    }

    fn check_segment(&self, rendition: &RenditionName, segment: &Segment) {
        let timeline = self.timeline.as_ref().expect("a snapshot comes first");
        let track = timeline.track(rendition).expect("announced");
        let seconds = (segment.duration.0 + 500_000) / 1_000_000;
        assert!(seconds <= u64::from(timeline.target_duration), "{rendition} {segment:?}");
        if track.is_video() && !segment.parts.is_empty() {
            let longest = u64::from(timeline.target_duration) * 1_000_000 + 10_000;
            assert!(segment.duration.0 <= longest, "{rendition} {segment:?}");
        }
        let sizes: u64 = segment.parts.iter().map(|part| u64::from(part.size)).sum();
        if !segment.parts.is_empty() {
            assert_eq!(sizes, segment.size, "a segment is its parts laid end to end");
        }
        if segment.gap {
            assert!(segment.parts.is_empty() && segment.size == 0);
        }
        // Video that jitters moves the audio's boundaries too, which only fall between whole frames.
        let shortest = if track.is_video() || self.steady { track.part_target.0 * 85 / 100 } else { 0 };
        if let [parts @ .., _last] = segment.parts.as_slice() {
            for part in parts {
                assert!(part.duration.0 >= shortest, "{rendition} {part:?} of {shortest} in {segment:?}");
            }
        }
        if let Some(before) = self.segments.get(rendition).and_then(|segments| segments.last()) {
            assert_eq!(before.msn.next(), segment.msn, "media sequence numbers follow each other");
            let end = before.start.plus(before.duration);
            if before.discontinuity == segment.discontinuity {
                assert!(
                    (segment.start.0 - end.0).abs() <= 200_000,
                    "{rendition}: {end:?} then {:?}",
                    segment.start
                );
            } else {
                assert_eq!(
                    before.discontinuity + 1,
                    segment.discontinuity,
                    "{rendition} {before:?} {segment:?} {:?}",
                    self.reports
                );
                assert!(segment.start.0 >= end.0 - 50_000, "{rendition}: {end:?} then {:?}", segment.start);
            }
            assert!(
                before.program_date_time <= segment.program_date_time,
                "dates never run backwards: {rendition} {before:?} {segment:?}"
            );
        }
    }

    /// From the leading rendition's first on, every rendition has the same segments, at the same instants within `tolerance` microseconds.
    pub(crate) fn check_alignment(&self, tolerance: i64) {
        let lead = self.segments.get(&rendition("source")).or_else(|| self.segments.get(&rendition("audio")));
        let Some(lead) = lead else { return };
        for (name, segments) in &self.segments {
            let of = |segments: &[Segment]| -> BTreeMap<Msn, Segment> {
                segments.iter().map(|segment| (segment.msn, segment.clone())).collect()
            };
            let (lead, mut own) = (of(lead), of(segments));
            // Video that joined a stream of sound has nothing before it.
            let first = lead.keys().next().copied().unwrap_or(Msn(0));
            own.retain(|msn, _| *msn >= first);
            assert_eq!(
                lead.keys().collect::<Vec<_>>(),
                own.keys().collect::<Vec<_>>(),
                "{name} has the same segments"
            );
            for (msn, segment) in own {
                let wanted = &lead[&msn];
                assert_eq!(wanted.discontinuity, segment.discontinuity, "{name} {msn}");
                let distance = (wanted.start.0 - segment.start.0).abs();
                assert!(
                    distance <= tolerance,
                    "{name} {msn} begins {distance} µs off: {wanted:?} {segment:?}"
                );
            }
        }
    }

    pub(crate) fn of(&self, name: &str) -> &[Segment] {
        self.segments.get(&rendition(name)).map_or(&[], Vec::as_slice)
    }
}

/// Of every fragment in a segment.
pub(crate) fn decode_times(data: &[u8]) -> Vec<u64> {
    let found = data.windows(4).enumerate().filter(|(_, bytes)| bytes == b"tfdt").map(|(at, _)| at);
    found
        .map(|at| {
            assert_eq!(data[at + 4], 1, "64 bits");
            u64::from_be_bytes(data[at + 8..at + 16].try_into().expect("eight"))
        })
        .collect()
}

pub(crate) fn avc_header(record: &[u8]) -> Bytes {
    let mut body = vec![0x17, 0, 0, 0, 0];
    body.extend_from_slice(record);
    Bytes::from(body)
}

pub(crate) fn avc_frame(keyframe: bool, composition_ms: i32, size: usize) -> Bytes {
    let [_, a, b, c] = composition_ms.to_be_bytes();
    let mut body = vec![if keyframe { 0x17 } else { 0x27 }, 1, a, b, c];
    let length = u32::try_from(size).expect("small");
    body.extend_from_slice(&length.to_be_bytes());
    body.extend(std::iter::repeat_n(0x41, size));
    // The first byte says whether it is an IDR picture.
    if let Some(head) = body.get_mut(9).filter(|_| keyframe) {
        *head = 0x65;
    }
    Bytes::from(body)
}

pub(crate) fn aac_header() -> Bytes {
    Bytes::from_static(b"\xaf\x00\x11\x90")
}

pub(crate) fn aac_frame() -> Bytes {
    Bytes::from_static(b"\xaf\x01\x21\x10\x04\x60\x8c\x1c")
}
