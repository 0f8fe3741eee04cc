//! Who is here. A pure state: the time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use caudal_livestream::StreamId;

use super::latency::{Latencies, Latency};
use super::viewer::ViewerKey;
use super::{BEACON, REPEATED, SILENCE};
use crate::address::Origin;

/// The viewers in this replica by stream, and how many others have.
#[derive(Debug, Default)]
pub(super) struct Table {
    streams: HashMap<StreamId, Room>,
    /// Of all streams together.
    viewers: usize,
    /// Live streams.
    live: Vec<StreamId>,
}

#[derive(Debug, Default)]
struct Room {
    present: HashMap<ViewerKey, Watching>,
    /// How many browsers each address has.
    homes: HashMap<Origin, usize>,
    /// Whom the other replicas are still to be told of, with what they were told last.
    left: Vec<Left>,
    /// What those who are here told, as of the last sweep.
    latencies: Latencies,
    elsewhere: Elsewhere,
    /// When that was heard.
    heard: Option<Instant>,
}

/// What other replicas have of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// There and not here.
    pub(super) viewers: u32,
    pub(super) latencies: Latencies,
}

#[derive(Debug)]
struct Watching {
    sockets: usize,
    /// There was a beacon.
    until: Option<Instant>,
    home: Option<Origin>,
    /// When the other replicas were told of this viewer, in milliseconds since 1970.
    announced_at: Option<i64>,
    /// With when the viewer's player reported it.
    latency: Option<(Latency, Instant)>,
}

/// Somebody who is not here any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) key: ViewerKey,
    pub(super) announced_at: i64,
}

/// What the other replicas are to be told of a stream.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) stream: StreamId,
    /// Who has come, and who is still here.
    pub(super) here_are: Vec<ViewerKey>,
    pub(super) left: Vec<Left>,
    /// How many are here, those included that the others know of.
    pub(super) here: u32,
    /// What their players reported.
    pub(super) latencies: Latencies,
}

impl Table {
    /// A socket of somebody. False when it does not count, and must not leave either.
    pub(super) fn enter(&mut self, stream: StreamId, key: ViewerKey, home: Option<Origin>) -> bool {
        let watching = self.place(stream, key, home, SOCKETS_PER_ADDRESS);
        watching.is_some_and(|watching| {
            watching.sockets = watching.sockets.saturating_add(1);
            true
        })
    }

    /// A socket that has entered is gone.
    pub(super) fn leave(&mut self, stream: StreamId, key: ViewerKey, now: Instant) {
        let Some(room) = self.streams.get_mut(&stream) else { return };
        let Some(watching) = room.present.get_mut(&key) else { return };
        watching.sockets = watching.sockets.saturating_sub(1);
        if !watching.is_here(now) {
            room.remove(key);
            self.viewers = self.viewers.saturating_sub(1);
        }
    }

    /// Somebody says that they are there.
    pub(super) fn beacon(&mut self, stream: StreamId, key: ViewerKey, home: Option<Origin>, now: Instant) {
        if let Some(watching) = self.place(stream, key, home, BEACONS_PER_ADDRESS) {
            watching.until = Some(now + BEACON);
        }
    }

    /// Somebody says how late the picture is. False when it does not count: for who does not, or who has said so just before.
    pub(super) fn watches(
        &mut self,
        stream: StreamId,
        key: ViewerKey,
        latency: Latency,
        now: Instant,
    ) -> bool {
        let watching = self.streams.get_mut(&stream).and_then(|room| room.present.get_mut(&key));
        let Some(watching) = watching else { return false };
        if watching
            .latency
            .is_some_and(|(_, reported_at)| now.saturating_duration_since(reported_at) < TOLD_AGAIN)
        {
            return false;
        }
        watching.latency = Some((latency, now));
        true
    }

    /// What the viewers of a stream told, at all replicas.
    pub(super) fn latencies(&self, stream: StreamId, now: Instant) -> Latencies {
        self.streams
            .get(&stream)
            .map_or_else(Latencies::default, |room| room.latencies.and(room.elsewhere_at(now).latencies))
    }

    /// The same of all live streams.
    pub(super) fn all_latencies(&self, now: Instant) -> Latencies {
        let of_each = self.live.iter().map(|stream| self.latencies(*stream, now));
        of_each.fold(Latencies::default(), Latencies::and)
    }

    pub(super) fn knows(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|room| !room.present.is_empty())
    }

    pub(super) fn viewers(&self, stream: StreamId, now: Instant) -> u32 {
        self.streams.get(&stream).map_or(0, |room| room.here().saturating_add(room.elsewhere_at(now).viewers))
    }

    pub(super) fn look_at(&mut self, live: Vec<StreamId>) {
        self.live = live;
    }

    /// Forgets whose last beacon is long ago, and what was heard long ago.
    pub(super) fn sweep(&mut self, now: Instant) {
        let mut viewers = 0_usize;
        self.streams.retain(|_, room| {
            let gone = room.present.iter().filter(|(_, watching)| !watching.is_here(now));
            for key in gone.map(|(key, _)| *key).collect::<Vec<_>>() {
                room.remove(key);
            }
            viewers = viewers.saturating_add(room.present.len());
            room.latencies = room.present.values().filter_map(|watching| watching.latency_at(now)).collect();
            !room.present.is_empty() || !room.left.is_empty() || room.elsewhere_at(now).viewers > 0
        });
        self.viewers = viewers;
    }

    /// What is to be told now: who came and left since the last time, and who has not been spoken of for a while. Live
    /// streams are asked about in any case.
    pub(super) fn letters(&mut self, clock: i64) -> Vec<Letter> {
        let Self { streams, live, .. } = self;
        let unwatched = live.iter().filter(|stream| !streams.contains_key(stream));
        let empty = |stream: &StreamId| Letter {
            stream: *stream,
            here_are: Vec::new(),
            left: Vec::new(),
            here: 0,
            latencies: Latencies::default(),
        };
        let mut letters: Vec<_> = unwatched.map(empty).collect();
        letters.extend(streams.iter_mut().map(|(stream, room)| room.letter(*stream, clock)));
        letters
    }

    /// A letter was answered.
    pub(super) fn heard(&mut self, stream: StreamId, elsewhere: Elsewhere, now: Instant) {
        if let Some(room) = self.streams.get_mut(&stream) {
            (room.elsewhere, room.heard) = (elsewhere, Some(now));
        } else if elsewhere.viewers > 0 {
            self.streams.insert(stream, Room { elsewhere, heard: Some(now), ..Room::default() });
        }
    }

    /// A letter was not delivered. Who is here is told again; who left is forgotten by the others in any case.
    pub(super) fn unsent(&mut self, letter: &Letter) {
        let Some(room) = self.streams.get_mut(&letter.stream) else { return };
        for key in &letter.here_are {
            if let Some(watching) = room.present.get_mut(key) {
                watching.announced_at = None;
            }
        }
    }

    /// The place of a viewer, who may be new; none when there is no room for one who is.
    fn place(
        &mut self,
        stream: StreamId,
        key: ViewerKey,
        home: Option<Origin>,
        most: usize,
    ) -> Option<&mut Watching> {
        let full = self.viewers >= MOST_VIEWERS;
        let room = self.streams.entry(stream).or_default();
        if !room.present.contains_key(&key) {
            if full || !room.lets_in(home, most) {
                return None;
            }
            self.viewers = self.viewers.saturating_add(1);
            room.present
                .insert(key, Watching { sockets: 0, until: None, home, announced_at: None, latency: None });
        }
        room.present.get_mut(&key)
    }
}

impl Room {
    fn here(&self) -> u32 {
        u32::try_from(self.present.len()).unwrap_or(u32::MAX)
    }

    fn elsewhere_at(&self, now: Instant) -> Elsewhere {
        let lately = self.heard.is_some_and(|heard| now.saturating_duration_since(heard) < SILENCE);
        if lately { self.elsewhere } else { Elsewhere::default() }
    }

    /// Counts a new browser of an address, unless that has its share.
    fn lets_in(&mut self, home: Option<Origin>, most: usize) -> bool {
        let Some(home) = home else { return true };
        let browsers = self.homes.entry(home).or_default();
        let room = *browsers < most;
        if room {
            *browsers = browsers.saturating_add(1);
        }
        room
    }

    fn remove(&mut self, key: ViewerKey) {
        let Some(Watching { home, announced_at, .. }) = self.present.remove(&key) else { return };
        if let Some(announced_at) = announced_at
            && self.left.len() < MOST_LEFT
        {
            self.left.push(Left { key, announced_at });
        }
        if let Some(home) = home
            && let Some(browsers) = self.homes.get_mut(&home)
        {
            *browsers = browsers.saturating_sub(1);
            if *browsers == 0 {
                self.homes.remove(&home);
            }
        }
    }

    fn letter(&mut self, stream: StreamId, clock: i64) -> Letter {
        let again = i64::try_from(REPEATED.as_millis()).unwrap_or(i64::MAX);
        let mut here_are = Vec::new();
        for (key, watching) in &mut self.present {
            // A clock that was set back is no reason to be silent.
            if watching.announced_at.is_none_or(|at| !(0..again).contains(&clock.saturating_sub(at))) {
                watching.announced_at = Some(clock);
                here_are.push(*key);
            }
        }
        let left = std::mem::take(&mut self.left);
        Letter { stream, here_are, left, here: self.here(), latencies: self.latencies }
    }
}

impl Watching {
    fn is_here(&self, now: Instant) -> bool {
        self.sockets > 0 || self.until.is_some_and(|until| until > now)
    }

    fn latency_at(&self, now: Instant) -> Option<Latency> {
        let (latency, reported_at) = self.latency?;
        (now.saturating_duration_since(reported_at) < BEACON).then_some(latency)
    }
}

/// Browsers of one address that count in one stream. As at the edge, a school watches behind one address.
const SOCKETS_PER_ADDRESS: usize = 500;
/// The same where somebody only says that they are there, which costs them nothing.
const BEACONS_PER_ADDRESS: usize = 20;
/// Of all streams in this replica; about 180 bytes each. Beyond that nobody new counts.
const MOST_VIEWERS: usize = 200_000;
/// Players tell it twice a minute; what comes much sooner is left out, so that nobody's latency counts more often than others'.
const TOLD_AGAIN: Duration = Duration::from_secs(10);
/// Of one stream between two rounds. The others forget the rest by themselves.
const MOST_LEFT: usize = 20_000;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use chrono::{DateTime, TimeDelta};

    use super::*;

    fn key(number: usize) -> ViewerKey {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&number.to_be_bytes());
        ViewerKey(key)
    }

    fn home(address: &str) -> Origin {
        Origin::from(address.parse::<IpAddr>().unwrap())
    }

    fn late(ms: i64) -> Latency {
        let now = DateTime::from_timestamp(1_764_480_000, 0).unwrap();
        Latency::between(now - TimeDelta::milliseconds(ms), now).unwrap()
    }

    fn keys(letter: &Letter) -> Vec<ViewerKey> {
        letter.here_are.clone()
    }

    #[test]
    fn sockets_and_beacons_of_one_viewer_count_once_until_the_last_of_them_is_over() {
        let (mut table, stream, start) = (Table::default(), StreamId::generate(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(table.enter(stream, key(1), None) && table.enter(stream, key(1), None));
        table.beacon(stream, key(1), None, at(0));
        assert_eq!(table.viewers(stream, at(0)), 1);
        table.leave(stream, key(1), at(1));
        table.leave(stream, key(1), at(1));
        assert_eq!(table.viewers(stream, at(1)), 1, "there was a beacon");
        table.sweep(at(44));
        assert_eq!(table.viewers(stream, at(44)), 1);
        table.sweep(at(45));
        assert_eq!(table.viewers(stream, at(45)), 0);
        assert!(table.streams.is_empty() && table.viewers == 0);
    }

    #[test]
    fn an_address_makes_few_viewers_by_saying_so_more_by_sockets_and_people_count_anyway() {
        let (mut table, stream, now) = (Table::default(), StreamId::generate(), Instant::now());
        for number in 0..1000 {
            table.beacon(stream, key(number), Some(home("192.0.2.1")), now);
            // One customer's network.
            table.beacon(stream, key(10_000 + number), Some(home(&format!("2001:db8::{number:x}"))), now);
            table.enter(stream, key(20_000 + number), Some(home("192.0.2.2")));
        }
        let browsers = 2 * BEACONS_PER_ADDRESS + SOCKETS_PER_ADDRESS;
        assert_eq!(table.viewers(stream, now), u32::try_from(browsers).unwrap());
        for number in 0..1000 {
            table.beacon(stream, key(30_000 + number), None, now);
        }
        assert_eq!(table.viewers(stream, now), u32::try_from(browsers + 1000).unwrap());
        // Each stream by itself.
        table.beacon(StreamId::generate(), key(0), Some(home("192.0.2.1")), now);
        assert_eq!(table.viewers, browsers + 1001);
    }

    #[test]
    fn who_has_left_makes_room_for_others_of_the_address() {
        let (mut table, stream, now) = (Table::default(), StreamId::generate(), Instant::now());
        for number in 0..3 * SOCKETS_PER_ADDRESS {
            assert!(table.enter(stream, key(number), Some(home("192.0.2.1"))));
            table.leave(stream, key(number), now);
        }
        assert!(table.streams[&stream].homes.is_empty());
    }

    #[test]
    fn the_others_are_told_who_came_and_who_left_and_now_and_then_who_is_still_here() {
        let (mut table, stream, now) = (Table::default(), StreamId::generate(), Instant::now());
        let told = |table: &mut Table, clock| {
            let [letter] = <[_; 1]>::try_from(table.letters(clock)).unwrap();
            (keys(&letter), letter.left.clone(), letter.here)
        };
        table.enter(stream, key(1), None);
        assert_eq!(told(&mut table, 1_000), (vec![key(1)], vec![], 1));
        table.enter(stream, key(2), None);
        assert_eq!(told(&mut table, 2_000), (vec![key(2)], vec![], 2));
        assert_eq!(told(&mut table, 3_000), (vec![], vec![], 2));
        table.leave(stream, key(2), now);
        assert_eq!(told(&mut table, 15_999), (vec![], vec![Left { key: key(2), announced_at: 2_000 }], 1));
        assert_eq!(told(&mut table, 16_000), (vec![key(1)], vec![], 1));
        // The clock was set back.
        assert_eq!(told(&mut table, 500), (vec![key(1)], vec![], 1));
        // Who was never told of is not told of either.
        table.enter(stream, key(3), None);
        table.leave(stream, key(3), now);
        assert_eq!(told(&mut table, 600), (vec![], vec![], 1));
    }

    #[test]
    fn what_did_not_arrive_is_told_again() {
        let (mut table, stream) = (Table::default(), StreamId::generate());
        table.enter(stream, key(1), None);
        let letters = table.letters(1_000);
        table.unsent(&letters[0]);
        assert_eq!(keys(&table.letters(2_000)[0]), [key(1)]);
        assert!(keys(&table.letters(3_000)[0]).is_empty());
    }

    #[test]
    fn what_was_heard_of_others_counts_until_nothing_is_heard_for_a_while() {
        let (mut table, stream, start) = (Table::default(), StreamId::generate(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        table.look_at(vec![stream]);
        assert_eq!(table.letters(0).len(), 1, "it is asked about though nobody here watches it");
        let seven = Elsewhere { viewers: 7, latencies: [late(2_000), late(3_000)].into_iter().collect() };
        table.heard(stream, seven, at(0));
        assert_eq!(table.latencies(stream, at(44)).mean_ms(), Some(2_500));
        assert_eq!(table.latencies(stream, at(45)).mean_ms(), None);
        table.enter(stream, key(1), None);
        assert_eq!(table.letters(0).len(), 1);
        assert_eq!((table.viewers(stream, at(44)), table.viewers(stream, at(45))), (8, 1));
        table.leave(stream, key(1), at(45));
        table.letters(0);
        table.sweep(at(45));
        assert!(table.streams.is_empty());
        // Nothing is remembered of streams without viewers.
        table.heard(stream, Elsewhere::default(), at(46));
        assert!(table.streams.is_empty());
    }

    #[test]
    fn a_viewer_has_one_latency_for_as_long_as_it_is_told_and_they_are_there() {
        let (mut table, stream, start) = (Table::default(), StreamId::generate(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mean = |table: &mut Table, seconds| {
            table.sweep(at(seconds));
            table.latencies(stream, at(seconds)).mean_ms()
        };
        assert!(!table.watches(stream, key(1), late(2_000), at(0)), "nobody is there");
        table.enter(stream, key(1), None);
        assert_eq!(mean(&mut table, 0), None);
        assert!(table.watches(stream, key(1), late(2_000), at(0)));
        assert!(
            !table.watches(stream, key(1), late(60_000), at(9)),
            "the other tab, or somebody who insists"
        );
        assert_eq!(mean(&mut table, 9), Some(2_000));
        table.enter(stream, key(2), None);
        assert!(table.watches(stream, key(2), late(4_000), at(10)));
        assert_eq!(mean(&mut table, 10), Some(3_000));
        assert!(table.watches(stream, key(1), late(1_000), at(30)));
        assert_eq!(mean(&mut table, 30), Some(2_500));
        // What nobody repeats lapses, though the viewer stays.
        assert_eq!((mean(&mut table, 54), mean(&mut table, 55)), (Some(2_500), Some(1_000)));
        table.leave(stream, key(1), at(56));
        assert_eq!(mean(&mut table, 56), None);
    }

    #[test]
    fn the_platforms_latency_is_of_all_who_watch_what_is_live() {
        let (mut table, now) = (Table::default(), Instant::now());
        let [one, other, over] = [(); 3].map(|()| StreamId::generate());
        for (number, stream, ms) in [(1, one, 1_000), (2, one, 1_000), (3, other, 4_000), (4, over, 50_000)] {
            table.enter(stream, key(number), None);
            assert!(table.watches(stream, key(number), late(ms), now));
        }
        table.look_at(vec![one, other]);
        table.sweep(now);
        assert_eq!(table.all_latencies(now).mean_ms(), Some(2_000), "each viewer once, not each stream");
        assert_eq!(table.latencies(over, now).mean_ms(), Some(50_000));
    }

    #[test]
    fn nobody_new_counts_in_a_replica_that_is_full() {
        let (mut table, stream, now) = (Table::default(), StreamId::generate(), Instant::now());
        for number in 0..MOST_VIEWERS + 10 {
            table.beacon(stream, key(number), None, now);
        }
        assert_eq!(table.viewers(stream, now), u32::try_from(MOST_VIEWERS).unwrap());
        assert!(!table.enter(StreamId::generate(), key(0), None));
        assert!(table.enter(stream, key(0), None), "who is here already may open sockets");
    }
}
