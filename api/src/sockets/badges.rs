//! Who talks through which socket, so that the sockets of one person can be ended.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Sockets;
use crate::auth::Caller;

/// Somebody who is logged in on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wearer {
    /// Who it is.
    pub user: Uuid,
    /// The log-in.
    pub session: Uuid,
}

impl From<Caller> for Wearer {
    fn from(caller: Caller) -> Self {
        Self { user: caller.user, session: caller.session }
    }
}

/// What one socket says of who talks through it. Whoever wears one can be sent away: [`Sockets::send_away`].
#[derive(Debug)]
pub struct Badge {
    sockets: Sockets,
    number: u64,
    farewell: Arc<Farewell>,
}

/// What the peer of a socket is told that ends from here: a close code, and why.
#[derive(Debug, Default)]
struct Farewell {
    ordered: CancellationToken,
    words: OnceLock<(u16, &'static str)>,
}

impl Badge {
    pub(super) fn new(sockets: &Sockets) -> Self {
        let number = sockets.with_badges(Badges::number);
        Self { sockets: sockets.clone(), number, farewell: Arc::default() }
    }

    /// Somebody has said who they are; a later one takes the place of the earlier.
    ///
    /// Whether that one may still be here must be asked after this, once more: who was sent away before had no badge on.
    pub fn put_on(&self, wearer: Wearer) {
        self.sockets
            .with_badges(|badges| badges.worn.insert(self.number, (wearer, Arc::clone(&self.farewell))));
    }

    /// Nobody in particular talks here any more.
    pub fn take_off(&self) {
        self.sockets.with_badges(|badges| badges.worn.remove(&self.number));
    }

    /// Returns once the wearer was sent away.
    pub(crate) async fn sent_away(&self) {
        self.farewell.ordered.cancelled().await;
    }

    /// What whoever was sent away is told: a close code, and why.
    pub(crate) fn last_words(&self) -> Option<(u16, &'static str)> {
        self.farewell.words.get().copied()
    }
}

impl Drop for Badge {
    fn drop(&mut self) {
        self.take_off();
    }
}

/// Those that somebody wears: as many as there are sockets at most. Looked through one by one, which takes a tenth of a
/// millisecond where there are 20,000, and happens only when somebody has to go.
#[derive(Debug, Default)]
pub(super) struct Badges {
    next: u64,
    worn: HashMap<u64, (Wearer, Arc<Farewell>)>,
}

impl Badges {
    fn number(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    /// How many those were.
    pub(super) fn send_away(&self, whom: impl Fn(&Wearer) -> bool, code: u16, reason: &'static str) -> usize {
        let mut found = 0_usize;
        for (_, farewell) in self.worn.values().filter(|(wearer, _)| whom(wearer)) {
            // The first reason stays.
            let _ = farewell.words.set((code, reason));
            farewell.ordered.cancel();
            found = found.saturating_add(1);
        }
        found
    }

    pub(super) fn sessions(&self) -> Vec<Uuid> {
        let mut sessions: Vec<Uuid> = self.worn.values().map(|(wearer, _)| wearer.session).collect();
        sessions.sort_unstable();
        sessions.dedup();
        sessions
    }
}

#[cfg(test)]
mod tests {
    use super::super::SocketLimits;
    use super::*;

    fn wearer(user: u128, session: u128) -> Wearer {
        Wearer { user: Uuid::from_u128(user), session: Uuid::from_u128(session) }
    }

    #[test]
    fn whoever_is_sent_away_hears_why_and_nobody_else_hears_anything() {
        let sockets = Sockets::new(SocketLimits::default());
        let badges = [(1, 11), (1, 12), (2, 21)].map(|(user, session)| {
            let badge = Badge::new(&sockets);
            badge.put_on(wearer(user, session));
            badge
        });
        assert_eq!(sockets.sessions().len(), 3);
        assert_eq!(sockets.send_away(|wearer| wearer.session == Uuid::from_u128(12), 4401, "logged out"), 1);
        assert_eq!(sockets.send_away(|wearer| wearer.user == Uuid::from_u128(1), 4403, "banned"), 2);
        let words = badges.each_ref().map(Badge::last_words);
        assert_eq!(words, [Some((4403, "banned")), Some((4401, "logged out")), None]);
    }

    #[test]
    fn a_badge_is_worn_by_one_at_a_time_and_by_nobody_when_its_socket_is_gone() {
        let sockets = Sockets::new(SocketLimits::default());
        let badge = Badge::new(&sockets);
        badge.put_on(wearer(1, 11));
        badge.put_on(wearer(2, 21));
        assert_eq!(sockets.sessions(), [Uuid::from_u128(21)]);
        assert_eq!(sockets.send_away(|wearer| wearer.user == Uuid::from_u128(1), 4403, "banned"), 0);
        badge.take_off();
        assert!(sockets.sessions().is_empty());
        badge.put_on(wearer(2, 21));
        drop(badge);
        assert!(sockets.sessions().is_empty());
    }
}
