//! What stands before a broadcast's first media: its lead-in, or gaps where none can be made.
//!
//! Players want finished segments before they start, so a young playlist begins with seven: the first part can then be
//! played at once. They are never in the model, in stored playlists or in the manifest.

use caudal_livestream::timeline::{Segment, SegmentPhase, Timeline, Track};
use caudal_livestream::{MediaDuration, Msn, UnixMillis};

use super::{
    Seconds, SegmentHeads, Text, iso_8601, lead_in_part_file, listed, segment_file, target_durations,
};
use crate::lead_in::{LeadIn, SEGMENT, SEGMENTS};

/// The segments that stand before the first one now.
pub(super) struct Preroll<'a> {
    first: &'a Segment,
    count: u64,
    lead_in: Option<LeadIn<'a>>,
    /// Whether parts of its last segment are listed.
    with_parts: bool,
}

impl<'a> Preroll<'a> {
    /// They leave, all together, once three target durations of finished media follow (RFC 8216bis §6.2.2 lets no
    /// playlist become shorter), or when the broadcast is over: its viewers begin at its first picture.
    pub(super) fn of(timeline: &Timeline, track: &'a Track) -> Option<Self> {
        let first = track.segments.front().filter(|first| first.msn == timeline.first_msn)?;
        let length = |open: bool| -> u64 {
            let counts = |segment: &&Segment| open || segment.phase != SegmentPhase::Open;
            listed(timeline, track).filter(counts).map(|segment| segment.duration.0).sum()
        };
        let enough = target_durations(timeline, 3).0;
        if timeline.ended || length(false) >= enough {
            return None;
        }
        Some(Self {
            first,
            count: SEGMENTS.min(first.msn.0),
            lead_in: LeadIn::of(timeline, track),
            with_parts: length(true) < enough,
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn duration(&self) -> MediaDuration {
        MediaDuration(SEGMENT.0.saturating_mul(self.count))
    }

    pub(super) fn first_msn(&self) -> Msn {
        Msn(self.first.msn.0.saturating_sub(self.count))
    }

    /// All but the first `from`, which a delta update's player has already.
    pub(super) fn write(&self, text: &mut Text, heads: &mut SegmentHeads<'a>, from: u64) {
        if from == 0 {
            heads.follow(text, self.first.discontinuity, self.first.init.as_ref());
        } else {
            heads.skip(self.first);
        }
        for before in (1..=self.count.saturating_sub(from)).rev() {
            let earlier = i64::try_from(before.saturating_mul(SEGMENT.0 / 1000)).unwrap_or(i64::MAX);
            let date = UnixMillis(self.first.program_date_time.0.saturating_sub(earlier));
            text.line(format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", iso_8601(date)));
            match &self.lead_in {
                None => text.line(format_args!("#EXT-X-GAP")),
                Some(lead_in) if before == 1 && self.with_parts => self.write_parts(text, lead_in),
                Some(_) => {}
            }
            text.line(format_args!("#EXTINF:{},", Seconds(SEGMENT)));
            text.line(format_args!(
                "{}",
                segment_file(Msn(self.first.msn.0.saturating_sub(before)), self.first.epoch)
            ));
        }
    }

    fn write_parts(&self, text: &mut Text, lead_in: &LeadIn<'_>) {
        for (index, part) in lead_in.parts().enumerate() {
            text.line(format_args!(
                "#EXT-X-PART:DURATION={},URI=\"{}\",INDEPENDENT=YES",
                Seconds(part.length),
                lead_in_part_file(self.first.epoch, index)
            ));
        }
    }
}
