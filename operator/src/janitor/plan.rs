//! What goes and what stays. Nothing here asks anybody.

use std::time::Duration;

use caudal_livestream::{StreamId, UnixMillis};
use caudal_storage::Provenance;

use super::known::Known;

/// Why a stream may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its LiveStream says that it ended, and has stayed for as long as it was to.
    Ended(UnixMillis),
    /// There is no LiveStream of it.
    Orphan,
}

/// Why a stream stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Keep {
    Open,
    JustEnded,
    Paused,
    Unreadable,
    Young,
    Recorded,
    Anothers,
    Unclaimed,
}

impl Keep {
    /// In the summary.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Open => "going on",
            Self::JustEnded => "ended not long enough ago",
            Self::Paused => "paused",
            Self::Unreadable => "with a LiveStream that cannot be read",
            Self::Young => "without a LiveStream and younger than a day",
            Self::Recorded => "recordings",
            Self::Anothers => "recordings or another installation's",
            Self::Unclaimed => "of which no state says whose they are",
        }
    }
}

/// By what the namespace knows, before storage is asked.
pub(super) fn first_look(stream: StreamId, known: &Known, now: UnixMillis) -> Result<Cause, Keep> {
    match *known {
        Known::Open => Err(Keep::Open),
        Known::Paused => Err(Keep::Paused),
        Known::Unreadable => Err(Keep::Unreadable),
        Known::Recorded => Err(Keep::Recorded),
        Known::Over { at, kept_until } => {
            if now > kept_until && is_past(at, STAYS, now) {
                Ok(Cause::Ended(at))
            } else {
                Err(Keep::JustEnded)
            }
        }
        // An id that does not say when it was made is not one of the api's.
        Known::Nothing if stream.made_at().is_some_and(|made| is_past(made, ORPHANED, now)) => {
            Ok(Cause::Orphan)
        }
        Known::Nothing => Err(Keep::Young),
    }
}

/// By what the states in storage say. Of a broadcast whose LiveStream says that it was not recorded, they need not say it again.
pub(super) fn second_look(cause: Cause, provenance: &Provenance) -> Result<(), Keep> {
    match (provenance, cause) {
        (Provenance::Disposable(_), _) | (Provenance::Unknown, Cause::Ended(_)) => Ok(()),
        (Provenance::Kept, _) => Err(Keep::Anothers),
        (Provenance::Unknown, Cause::Orphan) => Err(Keep::Unclaimed),
    }
}

/// By when anything of it was written last; none when nothing is left. Returns that.
pub(super) fn third_look(
    cause: Cause,
    last_write: Option<UnixMillis>,
    now: UnixMillis,
) -> Result<UnixMillis, Keep> {
    let last_write = last_write.ok_or(Keep::Unclaimed)?;
    match cause {
        Cause::Ended(_) if is_past(last_write, STAYS, now) => Ok(last_write),
        Cause::Ended(_) => Err(Keep::JustEnded),
        Cause::Orphan if is_past(last_write, ORPHANED, now) => Ok(last_write),
        Cause::Orphan => Err(Keep::Young),
    }
}

/// Why it goes.
pub(super) fn words(cause: Cause, last_write: UnixMillis, now: UnixMillis) -> String {
    match cause {
        Cause::Ended(at) => format!("it ended {} ago and was not recorded", ago(at, now)),
        Cause::Orphan => {
            format!(
                "there is no LiveStream of it, it is no recording, and nothing was written for {}",
                ago(last_write, now)
            )
        }
    }
}

fn ago(at: UnixMillis, now: UnixMillis) -> String {
    let minutes = now.0.saturating_sub(at.0).max(0) / 60_000;
    match (minutes / 60 / 24, minutes / 60) {
        (0, 0) => format!("{minutes} min"),
        (0, hours) => format!("{hours} h"),
        (days, _) => format!("{days} d"),
    }
}

fn is_past(at: UnixMillis, span: Duration, now: UnixMillis) -> bool {
    let age = now.0.saturating_sub(at.0);
    u64::try_from(age).is_ok_and(|age| Duration::from_millis(age) >= span)
}

/// As long as viewers may still want the end: the operator, too, removes nothing earlier.
const STAYS: Duration = Duration::from_mins(10);
/// As of the operator's own look: whoever runs a second controller, or has lost the LiveStreams, has a day to notice.
const ORPHANED: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn before(span: Duration) -> UnixMillis {
        UnixMillis(NOW.0 - i64::try_from(span.as_millis()).unwrap())
    }

    fn made(span: Duration) -> StreamId {
        let (seconds, nanoseconds) = (before(span).0 / 1000, 0);
        let at = uuid::Timestamp::from_unix(uuid::NoContext, seconds.try_into().unwrap(), nanoseconds);
        StreamId(uuid::Uuid::new_v7(at))
    }

    const HOUR: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);
    const NEARLY_A_DAY: Duration = Duration::from_mins(24 * 60 - 1);

    #[test]
    fn what_the_namespace_knows_decides_what_storage_is_asked_about() {
        let over = |ended: Duration, ttl: Duration| {
            let at = before(ended);
            Known::Over { at, kept_until: UnixMillis(at.0 + i64::try_from(ttl.as_millis()).unwrap()) }
        };
        let minute = Duration::from_mins(1);
        let ended = |ago| Ok(Cause::Ended(before(ago)));
        let cases = [
            ("going on for days", made(DAY * 9), Known::Open, Err(Keep::Open)),
            ("paused", made(DAY * 9), Known::Paused, Err(Keep::Paused)),
            ("unreadable", made(DAY * 9), Known::Unreadable, Err(Keep::Unreadable)),
            ("recorded", made(DAY * 9), Known::Recorded, Err(Keep::Recorded)),
            ("within its time", made(DAY * 9), over(HOUR / 2, HOUR), Err(Keep::JustEnded)),
            ("at its end", made(DAY * 9), over(HOUR, HOUR), Err(Keep::JustEnded)),
            ("past its time", made(HOUR * 2), over(HOUR + minute, HOUR), ended(HOUR + minute)),
            (
                "without a time, just ended",
                made(HOUR),
                over(minute * 9, Duration::ZERO),
                Err(Keep::JustEnded),
            ),
            (
                "without a time, ended a while ago",
                made(HOUR),
                over(minute * 10, Duration::ZERO),
                ended(minute * 10),
            ),
            (
                "ended tomorrow, by a clock that was wrong",
                made(DAY),
                Known::Over { at: UnixMillis(NOW.0 + 1), kept_until: before(DAY) },
                Err(Keep::JustEnded),
            ),
            ("unknown and young", made(NEARLY_A_DAY), Known::Nothing, Err(Keep::Young)),
            ("unknown and old", made(DAY), Known::Nothing, Ok(Cause::Orphan)),
            ("unknown and of no time", StreamId(uuid::Uuid::nil()), Known::Nothing, Err(Keep::Young)),
        ];
        for (case, stream, known, expected) in cases {
            assert_eq!(first_look(stream, &known, NOW), expected, "{case}");
        }
    }

    #[test]
    fn what_no_state_proves_to_be_ours_goes_only_where_its_live_stream_says_so() {
        let ended = Cause::Ended(before(DAY));
        for (provenance, of_ended, of_orphan) in [
            (Provenance::Kept, Err(Keep::Anothers), Err(Keep::Anothers)),
            (Provenance::Unknown, Ok(()), Err(Keep::Unclaimed)),
        ] {
            assert_eq!(second_look(ended, &provenance), of_ended, "{provenance:?}");
            assert_eq!(second_look(Cause::Orphan, &provenance), of_orphan, "{provenance:?}");
        }
    }

    #[test]
    fn what_is_still_written_stays() {
        let ended = Cause::Ended(before(DAY));
        let minute = Duration::from_mins(1);
        for (case, cause, last_write, expected) in [
            ("ended, and its worker goes on", ended, Some(minute), Err(Keep::JustEnded)),
            ("ended", ended, Some(HOUR), Ok(before(HOUR))),
            ("an orphan that somebody has", Cause::Orphan, Some(NEARLY_A_DAY), Err(Keep::Young)),
            ("an orphan", Cause::Orphan, Some(DAY), Ok(before(DAY))),
            ("gone meanwhile", Cause::Orphan, None, Err(Keep::Unclaimed)),
        ] {
            assert_eq!(third_look(cause, last_write.map(before), NOW), expected, "{case}");
        }
    }

    #[test]
    fn reasons_are_said_as_a_person_would() {
        let said = |cause, last_write| words(cause, before(last_write), NOW);
        assert_eq!(said(Cause::Ended(before(HOUR * 3)), HOUR), "it ended 3 h ago and was not recorded");
        assert_eq!(said(Cause::Ended(before(HOUR / 2)), HOUR), "it ended 30 min ago and was not recorded");
        assert_eq!(
            said(Cause::Orphan, DAY * 5),
            "there is no LiveStream of it, it is no recording, and nothing was written for 5 d"
        );
    }
}
