//! How a tag lays NAL units of H.264 and H.265 end to end: behind their lengths, or with start codes between them.

use crate::flv::VideoCodec;
use crate::nal::{self, NalRole};

/// The NAL units of one tag, without empty ones and padding.
#[derive(Debug)]
pub(crate) struct Split<'a> {
    pub(crate) units: Vec<&'a [u8]>,
    /// How the publisher tells them apart.
    pub(crate) framing: Framing,
    /// No start codes were needed.
    pub(crate) by_lengths_alone: bool,
}

/// How units are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Each has its length before it, as ISO/IEC 14496-15 wants it.
    Lengths,
    /// There are start codes between them (H.264 and H.265 annex B), behind a length or without one.
    StartCodes,
}

/// Takes a tag's units apart by lengths of `prefix` bytes, or by start codes where lengths do not add up. `usual` is how
/// the publisher's tags before this one were laid out: short ones can be read both ways. None when neither reading
/// makes sense.
pub(crate) fn split(
    codec: VideoCodec,
    data: &[u8],
    prefix: usize,
    usual: Option<Framing>,
) -> Option<Split<'_>> {
    // A unit of one byte ends a sequence or stream; any other length of one is a start code.
    let long = data.starts_with(LONG_START_CODE) && !matches!(data.get(4), Some(0x0A | 0x0B));
    // A length between 256 and 511 looks like a short start code.
    let short = data.starts_with(SHORT_START_CODE) && usual != Some(Framing::Lengths);
    let by_start_codes = || (long || short).then(|| by_start_codes(codec, data)).flatten();
    if long || usual == Some(Framing::StartCodes) {
        by_start_codes().or_else(|| by_lengths(codec, data, prefix))
    } else {
        by_lengths(codec, data, prefix).or_else(by_start_codes)
    }
}

fn by_lengths(codec: VideoCodec, data: &[u8], prefix: usize) -> Option<Split<'_>> {
    let mut split = Split { units: Vec::new(), framing: Framing::Lengths, by_lengths_alone: true };
    let mut rest = data;
    while let Some((head, behind)) = rest.split_at_checked(prefix.max(1)) {
        let length = head.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
        let (unit, behind) = behind.split_at_checked(length)?;
        rest = behind;
        if unit.is_empty() {
            continue;
        }
        let begins = begins_with_start_code(unit);
        if begins {
            // Some cameras put one length before a whole access unit of annex B.
            split.framing = Framing::StartCodes;
        }
        let small = nal::role(codec, unit) != NalRole::Slice;
        if begins || (small && find_start_code(unit).is_some()) {
            // A start code further on may be just a message that is not escaped (§7.4.1): other units are as they were.
            split.by_lengths_alone = false;
            push_between_start_codes(unit, &mut split.units);
        } else {
            split.units.push(unit);
        }
        if split.units.len() > MAX_UNITS {
            return None;
        }
    }
    // Fewer bytes than a length has are padding.
    let padding = rest.iter().all(|byte| *byte == 0) || !begins_with_start_code(data);
    padding.then_some(split)
}

fn by_start_codes(codec: VideoCodec, data: &[u8]) -> Option<Split<'_>> {
    let units = between_start_codes(data);
    // Lengths that are wrong by chance look like a start code too, but what follows does not look like units.
    let whole = units.len() <= MAX_UNITS && units.iter().all(|unit| nal::is_known(codec, unit));
    whole.then_some(Split { units, framing: Framing::StartCodes, by_lengths_alone: false })
}

/// The units between start codes; all of it without zero bytes at its end where there is none.
pub(crate) fn between_start_codes(data: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    push_between_start_codes(data, &mut units);
    units
}

/// Zero bytes behind a unit belong to the next start code, or are padding (`trailing_zero_8bits`).
fn push_between_start_codes<'a>(data: &'a [u8], units: &mut Vec<&'a [u8]>) {
    let mut rest = Some(data);
    while let Some(data) = rest.filter(|_| units.len() <= MAX_UNITS) {
        let at = find_start_code(data);
        let unit = data.get(..at.unwrap_or(data.len())).unwrap_or_default();
        let used = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if let Some(unit) = unit.get(..used).filter(|unit| !unit.is_empty()) {
            units.push(unit);
        }
        rest = at.and_then(|at| data.get(at + SHORT_START_CODE.len()..));
    }
}

pub(crate) fn begins_with_start_code(data: &[u8]) -> bool {
    data.starts_with(SHORT_START_CODE) || data.starts_with(LONG_START_CODE)
}

fn find_start_code(data: &[u8]) -> Option<usize> {
    data.windows(SHORT_START_CODE.len()).position(|bytes| bytes == SHORT_START_CODE)
}

pub(crate) const LONG_START_CODE: &[u8] = &[0, 0, 0, 1];
const SHORT_START_CODE: &[u8] = &[0, 0, 1];
/// A slice for each packet of 1,500 bytes makes some thousands of the largest pictures.
const MAX_UNITS: usize = 16_384;
