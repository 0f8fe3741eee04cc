//! Asking the router for its replay, once.
//!
//! The router hands a stream over at a keyframe, and sends the next worker what follows. If the worker before dies in that
//! moment, or its storage is away, what it had announced and not stored is nowhere but in the router's replay. A relay that is
//! opened anew begins with that. Only a relay that was opened ahead of a move begins without it.
//!
//! Asking costs nothing where the replay is too short: what came of the first relay is kept until the second one has shown
//! that it has all of it again.

use std::mem;
use std::time::Duration;

use caudal_livestream::SessionId;
use caudal_media::Resume;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::input::InputEvent;

/// What of a relay connection the session is to take.
#[derive(Debug)]
pub(super) enum Rewind {
    /// Until the first media shows whether something is missing before it. So many bytes of it have waited here.
    Watches {
        behind: Resume,
        connection: Option<Connection>,
        waited: usize,
    },
    Asked(Asked),
    /// Whatever comes is taken.
    Over,
}

/// The relay connection that media comes by.
#[derive(Debug)]
pub(super) struct Connection {
    session: SessionId,
    again: CancellationToken,
}

/// The connection is being dropped, and another one is awaited.
#[derive(Debug)]
pub(super) struct Asked {
    until: Instant,
    /// Whose media was missing. Another publisher's timestamps say nothing of it.
    session: SessionId,
    /// Where the connection began.
    from_ms: u32,
    /// What came of it since.
    kept: Vec<InputEvent>,
    /// The other one up to its first media, once it has come.
    anew: Vec<InputEvent>,
}

/// What is to be done with an event.
#[derive(Debug)]
pub(super) enum Taken {
    Take(InputEvent),
    /// The event is among them.
    TakeAll(Vec<InputEvent>, Came),
    /// It is kept, or says nothing.
    Nothing,
    /// It is kept, and this is to be cancelled, by which the router is asked for another connection.
    Ask(CancellationToken),
}

/// What has come instead of the connection that the router was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Replay,
    /// A connection that begins behind what is missing, or ended before its first media.
    TooLittle,
    AnotherPublisher,
    Nobody,
}

impl Rewind {
    pub(super) fn new(behind: Option<&Resume>, waited: usize) -> Self {
        behind.map_or(Self::Over, |behind| Self::Watches { behind: behind.clone(), connection: None, waited })
    }

    pub(super) fn take(&mut self, event: InputEvent, now: Instant) -> Taken {
        match (&mut *self, &event) {
            (Self::Watches { connection, .. }, InputEvent::Up { session, again, .. }) => {
                *connection = Some(Connection { session: *session, again: again.clone() });
                Taken::Take(event)
            }
            (
                Self::Watches { behind, connection, waited },
                InputEvent::Video { timestamp_ms, arrived, .. }
                | InputEvent::Audio { timestamp_ms, arrived, .. },
            ) => {
                let (from_ms, ago) = (*timestamp_ms, now.duration_since(*arrived));
                let is_kept = |connection: &Connection| {
                    let missing = behind.missing_before(connection.session, from_ms);
                    missing.is_some_and(|missing| may_be_kept(Duration::from_micros(missing.0), ago, *waited))
                };
                if let Some(Connection { session, again }) = connection.take().filter(is_kept) {
                    let until = now + PATIENCE;
                    let (kept, anew) = (vec![event], Vec::new());
                    *self = Self::Asked(Asked { until, session, from_ms, kept, anew });
                    Taken::Ask(again)
                } else {
                    *self = Self::Over;
                    Taken::Take(event)
                }
            }
            (Self::Watches { .. } | Self::Over, _) => Taken::Take(event),
            (Self::Asked(asked), _) => match asked.take(event) {
                Some((events, came)) => {
                    *self = Self::Over;
                    Taken::TakeAll(events, came)
                }
                None => Taken::Nothing,
            },
        }
    }

    /// What is to be taken when no other connection has come in time: what there was, and that the publisher is lost.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<Vec<InputEvent>> {
        matches!(self, Self::Asked(asked) if now >= asked.until).then(|| self.give_up())
    }

    /// Whatever is kept is to be taken: nothing more is waited for.
    pub(super) fn give_up(&mut self) -> Vec<InputEvent> {
        match mem::replace(self, Self::Over) {
            Self::Asked(mut asked) => asked.all(),
            Self::Watches { .. } | Self::Over => Vec::new(),
        }
    }
}

impl Asked {
    /// Everything that is to be taken, once that is known.
    fn take(&mut self, event: InputEvent) -> Option<(Vec<InputEvent>, Came)> {
        let another = !self.anew.is_empty() && !self.is_back();
        let came = match &event {
            InputEvent::Up { .. } => {
                self.anew = vec![event];
                return None;
            }
            // Of the connection that is being dropped. For the session it goes on in the other one.
            InputEvent::Down if self.anew.is_empty() => return None,
            InputEvent::Metadata(_) | InputEvent::Video { .. } | InputEvent::Audio { .. }
                if self.anew.is_empty() =>
            {
                self.kept.push(event);
                return None;
            }
            InputEvent::Metadata(_) => {
                self.anew.push(event);
                return None;
            }
            _ if another => Came::AnotherPublisher,
            InputEvent::Video { timestamp_ms, .. } | InputEvent::Audio { timestamp_ms, .. }
                // Across the 32-bit wrap.
                if self.from_ms.wrapping_sub(*timestamp_ms) <= u32::MAX / 2 =>
            {
                Came::Replay
            }
            _ => Came::TooLittle,
        };
        let mut events = match came {
            Came::Replay => mem::take(&mut self.anew),
            // Handed over without another connection: it says itself how the publisher went.
            _ if self.anew.is_empty() => mem::take(&mut self.kept),
            _ => self.all(),
        };
        events.push(event);
        Some((events, came))
    }

    /// Whether the other connection has come, and is the same publisher's.
    fn is_back(&self) -> bool {
        matches!(self.anew.first(), Some(InputEvent::Up { session, .. }) if *session == self.session)
    }

    /// Both connections, and between them the end of the first one where it is the publisher's too.
    fn all(&mut self) -> Vec<InputEvent> {
        let mut events = mem::take(&mut self.kept);
        if !self.is_back() {
            events.push(InputEvent::Down);
        }
        events.append(&mut self.anew);
        events
    }
}

/// Whether a router may still have what is `missing` before media that came so long ago, and of which so many bytes have come
/// since.
fn may_be_kept(missing: Duration, ago: Duration, waited: usize) -> bool {
    let reach = ago.saturating_add(missing);
    // By the rate of what came since, or of what comes in a second: a keyframe comes at once.
    let waited = u128::try_from(waited).unwrap_or(u128::MAX);
    let bytes = waited.saturating_mul(reach.as_millis()) / ago.max(Duration::from_secs(1)).as_millis();
    reach <= LONGEST_REPLAY && bytes <= REPLAY_BYTES
}

/// A router dials again after a tenth of a second, and may take two to be let in.
const PATIENCE: Duration = Duration::from_secs(3);
/// A router keeps 15 s at least, and of long GOPs up to this (ARCHITECTURE §3.3).
const LONGEST_REPLAY: Duration = Duration::from_secs(30);
/// Nor more than that. A GOP that is longer is not in its replay at all, and what followed in that would be missing.
const REPLAY_BYTES: u128 = 24 * 1024 * 1024;

#[cfg(test)]
mod tests;
