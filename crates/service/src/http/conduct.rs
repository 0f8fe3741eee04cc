//! What the peer of one connection owes and until when. A pure state: the time is an argument.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// How long a peer may take for each thing that it owes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Until the first whole request head, whatever the protocol.
    pub(super) first_request: Duration,
    /// From the end of an answer to the next whole request head.
    pub(super) next_request: Duration,
    /// To take what is offered: `least_taken` bytes, or all there is.
    pub(super) taking: Duration,
    pub(super) least_taken: u64,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// Never asked for anything.
    Silent,
    /// Asked before, and has nothing open.
    Idle,
    /// Does not take its answers, or next to nothing of them.
    Unread,
}

/// A connection as the deadlines see it.
#[derive(Debug)]
pub(super) struct Conduct {
    patience: Patience,
    asked: bool,
    /// The last instant at which something was open, or at which the connection was ready for requests.
    quiet_since: Instant,
    /// Requests whose answers are not yet handed over. HTTP/2 bounds them by its concurrent streams.
    open: HashMap<RequestId, Turn>,
    next_id: u64,
    blocked: Option<Blocked>,
    /// Bytes that the socket has taken.
    written: u64,
}

/// One request of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RequestId(u64);

/// Who has to do something for a request to go on.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// Our side: a handler runs, or a body waits for its source, for as long as that takes.
    Ours,
    /// The peer has been offered data since then, and has taken so many bytes of it. In HTTP/2 it may refuse that by its windows
    /// while the socket is free.
    Theirs { since: Instant, taken: u64, offered: u64 },
}

/// The socket takes nothing more.
#[derive(Clone, Copy, Debug)]
struct Blocked {
    since: Instant,
    written: u64,
}

impl Conduct {
    pub(super) fn new(patience: Patience, now: Instant) -> Self {
        Self {
            patience,
            asked: false,
            quiet_since: now,
            open: HashMap::new(),
            next_id: 0,
            blocked: None,
            written: 0,
        }
    }

    /// The TLS handshake, which has a deadline of its own, is over.
    pub(super) fn handshake_done(&mut self, now: Instant) {
        self.quiet_since = now;
    }

    /// A whole request head has come.
    pub(super) fn begin(&mut self) -> RequestId {
        self.asked = true;
        let id = RequestId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.open.insert(id, Turn::Ours);
        id
    }

    /// There are bytes for the peer, which has taken those of before. Its time begins anew once it has taken enough.
    pub(super) fn offer(&mut self, id: RequestId, bytes: usize, now: Instant) {
        let offered = u64::try_from(bytes).unwrap_or(u64::MAX);
        let Some(turn) = self.open.get_mut(&id) else { return };
        *turn = match *turn {
            Turn::Theirs { since, taken, offered: before }
                if taken.saturating_add(before) < self.patience.least_taken =>
            {
                Turn::Theirs { since, taken: taken.saturating_add(before), offered }
            }
            Turn::Theirs { .. } | Turn::Ours => Turn::Theirs { since: now, taken: 0, offered },
        };
    }

    /// There is nothing to send yet.
    pub(super) fn wait_for_us(&mut self, id: RequestId) {
        self.open.insert(id, Turn::Ours);
    }

    /// The answer is handed over, or nobody wants it any more.
    pub(super) fn end(&mut self, id: RequestId, now: Instant) {
        self.open.remove(&id);
        self.quiet_since = now;
    }

    /// The socket took bytes.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// The socket takes no more for now.
    pub(super) fn block(&mut self, now: Instant) {
        self.blocked.get_or_insert(Blocked { since: now, written: self.written });
    }

    /// The socket has taken everything.
    pub(super) fn unblock(&mut self, now: Instant) {
        // A stranger's time runs on: it is for the request, whatever else is said.
        if self.blocked.take().is_some() && self.asked {
            self.quiet_since = now;
        }
    }

    /// Since when nothing is open; `None` while something is, or before the first request.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let idle = self.asked && self.open.is_empty() && self.blocked.is_none();
        idle.then_some(self.quiet_since)
    }

    /// When to look again, at the latest.
    ///
    /// # Errors
    /// What the peer failed to do in time.
    pub(super) fn check(&mut self, now: Instant) -> Result<Instant, Overdue> {
        let Patience { first_request, next_request, taking, least_taken } = self.patience;
        // Whatever begins after this look is not overdue before the shortest of all deadlines has passed.
        let mut look = now + first_request.min(next_request).min(taking);
        let mut hold = |deadline: Instant, overdue: Overdue| {
            look = look.min(deadline);
            if deadline <= now { Err(overdue) } else { Ok(()) }
        };
        if !self.asked {
            hold(self.quiet_since + first_request, Overdue::Silent)?;
        } else if let Some(since) = self.idle_since() {
            hold(since + next_request, Overdue::Idle)?;
        }
        if let Some(blocked) = &mut self.blocked {
            if now >= blocked.since + taking && self.written.saturating_sub(blocked.written) >= least_taken {
                *blocked = Blocked { since: now, written: self.written };
            }
            hold(blocked.since + taking, Overdue::Unread)?;
        }
        for turn in self.open.values() {
            if let Turn::Theirs { since, .. } = turn {
                hold(*since + taking, Overdue::Unread)?;
            }
        }
        Ok(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        first_request: Duration::from_secs(5),
        next_request: Duration::from_secs(20),
        taking: Duration::from_secs(30),
        least_taken: 64 * 1024,
    };

    fn connection() -> (Conduct, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (Conduct::new(PATIENCE, start), move |seconds| start + Duration::from_secs(seconds))
    }

    #[test]
    fn a_stranger_that_asks_nothing_has_until_the_first_deadline_only() {
        let (mut conduct, at) = connection();
        assert_eq!(conduct.check(at(0)), Ok(at(5)));
        assert_eq!(conduct.check(at(5)), Err(Overdue::Silent));
    }

    #[test]
    fn bytes_that_are_no_request_buy_a_stranger_no_time() {
        let (mut conduct, at) = connection();
        for second in 0..5 {
            // What a server writes before any request: its SETTINGS, answers to pings.
            conduct.wrote(100);
            conduct.block(at(second));
            conduct.unblock(at(second));
        }
        assert_eq!(conduct.check(at(5)), Err(Overdue::Silent));
    }

    #[test]
    fn a_request_that_waits_for_us_has_no_deadline() {
        let (mut conduct, at) = connection();
        conduct.begin();
        assert!(conduct.check(at(3600)).is_ok());
    }

    #[test]
    fn between_requests_time_runs_from_the_end_of_the_last_answer() {
        let (mut conduct, at) = connection();
        let request = conduct.begin();
        conduct.end(request, at(100));
        assert!(conduct.check(at(119)).is_ok());
        assert_eq!(conduct.check(at(120)), Err(Overdue::Idle));
    }

    #[test]
    fn an_answer_that_still_drains_to_a_slow_reader_is_no_idleness() {
        let (mut conduct, at) = connection();
        let request = conduct.begin();
        conduct.block(at(1));
        conduct.end(request, at(1));
        for second in (10..100).step_by(10) {
            conduct.wrote(30_000);
            assert!(conduct.check(at(second)).is_ok(), "{second}");
        }
        conduct.unblock(at(100));
        assert_eq!(conduct.check(at(119)), Ok(at(120)));
    }

    #[test]
    fn a_reader_that_takes_next_to_nothing_is_cut() {
        let (mut conduct, at) = connection();
        conduct.begin();
        conduct.block(at(0));
        for second in 1..30 {
            conduct.wrote(1000);
            // Each write that succeeds is followed by one that does not.
            conduct.block(at(second));
            assert!(conduct.check(at(second)).is_ok());
        }
        assert_eq!(conduct.check(at(30)), Err(Overdue::Unread));
    }

    #[test]
    fn a_window_that_never_opens_is_a_reader_that_does_not_read() {
        let (mut conduct, at) = connection();
        let (stuck, waiting) = (conduct.begin(), conduct.begin());
        conduct.offer(stuck, 1000, at(1));
        conduct.wait_for_us(waiting);
        assert!(conduct.check(at(30)).is_ok());
        assert_eq!(conduct.check(at(31)), Err(Overdue::Unread));
        conduct.end(stuck, at(31));
        assert!(conduct.check(at(1000)).is_ok(), "the other one waits for us");
    }

    #[test]
    fn a_window_that_opens_a_little_buys_no_time_and_one_that_opens_enough_does() {
        for (slice, cut) in [(20_000, true), (40_000, false)] {
            let (mut conduct, at) = connection();
            let request = conduct.begin();
            for second in [0, 10, 20] {
                conduct.offer(request, slice, at(second));
                assert!(conduct.check(at(second)).is_ok());
            }
            assert_eq!(conduct.check(at(30)) == Err(Overdue::Unread), cut, "{slice}");
        }
    }
}
