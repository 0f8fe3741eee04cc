//! Gaps before a broadcast's first media.
//!
//! Players want finished segments before they start, so a young playlist begins with seven that hold nothing: the
//! first part can then be played at once. They are never in the model, in stored playlists or in the manifest.

use caudal_livestream::timeline::{Segment, SegmentPhase, Timeline, Track};
use caudal_livestream::{MediaDuration, Msn, UnixMillis};

use super::{Seconds, SegmentHeads, Text, iso_8601, listed, segment_file, target_durations};

/// The gaps that stand before the first segment now.
pub(super) struct Preroll<'a> {
    first: &'a Segment,
    count: u64,
}

impl<'a> Preroll<'a> {
    /// They leave, all together, once three target durations of finished media follow (RFC 8216bis §6.2.2 lets no
    /// playlist become shorter), or when the broadcast is over: its viewers begin at its first picture.
    pub(super) fn of(timeline: &Timeline, track: &'a Track) -> Option<Self> {
        let first = track.segments.front().filter(|first| first.msn == timeline.first_msn)?;
        let finished: u64 =
            listed(timeline, track).filter(|s| s.phase != SegmentPhase::Open).map(|s| s.duration.0).sum();
        if timeline.ended || finished >= target_durations(timeline, 3).0 {
            return None;
        }
        Some(Self { first, count: COUNT.min(first.msn.0) })
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn duration(&self) -> MediaDuration {
        MediaDuration(LENGTH.0.saturating_mul(self.count))
    }

    pub(super) fn first_msn(&self) -> Msn {
        Msn(self.first.msn.0.saturating_sub(self.count))
    }

    /// The gaps but the first `from`, which a delta update's player has already.
    pub(super) fn write(&self, text: &mut Text, heads: &mut SegmentHeads<'a>, from: u64) {
        if from == 0 {
            heads.follow(text, self.first.discontinuity, self.first.init.as_ref());
        } else {
            heads.skip(self.first);
        }
        for before in (1..=self.count.saturating_sub(from)).rev() {
            let earlier = i64::try_from(before.saturating_mul(LENGTH.0 / 1000)).unwrap_or(i64::MAX);
            let date = UnixMillis(self.first.program_date_time.0.saturating_sub(earlier));
            text.line(format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", iso_8601(date)));
            text.line(format_args!("#EXT-X-GAP"));
            text.line(format_args!("#EXTINF:{},", Seconds(LENGTH)));
            text.line(format_args!(
                "{}",
                segment_file(Msn(self.first.msn.0.saturating_sub(before)), self.first.epoch)
            ));
        }
    }
}

/// Enough finished segments for every player that was tried; real media begins at MSN 7.
const COUNT: u64 = 7;
/// The nominal segment; always within TARGETDURATION, which is never below 2.
const LENGTH: MediaDuration = MediaDuration::from_secs(2);
