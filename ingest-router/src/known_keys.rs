//! Keys that may publish although the api is away: those of broadcasts that are still open.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use caudal_directory::Streams;
use caudal_livestream::StreamId;
use caudal_livestream::admission::StreamKey;
use caudal_livestream::record::LiveStream;
use sha2::{Digest as _, Sha256};

use crate::shared_refusals::SharedRefusals;

/// The directory's records say which key opened which stream; kept here is only which of them the api has refused
/// since, to this router, and to the others where they share a Redis.
#[derive(Default)]
pub(crate) struct KnownKeys {
    // Held for set operations only, never across an await. No longer than the directory: see `refuse`.
    refused: Mutex<HashSet<StreamId>>,
    shared: Option<SharedRefusals>,
}

/// SHA-256 of a key in hex, as the directory holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyHash(String);

impl KeyHash {
    pub(crate) fn of(key: &StreamKey) -> Self {
        Self(hex::encode(Sha256::digest(key.reveal().as_bytes())))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl KnownKeys {
    pub(crate) fn new(shared: Option<SharedRefusals>) -> Self {
        Self { refused: Mutex::default(), shared }
    }

    /// The same as [`KnownKeys::stream`], unless another router was told that the key is refused.
    pub(crate) async fn stream_anywhere(&self, hash: &KeyHash, streams: &Streams) -> Option<Arc<LiveStream>> {
        let record = self.stream(hash, streams)?;
        match &self.shared {
            Some(shared) if shared.holds(record.spec.stream).await => None,
            _ => Some(record),
        }
    }

    /// The open stream of the key with this hash, unless the key was refused or revoked since it opened it.
    pub(crate) fn stream(&self, hash: &KeyHash, streams: &Streams) -> Option<Arc<LiveStream>> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        streams
            .values()
            .filter(|record| record.spec.ingest.key_hash == hash.0 && record.is_open())
            .find(|record| !record.spec.key_revoked && !refused.contains(&record.spec.stream))
            .cloned()
    }

    /// The api has refused the key with this hash.
    pub(crate) async fn refuse(&self, hash: &KeyHash, streams: &Streams) {
        let of_this_key = streams.values().filter(|record| record.spec.ingest.key_hash == hash.0);
        let of_this_key: Vec<StreamId> = of_this_key.map(|record| record.spec.stream).collect();
        {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.retain(|stream| streams.contains_key(stream));
            refused.extend(&of_this_key);
        }
        if let Some(shared) = &self.shared {
            shared.refuse(&of_this_key).await;
        }
    }

    /// The api has let the key of this stream in.
    pub(crate) async fn accept(&self, stream: StreamId, streams: &Streams) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).remove(&stream);
        // A stream that is about to be opened has never been refused.
        if let Some(shared) = &self.shared
            && streams.contains_key(&stream)
        {
            shared.accept(stream).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use caudal_livestream::fixtures;
    use caudal_livestream::record::{DesiredState, Phase};

    use super::*;

    fn opened_by(key: &KeyHash) -> LiveStream {
        let mut record = fixtures::record();
        key.as_str().clone_into(&mut record.spec.ingest.key_hash);
        record
    }

    #[test]
    fn a_key_is_known_while_its_broadcast_is_open_and_nobody_spoke_against_it() {
        type Change = fn(&mut LiveStream);
        let cases: [(&str, Change, bool); 7] = [
            ("live", |record| record.status.phase = Phase::Live, true),
            ("away", |record| record.status.phase = Phase::Reconnecting, true),
            ("ending", |record| record.status.phase = Phase::Ending, false),
            ("ended", |record| record.status.phase = Phase::Ended, false),
            ("to be ended", |record| record.spec.desired_state = DesiredState::Ended, false),
            ("revoked", |record| record.spec.key_revoked = true, false),
            ("another key", |record| record.spec.ingest.key_hash = "other".into(), false),
        ];
        let key = KeyHash::of(&StreamKey::new("secret"));
        for (case, change, known) in cases {
            let mut record = opened_by(&key);
            change(&mut record);
            let streams = Streams::from_iter([Arc::new(record)]);
            assert_eq!(KnownKeys::default().stream(&key, &streams).is_some(), known, "{case}");
        }
    }

    #[tokio::test]
    async fn a_refusal_counts_until_the_key_is_let_in_again() {
        let key = KeyHash::of(&StreamKey::new("secret"));
        let record = opened_by(&key);
        let stream = record.spec.stream;
        let streams = Streams::from_iter([Arc::new(record)]);
        let known = KnownKeys::default();
        known.refuse(&key, &streams).await;
        assert!(known.stream(&key, &streams).is_none());
        known.accept(stream, &streams).await;
        assert!(known.stream(&key, &streams).is_some());
        known.refuse(&key, &streams).await;
        known.refuse(&key, &Streams::default()).await;
        assert!(
            known.stream(&key, &streams).is_some(),
            "streams that the directory no longer has are forgotten"
        );
    }

    #[test]
    fn a_hash_is_sha256_in_hex() {
        let hash = KeyHash::of(&StreamKey::new("abc"));
        assert_eq!(hash.as_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
