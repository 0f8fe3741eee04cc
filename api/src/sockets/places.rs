//! Which address has how many sockets.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use thiserror::Error;

use crate::address::Origin;

/// How many sockets there may be at the same time.
#[derive(Clone, Copy, Debug)]
pub struct SocketLimits {
    /// Of all together.
    pub total: usize,
    /// Of one account, wherever it is.
    pub per_account: usize,
    /// Of one address (an IPv4 address or an IPv6 /64), whoever is logged in there; fewer when few places are left.
    pub per_address: usize,
}

impl Default for SocketLimits {
    fn default() -> Self {
        // A socket with its buffers is some 50 KB. Many tabs of a person, and a school of a thousand.
        Self { total: 20_000, per_account: 50, per_address: 2_000 }
    }
}

/// Why there is no room for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Full {
    /// Everybody's together.
    #[error("too many connections are open on this server; try again later")]
    Total,
    /// The account's.
    #[error("too many connections of this account are open; close some")]
    Account,
    /// The address's.
    #[error("too many connections from this address are open; close some")]
    Address,
    /// The server is about to stop.
    #[error("the server is stopping; try again in a moment")]
    Closing,
}

/// Counts by address; only those with a socket are remembered.
#[derive(Debug)]
pub(super) struct Places {
    limits: SocketLimits,
    total: usize,
    by_origin: HashMap<Origin, usize>,
}

impl Places {
    pub(super) fn new(limits: SocketLimits) -> Self {
        Self { limits, total: 0, by_origin: HashMap::new() }
    }

    pub(super) fn count(&self) -> usize {
        self.total
    }

    /// An address has at most a quarter of what is left: a few that take all they get leave room for everybody else.
    pub(super) fn enter(&mut self, origin: Origin) -> Result<(), Full> {
        let left = self.limits.total.saturating_sub(self.total);
        if left == 0 {
            return Err(Full::Total);
        }
        let held = self.by_origin.get(&origin).copied().unwrap_or(0);
        if held >= self.limits.per_address.min(left.div_ceil(SHARE)) {
            return Err(Full::Address);
        }
        self.total = self.total.saturating_add(1);
        self.by_origin.insert(origin, held.saturating_add(1));
        Ok(())
    }

    /// Of one that entered.
    pub(super) fn leave(&mut self, origin: Origin) {
        self.total = self.total.saturating_sub(1);
        one_less(&mut self.by_origin, origin);
    }
}

pub(super) fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() = count.get().saturating_sub(1);
        if *count.get() == 0 {
            count.remove();
        }
    }
}

/// Into so many parts what is left is shared.
const SHARE: usize = 4;

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn origin(address: &str) -> Origin {
        Origin::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn an_address_is_one_however_it_is_written_and_has_its_limit() {
        let mut places = Places::new(SocketLimits { total: 100, per_account: 1, per_address: 3 });
        for (address, outcome) in [
            ("192.0.2.1", Ok(())),
            ("192.0.2.2", Ok(())),
            ("192.0.2.1", Ok(())),
            ("::ffff:192.0.2.1", Ok(())),
            ("192.0.2.1", Err(Full::Address)),
            ("2001:db8::1", Ok(())),
            ("2001:db8::2", Ok(())),
        ] {
            assert_eq!(places.enter(origin(address)), outcome, "{address}");
        }
        assert_eq!(places.count(), 6);
    }

    #[test]
    fn addresses_that_take_all_they_get_leave_room_for_others() {
        let limits = SocketLimits { total: 20_000, per_account: 50, per_address: 2_000 };
        let mut places = Places::new(limits);
        let mut held = Vec::new();
        for greedy in 0..30_u32 {
            let greedy = Origin::from(IpAddr::V4(Ipv4Addr::from(greedy)));
            let before = places.count();
            while places.enter(greedy).is_ok() {}
            held.push(places.count() - before);
        }
        assert_eq!(held.first(), Some(&2_000));
        for newcomer in 1_000..1_010_u32 {
            assert_eq!(places.enter(Origin::from(IpAddr::V4(Ipv4Addr::from(newcomer)))), Ok(()), "{held:?}");
        }
    }

    #[test]
    fn whoever_has_left_is_not_remembered() {
        let mut places = Places::new(SocketLimits { total: 1, per_account: 1, per_address: 9 });
        for _ in 0..3 {
            assert_eq!(places.enter(origin("192.0.2.1")), Ok(()));
            assert_eq!(places.enter(origin("192.0.2.2")), Err(Full::Total));
            places.leave(origin("192.0.2.1"));
        }
        assert_eq!((places.count(), places.by_origin.len()), (0, 0));
    }
}
