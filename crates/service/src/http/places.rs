//! Who may have a connection. Nobody's silence keeps anybody else out: a newcomer is always let in, as a stranger, and
//! when there are too many strangers the one that has said nothing for longest goes, of the address that has most.
//! With its first request a stranger takes one of the lasting places, of which each address has a share.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::conduct::Conduct;
use crate::forwarded::TrustedProxies;
use crate::origin::Origin;

/// How many connections there may be.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// That have made a request.
    pub(super) settled: usize,
    /// That have not yet.
    pub(super) strangers: usize,
    /// Of those that have made a request, from one address.
    pub(super) per_address: Option<usize>,
    /// Whose connections are many people's.
    pub(super) trusted: TrustedProxies,
}

/// All connections of one listener.
pub(super) struct Places {
    bounds: Bounds,
    // Held for single operations only, never across an await; a connection's conduct is locked inside of it.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    next: u64,
    strangers: Room,
    settled: Room,
}

/// Connections in the order in which they came, and how many each address has.
#[derive(Default)]
struct Room {
    guests: BTreeMap<u64, Guest>,
    by_origin: HashMap<Option<Origin>, usize>,
}

struct Guest {
    /// `None` for a trusted proxy.
    origin: Option<Origin>,
    conduct: Arc<Mutex<Conduct>>,
    leave: CancellationToken,
}

/// A connection's place. Dropping it frees the place.
pub(super) struct Place {
    id: u64,
    places: Arc<Places>,
    settled: AtomicBool,
    leave: CancellationToken,
}

/// All lasting places, or all of the address, are taken by connections that are in use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Places {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, held: Mutex::default() })
    }

    /// Lets a connection in.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr, conduct: &Arc<Mutex<Conduct>>) -> Place {
        let peer = peer.to_canonical();
        let origin = (!self.bounds.trusted.contains(peer)).then(|| Origin::from(peer));
        let mut held = self.lock();
        let Held { next, strangers, .. } = &mut *held;
        if strangers.guests.len() >= self.bounds.strangers
            && let Some(id) = strangers.oldest_of_most()
        {
            strangers.send_away(id);
        }
        let id = *next;
        *next = next.wrapping_add(1);
        let leave = CancellationToken::new();
        strangers.add(id, Guest { origin, conduct: Arc::clone(conduct), leave: leave.clone() });
        drop(held);
        Place { id, places: Arc::clone(self), settled: AtomicBool::new(false), leave }
    }

    fn settle(&self, id: u64) -> Result<(), Full> {
        let mut held = self.lock();
        let Held { strangers, settled, .. } = &mut *held;
        // Sent away a moment ago.
        let Some(origin) = strangers.guests.get(&id).map(|guest| guest.origin) else { return Err(Full) };
        let own = settled.count(origin);
        if origin.is_some() && self.bounds.per_address.is_some_and(|limit| own >= limit) {
            let idle = settled.longest_idle(|guest| guest.origin == origin).ok_or(Full)?;
            settled.send_away(idle);
        } else if settled.guests.len() >= self.bounds.settled {
            let victim = settled.longest_idle(|_| true).or_else(|| settled.oldest_of_a_crowd(own));
            settled.send_away(victim.ok_or(Full)?);
        }
        if let Some(guest) = strangers.remove(id) {
            settled.add(id, guest);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn count(&self, origin: Option<Origin>) -> usize {
        self.by_origin.get(&origin).copied().unwrap_or(0)
    }

    fn add(&mut self, id: u64, guest: Guest) {
        let count = self.by_origin.entry(guest.origin).or_default();
        *count = count.saturating_add(1);
        self.guests.insert(id, guest);
    }

    fn remove(&mut self, id: u64) -> Option<Guest> {
        let guest = self.guests.remove(&id)?;
        if let Some(count) = self.by_origin.get_mut(&guest.origin) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_origin.remove(&guest.origin);
            }
        }
        Some(guest)
    }

    fn send_away(&mut self, id: u64) {
        if let Some(guest) = self.remove(id) {
            guest.leave.cancel();
        }
    }

    /// The oldest connection of the address that has most.
    fn oldest_of_most(&self) -> Option<u64> {
        let (most, _) = self.by_origin.iter().max_by_key(|(_, count)| **count)?;
        self.guests.iter().find(|(_, guest)| guest.origin == *most).map(|(id, _)| *id)
    }

    fn longest_idle(&self, among: impl Fn(&Guest) -> bool) -> Option<u64> {
        let idle_since = |guest: &Guest| lock(&guest.conduct).idle_since();
        let idle = self.guests.iter().filter(|(_, guest)| among(guest));
        idle.filter_map(|(id, guest)| Some((idle_since(guest)?, *id))).min().map(|(_, id)| id)
    }

    /// With every connection in use: one of the address that has most, if that is over twice as many as the newcomer's
    /// `own`. Proxies are no crowd.
    fn oldest_of_a_crowd(&self, own: usize) -> Option<u64> {
        let addresses = self.by_origin.iter().filter(|(origin, _)| origin.is_some());
        let (crowd, count) = addresses.max_by_key(|(_, count)| **count)?;
        let crowded = *count > own.saturating_add(1).saturating_mul(2);
        let oldest = || self.guests.iter().find(|(_, guest)| guest.origin == *crowd).map(|(id, _)| *id);
        crowded.then(oldest).flatten()
    }
}

impl Place {
    /// The connection makes a request: it gets a lasting place, if it has none yet.
    pub(super) fn settle(&self) -> Result<(), Full> {
        if !self.settled.load(Ordering::Relaxed) {
            self.places.settle(self.id)?;
            self.settled.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Cancelled when somebody else gets this place.
    pub(super) fn leave(&self) -> CancellationToken {
        self.leave.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        held.strangers.remove(self.id);
        held.settled.remove(self.id);
    }
}

/// Held for single operations only, never across an await.
pub(super) fn lock(conduct: &Mutex<Conduct>) -> MutexGuard<'_, Conduct> {
    conduct.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::super::conduct::Patience;
    use super::*;

    struct Connection {
        place: Place,
        conduct: Arc<Mutex<Conduct>>,
    }

    fn places(settled: usize, strangers: usize, per_address: Option<usize>) -> Arc<Places> {
        let trusted = "10.0.0.0/8".parse().unwrap();
        Places::new(Bounds { settled, strangers, per_address, trusted })
    }

    fn connect(places: &Arc<Places>, address: &str) -> Connection {
        let second = Duration::from_secs(1);
        let patience =
            Patience { first_request: second, next_request: second, taking: second, least_taken: 1 };
        let conduct = Arc::new(Mutex::new(Conduct::new(patience, Instant::now())));
        Connection { place: places.admit(address.parse().unwrap(), &conduct), conduct }
    }

    impl Connection {
        fn asks(&self) -> Result<(), Full> {
            lock(&self.conduct).begin();
            self.place.settle()
        }

        fn asks_and_is_answered(&self, at: Instant) -> Result<(), Full> {
            let request = lock(&self.conduct).begin();
            lock(&self.conduct).end(request, at);
            self.place.settle()
        }

        fn is_gone(&self) -> bool {
            self.place.leave.is_cancelled()
        }
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_oldest_stranger_of_the_address_that_has_most() {
        let places = places(10, 4, None);
        let honest = connect(&places, "198.51.100.1");
        let crowd: Vec<_> = (0..3).map(|_| connect(&places, "203.0.113.9")).collect();
        let newcomer = connect(&places, "192.0.2.7");
        assert!(crowd[0].is_gone());
        for kept in [&honest, &crowd[1], &crowd[2], &newcomer] {
            assert!(!kept.is_gone());
        }
        assert_eq!(crowd[0].asks(), Err(Full), "too late");
        assert_eq!(honest.asks(), Ok(()));
    }

    #[test]
    fn all_of_a_household_counts_as_one_address() {
        let places = places(10, 10, Some(2));
        let connections: Vec<_> =
            (1..=3).map(|host| connect(&places, &format!("2001:db8:1:2::{host}"))).collect();
        assert_eq!(connections[0].asks(), Ok(()));
        assert_eq!(connections[1].asks(), Ok(()));
        assert_eq!(connections[2].asks(), Err(Full));
        assert_eq!(connect(&places, "2001:db8:1:3::1").asks(), Ok(()));
    }

    #[test]
    fn an_address_with_its_share_gives_up_what_it_does_not_use() {
        let places = places(10, 10, Some(2));
        let start = Instant::now();
        let (newer, older, next) =
            (connect(&places, "192.0.2.1"), connect(&places, "192.0.2.1"), connect(&places, "192.0.2.1"));
        newer.asks_and_is_answered(start + Duration::from_secs(2)).unwrap();
        older.asks_and_is_answered(start + Duration::from_secs(1)).unwrap();
        assert_eq!(next.asks(), Ok(()));
        assert!(older.is_gone() && !newer.is_gone());
    }

    #[test]
    fn a_trusted_proxy_has_no_share() {
        let places = places(10, 10, Some(1));
        let connections: Vec<_> = (0..5).map(|_| connect(&places, "10.1.2.3")).collect();
        assert!(connections.iter().all(|connection| connection.asks().is_ok()));
    }

    #[test]
    fn when_all_are_in_use_the_largest_crowd_makes_room_and_equals_do_not() {
        let places = places(4, 10, None);
        let crowd: Vec<_> = (0..4).map(|_| connect(&places, "203.0.113.9")).collect();
        assert!(crowd.iter().all(|connection| connection.asks().is_ok()));
        let newcomer = connect(&places, "192.0.2.7");
        assert_eq!(newcomer.asks(), Ok(()));
        assert!(crowd[0].is_gone());
        assert_eq!(connect(&places, "192.0.2.7").asks(), Err(Full), "two to three is no crowd");
    }

    #[test]
    fn who_leaves_is_counted_no_more() {
        let places = places(2, 2, Some(1));
        for _ in 0..10 {
            let connection = connect(&places, "192.0.2.1");
            assert_eq!(connection.asks(), Ok(()));
        }
        let held = places.lock();
        assert!(held.strangers.by_origin.is_empty() && held.settled.by_origin.is_empty());
        assert!(held.strangers.guests.is_empty() && held.settled.guests.is_empty());
    }
}
