//! What a stream left behind, judged by other people's parsers and by ffprobe, and compared with what was sent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use caudal_livestream::admission::LatencyMode;
use caudal_livestream::timeline::{Segment, SegmentPhase, Timeline, Track};
use caudal_livestream::{Epoch, Generation, Msn, SessionId, UnixMillis};
use caudal_media::flv::{AudioTag, FlvTag, TagKind, USUAL_LENGTH_SIZE, VideoTag, begins_decoding};
use caudal_media::lead_in::{LeadIn, make};
use caudal_media::manifest::{Reach, dash};
use caudal_media::playlist::{Delivery, master, media};
use caudal_media::{Output, Packager, PackagerConfig};
use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::{HlsLine, Reader};
use tempfile::TempDir;

/// A stream that is over.
pub struct Packaged {
    #[expect(dead_code, reason = "the folder goes with it")]
    pub folder: TempDir,
    /// The stream's own folder.
    pub live: PathBuf,
    pub timeline: Timeline,
    /// Every segment that was announced, by rendition.
    pub segments: BTreeMap<String, Vec<Segment>>,
    pub sent: Vec<FlvTag>,
}

impl Packaged {
    /// A file of the stream's folder.
    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.live.join(name)).unwrap()
    }

    /// The codec and the size of a rendition's first segment, as ffprobe sees them.
    pub fn seen(&self, rendition: &str) -> String {
        let first = self.segments[rendition].iter().find(|segment| !segment.gap).unwrap();
        let init = self.file(rendition, &format!("init-{}.mp4", first.init.as_ref().unwrap()));
        let path = self.live.join("to-look-at.mp4");
        std::fs::write(&path, [init, self.file(rendition, &format!("{}-1.m4s", first.msn))].concat())
            .unwrap();
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-show_entries", "stream=codec_name,codec_tag_string,width,height"])
            .args(["-of", "csv=p=0"])
            .arg(&path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn discontinuities(&self) -> u64 {
        let all = self.segments.values().next().unwrap();
        all.last().unwrap().discontinuity - all[0].discontinuity
    }

    /// Everything that holds for every publisher.
    pub fn whole(&self) {
        assert!(self.timeline.ended);
        assert!(self.timeline.tracks.iter().all(|track| !track.withdrawn), "{:?}", self.timeline.tracks);
        self.check_playlists();
        self.check_alignment();
        self.check_decoding();
        self.check_lead_in();
        let pictures = self.sent.iter().filter_map(picture).skip_while(|(keyframe, _)| !keyframe);
        let pictures: Vec<u8> = pictures.flat_map(|(_, data)| data).collect();
        if !pictures.is_empty() {
            assert!(self.media_of("source") == pictures, "every picture is as it was sent");
        }
        self.check_sounds();
    }

    fn check_playlists(&self) {
        check_playlist(&self.text("master.m3u8"));
        for (name, segments) in &self.segments {
            let text = self.text(&format!("{name}/index.m3u8"));
            check_playlist(&text);
            assert!(text.contains("#EXT-X-ENDLIST"), "{text}");
            for segment in segments.iter().filter(|segment| !segment.gap) {
                assert!(text.contains(&format!("\n{}-1.m4s\n", segment.msn)), "{} in {text}", segment.msn);
            }
        }
        let text = self.text("manifest.mpd");
        let manifest = dash_mpd_core::parse(&text).unwrap();
        assert_eq!(u64::try_from(manifest.periods.len()).unwrap(), self.discontinuities() + 1, "{text}");
        let mut named = 0;
        for representation in manifest
            .periods
            .iter()
            .flat_map(|period| &period.adaptations)
            .flat_map(|set| &set.representations)
        {
            let template = representation.SegmentTemplate.as_ref().unwrap();
            assert!(self.live.join(template.initialization.as_ref().unwrap()).is_file(), "{text}");
            let entries = &template.SegmentTimeline.as_ref().unwrap().segments;
            let count: u64 =
                entries.iter().map(|entry| 1 + u64::try_from(entry.r.unwrap_or(0)).unwrap()).sum();
            let first = template.startNumber.unwrap();
            for number in first..first + count {
                let file = template.media.as_ref().unwrap().replace("$Number$", &number.to_string());
                assert!(self.live.join(&file).is_file(), "{file} of {text}");
                named += 1;
            }
        }
        assert_eq!(named, self.segments.values().map(Vec::len).sum::<usize>(), "{text}");
    }

    /// The same numbers everywhere, at the same instants within a frame.
    fn check_alignment(&self) {
        let lead = self.segments.get("source").unwrap_or_else(|| &self.segments["audio"]);
        for (name, segments) in &self.segments {
            let numbers = |all: &[Segment]| all.iter().map(|segment| segment.msn).collect::<Vec<_>>();
            assert_eq!(numbers(segments), numbers(lead), "{name}");
            for (own, wanted) in segments.iter().zip(lead) {
                assert_eq!(own.discontinuity, wanted.discontinuity, "{name} {}", own.msn);
                assert_eq!(own.gap, wanted.gap, "{name} {}", own.msn);
                let distance = (own.start.0 - wanted.start.0).abs();
                // A picture lasts as long as it does; a sound 1024 samples.
                let allowed = if name == "audio" { 1_024_000_000 / 48_000 + 1000 } else { 1000 };
                assert!(distance <= allowed, "{name} {} begins {distance} µs off", own.msn);
            }
        }
    }

    fn check_decoding(&self) {
        let sent = self.sent.iter().filter_map(picture).skip_while(|(keyframe, _)| !keyframe).count();
        for (name, segments) in &self.segments {
            let mut decoded = 0;
            for run in segments
                .chunk_by(|one, next| one.init == next.init && one.discontinuity == next.discontinuity)
            {
                let init = self.file(name, &format!("init-{}.mp4", run[0].init.as_ref().unwrap()));
                let mut whole = init.clone();
                for segment in run {
                    let own = self.file(name, &format!("{}-1.m4s", segment.msn));
                    if segment.independent {
                        let frames = decoded_frames(&[&init, &own], &self.live);
                        assert!(frames > 0, "{name} {}", segment.msn);
                    }
                    whole.extend(own);
                }
                decoded += decoded_frames(&[&whole], &self.live);
            }
            if name != "audio" {
                assert_eq!(decoded, sent, "every picture of {name}");
            }
        }
    }

    /// What players are given before the first segment, and that: a decoder takes it as one stream.
    fn check_lead_in(&self) {
        for (name, segments) in &self.segments {
            let first = &segments[0];
            let track = self.timeline.tracks.iter().find(|track| track.name.as_str() == name).unwrap();
            let track = Track { segments: [first.clone()].into(), ..track.clone() };
            let Some(lead_in) = LeadIn::of(&self.timeline, &track) else {
                assert!(!first.lead_in || first.gap, "{name} {first:?}");
                continue;
            };
            let init = self.file(name, &format!("init-{}.mp4", first.init.as_ref().unwrap()));
            let own = Bytes::from(self.file(name, &format!("{}-1.m4s", first.msn)));
            let spans =
                (0..first.msn.0 - 1).map(|msn| lead_in.segment(Msn(msn)).unwrap()).chain(lead_in.parts());
            let made: Vec<Bytes> = spans.map(|span| make(span, &init, &own).unwrap()).collect();
            let of_first = decoded_frames(&[&init, &own], &self.live);
            let pieces: Vec<&[u8]> = [&init[..]]
                .into_iter()
                .chain(made.iter().map(|piece| &piece[..]))
                .chain([&own[..]])
                .collect();
            let decoded = decoded_frames(&pieces, &self.live);
            let more = if name == "audio" { decoded.saturating_sub(of_first) } else { made.len() };
            assert!(more > 0 && decoded == of_first + more, "{name}: {decoded} of {of_first} and {more}");
        }
    }

    /// Silence may stand before, between and behind them, and some lie before the first picture or behind the last.
    fn check_sounds(&self) {
        let packaged = self.media_of("audio");
        let (mut missing, mut all) = (0, 0);
        let mut rest = packaged.as_slice();
        for data in self.sent.iter().filter_map(sound) {
            all += 1;
            // No farther than that: an encoder that begins anew makes the same bytes once more.
            let near = &rest[..rest.len().min(NEARBY)];
            match near.windows(data.len()).position(|window| window == data) {
                Some(at) => rest = &rest[at + data.len()..],
                None => missing += 1,
            }
        }
        assert!(missing <= UNHEARD, "{missing} of {all} sounds are missing");
    }

    /// Coded frames as they stand in storage.
    fn media_of(&self, name: &str) -> Vec<u8> {
        let stored = self.segments[name].iter().filter(|segment| !segment.gap);
        stored
            .flat_map(|segment| {
                let file = self.file(name, &format!("{}-1.m4s", segment.msn));
                boxes(&file, *b"mdat").concat()
            })
            .collect()
    }

    fn file(&self, rendition: &str, name: &str) -> Vec<u8> {
        std::fs::read(self.live.join(rendition).join(name)).unwrap()
    }
}

/// What the edge would answer now.
pub fn check_live(timeline: &Timeline) {
    check_playlist(&master(timeline));
    for track in timeline.tracks.iter().filter(|track| !track.withdrawn) {
        for delivery in [Delivery::Full, Delivery::Delta] {
            check_playlist(&media(timeline, track, delivery));
        }
        assert!(track.segments.iter().rev().skip(1).all(|segment| segment.phase != SegmentPhase::Open));
    }
    let text = dash(timeline, Reach::Finished);
    dash_mpd_core::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
}

/// The same tags twice, without a clock but theirs: the same bytes.
pub fn check_offline(tags: &[FlvTag]) {
    let (one, two) = (package(tags), package(tags));
    assert!(one.iter().any(|output| matches!(output, Output::Announce { data: Some(_), .. })));
    assert!(one == two, "the same input gives the same output");
}

fn package(tags: &[FlvTag]) -> Vec<Output> {
    let mut packager = Packager::new(PackagerConfig {
        stream: serde_json::from_str(NOBODY).unwrap(),
        epoch: Epoch(1),
        latency_mode: LatencyMode::Low,
        ladder: Vec::new(),
        hints: None,
        resume: None,
    });
    let session: SessionId = serde_json::from_str(NOBODY).unwrap();
    packager.publisher(session, Generation(1));
    let mut outputs = Vec::new();
    let mut now = UnixMillis(1_700_000_000_000);
    for tag in tags {
        now = UnixMillis(now.0.max(1_700_000_000_000 + i64::from(tag.timestamp_ms)));
        match tag.kind {
            TagKind::Video => packager.video(tag.timestamp_ms, tag.body.clone(), now),
            TagKind::Audio => packager.audio(tag.timestamp_ms, tag.body.clone(), now),
            TagKind::Script => {}
        }
        outputs.extend(std::iter::from_fn(|| packager.poll()));
    }
    packager.finish(now);
    outputs.extend(std::iter::from_fn(|| packager.poll()));
    outputs
}

/// Only tags that the parser knows, with the attributes that it wants.
fn check_playlist(text: &str) {
    let options = ParsingOptionsBuilder::new().with_parsing_for_all_tags().build();
    let mut reader = Reader::from_str(text, options);
    while let Some(line) = reader.read_line().unwrap_or_else(|error| panic!("{error}: {text}")) {
        assert!(matches!(line, HlsLine::KnownTag(_) | HlsLine::Uri(_)), "{line:?} in {text}");
    }
}

fn picture(tag: &FlvTag) -> Option<(bool, Bytes)> {
    match (tag.kind == TagKind::Video).then(|| VideoTag::parse(&tag.body).unwrap())? {
        VideoTag::Frame { codec, flagged, data, .. } => {
            Some((begins_decoding(codec, flagged, &data, USUAL_LENGTH_SIZE), data))
        }
        _ => None,
    }
}

fn sound(tag: &FlvTag) -> Option<Bytes> {
    match (tag.kind == TagKind::Audio).then(|| AudioTag::parse(&tag.body).unwrap())? {
        AudioTag::Frame { data, .. } => Some(data),
        _ => None,
    }
}

/// The contents of the outermost boxes of one kind.
pub fn boxes(file: &[u8], kind: [u8; 4]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = file;
    while let Some((size, _)) = rest.split_first_chunk::<4>() {
        let (this, behind) = rest.split_at(usize::try_from(u32::from_be_bytes(*size)).unwrap());
        if this[4..8] == kind {
            found.push(&this[8..]);
        }
        rest = behind;
    }
    found
}

/// Frames that ffprobe decodes; it has to have nothing to complain of.
fn decoded_frames(pieces: &[&[u8]], folder: &Path) -> usize {
    let path = folder.join("to-decode.mp4");
    std::fs::write(&path, pieces.concat()).unwrap();
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().trim_end_matches(',').parse().unwrap()
}

/// An id that is the same every time.
const NOBODY: &str = "\"01890a5d-ac96-774b-bcce-b302099a8057\"";
/// More than the silence that stands between two sounds here, less than the sounds of two seconds.
const NEARBY: usize = 16_384;
/// Sounds that may be left out at the beginning, the end and a jump: less than 0.2 s.
const UNHEARD: usize = 8;
