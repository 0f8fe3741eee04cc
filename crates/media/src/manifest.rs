//! The DASH manifest of a timeline.
//!
//! One Period for each run of segments of one (epoch, discontinuity), because the epoch is part of the file names and
//! a discontinuity changes the init. The presentation's time zero is 1970, so a Period's start is the wall clock of
//! its first frame, and no manifest depends on when or where it was rendered.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;

use caudal_livestream::timeline::{
    CaptionChannel, Segment, SegmentPhase, Timeline, Track, TrackMedia, VideoRange,
};
use caudal_livestream::{Epoch, InitHash, MediaDuration, MediaTime, UnixMillis};

use crate::playlist::iso_8601;

/// The `Content-Type` of a manifest.
pub const CONTENT_TYPE: &str = "application/dash+xml";

/// Which segments a manifest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// All whole ones: for the edge, which serves them before storage has them.
    Finished,
    /// Those in storage: for any file server.
    Stored,
}

/// `manifest.mpd`: every rendition that has not left the stream.
pub fn dash(timeline: &Timeline, reach: Reach) -> String {
    let tracks = runs(timeline, reach);
    let periods = periods(&tracks, timeline.ended);
    let ended = timeline.ended && tracks.iter().all(Runs::complete);
    let mut mpd = Mpd(String::with_capacity(4096));
    mpd.line(format_args!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"));
    root(&mut mpd, timeline, &periods, ended);
    for (index, period) in periods.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| periods.get(before));
        // The last Period of a presentation that is over must say how long it is.
        let until = if ended && index.saturating_add(1) == periods.len() { media_end(&tracks) } else { None };
        write_period(&mut mpd, period, before, until, &tracks, &timeline.captions);
    }
    // The clock that players compare theirs with is the answer's own Date header; a file server has one too.
    if !ended {
        mpd.line(format_args!(
            "  <UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-head:2014\" value=\"manifest.mpd\"/>"
        ));
    }
    mpd.line(format_args!("</MPD>"));
    mpd.0
}

/// Whether a manifest of it has a Period: players take one without for broken.
pub fn has_period(timeline: &Timeline, reach: Reach) -> bool {
    !periods(&runs(timeline, reach), timeline.ended).is_empty()
}

fn runs(timeline: &Timeline, reach: Reach) -> Vec<Runs<'_>> {
    timeline.tracks.iter().filter(|track| !track.withdrawn).map(|track| Runs::of(track, reach)).collect()
}

struct Mpd(String);

impl Mpd {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing into a String cannot fail.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }
}

/// What names a Period: (epoch, discontinuity). Stable while segments come and go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    discontinuity: u64,
    epoch: Epoch,
}

impl Key {
    fn of(segment: &Segment) -> Self {
        Self { discontinuity: segment.discontinuity, epoch: segment.epoch }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}-{}", self.discontinuity, self.epoch)
    }
}

/// A rendition's segments, in runs of one key.
struct Runs<'a> {
    track: &'a Track,
    keyed: Vec<(Key, Vec<&'a Segment>)>,
    named: usize,
}

impl<'a> Runs<'a> {
    fn of(track: &'a Track, reach: Reach) -> Self {
        let mut runs: Vec<(Key, Vec<&Segment>)> = Vec::new();
        let mut named = 0_usize;
        for segment in &track.segments {
            let reached = match reach {
                Reach::Finished => segment.phase != SegmentPhase::Open,
                Reach::Stored => segment.is_served_from_storage(),
            };
            if !reached {
                break;
            }
            named = named.saturating_add(1);
            let key = Key::of(segment);
            match runs.last_mut() {
                Some((last, run)) if *last == key => run.push(segment),
                _ => runs.push((key, vec![segment])),
            }
        }
        Self { track, keyed: runs, named }
    }

    fn complete(&self) -> bool {
        self.named == self.track.segments.len()
    }

    fn run(&self, key: Key) -> Option<&[&'a Segment]> {
        self.keyed.iter().find(|(found, _)| *found == key).map(|(_, run)| run.as_slice())
    }

    fn init(&self, key: Key) -> Option<&'a InitHash> {
        self.run(key)?.iter().find_map(|segment| segment.init.as_ref())
    }
}

struct Period<'a> {
    key: Key,
    /// Presentation time and media time of its beginning.
    start: UnixMillis,
    offset: MediaTime,
    /// Of the rendition that it is described by.
    run: &'a [&'a Segment],
}

/// The Periods, each as the first rendition has it that is in it: from where video has joined a stream of sound, the video.
/// Until that one has a whole segment, nothing is said of a Period, because renditions do not begin at the same microsecond.
///
/// The oldest Period may have lost segments at its front, so its beginning is no longer known: it is said to begin
/// at media time zero instead. The mapping of media to presentation time is the same, which is what players keep.
fn periods<'a>(tracks: &'a [Runs<'_>], ended: bool) -> Vec<Period<'a>> {
    let mut leading = BTreeMap::new();
    for runs in tracks {
        for key in runs.track.segments.iter().map(Key::of) {
            leading.entry(key).or_insert_with(|| runs.run(key));
        }
    }
    let is_first = leading.len() == 1;
    if let Some(newest) =
        leading.last_entry().filter(|newest| !ended && !is_settled(tracks, *newest.key(), is_first))
    {
        newest.remove();
    }
    let mut periods = Vec::with_capacity(leading.len());
    for (key, run) in leading {
        let Some((first, run)) = run.and_then(|run| Some((run.first()?, run))) else { continue };
        let (start, offset) = if periods.is_empty() {
            (
                UnixMillis(first.program_date_time.0.saturating_sub(first.start.0.div_euclid(1000))),
                MediaTime(0),
            )
        } else {
            (first.program_date_time, first.start)
        };
        periods.push(Period { key, start, offset, run });
    }
    periods
}

/// Whether the newest Period has the renditions that it will have: players do not take well to those that come later. ffmpeg never
/// reads another manifest when one has joined, and a Period that began without sound stays silent in dash.js. In the first one that is
/// every rendition; in a later one, which viewers wait for, a rendition of each kind. None is waited for longer than [`PATIENCE`].
fn is_settled(tracks: &[Runs<'_>], newest: Key, is_first: bool) -> bool {
    let has_begun =
        |runs: &Runs<'_>| runs.run(newest).is_some_and(|run| run.iter().any(|segment| !segment.gap));
    let has_waited = tracks.iter().any(|runs| {
        let media = runs.track.segments.iter().filter(|segment| Key::of(segment) == newest);
        media.skip(1).map(|segment| segment.duration.0).sum::<u64>() >= PATIENCE.0
    });
    let has_kind = |video: bool| {
        let mut kind = tracks.iter().filter(|runs| runs.track.is_video() == video).peekable();
        kind.peek().is_none() || kind.any(has_begun)
    };
    has_waited || if is_first { tracks.iter().all(has_begun) } else { has_kind(true) && has_kind(false) }
}

/// How much media a rendition may have beyond its first segment while another has not finished one. A rung is as far behind the
/// source as its encoder needs, half a second in most cases.
const PATIENCE: MediaDuration = MediaDuration(1_500_000);

fn media_end(tracks: &[Runs<'_>]) -> Option<MediaTime> {
    tracks
        .iter()
        .filter_map(|runs| runs.keyed.last()?.1.last())
        .map(|segment| segment.start.plus(segment.duration))
        .max()
}

fn root(mpd: &mut Mpd, timeline: &Timeline, periods: &[Period<'_>], ended: bool) {
    let target = timeline.target_duration;
    let newest = periods.last().and_then(|period| period.run.last());
    let published = newest.map_or(UnixMillis(0), |last| {
        UnixMillis(
            last.program_date_time.0.saturating_add(i64::try_from(last.duration.0 / 1000).unwrap_or(0)),
        )
    });
    let depth = periods.iter().flat_map(|period| period.run).map(|segment| segment.duration.0).sum::<u64>();
    mpd.line(format_args!(
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" \
         type=\"dynamic\" availabilityStartTime=\"1970-01-01T00:00:00Z\" publishTime=\"{published}\" \
         minBufferTime=\"PT{target}S\" maxSegmentDuration=\"PT{target}S\" \
         suggestedPresentationDelay=\"PT{delay}S\"{live}>",
        published = iso_8601(published),
        delay = target.max(2).saturating_mul(3) / 2,
        // Without an update period the manifest is final; without a depth nothing of it goes out of reach.
        live = if ended {
            String::new()
        } else {
            format!(" minimumUpdatePeriod=\"PT1S\" timeShiftBufferDepth=\"PT{}S\"", Millis(depth / 1000))
        },
    ));
}

fn write_period(
    mpd: &mut Mpd,
    period: &Period<'_>,
    before: Option<&Period<'_>>,
    until: Option<MediaTime>,
    tracks: &[Runs<'_>],
    captions: &[CaptionChannel],
) {
    let length = until.map_or_else(String::new, |until| {
        format!(" duration=\"PT{}S\"", Millis(until.since(period.offset).0 / 1000))
    });
    mpd.line(format_args!(
        "  <Period id=\"{}\" start=\"PT{}S\"{length}>",
        period.key,
        Millis(u64::try_from(period.start.0).unwrap_or(0))
    ));
    for (id, content) in [(1, "video"), (2, "audio")] {
        let of_kind = |runs: &&Runs<'_>| {
            runs.track.is_video() == (content == "video") && runs.init(period.key).is_some()
        };
        let mut set = tracks.iter().filter(of_kind).peekable();
        if set.peek().is_none() {
            continue;
        }
        mpd.line(format_args!(
            "    <AdaptationSet id=\"{id}\" contentType=\"{content}\" mimeType=\"{content}/mp4\" \
             segmentAlignment=\"true\" startWithSAP=\"1\">"
        ));
        if let Some(before) = before.filter(|before| continues(before.key, period.key, tracks)) {
            mpd.line(format_args!(
                "      <SupplementalProperty schemeIdUri=\"urn:mpeg:dash:period-continuity:2015\" value=\"{}\"/>",
                before.key
            ));
        }
        if content == "video" {
            accessibility(mpd, captions);
        }
        for runs in set {
            representation(mpd, period, runs);
        }
        mpd.line(format_args!("    </AdaptationSet>"));
    }
    mpd.line(format_args!("  </Period>"));
}

/// Captions in the pictures (ANSI/SCTE 214-1 §6.5); in which language is not known.
fn accessibility(mpd: &mut Mpd, captions: &[CaptionChannel]) {
    let (mut cea_608, mut cea_708) = (Vec::new(), Vec::new());
    for channel in captions {
        match channel {
            CaptionChannel::Cea608(_) => cea_608.push(format!("{channel}=und")),
            CaptionChannel::Cea708(service) => cea_708.push(format!("{service}=lang:und")),
        }
    }
    for (standard, channels) in [("cea-608", cea_608), ("cea-708", cea_708)] {
        if !channels.is_empty() {
            mpd.line(format_args!(
                "      <Accessibility schemeIdUri=\"urn:scte:dash:cc:{standard}:2015\" value=\"{}\"/>",
                channels.join(";")
            ));
        }
    }
}

/// Only the worker changed: same timeline, same inits.
fn continues(before: Key, this: Key, tracks: &[Runs<'_>]) -> bool {
    before.discontinuity == this.discontinuity
        && tracks.iter().all(|runs| match (runs.init(before), runs.init(this)) {
            (Some(before), Some(this)) => before == this,
            _ => true,
        })
}

fn representation(mpd: &mut Mpd, period: &Period<'_>, runs: &Runs<'_>) {
    let (Some(run), Some(init)) = (runs.run(period.key), runs.init(period.key)) else { return };
    let track = runs.track;
    let name = &track.name;
    let media = match track.media {
        TrackMedia::Video { width, height, frame_rate_milli, .. } => {
            format!("width=\"{width}\" height=\"{height}\" frameRate=\"{}\"", FrameRate(frame_rate_milli))
        }
        TrackMedia::Audio { sample_rate, .. } => format!("audioSamplingRate=\"{sample_rate}\""),
    };
    mpd.line(format_args!(
        "      <Representation id=\"{name}\" codecs=\"{}\" bandwidth=\"{}\" {media}>",
        track.codecs,
        track.average_bandwidth.max(1)
    ));
    match track.media {
        TrackMedia::Audio { channels, .. } => mpd.line(format_args!(
            "        <AudioChannelConfiguration \
             schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" value=\"{channels}\"/>"
        )),
        TrackMedia::Video { range: VideoRange::Sdr, .. } => {}
        // By ISO/IEC 23091-2's code point. Not as an essential property, for which players leave out what can be played.
        TrackMedia::Video { range, .. } => mpd.line(format_args!(
            "        <SupplementalProperty schemeIdUri=\"urn:mpeg:mpegB:cicp:TransferCharacteristics\" value=\"{}\"/>",
            if range == VideoRange::Pq { 16 } else { 18 }
        )),
    }
    mpd.line(format_args!(
        "        <SegmentTemplate timescale=\"{TIMESCALE}\" presentationTimeOffset=\"{offset}\" \
         startNumber=\"{start}\" initialization=\"{name}/init-{init}.mp4\" \
         media=\"{name}/$Number$-{epoch}.m4s\">",
        offset = period.offset.0,
        start = run.first().map_or(0, |first| first.msn.0),
        epoch = period.key.epoch,
    ));
    mpd.line(format_args!("          <SegmentTimeline>"));
    let mut run = run.iter().peekable();
    let mut end = None;
    while let Some(segment) = run.next() {
        let mut repeats = 0_u64;
        let mut next = segment.start.plus(segment.duration);
        while let Some(same) = run.next_if(|s| s.start == next && s.duration == segment.duration) {
            repeats = repeats.saturating_add(1);
            next = same.start.plus(same.duration);
        }
        let time =
            if end == Some(segment.start) { String::new() } else { format!(" t=\"{}\"", segment.start.0) };
        let repeat = if repeats == 0 { String::new() } else { format!(" r=\"{repeats}\"") };
        mpd.line(format_args!("            <S{time} d=\"{}\"{repeat}/>", segment.duration.0));
        end = Some(next);
    }
    mpd.line(format_args!("          </SegmentTimeline>"));
    mpd.line(format_args!("        </SegmentTemplate>"));
    mpd.line(format_args!("      </Representation>"));
}

/// Milliseconds as the seconds of an `xs:duration`.
struct Millis(u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// Frames a thousand seconds as DASH's fraction; broadcast rates are multiples of 1/1.001.
struct FrameRate(u32);

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.saturating_add(999) / 1000;
        if self.0.is_multiple_of(1000) {
            write!(f, "{whole}")
        } else if u64::from(self.0).abs_diff(u64::from(whole) * 1_000_000 / 1001) <= 5 {
            write!(f, "{}/1001", u64::from(whole) * 1000)
        } else {
            write!(f, "{}/1000", self.0)
        }
    }
}

/// The timeline's microseconds.
const TIMESCALE: u32 = 1_000_000;

#[cfg(test)]
mod tests;
