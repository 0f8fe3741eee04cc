//! What a replica remembers of a room: the last events for those who come back, the last messages for newcomers.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::draft::Event;
use super::history::Line;
use super::log::{KEPT, REMEMBERED, RecentEvents};
use super::position::Position;
use super::removal::{Removal, Said};

/// The end of a room's order, as far as it was heard here.
#[derive(Debug)]
pub(super) struct Recent {
    last: Position,
    /// Without gaps, up to `last`.
    events: VecDeque<Heard>,
    /// The oldest first.
    lines: VecDeque<Line>,
    /// Lines may be missing that history has: some were taken back, or never heard.
    thin: bool,
}

/// An event, and when it came here.
#[derive(Debug)]
struct Heard {
    event: Event,
    at: Instant,
    /// None where it is no message, or one that was taken back.
    said: Option<Said>,
}

impl Heard {
    fn new(event: Event, at: Instant) -> Self {
        let said = Said::of(&event);
        Self { event, at, said }
    }
}

/// What an event, or a look at the log, means for a room.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// These are new, in their order.
    New(Vec<Event>),
    /// They were known.
    Known,
    /// Something lies between, which is not known here.
    Gap,
    /// The log has lost its end, and gives positions to other events: it is to begin another epoch.
    Reused,
}

impl Recent {
    /// From the log's events and the last messages (the latest first), of which those that came after that look are still to be heard.
    pub(super) fn new(recent: RecentEvents, latest: Vec<Line>, now: Instant) -> Self {
        let events = recent.events.into_iter().map(|event| Heard::new(event, now)).collect();
        let last = recent.last;
        let is_heard = |line: &Line| line.said.position.epoch == last.epoch && line.said.position > last;
        let lines: VecDeque<Line> = latest.into_iter().rev().filter(|line| !is_heard(line)).collect();
        Self { last, events, lines, thin: false }
    }

    pub(super) fn last(&self) -> Position {
        self.last
    }

    /// Takes an event that was heard.
    pub(super) fn hear(&mut self, event: Event, now: Instant) -> Taken {
        if event.position.epoch == self.last.epoch && event.position <= self.last {
            return if self.has_another(&event) { Taken::Reused } else { Taken::Known };
        }
        if event.position != self.last.next() {
            return Taken::Gap;
        }
        self.append(event.clone(), now);
        Taken::New(vec![event])
    }

    /// Takes a look at the log, after a gap.
    pub(super) fn catch_up(&mut self, seen: RecentEvents, now: Instant) -> Taken {
        let is_behind = seen.last.epoch == self.last.epoch && seen.last < self.last;
        if is_behind || seen.events.iter().any(|event| self.has_another(event)) {
            return Taken::Reused;
        }
        if seen.last == self.last {
            return Taken::Known;
        }
        let missed: Vec<Event> =
            seen.events.iter().filter(|event| event.position > self.last).cloned().collect();
        if missed.first().is_some_and(|first| first.position == self.last.next()) {
            for event in &missed {
                self.append(event.clone(), now);
            }
            return Taken::New(missed);
        }
        // Another epoch, or more was missed than the log remembers.
        if seen.last.epoch == self.last.epoch {
            // What was said before it does not come right before what is known now.
            self.lines.clear();
        }
        self.thin = true;
        let RecentEvents { last, events, .. } = seen;
        self.last = last;
        self.events = events.iter().map(|event| Heard::new(event.clone(), now)).collect();
        // What was said in another epoch belongs to the room all the same.
        for event in &events {
            self.remember(event);
        }
        Taken::Gap
    }

    /// Whether another message is known to have this one's position.
    fn has_another(&self, event: &Event) -> bool {
        let known = self.events.iter().find(|heard| heard.event.position == event.position);
        let known = known.and_then(|heard| heard.said);
        known.zip(Said::of(event)).is_some_and(|(known, said)| known.id != said.id)
    }

    /// What came after `since`; none when that is not known here.
    pub(super) fn after(&self, since: Position) -> Option<Vec<Event>> {
        if since.epoch != self.last.epoch || since > self.last {
            return None;
        }
        let events = self.events.iter().map(|heard| &heard.event);
        let missed: Vec<Event> = events.filter(|event| event.position > since).cloned().collect();
        let whole = missed.first().map_or(since == self.last, |first| first.position == since.next());
        whole.then_some(missed)
    }

    /// The last messages, the oldest first.
    pub(super) fn lines(&self) -> Vec<Line> {
        self.lines.iter().cloned().collect()
    }

    /// Whether newcomers would see fewer lines than there are.
    pub(super) fn is_thin(&self) -> bool {
        self.thin && self.lines.len() < LINES
    }

    /// Takes the last messages (the latest first) from a look at history, of which those that came after what was heard here are still
    /// to be heard.
    pub(super) fn refill(&mut self, latest: Vec<Line>) {
        let removals: Vec<Removal> =
            self.events.iter().filter_map(|heard| Removal::of(&heard.event)).collect();
        let last = self.last;
        let is_heard = |line: &Line| line.said.position.epoch == last.epoch && line.said.position > last;
        let is_removed = |line: &Line| removals.iter().any(|removal| removal.takes(&line.said));
        self.lines = latest.into_iter().rev().filter(|line| !is_heard(line) && !is_removed(line)).collect();
        self.thin = false;
    }

    /// Lets go of what came too long ago to be told again; to be called every few seconds.
    pub(super) fn forget_old(&mut self, now: Instant) {
        while self.events.front().is_some_and(|heard| now.duration_since(heard.at) >= REMEMBERED) {
            self.events.pop_front();
        }
    }

    fn append(&mut self, event: Event, now: Instant) {
        self.last = event.position;
        self.remember(&event);
        self.events.push_back(Heard::new(event, now));
        if self.events.len() > KEPT {
            self.events.pop_front();
        }
    }

    fn remember(&mut self, event: &Event) {
        if let Some(line) = Line::of(event) {
            // In another epoch too: what PostgreSQL had already is in its place now.
            self.lines.retain(|known| known.said.id != line.said.id);
            self.lines.push_back(line);
            if self.lines.len() > LINES {
                self.lines.pop_front();
            }
        } else if let Some(removal) = Removal::of(event) {
            let before = self.lines.len();
            self.lines.retain(|line| !removal.takes(&line.said));
            self.thin |= self.lines.len() < before;
            self.take_back(removal);
        }
    }

    /// Whoever comes back gets no word of it any more, and misses no offset.
    fn take_back(&mut self, removal: Removal) {
        for heard in &mut self.events {
            if let Some(said) = heard.said.take_if(|said| removal.takes(said)) {
                heard.event = said.taken_back();
            }
        }
    }
}

/// What a newcomer sees of the past.
pub(super) const LINES: usize = 50;

#[cfg(test)]
mod tests {
    use caudal_livestream::StreamId;
    use uuid::Uuid;

    use super::*;
    use crate::chat::draft::{Kind, fields_of_ban, fields_of_removal};

    /// Each tenth is somebody else's.
    fn author(offset: i64) -> Uuid {
        Uuid::from_u128(if offset % 10 == 0 { 1_010 } else { 1_001 })
    }

    fn said(epoch: i64, offset: i64) -> Event {
        let id = Uuid::from_u128(u128::try_from(offset).unwrap());
        let (stream, author) = (Uuid::nil(), author(offset));
        let fields = format!(r#""id":"{id}","streamId":"{stream}","user":{{"id":"{author}"}}}}"#);
        Event::new(Kind::NewMessage, Position { epoch, offset }, &fields)
    }

    fn seen(epoch: i64, offsets: std::ops::RangeInclusive<i64>) -> RecentEvents {
        let last = Position { epoch, offset: *offsets.end() };
        RecentEvents { last, events: offsets.map(|offset| said(epoch, offset)).collect() }
    }

    fn now() -> Instant {
        Instant::now()
    }

    fn offsets(events: &[Event]) -> Vec<i64> {
        events.iter().map(|event| event.position.offset).collect()
    }

    #[test]
    fn what_is_heard_in_order_is_new_once() {
        let mut recent = Recent::new(seen(1, 3..=4), Vec::new(), now());
        assert_eq!(recent.hear(said(1, 5), now()), Taken::New(vec![said(1, 5)]));
        assert_eq!(recent.hear(said(1, 5), now()), Taken::Known);
        assert_eq!(recent.hear(said(1, 4), now()), Taken::Known);
        assert_eq!(recent.hear(said(1, 7), now()), Taken::Gap);
        assert_eq!(recent.catch_up(seen(1, 4..=7), now()), Taken::New(vec![said(1, 6), said(1, 7)]));
        assert_eq!(recent.catch_up(seen(1, 4..=7), now()), Taken::Known);
    }

    #[test]
    fn what_cannot_be_caught_up_with_is_a_gap_and_the_room_goes_on_behind_it() {
        let mut recent = Recent::new(seen(1, 1..=2), Vec::new(), now());
        assert_eq!(recent.catch_up(seen(1, 500..=600), now()), Taken::Gap);
        assert_eq!(recent.hear(said(1, 601), now()), Taken::New(vec![said(1, 601)]));
        assert_eq!(recent.hear(said(2, 1), now()), Taken::Gap, "the counter was lost");
        assert_eq!(recent.catch_up(seen(2, 1..=1), now()), Taken::Gap);
        assert_eq!(recent.hear(said(2, 2), now()), Taken::New(vec![said(2, 2)]));
    }

    #[test]
    fn a_log_that_lost_its_end_is_noticed_by_where_it_is_and_by_what_it_says_again() {
        let mut recent = Recent::new(seen(1, 1..=10), Vec::new(), now());
        assert_eq!(recent.catch_up(seen(1, 1..=8), now()), Taken::Reused, "behind");
        let mut again = said(1, 9);
        again.frame =
            again.frame.replace(&Uuid::from_u128(9).to_string(), &Uuid::from_u128(99).to_string()).into();
        assert_eq!(recent.hear(again.clone(), now()), Taken::Reused);
        let mut other = seen(1, 1..=12);
        other.events[8] = again;
        assert_eq!(recent.catch_up(other, now()), Taken::Reused, "though it has gone on since");
        assert_eq!(recent.catch_up(seen(2, 1..=1), now()), Taken::Gap);
        assert_eq!(recent.last(), Position { epoch: 2, offset: 1 });
    }

    #[test]
    fn whoever_comes_back_gets_what_was_missed_or_is_told_that_it_is_not_known() {
        let recent = Recent::new(seen(7, 10..=12), Vec::new(), now());
        let after = |epoch, offset| recent.after(Position { epoch, offset });
        assert_eq!(offsets(&after(7, 9).unwrap()), [10, 11, 12]);
        assert_eq!(offsets(&after(7, 11).unwrap()), [12]);
        assert_eq!(after(7, 12), Some(Vec::new()));
        for (epoch, offset) in [(7, 8), (7, 13), (6, 11), (8, 1)] {
            assert_eq!(after(epoch, offset), None, "{epoch}.{offset}");
        }
        let silent =
            Recent::new(RecentEvents { last: Position::beginning(7), events: vec![] }, vec![], now());
        assert_eq!(silent.after(Position::beginning(7)), Some(Vec::new()));
    }

    #[test]
    fn newcomers_see_the_last_fifty_without_what_was_removed() {
        let mut recent = Recent::new(seen(1, 1..=1), Vec::new(), now());
        for offset in 2..=60 {
            recent.hear(said(1, offset), now());
        }
        let removal = fields_of_removal(StreamId(Uuid::nil()), Uuid::from_u128(59));
        recent.hear(Event::new(Kind::MessageDeleted, Position { epoch: 1, offset: 61 }, &removal), now());
        let lines: Vec<u128> = recent.lines().iter().map(|line| line.said.id.as_u128()).collect();
        assert_eq!(lines.len(), 49);
        assert_eq!((lines.first(), lines.last()), (Some(&11), Some(&60)));
        assert!(!lines.contains(&59));
        let ban = fields_of_ban(StreamId(Uuid::nil()), author(1), "bob", Some(60));
        recent.hear(Event::new(Kind::UserBanned, Position { epoch: 1, offset: 62 }, &ban), now());
        let lines: Vec<u128> = recent.lines().iter().map(|line| line.said.id.as_u128()).collect();
        assert_eq!(lines, [20, 30, 40, 50, 60]);
    }

    #[test]
    fn what_removals_took_is_filled_up_from_history_without_what_is_still_to_be_heard() {
        let line = |offset| Line::of(&said(1, offset)).unwrap();
        let latest = (11..=60).rev().map(line).collect();
        let mut recent = Recent::new(seen(1, 58..=60), latest, now());
        assert!(!recent.is_thin());
        let ban = fields_of_ban(StreamId(Uuid::nil()), author(1), "bob", None);
        recent.hear(Event::new(Kind::UserBanned, Position { epoch: 1, offset: 61 }, &ban), now());
        assert_eq!(recent.lines().len(), 5);
        assert!(recent.is_thin());
        // History knows of no ban yet, and of a message that comes here later.
        recent.refill([line(70), line(60), line(59), line(10)].to_vec());
        let offsets: Vec<i64> = recent.lines().iter().map(|line| line.said.position.offset).collect();
        assert_eq!(offsets, [10, 60]);
        assert!(!recent.is_thin(), "there is no more in history");
    }

    #[test]
    fn whoever_comes_back_reads_nothing_that_was_removed() {
        let mut recent = Recent::new(seen(1, 1..=10), Vec::new(), now());
        recent.hear(said(1, 11), now());
        let (stream, at) = (StreamId(Uuid::nil()), |offset| Position { epoch: 1, offset });
        let removal = |offset, id| {
            Event::new(Kind::MessageDeleted, at(offset), &fields_of_removal(stream, Uuid::from_u128(id)))
        };
        recent.hear(removal(12, 11), now());
        let ban = Event::new(Kind::UserBanned, at(13), &fields_of_ban(stream, author(10), "bob", None));
        recent.hear(ban.clone(), now());
        assert_eq!(
            recent.after(at(8)).unwrap(),
            [said(1, 9), removal(10, 10), removal(11, 11), removal(12, 11), ban],
            "places without words, and no place missing"
        );
    }

    #[test]
    fn after_a_gap_too_newcomers_see_the_last_fifty_without_what_was_removed() {
        let mut recent = Recent::new(seen(1, 1..=3), Vec::new(), now());
        let mut behind = seen(1, 500..=599);
        let last = Position { epoch: 1, offset: 600 };
        let ban = fields_of_ban(StreamId(Uuid::nil()), author(10), "bob", None);
        behind.events.push(Event::new(Kind::UserBanned, last, &ban));
        assert_eq!(recent.catch_up(RecentEvents { last, ..behind }, now()), Taken::Gap);
        let lines: Vec<i64> = recent.lines().iter().map(|line| line.said.position.offset).collect();
        assert_eq!((lines.len(), lines.first(), lines.last()), (45, Some(&551), Some(&599)));
        assert!(lines.iter().all(|offset| offset % 10 != 0), "{lines:?}");
    }

    #[test]
    fn newcomers_get_no_message_twice_that_comes_while_the_room_is_opened() {
        // PostgreSQL has four and five already; four and five are heard afterwards.
        let latest = [5, 4, 3, 2].map(|offset| Line::of(&said(1, offset)).unwrap());
        let mut recent = Recent::new(seen(1, 1..=3), latest.to_vec(), now());
        let offsets = |recent: &Recent| -> Vec<i64> {
            recent.lines().iter().map(|line| line.said.position.offset).collect()
        };
        assert_eq!(offsets(&recent), [2, 3]);
        for offset in [4, 5] {
            recent.hear(said(1, offset), now());
        }
        assert_eq!(offsets(&recent), [2, 3, 4, 5]);
        assert_eq!(recent.catch_up(seen(2, 5..=6), now()), Taken::Gap);
        assert_eq!(offsets(&recent), [2, 3, 4, 5, 6], "the same message in another epoch");
    }

    #[test]
    fn what_came_ten_minutes_ago_is_not_told_again() {
        let began = now();
        let mut recent = Recent::new(seen(1, 1..=1), Vec::new(), began);
        recent.hear(said(1, 2), began + REMEMBERED / 2);
        recent.forget_old(began + REMEMBERED);
        assert_eq!(recent.after(Position { epoch: 1, offset: 0 }), None);
        assert_eq!(offsets(&recent.after(Position { epoch: 1, offset: 1 }).unwrap()), [2]);
        recent.forget_old(began + REMEMBERED * 2);
        assert_eq!(recent.after(Position { epoch: 1, offset: 1 }), None);
        assert_eq!(recent.after(recent.last()), Some(Vec::new()));
    }
}
