//! Which tag of the publisher's completes the next part.
//!
//! Without rungs, a worker can make nothing of the tags before it. Its router is told, so that these come together with that
//! one instead of waking both processes one by one.

use std::time::Duration;

use caudal_livestream::RenditionName;

/// What is known of the parts to come. Timestamps are the publisher's, modulo 2^32.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    /// Of the tag that is being packaged.
    current: Option<u32>,
    renditions: Vec<Next>,
}

#[derive(Debug)]
struct Next {
    rendition: RenditionName,
    last_part: Duration,
    /// No tag before this one completes the next part; unknown while parts are uneven.
    timestamp_ms: Option<u32>,
}

impl Awaited {
    /// A tag is about to be packaged.
    pub(crate) fn tag(&mut self, timestamp_ms: u32) {
        self.current = Some(timestamp_ms);
    }

    /// What happens from now on is no tag's doing.
    pub(crate) fn no_tag(&mut self) {
        self.current = None;
    }

    /// A part of a rendition was completed.
    pub(crate) fn part(&mut self, rendition: &RenditionName, length: Duration) {
        let at = self.current.map(|current| current.wrapping_add(millis(length.saturating_sub(UNEVEN))));
        if let Some(next) = self.renditions.iter_mut().find(|next| next.rendition == *rendition) {
            let even = next.last_part.abs_diff(length) <= UNEVEN;
            next.timestamp_ms = at.filter(|_| even);
            next.last_part = length;
        } else {
            let next = Next { rendition: rendition.clone(), last_part: length, timestamp_ms: None };
            self.renditions.push(next);
        }
    }

    /// The timestamp before which no tag completes a part of any of so many renditions, and how far that is away.
    pub(crate) fn next(&self, renditions: usize) -> Option<(u32, Duration)> {
        let current = self.current?;
        if self.renditions.len() != renditions {
            return None;
        }
        let ahead = |next: &Next| Some(next.timestamp_ms?.wrapping_sub(current).cast_signed());
        let nearest = self.renditions.iter().map(ahead).collect::<Option<Vec<_>>>()?.into_iter().min()?;
        let nearest = u32::try_from(nearest).ok()?;
        let span = Duration::from_millis(nearest.into());
        (span >= SHORTEST).then(|| (current.wrapping_add(nearest), span))
    }
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

/// Parts of sound differ by one frame of it, which AAC has 21 ms of, and no video that has frames in time differs by more.
/// Among uneven frames a part is closed by the frame behind it, and once they are even again by its own last one. The first such
/// part is complete a frame before what is awaited, and waits for one more where frames are longer than this: once, and no longer
/// than the router waits for anything late (40 ms). To await each part a frame sooner would wake both processes twice for all others.
const UNEVEN: Duration = Duration::from_millis(25);
/// For less than two pictures nothing is gained.
const SHORTEST: Duration = Duration::from_millis(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(span: u64) -> Duration {
        Duration::from_millis(span)
    }

    fn after(parts: &[(u32, &str, u64)]) -> Awaited {
        let mut awaited = Awaited::default();
        for (timestamp, rendition, length) in parts {
            awaited.tag(*timestamp);
            awaited.part(&rendition.parse().unwrap(), ms(*length));
        }
        awaited
    }

    #[test]
    fn the_nearest_part_of_all_renditions_is_awaited_less_what_parts_differ_by() {
        let parts =
            [(1000, "audio", 213), (1010, "source", 200), (1192, "audio", 192), (1210, "source", 200)];
        let awaited = after(&parts);
        assert_eq!(awaited.next(2), Some((1192 + 192 - 25, ms(149))));
        assert_eq!(awaited.next(3), None, "one has made no part yet");
    }

    #[test]
    fn timestamps_wrap() {
        let awaited = after(&[(u32::MAX - 299, "source", 200), (u32::MAX - 99, "source", 200)]);
        assert_eq!(awaited.next(1), Some((75, ms(175))));
    }

    #[test]
    fn nothing_is_awaited_while_parts_are_uneven_or_were_not_completed_by_a_tag() {
        assert_eq!(after(&[(1000, "source", 200)]).next(1), None);
        assert_eq!(after(&[(1000, "source", 200), (1120, "source", 120)]).next(1), None);
        let mut awaited = after(&[(1000, "source", 200), (1200, "source", 200)]);
        assert!(awaited.next(1).is_some());
        awaited.no_tag();
        awaited.part(&"source".parse().unwrap(), ms(200));
        awaited.tag(1433);
        assert_eq!(awaited.next(1), None);
    }

    #[test]
    fn the_first_part_behind_uneven_frames_waits_for_one_frame_more_than_it_needs() {
        // 30 frames a second. The first two parts were closed by the frames behind them, at 1200 and 1400.
        let uneven = after(&[(1200, "source", 200), (1400, "source", 200)]);
        // The next one is complete with its own last frame, at 1567.
        assert_eq!(uneven.next(1), Some((1575, ms(175))));
        let even = after(&[(1200, "source", 200), (1400, "source", 200), (1567, "source", 200)]);
        assert_eq!(even.next(1), Some((1742, ms(175))), "those behind it come with the frame at 1767");
    }

    #[test]
    fn a_track_that_lags_is_awaited_first_and_then_the_other_one_is_never_held_back() {
        let parts =
            [(2000, "source", 200), (1500, "audio", 200), (2200, "source", 200), (1700, "audio", 200)];
        assert_eq!(after(&parts).next(2), Some((1875, ms(175))));
    }
}
