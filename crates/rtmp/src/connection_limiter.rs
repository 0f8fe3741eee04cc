//! How many connections one address may hold.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::MAX_CONNECTIONS_PER_ADDRESS;

/// Counts connections by address. Cloned handles count together.
#[derive(Debug, Clone)]
pub struct ConnectionLimiter {
    limit: Option<NonZeroUsize>,
    held: Held,
}

type Held = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// Where a connection comes from, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddress {
    /// The publisher's own.
    Real(IpAddr),
    /// A proxy's or a load balancer's, which everybody shares: not counted.
    Shared,
}

/// One connection's place; given back when it is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    held: Option<(Held, IpAddr)>,
}

impl ConnectionLimiter {
    /// At most `limit` at a time from one IPv4 address or one IPv6 /64; `None` for no limit. The default is
    /// [`MAX_CONNECTIONS_PER_ADDRESS`](crate::MAX_CONNECTIONS_PER_ADDRESS).
    pub fn new(limit: Option<NonZeroUsize>) -> Self {
        Self { limit, held: Arc::default() }
    }

    /// A place for a connection from `address`; `None` if it holds as many as it may.
    pub fn acquire(&self, address: PeerAddress) -> Option<ConnectionPermit> {
        let (Some(limit), PeerAddress::Real(address)) = (self.limit, address) else {
            return Some(ConnectionPermit { held: None });
        };
        let address = household(address);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(address).or_insert(0);
        if *count >= limit.get() {
            return None;
        }
        *count += 1;
        Some(ConnectionPermit { held: Some((Arc::clone(&self.held), address)) })
    }
}

impl Default for ConnectionLimiter {
    fn default() -> Self {
        Self::new(MAX_CONNECTIONS_PER_ADDRESS)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let Some((held, address)) = &self.held else { return };
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = held.entry(*address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// One customer of a provider: an IPv4 address, or the /64 in which a host picks any address it likes.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(address: &str) -> PeerAddress {
        PeerAddress::Real(address.parse().unwrap())
    }

    #[test]
    fn an_address_gets_its_limit_and_its_places_back() {
        let limiter = ConnectionLimiter::new(NonZeroUsize::new(2));
        let first = limiter.acquire(real("192.0.2.1")).unwrap();
        let _second = limiter.acquire(real("::ffff:192.0.2.1")).unwrap();
        assert!(limiter.acquire(real("192.0.2.1")).is_none());
        let _other = limiter.acquire(real("192.0.2.2")).unwrap();
        drop(first);
        assert!(limiter.acquire(real("192.0.2.1")).is_some());
    }

    #[test]
    fn by_default_thirty_two_come_from_one_address() {
        let limiter = ConnectionLimiter::default();
        let permits: Vec<_> = (0..33).map(|_| limiter.acquire(real("192.0.2.1"))).collect();
        assert_eq!(permits.iter().filter(|permit| permit.is_some()).count(), 32);
    }

    #[test]
    fn a_network_of_64_bits_is_one_address() {
        let limiter = ConnectionLimiter::new(NonZeroUsize::new(1));
        let _first = limiter.acquire(real("2001:db8::1")).unwrap();
        assert!(limiter.acquire(real("2001:db8::ffff:2")).is_none());
        assert!(limiter.acquire(real("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn behind_a_proxy_nobody_is_counted() {
        let limiter = ConnectionLimiter::new(NonZeroUsize::new(1));
        let permits: Vec<_> = (0..5).map(|_| limiter.acquire(PeerAddress::Shared)).collect();
        assert!(permits.iter().all(Option::is_some));
    }

    #[test]
    fn nothing_is_kept_of_an_address_that_left() {
        let limiter = ConnectionLimiter::new(NonZeroUsize::new(1));
        drop(limiter.acquire(real("192.0.2.1")));
        assert!(limiter.held.lock().unwrap().is_empty());
    }
}
