//! What players are given before a broadcast's first media (ARCHITECTURE §5).
//!
//! Players want finished segments before they start, and a young stream has none. So its playlists begin with a lead-in:
//! the first picture, standing, and silence in the configuration of the sound, on the same timeline and under the same
//! initialization segment. It is made on request, of the first media: the same bytes wherever it is made. The model, storage
//! and the manifest never hold it.

use bytes::Bytes;
use caudal_livestream::timeline::{Segment, Timeline, Track};
use caudal_livestream::{MediaDuration, Msn};
use mp4_atom::{Codec, Decode as _, Ftyp, Moof, Moov};
use thiserror::Error;

use crate::cmaf::{SampleTiming, fragment};
use crate::codec::aac::AacConfig;
use crate::sample::Sample;
use crate::track::ticks;

/// Segments before the first one with media: enough for every player that was tried.
pub const SEGMENTS: u64 = 7;
/// The nominal segment; always within TARGETDURATION, which is never below 2 s.
pub const SEGMENT: MediaDuration = MediaDuration::from_secs(2);
/// Microseconds that have to lie before the first media: the segments, and a frame of the slowest AAC.
pub(crate) const ROOM: i64 = 14_200_000;

/// The lead-in of one rendition.
#[derive(Clone, Copy, Debug)]
pub struct LeadIn<'a> {
    first: &'a Segment,
    part_target: MediaDuration,
}

/// Where a piece of a lead-in lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From its beginning to the first media. Whole milliseconds.
    pub before: MediaDuration,
    /// How long it is by the playlist; sound comes in whole frames and ends at the nearest one. Whole milliseconds.
    pub length: MediaDuration,
}

/// Why no lead-in can be made of a rendition's first media.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LeadInError {
    /// The initialization segment or the first part is not what a packager writes.
    #[error("the first media cannot be read: {0}")]
    Unreadable(String),
    /// The first media lies so near to the timeline's beginning that nothing goes before it.
    #[error("no room before the first media")]
    NoRoom,
    /// A frame of sound is longer than the piece.
    #[error("no frame of sound ends in it")]
    NoFrame,
}

impl<'a> LeadIn<'a> {
    /// None when nothing can be made of the rendition's first segment, or that has left the live window. A playlist lists
    /// the lead-in for half as long at most, so players find what they read of there.
    pub fn of(timeline: &Timeline, track: &'a Track) -> Option<Self> {
        let first = track.segments.front().filter(|first| first.msn == timeline.first_msn)?;
        (first.lead_in && !first.gap).then_some(Self { first, part_target: track.part_target })
    }

    /// The segment that it is made of.
    pub fn first(&self) -> &'a Segment {
        self.first
    }

    /// A segment of it.
    pub fn segment(&self, msn: Msn) -> Option<Span> {
        let before = self.first.msn.0.checked_sub(msn.0)?;
        let listed = (1..=SEGMENTS).contains(&before);
        listed.then(|| Span { before: MediaDuration(SEGMENT.0.saturating_mul(before)), length: SEGMENT })
    }

    /// A part of its last segment.
    pub fn part(&self, index: usize) -> Option<Span> {
        self.parts().nth(index)
    }

    /// The parts of its last segment: hls.js follows parts only where the segment that it begins with has some. None is
    /// longer than PART-TARGET, and all but the last have 85 % of that (RFC 8216bis §4.4.4.9).
    pub fn parts(&self) -> impl Iterator<Item = Span> + use<> {
        let whole = SEGMENT.0 / 1000;
        let longest = (self.part_target.0 / 1000).clamp(SHORTEST_PART_MS, whole);
        let even = whole.div_ceil(whole.div_ceil(longest));
        let length = even.max(self.part_target.0.saturating_mul(85).div_ceil(100_000)).min(longest);
        let count = whole.div_ceil(length);
        (0..count).map(move |index| {
            let before = whole.saturating_sub(index.saturating_mul(length));
            Span {
                before: MediaDuration::from_millis(before),
                length: MediaDuration::from_millis(length.min(before)),
            }
        })
    }
}

/// The bytes of the piece at `span`. `init` is the initialization segment of the rendition's first segment, and `first` that
/// segment or its first part.
///
/// # Errors
/// [`LeadInError`] when these are not what a packager writes.
pub fn make(span: Span, init: &[u8], first: &Bytes) -> Result<Bytes, LeadInError> {
    let description = Description::read(init)?;
    let first = FirstSample::read(first)?;
    let samples = match &description.sound {
        Some(config) => silence(span, config, first.decode_time)?,
        None => vec![picture(span, description.timescale, first)?],
    };
    let timing = match &description.sound {
        Some(config) => SampleTiming::Constant(config.frame_samples),
        None => SampleTiming::Each,
    };
    // Numbers of fragments count from one where media begins.
    fragment(0, &samples, timing).map_err(|error| unreadable(&error))
}

/// The first picture, for as long as the piece lasts.
fn picture(span: Span, timescale: u32, first: FirstSample) -> Result<Sample, LeadInError> {
    let ticks = |length: MediaDuration| ticks(i64::try_from(length.0).unwrap_or(i64::MAX), timescale);
    Ok(Sample {
        decode_time: first.decode_time.checked_sub(ticks(span.before)).ok_or(LeadInError::NoRoom)?,
        duration: u32::try_from(ticks(span.length)).unwrap_or(u32::MAX),
        composition: first.composition,
        keyframe: true,
        idr: true,
        data: first.data,
    })
}

/// Frames from the one that begins nearest to the piece's beginning to the one nearest to its end, counted from the first
/// media, so that the last one ends where that begins.
fn silence(span: Span, config: &AacConfig, first: u64) -> Result<Vec<Sample>, LeadInError> {
    let frame = u64::from(config.frame_samples.max(1));
    let frames_in = |length: u64| {
        let ticks = ticks(i64::try_from(length).unwrap_or(i64::MAX), config.core_rate);
        ticks.saturating_add(frame / 2) / frame
    };
    let (from, to) = (frames_in(span.before.0), frames_in(span.before.0.saturating_sub(span.length.0)));
    if from <= to {
        return Err(LeadInError::NoFrame);
    }
    let data = config.silent_frame();
    let sample = |before: u64| {
        let decode_time = first.checked_sub(before.saturating_mul(frame)).ok_or(LeadInError::NoRoom)?;
        Ok(Sample {
            decode_time,
            duration: config.frame_samples,
            composition: 0,
            keyframe: true,
            idr: false,
            data: data.clone(),
        })
    };
    (to.saturating_add(1)..=from).rev().map(sample).collect()
}

/// What an initialization segment says of its track.
struct Description {
    timescale: u32,
    /// None for pictures.
    sound: Option<AacConfig>,
}

impl Description {
    fn read(mut init: &[u8]) -> Result<Self, LeadInError> {
        Ftyp::decode(&mut init).map_err(|error| unreadable(&error))?;
        let moov = Moov::decode(&mut init).map_err(|error| unreadable(&error))?;
        let media = moov.trak.first().map(|track| &track.mdia).ok_or_else(|| missing("track"))?;
        let codec = media.minf.stbl.stsd.codecs.first().ok_or_else(|| missing("codec"))?;
        let sound = match codec {
            Codec::Mp4a(mp4a) => {
                let specific = mp4a.esds.es_desc.dec_config.dec_specific.as_ref();
                let record = specific.ok_or_else(|| missing("AudioSpecificConfig"))?.raw.clone();
                let config = AacConfig::parse(&Bytes::from(record));
                Some(config.map_err(|error| LeadInError::Unreadable(error.to_string()))?)
            }
            _ => None,
        };
        Ok(Self { timescale: media.mdhd.timescale, sound })
    }
}

/// What media begins with.
struct FirstSample {
    decode_time: u64,
    composition: i32,
    data: Bytes,
}

impl FirstSample {
    fn read(media: &Bytes) -> Result<Self, LeadInError> {
        let mut rest: &[u8] = media;
        let moof = Moof::decode(&mut rest).map_err(|error| unreadable(&error))?;
        let track = moof.traf.first().ok_or_else(|| missing("traf"))?;
        let run = track.trun.first().ok_or_else(|| missing("trun"))?;
        let entry = run.samples.get(0).ok_or_else(|| missing("sample"))?;
        let at =
            |from: usize, size: u32| from..from.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        let from = run.data_offset.and_then(|offset| usize::try_from(offset).ok());
        let range = from.zip(entry.size).map(|(from, size)| at(from, size));
        let range = range.filter(|range| range.end <= media.len()).ok_or_else(|| missing("whole sample"))?;
        Ok(Self {
            decode_time: track.tfdt.as_ref().ok_or_else(|| missing("tfdt"))?.base_media_decode_time,
            composition: entry.cts.and_then(|cts| i32::try_from(cts).ok()).unwrap_or(0),
            data: media.slice(range),
        })
    }
}

fn unreadable(error: &mp4_atom::Error) -> LeadInError {
    LeadInError::Unreadable(error.to_string())
}

fn missing(what: &str) -> LeadInError {
    LeadInError::Unreadable(format!("no {what}"))
}

/// A damaged PART-TARGET must not make thousands of parts.
const SHORTEST_PART_MS: u64 = 20;

#[cfg(test)]
mod tests;
