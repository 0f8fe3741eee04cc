//! What is missing where one worker goes on for another.

use caudal_livestream::timeline::Segment;
use caudal_livestream::{MediaDuration, MediaTime};

/// How much media of a rendition nobody will ever get: what the worker before has `listed` and not stored before `begins`, where
/// the next worker's media begins; the hole up to there; and `given_up`, what lies behind and cannot be made again. None where
/// nothing is listed: nobody knows where media ended.
pub(crate) fn lost<'a>(
    listed: impl DoubleEndedIterator<Item = &'a Segment> + Clone,
    begins: MediaTime,
    given_up: MediaDuration,
) -> Option<MediaDuration> {
    let ends = |segment: &Segment| segment.start.plus(segment.duration);
    let hole = begins.since(ends(listed.clone().next_back()?));
    // A gap was lost before.
    let unstored = listed.filter(|segment| !segment.is_served_from_storage());
    let unstored: u64 = unstored.map(|segment| begins.min(ends(segment)).since(segment.start).0).sum();
    let hole = if hole.0 > ROUNDING.0 { hole.0 } else { 0 };
    Some(MediaDuration(unstored.saturating_add(hole).saturating_add(given_up.0)))
}

/// Decode times against presentation times, frames of sound, and milliseconds.
const ROUNDING: MediaDuration = MediaDuration::from_millis(100);

#[cfg(test)]
mod tests {
    use caudal_livestream::timeline::SegmentPhase::{self, Finished, Open, Stored};
    use caudal_livestream::{Epoch, Msn, UnixMillis};

    use super::*;

    /// Each lasts two seconds; the first one begins at 24 s.
    fn segments(phases: &[(SegmentPhase, bool)]) -> Vec<Segment> {
        let segment = |(n, (phase, gap)): (u64, &(SegmentPhase, bool))| Segment {
            msn: Msn(7 + n),
            epoch: Epoch(1),
            start: MediaTime(24_000_000).plus(MediaDuration::from_secs(2 * n)),
            duration: MediaDuration::from_secs(2),
            discontinuity: 0,
            program_date_time: UnixMillis(0),
            init: None,
            phase: *phase,
            gap: *gap,
            independent: true,
            lead_in: false,
            size: 0,
            parts: Vec::new(),
        };
        (0..).zip(phases).map(segment).collect()
    }

    #[test]
    fn what_is_lost_is_what_was_not_stored_and_does_not_come_again() {
        let stored = [(Stored, false); 3];
        let unstored = [(Stored, false), (Finished, false), (Open, false)];
        for (what, listed, begins_ms, given_up_ms, lost_ms) in [
            ("all is stored, and the next one begins behind it", &stored[..], 30_000, 0, Some(0)),
            ("a frame of rounding", &stored, 30_040, 0, Some(0)),
            ("the next one begins a second later", &stored, 31_000, 0, Some(1_000)),
            ("what was not stored comes again", &unstored, 26_000, 0, Some(0)),
            ("a part of it does", &unstored, 28_000, 0, Some(2_000)),
            ("nothing of it does", &unstored, 30_000, 0, Some(4_000)),
            ("nor what came behind it", &unstored, 31_500, 0, Some(5_500)),
            (
                "it comes again, but not what followed under unknown names",
                &unstored,
                26_000,
                3_000,
                Some(3_000),
            ),
            ("a gap was lost before", &[(Stored, false), (Finished, true)], 28_000, 0, Some(0)),
            ("nothing is listed", &[], 28_000, 0, None),
        ] {
            let lost = lost(
                segments(listed).iter(),
                MediaTime(begins_ms * 1000),
                MediaDuration::from_millis(given_up_ms),
            );
            assert_eq!(lost.map(|lost| lost.0), lost_ms.map(|ms: u64| ms * 1000), "{what}");
        }
    }
}
