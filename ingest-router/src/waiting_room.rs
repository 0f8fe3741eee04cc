//! Where connections wait until they are let in: shaking hands, asking, being asked about, held against the publisher that
//! their stream has already, and hearing that they are refused.
//!
//! Whoever is let in leaves the room for a seat of its own, so that strangers can only crowd out each other. A newcomer
//! is always let into the room; when it is full, the oldest connection of the address that has most in it goes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caudal_service::origin::Origin;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How much room there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Connections.
    pub(crate) places: usize,
    /// Connections of one address; none for no limit.
    pub(crate) per_address: Option<usize>,
    /// How long a connection may wait altogether.
    pub(crate) patience: Duration,
}

/// Everybody who waits. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct WaitingRoom {
    room: Room,
    // Held for single operations only, never across an await.
    waiting: Arc<Mutex<Waiting>>,
}

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    number: u64,
    /// None where addresses are everybody's.
    origin: Option<Origin>,
    room: WaitingRoom,
    sent_away: CancellationToken,
    deadline: Instant,
}

/// Numbers count up, so that a lower one has waited longer.
#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    total: usize,
    by_origin: HashMap<Option<Origin>, BTreeMap<u64, CancellationToken>>,
    /// Each origin by how crowded it is: the last one has most connections, and of several such the oldest one.
    crowds: BTreeSet<Crowd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crowd {
    connections: usize,
    oldest: std::cmp::Reverse<u64>,
    origin: Option<Origin>,
}

impl WaitingRoom {
    pub(crate) fn new(room: Room) -> Self {
        Self { room, waiting: Arc::default() }
    }

    /// A place for a new connection from `origin`, which may have been another one's until now.
    pub(crate) fn enter(&self, origin: Option<Origin>) -> Entered {
        let mut waiting = self.lock();
        let own = waiting.by_origin.get(&origin).map_or(0, BTreeMap::len);
        let address_full = origin.is_some() && self.room.per_address.is_some_and(|limit| own >= limit);
        let goes = if address_full {
            Some(origin)
        } else if waiting.total >= self.room.places {
            waiting.crowds.last().map(|crowd| crowd.origin)
        } else {
            None
        };
        let made_room = goes.is_some_and(|origin| waiting.send_away_oldest(origin));
        let number = waiting.next;
        waiting.next = waiting.next.wrapping_add(1);
        let sent_away = CancellationToken::new();
        waiting.change(origin, |connections| {
            connections.insert(number, sent_away.clone());
        });
        drop(waiting);
        let deadline = Instant::now() + self.room.patience;
        Entered { place: Place { number, origin, room: self.clone(), sent_away, deadline }, made_room }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A newcomer.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) place: Place,
    /// Somebody else had to go.
    pub(crate) made_room: bool,
}

impl Place {
    /// Resolves when the connection has to go: its place is needed, or it has waited too long.
    pub(crate) async fn over(&self) {
        tokio::select! {
            () = self.sent_away.cancelled() => {}
            () = sleep_until(self.deadline) => {}
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.lock().change(self.origin, |connections| {
            connections.remove(&self.number);
        });
    }
}

impl Waiting {
    fn send_away_oldest(&mut self, origin: Option<Origin>) -> bool {
        let mut sent_away = false;
        self.change(origin, |connections| {
            if let Some((_, oldest)) = connections.pop_first() {
                oldest.cancel();
                sent_away = true;
            }
        });
        sent_away
    }

    /// Keeps the sums and the order of crowds true over a change of one origin's connections.
    fn change(&mut self, origin: Option<Origin>, change: impl FnOnce(&mut BTreeMap<u64, CancellationToken>)) {
        let connections = self.by_origin.entry(origin).or_default();
        if let Some(crowd) = crowd(origin, connections) {
            self.crowds.remove(&crowd);
        }
        self.total = self.total.saturating_sub(connections.len());
        change(connections);
        self.total = self.total.saturating_add(connections.len());
        match crowd(origin, connections) {
            Some(crowd) => {
                self.crowds.insert(crowd);
            }
            None => {
                self.by_origin.remove(&origin);
            }
        }
    }
}

fn crowd(origin: Option<Origin>, connections: &BTreeMap<u64, CancellationToken>) -> Option<Crowd> {
    let (oldest, _) = connections.first_key_value()?;
    Some(Crowd { connections: connections.len(), oldest: std::cmp::Reverse(*oldest), origin })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures::FutureExt as _;

    use super::*;

    fn room(places: usize, per_address: Option<usize>) -> WaitingRoom {
        WaitingRoom::new(Room { places, per_address, patience: Duration::from_secs(30) })
    }

    fn from(room: &WaitingRoom, address: &str) -> Place {
        room.enter(Some(Origin::from(address.parse::<IpAddr>().unwrap()))).place
    }

    fn has_to_go(place: &Place) -> bool {
        place.over().now_or_never().is_some()
    }

    #[tokio::test]
    async fn a_newcomer_takes_the_place_of_the_oldest_of_the_busiest_address() {
        let room = room(5, None);
        let honest = from(&room, "192.0.2.1");
        let crowd: Vec<Place> = (0..4).map(|_| from(&room, "198.51.100.1")).collect();
        let newcomer = from(&room, "192.0.2.2");
        let gone: Vec<bool> = crowd.iter().map(has_to_go).collect();
        assert_eq!(gone, [true, false, false, false]);
        assert!(!has_to_go(&honest) && !has_to_go(&newcomer));
    }

    #[tokio::test]
    async fn among_addresses_with_one_connection_each_the_oldest_goes() {
        let room = room(3, None);
        let places: Vec<Place> = (1..=4).map(|host| from(&room, &format!("198.51.100.{host}"))).collect();
        let gone: Vec<bool> = places.iter().map(has_to_go).collect();
        assert_eq!(gone, [true, false, false, false]);
    }

    #[tokio::test]
    async fn one_address_and_one_network_of_64_bits_hold_only_their_share() {
        let room = room(100, Some(2));
        let places: Vec<Place> = (1..=3).map(|host| from(&room, &format!("2001:db8::{host}"))).collect();
        let gone: Vec<bool> = places.iter().map(has_to_go).collect();
        assert_eq!(gone, [true, false, false]);
        assert!(!has_to_go(&from(&room, "2001:db8:0:1::1")));
    }

    #[tokio::test]
    async fn behind_a_proxy_only_the_room_is_the_limit() {
        let room = room(3, Some(1));
        let places: Vec<Place> = (0..4).map(|_| room.enter(None).place).collect();
        let gone: Vec<bool> = places.iter().map(has_to_go).collect();
        assert_eq!(gone, [true, false, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let room = room(1, None);
        let waiting = from(&room, "192.0.2.2");
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(!has_to_go(&waiting));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(has_to_go(&waiting));
    }

    #[tokio::test]
    async fn whoever_was_let_in_leaves_its_place_to_others_and_whoever_was_sent_away_takes_none_with_it() {
        let room = room(1, None);
        let sent_away = from(&room, "192.0.2.1");
        let admitted = from(&room, "192.0.2.1");
        drop(sent_away);
        assert!(!has_to_go(&admitted));
        drop(admitted);
        assert!(!room.enter(None).made_room);
    }

    #[tokio::test]
    async fn nothing_is_kept_of_those_who_went() {
        let room = room(10, Some(2));
        for host in 1..=50 {
            drop(from(&room, &format!("192.0.2.{host}")));
        }
        let waiting = room.lock();
        assert!(waiting.by_origin.is_empty() && waiting.crowds.is_empty() && waiting.total == 0);
    }
}
