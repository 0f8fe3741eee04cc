//! What this replica listens to.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::broadcast;
use uuid::Uuid;

use super::{EVENTS_KEPT, MAX_TOPICS, SubscribeError};

/// What events are about: a kind, such as `chat`, of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    /// `kind` of the thing that `id` names.
    pub fn new(kind: &'static str, id: Uuid) -> Self {
        Self(format!("{kind}:{id}").into())
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The topics that somebody here is subscribed to, and no others. All clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Topics(Arc<Mutex<HashMap<Topic, broadcast::Sender<Bytes>>>>);

/// A subscriber of a topic. The last one to go takes the topic along.
#[derive(Debug)]
pub(super) struct Listening {
    // Before `place`, so that it is gone when the place looks who is left.
    pub(super) events: broadcast::Receiver<Bytes>,
    _place: Place,
}

#[derive(Debug)]
struct Place {
    topics: Topics,
    topic: Topic,
}

impl Topics {
    pub(super) fn listen(&self, topic: &Topic) -> Result<Listening, SubscribeError> {
        let mut all = self.lock();
        let events = match all.get(topic) {
            Some(events) => events.subscribe(),
            None if all.len() >= MAX_TOPICS => return Err(SubscribeError::TooManyTopics),
            None => {
                let (sender, events) = broadcast::channel(EVENTS_KEPT);
                all.insert(topic.clone(), sender);
                events
            }
        };
        Ok(Listening { events, _place: Place { topics: self.clone(), topic: topic.clone() } })
    }

    /// Tells an event to whoever is subscribed here.
    pub(super) fn tell(&self, topic: &str, payload: Bytes) {
        if let Some(events) = self.lock().get(topic) {
            // Without a receiver the last subscriber is just going.
            let _ = events.send(payload);
        }
    }

    pub(super) fn names(&self) -> Vec<Topic> {
        self.lock().keys().cloned().collect()
    }

    pub(super) fn has(&self, topic: &Topic) -> bool {
        self.lock().contains_key(topic)
    }

    /// Held for single operations only, never across an await.
    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, broadcast::Sender<Bytes>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.topics.lock();
        if all.get(&self.topic).is_some_and(|events| events.receiver_count() == 0) {
            all.remove(&self.topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_lasts_as_long_as_its_last_subscriber() {
        let (topics, topic) = (Topics::default(), Topic::new("chat", Uuid::nil()));
        let (first, second) = (topics.listen(&topic).unwrap(), topics.listen(&topic).unwrap());
        assert_eq!(topics.names(), std::slice::from_ref(&topic));
        drop(first);
        assert!(topics.has(&topic));
        drop(second);
        assert!(topics.names().is_empty());
    }

    #[test]
    fn one_topic_too_many_is_refused_until_another_is_left() {
        let topics = Topics::default();
        let topic = |n| Topic::new("chat", Uuid::from_u128(n));
        let last = u128::try_from(MAX_TOPICS).unwrap();
        let mut held: Vec<_> = (0..last).map(|n| topics.listen(&topic(n)).unwrap()).collect();
        assert_eq!(topics.listen(&topic(last)).err(), Some(SubscribeError::TooManyTopics));
        assert!(topics.listen(&topic(0)).is_ok(), "a topic that is there has room for everybody");
        held.pop();
        assert!(topics.listen(&topic(last)).is_ok());
    }
}
