//! What a player asks for, parsed: no text of a request goes any further than this.

use std::fmt;
use std::str::FromStr;

use caudal_livestream::{Epoch, InitHash, Msn, PartNumber};
use caudal_media::playlist::{Delivery, init_file, lead_in_part_file, part_file, segment_file};
use thiserror::Error;

/// A file in a rendition's folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MediaFile {
    /// `p{epoch}-{number}.m4s`
    Part(Epoch, PartNumber),
    /// `l{epoch}-{index}.m4s`: a part of the last segment before the first media.
    LeadInPart(Epoch, usize),
    /// `{msn}-{epoch}.m4s`
    Segment(Msn, Epoch),
    /// `init-{hash}.mp4`
    Init(InitHash),
}

/// The name is none of ours.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not the name of a media file")]
pub(crate) struct UnknownFile;

impl fmt::Display for MediaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self {
            Self::Part(epoch, number) => part_file(*epoch, *number),
            Self::LeadInPart(epoch, index) => lead_in_part_file(*epoch, *index),
            Self::Segment(msn, epoch) => segment_file(*msn, *epoch),
            Self::Init(hash) => init_file(hash),
        })
    }
}

impl FromStr for MediaFile {
    type Err = UnknownFile;

    fn from_str(text: &str) -> Result<Self, UnknownFile> {
        let file = parse_file(text).ok_or(UnknownFile)?;
        // `+7-1.m4s` and `007-1.m4s` are numbers to a parser, and would be second cache entries of one file.
        if file.to_string() == text { Ok(file) } else { Err(UnknownFile) }
    }
}

fn parse_file(text: &str) -> Option<MediaFile> {
    if let Some(hash) = text.strip_prefix("init-") {
        return Some(MediaFile::Init(hash.strip_suffix(".mp4")?.parse().ok()?));
    }
    let name = text.strip_suffix(".m4s")?;
    if let Some(part) = name.strip_prefix('p') {
        let (epoch, number) = part.split_once('-')?;
        return Some(MediaFile::Part(epoch.parse().ok()?, number.parse().ok()?));
    }
    if let Some(part) = name.strip_prefix('l') {
        let (epoch, index) = part.split_once('-')?;
        return Some(MediaFile::LeadInPart(epoch.parse().ok()?, index.parse().ok()?));
    }
    let (msn, epoch) = name.split_once('-')?;
    Some(MediaFile::Segment(msn.parse().ok()?, epoch.parse().ok()?))
}

/// The delivery directives of a playlist request (RFC 8216bis §6.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    /// Answer no earlier than this is in the playlist.
    pub(crate) until: Option<Position>,
    /// How much of it to send.
    pub(crate) delivery: Delivery,
}

/// `_HLS_msn` and `_HLS_part`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) msn: Msn,
    /// None means the whole segment.
    pub(crate) part: Option<u64>,
}

/// Directives that no player may send.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum BadDirectives {
    /// A part of nothing.
    #[error("_HLS_part without _HLS_msn")]
    PartAlone,
    /// Not a number.
    #[error("{0} is not a decimal number")]
    NotANumber(&'static str),
}

impl Directives {
    /// From a URL's query; what is not a directive is not ours to judge.
    pub(crate) fn parse(query: &str) -> Result<Self, BadDirectives> {
        let mut msn = None;
        let mut part = None;
        let mut delivery = Delivery::Full;
        for pair in query.split('&') {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("_HLS_msn", value) => msn = Some(number("_HLS_msn", value)?),
                ("_HLS_part", value) => part = Some(number("_HLS_part", value)?),
                // v2 also skips date ranges, of which there are none.
                ("_HLS_skip", "YES" | "v2") => delivery = Delivery::Delta,
                _ => {}
            }
        }
        match (msn, part) {
            (None, Some(_)) => Err(BadDirectives::PartAlone),
            (None, None) => Ok(Self { until: None, delivery }),
            (Some(msn), part) => Ok(Self { until: Some(Position { msn: Msn(msn), part }), delivery }),
        }
    }
}

fn number(name: &'static str, value: &str) -> Result<u64, BadDirectives> {
    // `u64::from_str` takes a sign, which decimal-integer has not.
    if value.starts_with('+') {
        return Err(BadDirectives::NotANumber(name));
    }
    value.parse().map_err(|_| BadDirectives::NotANumber(name))
}

/// The value of `name` in a query.
pub(crate) fn query_value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// A single byte range, resolved against what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteRange {
    /// All of it: no range was asked for, or one that may be ignored (several ranges, another unit, no syntax).
    Whole,
    /// From the first byte to the one before the second.
    Slice(usize, usize),
    /// Beyond the end.
    Unsatisfiable,
}

impl ByteRange {
    /// Of a `Range` header and a length (RFC 9110 §14.1.2).
    pub(crate) fn parse(header: &str, length: usize) -> Self {
        let Some(spec) = header.strip_prefix("bytes=") else { return Self::Whole };
        let Some((from, to)) = spec.split_once('-') else { return Self::Whole };
        match (from.trim().parse::<usize>(), to.trim()) {
            (Ok(from), _) if from >= length => Self::Unsatisfiable,
            (Ok(from), "") => Self::Slice(from, length),
            (Ok(from), to) => match to.parse::<usize>() {
                Ok(to) if to >= from => Self::Slice(from, to.saturating_add(1).min(length)),
                _ => Self::Whole,
            },
            (Err(_), last) if from.trim().is_empty() => match last.parse::<usize>() {
                Ok(0) => Self::Unsatisfiable,
                Ok(last) => Self::Slice(length.saturating_sub(last), length),
                Err(_) => Self::Whole,
            },
            _ => Self::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_files_are_known_by_their_exact_names() {
        let hash: InitHash = "0a1b".parse().unwrap();
        for (text, file) in [
            ("p3-12.m4s", MediaFile::Part(Epoch(3), PartNumber(12))),
            ("l3-12.m4s", MediaFile::LeadInPart(Epoch(3), 12)),
            ("12-3.m4s", MediaFile::Segment(Msn(12), Epoch(3))),
            ("init-0a1b.mp4", MediaFile::Init(hash)),
        ] {
            assert_eq!(text.parse(), Ok(file));
        }
        for text in [
            "",
            "p.m4s",
            "p1-.m4s",
            "p01-1.m4s",
            "p1-+1.m4s",
            "l1-01.m4s",
            "l1.m4s",
            "1-1-1.m4s",
            "1-1.mp4",
            "init-.mp4",
            "../1-1.m4s",
        ] {
            assert_eq!(text.parse::<MediaFile>(), Err(UnknownFile), "{text}");
        }
    }

    #[test]
    fn directives_are_read_in_any_order_and_strangers_are_ignored() {
        let at = |msn, part| Some(Position { msn: Msn(msn), part });
        for (query, until, delivery) in [
            ("", None, Delivery::Full),
            ("_HLS_msn=7", at(7, None), Delivery::Full),
            ("_HLS_part=2&v=me&_HLS_msn=7", at(7, Some(2)), Delivery::Full),
            ("_HLS_skip=YES", None, Delivery::Delta),
            ("_HLS_skip=v2&_HLS_msn=0&_HLS_part=0", at(0, Some(0)), Delivery::Delta),
            ("_HLS_skip=NO&x", None, Delivery::Full),
        ] {
            assert_eq!(Directives::parse(query), Ok(Directives { until, delivery }), "{query}");
        }
    }

    #[test]
    fn malformed_directives_are_refused() {
        assert_eq!(Directives::parse("_HLS_part=1"), Err(BadDirectives::PartAlone));
        for query in
            ["_HLS_msn=", "_HLS_msn=-1", "_HLS_msn=+1", "_HLS_msn=1.5", "_HLS_msn=99999999999999999999"]
        {
            assert_eq!(Directives::parse(query), Err(BadDirectives::NotANumber("_HLS_msn")), "{query}");
        }
        assert_eq!(Directives::parse("_HLS_msn=1&_HLS_part=x"), Err(BadDirectives::NotANumber("_HLS_part")));
    }

    #[test]
    fn ranges_are_resolved_as_http_says() {
        for (header, range) in [
            ("bytes=0-3", ByteRange::Slice(0, 4)),
            ("bytes=4-", ByteRange::Slice(4, 10)),
            ("bytes=-3", ByteRange::Slice(7, 10)),
            ("bytes=-30", ByteRange::Slice(0, 10)),
            ("bytes=5-99", ByteRange::Slice(5, 10)),
            ("bytes=10-", ByteRange::Unsatisfiable),
            ("bytes=-0", ByteRange::Unsatisfiable),
            ("bytes=5-4", ByteRange::Whole),
            ("bytes=0-1,3-4", ByteRange::Whole),
            ("items=0-1", ByteRange::Whole),
            ("bytes=x", ByteRange::Whole),
        ] {
            assert_eq!(ByteRange::parse(header, 10), range, "{header}");
        }
    }
}
