//! Who watches one stream. A pure state: the time is an argument.
//!
//! A viewer is a player that has fetched media of changing segments for some seconds and goes on doing so. Asking for
//! playlists makes nobody a viewer, and neither does fetching the same segment again and again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use caudal_livestream::Msn;

/// What tells one player from another, hashed under a key of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Player {
    /// It has a ticket of ours.
    Ticketed(u64),
    /// It has none: known by address and user agent.
    Guessed(u64),
}

/// An address, hashed under a key of this process. `None` for a trusted proxy that does not say whose request it is.
pub(crate) type Home = Option<u64>;

/// The players of one stream, those included that are not viewers yet.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    players: HashMap<Player, Watching>,
    /// How many of `players` each address has: with tickets and without.
    homes: HashMap<u64, Guests>,
}

#[derive(Debug, Default)]
struct Guests {
    ticketed: usize,
    guessed: usize,
}

#[derive(Debug)]
struct Watching {
    home: Home,
    begun: Instant,
    /// The last instant at which it kept up with the stream.
    lately: Instant,
    /// Of the last media that it fetched.
    msn: Msn,
    /// The stream's newest segment then.
    newest: Msn,
    moved: bool,
}

impl Crowd {
    /// A player has been sent media of segment `msn`, while `newest` is the stream's last one.
    pub(crate) fn fetched(&mut self, player: Player, home: Home, msn: Msn, newest: Msn, now: Instant) {
        if let Some(watching) = self.players.get_mut(&player) {
            watching.newest = newest;
            if msn != watching.msn {
                watching.msn = msn;
                watching.moved = true;
                watching.lately = now;
            }
            return;
        }
        if self.players.len() >= MAX_PLAYERS || !self.lets_in(player, home) {
            return;
        }
        let watching = Watching { home, begun: now, lately: now, msn, newest, moved: false };
        self.players.insert(player, watching);
    }

    /// A player asks for a playlist. While the stream stands still, that is all that a viewer can do.
    pub(crate) fn asked(&mut self, player: Player, newest: Msn, now: Instant) {
        if let Some(watching) = self.players.get_mut(&player)
            && watching.moved
            && newest.0 <= watching.newest.0.saturating_add(BEHIND)
        {
            watching.lately = now;
        }
    }

    /// How many watch. Forgets who has left; `settling` is how long one must have watched to count.
    pub(crate) fn count(&mut self, now: Instant, settling: Duration) -> usize {
        let homes = &mut self.homes;
        self.players.retain(|player, watching| {
            let here = now.saturating_duration_since(watching.lately) <= LEFT_AFTER;
            if !here {
                forget(homes, *player, watching.home);
            }
            here
        });
        let viewer = |watching: &&Watching| {
            watching.moved && watching.lately.saturating_duration_since(watching.begun) >= settling
        };
        self.players.values().filter(viewer).count()
    }

    /// Whether nobody is left, viewer or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.players.is_empty()
    }

    /// Counts a new player of an address, unless it has its share.
    fn lets_in(&mut self, player: Player, home: Home) -> bool {
        let Some(home) = home else { return true };
        let guests = self.homes.entry(home).or_default();
        let (count, limit) = match player {
            Player::Ticketed(_) => (&mut guests.ticketed, TICKETED_PER_ADDRESS),
            Player::Guessed(_) => (&mut guests.guessed, GUESSED_PER_ADDRESS),
        };
        let room = *count < limit;
        if room {
            *count = count.saturating_add(1);
        }
        room
    }
}

fn forget(homes: &mut HashMap<u64, Guests>, player: Player, home: Home) {
    let Some(home) = home else { return };
    let Some(guests) = homes.get_mut(&home) else { return };
    match player {
        Player::Ticketed(_) => guests.ticketed = guests.ticketed.saturating_sub(1),
        Player::Guessed(_) => guests.guessed = guests.guessed.saturating_sub(1),
    }
    if guests.ticketed == 0 && guests.guessed == 0 {
        homes.remove(&home);
    }
}

/// Two segments of the longest target duration that there is: a plain player fetches one in ten seconds.
const LEFT_AFTER: Duration = Duration::from_secs(20);
/// Segments that a stream goes on by while a player that follows it fetches none.
const BEHIND: u64 = 2;
/// A school watches behind one address.
const TICKETED_PER_ADDRESS: usize = 500;
/// A household's other players. Made-up user agents are free, so there are not many.
const GUESSED_PER_ADDRESS: usize = 5;
/// Of one stream at one edge; about 100 bytes each.
const MAX_PLAYERS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLING: Duration = Duration::from_secs(3);

    struct Scene {
        crowd: Crowd,
        start: Instant,
    }

    impl Scene {
        fn new() -> Self {
            Self { crowd: Crowd::default(), start: Instant::now() }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn fetched(&mut self, player: Player, home: u64, msn: u64, second: u64) {
            self.crowd.fetched(player, Some(home), Msn(msn), Msn(msn), self.at(second));
        }

        /// Follows the stream as a player does, a segment in two seconds.
        fn watches(&mut self, player: Player, home: u64, seconds: std::ops::Range<u64>) {
            for second in seconds {
                self.fetched(player, home, second / 2, second);
            }
        }

        fn viewers(&mut self, second: u64) -> usize {
            self.crowd.count(self.at(second), SETTLING)
        }
    }

    #[test]
    fn a_player_counts_once_it_has_watched_for_some_seconds_and_no_more_when_it_left() {
        let mut scene = Scene::new();
        scene.watches(Player::Ticketed(1), 1, 0..3);
        assert_eq!(scene.viewers(3), 0);
        scene.watches(Player::Ticketed(1), 1, 3..60);
        assert_eq!(scene.viewers(60), 1);
        assert_eq!(scene.viewers(70), 1);
        assert_eq!(scene.viewers(79), 0);
        assert!(scene.crowd.is_empty() && scene.crowd.homes.is_empty());
    }

    #[test]
    fn asking_for_playlists_makes_no_viewer() {
        let mut scene = Scene::new();
        for second in 0..60 {
            scene.crowd.asked(Player::Ticketed(1), Msn(second / 2), scene.at(second));
        }
        assert_eq!(scene.viewers(60), 0);
        assert!(scene.crowd.is_empty());
    }

    #[test]
    fn the_same_segment_again_and_again_makes_no_viewer() {
        let mut scene = Scene::new();
        for second in 0..60 {
            scene.fetched(Player::Ticketed(1), 1, 7, second);
            assert_eq!(scene.viewers(second), 0);
        }
        for second in 60..120 {
            scene.crowd.asked(Player::Ticketed(1), Msn(7), scene.at(second));
        }
        assert_eq!(scene.viewers(120), 0);
    }

    #[test]
    fn a_viewer_who_waits_for_a_stream_that_stands_still_goes_on_counting() {
        let mut scene = Scene::new();
        scene.watches(Player::Guessed(1), 1, 0..10);
        for second in 10..60 {
            scene.crowd.asked(Player::Guessed(1), Msn(5), scene.at(second));
        }
        assert_eq!(scene.viewers(60), 1);
        // The stream is back, and only its playlist is looked at.
        for second in 60..90 {
            scene.crowd.asked(Player::Guessed(1), Msn(second / 2), scene.at(second));
        }
        assert_eq!(scene.viewers(90), 0);
    }

    #[test]
    fn one_address_makes_a_few_viewers_with_made_up_names_and_a_school_with_tickets() {
        let mut scene = Scene::new();
        for second in 0..10 {
            for player in 0..3000 {
                scene.fetched(Player::Guessed(player), 1, second, second);
                scene.fetched(Player::Ticketed(player), 2, second, second);
                scene.fetched(Player::Ticketed(10_000 + player), 3 + player, second, second);
            }
        }
        assert_eq!(scene.viewers(10), GUESSED_PER_ADDRESS + TICKETED_PER_ADDRESS + 3000);
        assert_eq!(scene.viewers(100), 0);
        assert!(scene.crowd.homes.is_empty());
    }

    #[test]
    fn two_tabs_are_two_viewers_and_one_ticket_is_one_wherever_it_is_used() {
        let mut scene = Scene::new();
        for second in 0..10 {
            scene.watches(Player::Ticketed(1), 1, second..second + 1);
            scene.watches(Player::Ticketed(2), 1, second..second + 1);
            for home in 0..100 {
                scene.fetched(Player::Ticketed(3), home, second / 2, second);
            }
        }
        assert_eq!(scene.viewers(10), 3);
    }
}
