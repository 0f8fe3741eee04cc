//! Which socket hears what.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::wanted::Wanted;

/// Those of this replica. Only who is here is remembered.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    last: u64,
    all: HashMap<u64, Listener>,
    everybody: HashSet<u64>,
    by_streamer: HashMap<Uuid, HashSet<u64>>,
    by_person: HashMap<Uuid, HashSet<u64>>,
}

#[derive(Debug)]
struct Listener {
    /// When it is full its socket is too slow, and is let go.
    outbox: mpsc::Sender<Utf8Bytes>,
    person: Option<Uuid>,
    wanted: Option<Wanted>,
}

impl Listeners {
    /// One more, who wants nothing yet.
    pub(super) fn enter(&mut self, outbox: mpsc::Sender<Utf8Bytes>) -> u64 {
        self.last = self.last.wrapping_add(1);
        self.all.insert(self.last, Listener { outbox, person: None, wanted: None });
        self.last
    }

    /// What one wants from now on, and who it is.
    pub(super) fn want(&mut self, id: u64, person: Option<Uuid>, wanted: Wanted) {
        let Some(Listener { outbox, .. }) = self.take(id) else { return };
        if wanted.is_everybody() {
            self.everybody.insert(id);
        }
        for streamer in wanted.streamers() {
            self.by_streamer.entry(*streamer).or_default().insert(id);
        }
        if let Some(person) = person {
            self.by_person.entry(person).or_default().insert(id);
        }
        self.all.insert(id, Listener { outbox, person, wanted: Some(wanted) });
    }

    pub(super) fn leave(&mut self, id: u64) {
        self.take(id);
    }

    /// Those who want to hear of whom they follow.
    pub(super) fn following(&self) -> Vec<Uuid> {
        let follow = |id: &u64| self.wants(*id, Wanted::is_followed);
        let people = self.by_person.iter().filter(|(_, ids)| ids.iter().any(follow));
        people.map(|(person, _)| *person).collect()
    }

    /// Tells whoever wants to hear of `streamer`, whom `followers` follow.
    pub(super) fn tell_audience(&mut self, streamer: Uuid, followers: &[Uuid], frame: &Utf8Bytes) {
        let mut ids = self.everybody.clone();
        ids.extend(self.by_streamer.get(&streamer).into_iter().flatten());
        let of_followers = followers.iter().filter_map(|person| self.by_person.get(person)).flatten();
        ids.extend(of_followers.filter(|id| self.wants(**id, Wanted::is_followed)));
        self.tell(ids, frame);
    }

    /// Tells all sockets of people.
    pub(super) fn tell_people(&mut self, people: &[Uuid], frame: &Utf8Bytes) {
        let ids = people.iter().filter_map(|person| self.by_person.get(person)).flatten().copied().collect();
        self.tell(ids, frame);
    }

    fn tell(&mut self, ids: HashSet<u64>, frame: &Utf8Bytes) {
        for id in ids {
            let told =
                self.all.get(&id).is_some_and(|listener| listener.outbox.try_send(frame.clone()).is_ok());
            if !told {
                self.leave(id);
            }
        }
    }

    fn wants(&self, id: u64, what: impl Fn(&Wanted) -> bool) -> bool {
        self.all.get(&id).and_then(|listener| listener.wanted.as_ref()).is_some_and(what)
    }

    fn take(&mut self, id: u64) -> Option<Listener> {
        let listener = self.all.remove(&id)?;
        self.everybody.remove(&id);
        for streamer in listener.wanted.iter().flat_map(Wanted::streamers) {
            forget(&mut self.by_streamer, streamer, id);
        }
        if let Some(person) = listener.person {
            forget(&mut self.by_person, &person, id);
        }
        Some(listener)
    }
}

fn forget<K: Eq + Hash>(index: &mut HashMap<K, HashSet<u64>>, key: &K, id: u64) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(text: &str) -> Wanted {
        serde_json::from_str(text).unwrap()
    }

    fn heard(inbox: &mut mpsc::Receiver<Utf8Bytes>) -> usize {
        std::iter::from_fn(|| inbox.try_recv().ok()).count()
    }

    #[test]
    fn each_socket_hears_what_it_wants_and_once() {
        let (ana, bob, eve) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let mut listeners = Listeners::default();
        let mut sockets = Vec::new();
        let named = format!(r#"{{"streamerIds":["{ana}"]}}"#);
        let both = format!(r#"{{"scope":"all","streamerIds":["{ana}"]}}"#);
        for (person, text) in [
            (Some(bob), "{}"),
            (Some(eve), "{}"),
            (None, r#"{"scope":"all"}"#),
            (None, named.as_str()),
            (Some(bob), both.as_str()),
        ] {
            let (outbox, inbox) = mpsc::channel(8);
            let id = listeners.enter(outbox);
            listeners.want(id, person, wanted(text));
            sockets.push((id, inbox));
        }
        let mut following = listeners.following();
        following.sort();
        assert_eq!(following, [bob, eve]);
        let mut counts = |listeners: &mut Listeners, tell: &dyn Fn(&mut Listeners)| {
            tell(listeners);
            sockets.iter_mut().map(|(_, inbox)| heard(inbox)).collect::<Vec<_>>()
        };
        let frame = Utf8Bytes::from_static("x");
        let told = counts(&mut listeners, &|all| all.tell_audience(ana, &[bob], &frame));
        assert_eq!(told, [1, 0, 1, 1, 1]);
        let told = counts(&mut listeners, &|all| all.tell_audience(eve, &[], &frame));
        assert_eq!(told, [0, 0, 1, 0, 1]);
        let told = counts(&mut listeners, &|all| all.tell_people(&[bob], &frame));
        assert_eq!(told, [1, 0, 0, 0, 1]);
        // Another word replaces the first.
        listeners.want(sockets[0].0, Some(bob), wanted(&named));
        assert_eq!(listeners.following(), [eve]);
        for (id, _) in &sockets {
            listeners.leave(*id);
        }
        assert!(listeners.all.is_empty() && listeners.by_person.is_empty());
        assert!(listeners.everybody.is_empty() && listeners.by_streamer.is_empty());
    }

    #[test]
    fn whoever_is_too_slow_is_let_go() {
        let (person, mut listeners) = (Uuid::from_u128(1), Listeners::default());
        let (outbox, mut inbox) = mpsc::channel(2);
        let id = listeners.enter(outbox);
        listeners.want(id, Some(person), Wanted::default());
        for _ in 0..3 {
            listeners.tell_people(&[person], &Utf8Bytes::from_static("x"));
        }
        assert!(listeners.all.is_empty());
        assert_eq!(heard(&mut inbox), 2);
        assert!(inbox.is_closed());
    }
}
