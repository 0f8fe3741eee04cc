//! When the router may leave the publisher unread, because nothing that comes completes a part.
//!
//! A broadcast without rungs needs a tag only for the part that it ends, or for those after it: until then a picture is
//! as well off in the kernel's buffer as in the packager. Reading each tag by itself wakes router and worker some 80 times a
//! second for five parts.

use std::time::Duration;

use caudal_livestream::RenditionName;
use tokio::time::Instant;

/// What is known of a publisher's tags and of the parts that they complete.
#[derive(Debug)]
pub(crate) struct Rests {
    origin: Instant,
    video: Pace,
    audio: Pace,
    /// The tag that is being packaged.
    current: Option<Tag>,
    /// For each rendition the tag that should complete its next part.
    awaited: Vec<(RenditionName, Tag)>,
}

/// Of which of the publisher's two tracks a tag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Video,
    Audio,
}

#[derive(Clone, Copy, Debug)]
struct Tag {
    kind: Kind,
    /// Unwrapped, in microseconds.
    timestamp: i64,
}

/// How one track's tags come.
#[derive(Debug, Default)]
struct Pace {
    /// The last timestamp, as it came and unwrapped to microseconds.
    last: Option<(u32, i64)>,
    /// Microseconds from a tag's timestamp to its arrival: the least of this span and of the one before it.
    least: Option<i64>,
    least_before: Option<i64>,
    span_begun: i64,
}

impl Rests {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            video: Pace::default(),
            audio: Pace::default(),
            current: None,
            awaited: Vec::new(),
        }
    }

    /// Another connection, or another publisher, has a pace of its own.
    pub(crate) fn forget(&mut self) {
        *self = Self::new(self.origin);
    }

    /// A tag goes to the packager.
    pub(crate) fn tag(&mut self, kind: Kind, timestamp_ms: u32, arrived: Instant) {
        let arrived = micros(arrived.saturating_duration_since(self.origin));
        let pace = match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        };
        match pace.tag(timestamp_ms, arrived) {
            Some(timestamp) => self.current = Some(Tag { kind, timestamp }),
            None => {
                // It jumped.
                self.forget();
            }
        }
    }

    /// What happens from now on is no tag's doing.
    pub(crate) fn no_tag(&mut self) {
        self.current = None;
    }

    /// A part of a rendition was announced.
    pub(crate) fn part(&mut self, rendition: &RenditionName, duration: Duration) {
        self.awaited.retain(|(name, _)| name != rendition);
        let Some(Tag { kind, timestamp }) = self.current else { return };
        let shorter = match kind {
            Kind::Video => Duration::ZERO,
            Kind::Audio => AUDIO_FRAME,
        };
        let timestamp = timestamp.saturating_add(micros(duration.saturating_sub(shorter)));
        self.awaited.push((rendition.clone(), Tag { kind, timestamp }));
    }

    /// How long nothing is needed of the publisher, of whose broadcast each of so many `renditions` is to have its parts in time.
    ///
    /// Tags have come as early as they ever do when their track's least delay says so; that one which comes earlier still is
    /// then read no later than a part of the same length as the last one would end.
    pub(crate) fn rest(&self, now: Instant, renditions: usize) -> Option<Duration> {
        if self.awaited.len() < renditions {
            return None;
        }
        let due = self.awaited.iter().map(|(_, tag)| self.pace(tag.kind).due(tag.timestamp));
        let due = due.collect::<Option<Vec<_>>>()?.into_iter().min()?;
        let now = micros(now.saturating_duration_since(self.origin));
        let rest = due.saturating_sub(now).saturating_sub(micros(MARGIN));
        let rest = Duration::from_micros(u64::try_from(rest).ok()?);
        (rest >= SHORTEST).then_some(rest)
    }

    fn pace(&self, kind: Kind) -> &Pace {
        match kind {
            Kind::Video => &self.video,
            Kind::Audio => &self.audio,
        }
    }
}

impl Pace {
    /// The tag's timestamp, unwrapped; none when it does not follow the last one.
    fn tag(&mut self, timestamp_ms: u32, arrived: i64) -> Option<i64> {
        let timestamp = match self.last {
            None => i64::from(timestamp_ms).saturating_mul(1000),
            Some((last, unwrapped)) => {
                let step = i64::from(timestamp_ms.wrapping_sub(last).cast_signed());
                if step.abs() > LONGEST_STEP_MS {
                    return None;
                }
                unwrapped.saturating_add(step.saturating_mul(1000))
            }
        };
        self.last = Some((timestamp_ms, timestamp));
        if arrived.saturating_sub(self.span_begun) >= micros(SPAN) {
            (self.least_before, self.least, self.span_begun) = (self.least, None, arrived);
        }
        let delay = arrived.saturating_sub(timestamp);
        self.least = Some(self.least.map_or(delay, |least| least.min(delay)));
        Some(timestamp)
    }

    /// When a tag of this timestamp comes at the earliest, as far as is known.
    fn due(&self, timestamp: i64) -> Option<i64> {
        let least = [self.least, self.least_before].into_iter().flatten().min()?;
        Some(timestamp.saturating_add(least))
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// Reading begins so long before the tag that is waited for: networks are not even, and timers wake late.
pub(crate) const MARGIN: Duration = Duration::from_millis(25);
/// A shorter rest spares fewer wake-ups than it takes.
const SHORTEST: Duration = Duration::from_millis(45);
/// A part of sound is often one frame shorter than the last; of AAC at 44.1 kHz that is this.
const AUDIO_FRAME: Duration = Duration::from_millis(24);
/// After so long, or twice, a connection that has become slower counts as that.
const SPAN: Duration = Duration::from_secs(10);
/// A longer step is a jump or a pause: what was learnt before it says nothing of what follows.
const LONGEST_STEP_MS: i64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    /// 25 pictures and 50 frames of sound a second, in parts as a packager would make them.
    struct Broadcast {
        rests: Rests,
        start: Instant,
        part_begun: [u64; 2],
    }

    impl Broadcast {
        fn new() -> Self {
            let start = Instant::now();
            Self { rests: Rests::new(start), start, part_begun: [0, 0] }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        /// The rest that is asked for when the tag of `ms` comes `delay` late.
        fn tag(&mut self, kind: Kind, ms: u64, delay: u64) -> Option<Duration> {
            let arrived = self.at(ms + delay);
            self.rests.tag(kind, u32::try_from(ms).unwrap(), arrived);
            let (index, name, length) = match kind {
                Kind::Video => (0, "source", 40),
                Kind::Audio => (1, "audio", 20),
            };
            if ms + length - self.part_begun[index] < PART {
                return None;
            }
            self.part_begun[index] = ms + length;
            self.rests.part(&name.parse().unwrap(), Duration::from_millis(PART));
            self.rests.rest(arrived, 2)
        }

        /// Runs from one millisecond to another; gives each rest with when it began.
        fn run(&mut self, range: std::ops::Range<u64>, delay: u64) -> Vec<(u64, u64)> {
            let mut rests = Vec::new();
            for ms in range.step_by(20) {
                for (kind, every) in [(Kind::Video, 40), (Kind::Audio, 20)] {
                    if ms % every == 0
                        && let Some(rest) = self.tag(kind, ms, delay)
                    {
                        rests.push((ms + delay, u64::try_from(rest.as_millis()).unwrap()));
                    }
                }
            }
            rests
        }
    }

    #[test]
    fn between_two_parts_there_is_a_rest_that_ends_before_the_tag_that_completes_the_next() {
        let mut broadcast = Broadcast::new();
        let rests = broadcast.run(0..4000, 5);
        assert!(rests.len() >= 19, "{rests:?}");
        for (begun, length) in rests {
            // Pictures complete parts at 165, 365, 565 ms…, and sound at 185, 385…
            let next = 165 + ((begun - 165) / PART + 1) * PART;
            assert!(begun + length + 25 <= next, "{begun} {length}");
            assert!(length >= 80, "{begun} {length}");
        }
    }

    #[test]
    fn media_that_comes_late_is_not_made_later() {
        let mut broadcast = Broadcast::new();
        broadcast.run(0..4000, 5);
        // Held up for a quarter of a second, what comes then is due already.
        let rests = broadcast.run(4000..6000, 250);
        assert!(rests.is_empty(), "{rests:?}");
    }

    #[test]
    fn a_connection_that_has_become_slower_is_rested_from_again() {
        let mut broadcast = Broadcast::new();
        broadcast.run(0..4000, 5);
        broadcast.run(4000..26_000, 250);
        assert!(!broadcast.run(26_000..27_000, 250).is_empty());
    }

    #[test]
    fn there_is_no_rest_while_a_rendition_has_no_parts_of_the_publishers_making() {
        let mut broadcast = Broadcast::new();
        broadcast.run(0..2000, 5);
        // Sound that the clock closed: nobody knows when the next comes.
        broadcast.rests.no_tag();
        broadcast.rests.part(&"audio".parse().unwrap(), Duration::from_millis(PART));
        assert_eq!(broadcast.rests.rest(broadcast.at(2000), 2), None);
        // And with a rendition that has announced nothing yet.
        let mut broadcast = Broadcast::new();
        broadcast.run(0..2000, 5);
        assert_eq!(broadcast.rests.rest(broadcast.at(1985), 3), None);
    }

    #[test]
    fn a_jump_begins_anew_and_a_wrap_is_none() {
        let start = Instant::now();
        let mut rests = Rests::new(start);
        let name: RenditionName = "source".parse().unwrap();
        rests.tag(Kind::Video, u32::MAX - 10, start);
        rests.tag(Kind::Video, 29, start + Duration::from_millis(40));
        rests.part(&name, Duration::from_millis(PART));
        let rest = rests.rest(start + Duration::from_millis(40), 1);
        assert_eq!(rest, Some(Duration::from_millis(PART) - MARGIN));
        rests.tag(Kind::Video, 5000, start + Duration::from_millis(80));
        assert_eq!(rests.rest(start + Duration::from_millis(80), 1), None);
    }

    const PART: u64 = 200;
}
