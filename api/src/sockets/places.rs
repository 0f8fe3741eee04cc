//! Who has how many sockets.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use thiserror::Error;
use uuid::Uuid;

use crate::address::Origin;

/// How many sockets there may be at the same time.
#[derive(Clone, Copy, Debug)]
pub struct SocketLimits {
    /// Of all together.
    pub total: usize,
    /// Of one account, wherever it is.
    pub per_account: usize,
    /// Of one address (an IPv4 address or an IPv6 /64), whoever is logged in there.
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

/// Whose a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) account: Option<Uuid>,
    pub(super) origin: Origin,
}

/// Counts by holder; only who has a socket is remembered.
#[derive(Debug)]
pub(super) struct Places {
    limits: SocketLimits,
    total: usize,
    by_account: HashMap<Uuid, usize>,
    by_origin: HashMap<Origin, usize>,
}

impl Places {
    pub(super) fn new(limits: SocketLimits) -> Self {
        Self { limits, total: 0, by_account: HashMap::new(), by_origin: HashMap::new() }
    }

    pub(super) fn count(&self) -> usize {
        self.total
    }

    pub(super) fn enter(&mut self, holder: Holder) -> Result<(), Full> {
        let of_account =
            holder.account.map_or(0, |account| self.by_account.get(&account).copied().unwrap_or(0));
        let of_origin = self.by_origin.get(&holder.origin).copied().unwrap_or(0);
        if of_account >= self.limits.per_account {
            return Err(Full::Account);
        }
        if of_origin >= self.limits.per_address {
            return Err(Full::Address);
        }
        if self.total >= self.limits.total {
            return Err(Full::Total);
        }
        self.total = self.total.saturating_add(1);
        if let Some(account) = holder.account {
            self.by_account.insert(account, of_account.saturating_add(1));
        }
        self.by_origin.insert(holder.origin, of_origin.saturating_add(1));
        Ok(())
    }

    /// Of one that entered.
    pub(super) fn leave(&mut self, holder: Holder) {
        self.total = self.total.saturating_sub(1);
        if let Some(account) = holder.account {
            one_less(&mut self.by_account, account);
        }
        one_less(&mut self.by_origin, holder.origin);
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() = count.get().saturating_sub(1);
        if *count.get() == 0 {
            count.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn holder(account: u128, address: &str) -> Holder {
        let account = (account > 0).then(|| Uuid::from_u128(account));
        Holder { account, origin: Origin::from(address.parse::<IpAddr>().unwrap()) }
    }

    #[test]
    fn the_narrowest_limit_that_is_reached_is_the_one_that_is_named() {
        let limits = SocketLimits { total: 5, per_account: 2, per_address: 3 };
        let mut places = Places::new(limits);
        for (account, address, outcome) in [
            (1, "192.0.2.1", Ok(())),
            (1, "192.0.2.2", Ok(())),
            (1, "192.0.2.3", Err(Full::Account)),
            (0, "192.0.2.1", Ok(())),
            (0, "::ffff:192.0.2.1", Ok(())),
            (2, "192.0.2.1", Err(Full::Address)),
            (2, "2001:db8::1", Ok(())),
            (3, "2001:db8::2", Err(Full::Total)),
            (1, "192.0.2.1", Err(Full::Account)),
        ] {
            assert_eq!(places.enter(holder(account, address)), outcome, "{account} at {address}");
        }
        assert_eq!(places.count(), 5);
    }

    #[test]
    fn whoever_has_left_is_not_remembered() {
        let mut places = Places::new(SocketLimits { total: 9, per_account: 1, per_address: 9 });
        for _ in 0..3 {
            assert_eq!(places.enter(holder(1, "192.0.2.1")), Ok(()));
            assert_eq!(places.enter(holder(1, "192.0.2.1")), Err(Full::Account));
            places.leave(holder(1, "192.0.2.1"));
        }
        assert_eq!((places.count(), places.by_account.len(), places.by_origin.len()), (0, 0, 0));
    }
}
