//! Who talks through which socket, so that the sockets of one person can be ended.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Sockets;
use super::places::{Full, one_less};
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
    ///
    /// # Errors
    /// [`Full::Account`] when that account has as many sockets as it may have; then nothing changes.
    pub fn put_on(&self, wearer: Wearer) -> Result<(), Full> {
        let most = self.sockets.0.per_account;
        self.sockets.with_badges(|badges| badges.put_on(self.number, wearer, &self.farewell, most))
    }

    /// Nobody in particular talks here any more.
    pub fn take_off(&self) {
        self.sockets.with_badges(|badges| badges.take_off(self.number));
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
    by_account: HashMap<Uuid, usize>,
}

impl Badges {
    fn number(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    fn put_on(
        &mut self,
        number: u64,
        wearer: Wearer,
        farewell: &Arc<Farewell>,
        most: usize,
    ) -> Result<(), Full> {
        let before = self.worn.get(&number).map(|(before, _)| before.user);
        if before != Some(wearer.user) {
            let held = self.by_account.get(&wearer.user).copied().unwrap_or(0);
            if held >= most {
                return Err(Full::Account);
            }
            self.take_off(number);
            self.by_account.insert(wearer.user, held.saturating_add(1));
        }
        self.worn.insert(number, (wearer, Arc::clone(farewell)));
        Ok(())
    }

    fn take_off(&mut self, number: u64) {
        if let Some((wearer, _)) = self.worn.remove(&number) {
            one_less(&mut self.by_account, wearer.user);
        }
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
            badge.put_on(wearer(user, session)).unwrap();
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
        badge.put_on(wearer(1, 11)).unwrap();
        badge.put_on(wearer(2, 21)).unwrap();
        assert_eq!(sockets.sessions(), [Uuid::from_u128(21)]);
        assert_eq!(sockets.send_away(|wearer| wearer.user == Uuid::from_u128(1), 4403, "banned"), 0);
        badge.take_off();
        assert!(sockets.sessions().is_empty());
        badge.put_on(wearer(2, 21)).unwrap();
        drop(badge);
        assert!(sockets.sessions().is_empty());
    }

    #[test]
    fn an_account_has_so_many_sockets_and_no_more() {
        let sockets = Sockets::new(SocketLimits { total: 9, per_account: 2, per_address: 9 });
        let [first, second, third] = [(); 3].map(|()| Badge::new(&sockets));
        first.put_on(wearer(1, 11)).unwrap();
        second.put_on(wearer(1, 12)).unwrap();
        second.put_on(wearer(1, 13)).unwrap();
        assert_eq!(third.put_on(wearer(1, 11)), Err(Full::Account));
        third.put_on(wearer(2, 21)).unwrap();
        // A refusal changes nothing.
        assert_eq!(third.put_on(wearer(1, 11)), Err(Full::Account));
        assert_eq!(sockets.sessions().len(), 3);
        second.put_on(wearer(2, 22)).unwrap();
        third.put_on(wearer(1, 11)).unwrap();
        drop((first, second, third));
        assert!(sockets.with_badges(|badges| badges.by_account.is_empty()));
    }
}
