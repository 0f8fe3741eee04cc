//! All streams that are known, as one value that is cheap to clone and to change.

use std::collections::HashMap;
use std::sync::Arc;

use caudal_livestream::StreamId;
use caudal_livestream::record::LiveStream;

/// All streams that are known at one moment. A clone shares everything with its original, and a change of one copies
/// only the shard that the stream is in: at 5,000 streams some eighty entries.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Always [`SHARDS`] of them.
    shards: Arc<Vec<Shard>>,
}

type Shard = Arc<HashMap<StreamId, Arc<LiveStream>>>;

impl Streams {
    /// The stream's record.
    pub fn get(&self, stream: &StreamId) -> Option<&Arc<LiveStream>> {
        self.shards.get(shard_of(*stream))?.get(stream)
    }

    /// Whether the stream is known.
    pub fn contains_key(&self, stream: &StreamId) -> bool {
        self.get(stream).is_some()
    }

    /// All records, in no order.
    pub fn values(&self) -> impl Iterator<Item = &Arc<LiveStream>> {
        self.shards.iter().flat_map(|shard| shard.values())
    }

    /// Whether nothing has changed between the two; costs nothing.
    pub fn ptr_eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shards, &other.shards)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.is_empty())
    }

    /// The streams whose records are others than in `before`: new ones, changed ones, and those that are gone. Costs
    /// little where little has changed.
    pub fn changed_since(&self, before: &Self) -> impl Iterator<Item = StreamId> {
        let shards = self.shards.iter().zip(before.shards.iter());
        shards.filter(|(now, before)| !Arc::ptr_eq(now, before)).flat_map(|(now, before)| {
            let changed = now.iter().filter(move |(stream, record)| {
                before.get(*stream).is_none_or(|before| !Arc::ptr_eq(before, record))
            });
            let gone = before.keys().filter(move |stream| !now.contains_key(*stream));
            changed.map(|(stream, _)| *stream).chain(gone.copied())
        })
    }

    /// Adds or replaces a record.
    pub fn insert(&mut self, record: Arc<LiveStream>) {
        let stream = record.spec.stream;
        if let Some(shard) = Arc::make_mut(&mut self.shards).get_mut(shard_of(stream)) {
            Arc::make_mut(shard).insert(stream, record);
        }
    }

    /// Removes a record; false when there is none.
    pub fn remove(&mut self, stream: &StreamId) -> bool {
        // Nothing is copied for a stream that is not there.
        self.contains_key(stream)
            && Arc::make_mut(&mut self.shards)
                .get_mut(shard_of(*stream))
                .is_some_and(|shard| Arc::make_mut(shard).remove(stream).is_some())
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self { shards: Arc::new(std::iter::repeat_n(Shard::default(), SHARDS).collect()) }
    }
}

impl FromIterator<Arc<LiveStream>> for Streams {
    fn from_iter<T: IntoIterator<Item = Arc<LiveStream>>>(records: T) -> Self {
        let mut streams = Self::default();
        for record in records {
            streams.insert(record);
        }
        streams
    }
}

/// The last byte of a version 7 id is random.
fn shard_of(stream: StreamId) -> usize {
    usize::from(stream.0.as_bytes().last().copied().unwrap_or_default()) % SHARDS
}

/// About the square root of the streams that one platform has at most, so that the list of shards and one shard cost as
/// much to copy.
const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use caudal_livestream::fixtures;

    use super::*;

    fn record(title: &str) -> Arc<LiveStream> {
        let mut record = fixtures::record();
        title.clone_into(&mut record.spec.title);
        Arc::new(record)
    }

    #[test]
    fn what_is_put_in_is_found_until_it_is_removed_and_a_clone_keeps_what_it_had() {
        let records: Vec<_> = (0..500).map(|_| record("one")).collect();
        let all: Streams = records.iter().cloned().collect();
        let mut fewer = all.clone();
        for (number, record) in records.iter().enumerate() {
            let stream = record.spec.stream;
            assert!(Arc::ptr_eq(all.get(&stream).unwrap(), record));
            if number % 2 == 0 {
                assert!(fewer.remove(&stream));
                assert!(!fewer.remove(&stream));
                assert!(!fewer.contains_key(&stream));
            }
        }
        assert_eq!((all.len(), fewer.len(), fewer.values().count()), (500, 250, 250));
        assert!(!fewer.is_empty() && Streams::default().is_empty());
    }

    #[test]
    fn what_changed_is_told_and_nothing_else() {
        let records: Vec<_> = (0..500).map(|_| record("one")).collect();
        let before: Streams = records.iter().cloned().collect();
        let mut after = before.clone();
        let (changed, gone, new) = (&records[0], &records[1], record("new"));
        after.insert(Arc::new((**changed).clone()));
        after.remove(&gone.spec.stream);
        after.insert(Arc::clone(&new));
        let told: Vec<_> = after.changed_since(&before).collect();
        assert_eq!(told.len(), 3);
        let expected = [changed, gone, &new].map(|record| record.spec.stream);
        assert_eq!(told.into_iter().collect::<HashSet<_>>(), expected.into());
        assert_eq!(after.changed_since(&after.clone()).count(), 0);
    }

    #[test]
    fn a_change_copies_no_more_than_the_shard_it_is_in() {
        let before: Streams = (0..500).map(|_| record("one")).collect();
        let mut after = before.clone();
        after.insert(record("new"));
        let copied = before.shards.iter().zip(after.shards.iter()).filter(|(a, b)| !Arc::ptr_eq(a, b));
        assert_eq!(copied.count(), 1);
    }
}
