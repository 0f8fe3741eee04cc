//! Storage credentials of one stream, on their way from the controller to the stream's worker (ARCHITECTURE §4).
//!
//! Only what travels is here. What is in it, and how it is sealed and opened, is `caudal_storage`'s.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Epoch, StreamId, WorkerId};

/// The only worker, stream and epoch that sealed credentials open for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The worker.
    pub worker: WorkerId,
    /// The stream that it is assigned.
    pub stream: StreamId,
    /// The epoch of that assignment.
    pub epoch: Epoch,
}

/// What a worker's credentials are sealed to: an X25519 key of 32 bytes, base64 in JSON. The private half never leaves the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SealingPublicKey(pub [u8; 32]);

/// Not 32 bytes in base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a key of 32 bytes in base64")]
pub struct InvalidKey;

impl TryFrom<String> for SealingPublicKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        let bytes = BASE64.decode(text).map_err(|_| InvalidKey)?;
        bytes.as_slice().try_into().map(Self).map_err(|_| InvalidKey)
    }
}

impl From<SealingPublicKey> for String {
    fn from(key: SealingPublicKey) -> Self {
        BASE64.encode(key.0)
    }
}

/// What a worker that waits for credentials answers to `GET /key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerKey {
    /// What its storage credentials are to be sealed to.
    pub key: SealingPublicKey,
}

/// Credentials that one worker can open, in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedCredentials(String);

impl SealedCredentials {
    /// Of what was sealed.
    pub fn new(sealed: &[u8]) -> Self {
        Self(BASE64.encode(sealed))
    }

    /// What was sealed; none where this is not base64, or longer than anything that is ever sealed.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        if self.0.len() > LONGEST_SEALED { None } else { BASE64.decode(&self.0).ok() }
    }
}

/// The body of `PUT /credentials`, signed: new credentials for the assignment that the worker has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsRenewal {
    /// Whom it is for; another worker refuses it.
    pub worker: WorkerId,
    /// The stream that the worker has.
    pub stream: StreamId,
    /// The epoch that it has it in.
    pub epoch: Epoch,
    /// Taken only where they were made later than the ones that the worker has, so a repeated or late order changes nothing.
    pub renewed: SealedCredentials,
}

impl CredentialsRenewal {
    /// Whom its credentials were sealed for.
    pub fn recipient(&self) -> Recipient {
        Recipient { worker: self.worker, stream: self.stream, epoch: self.epoch }
    }
}

/// Amazon's session tokens have no documented bound, and are about 1 kB.
const LONGEST_SEALED: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused() {
        let of = |text: &str| serde_json::from_value::<WorkerKey>(serde_json::json!({ "key": text }));
        for text in ["", "AAAA", "not base64", &BASE64.encode([7; 33])] {
            assert!(of(text).is_err(), "{text}");
        }
        assert_eq!(of(&BASE64.encode([7; 32])).unwrap().key, SealingPublicKey([7; 32]));
    }

    #[test]
    fn what_is_longer_than_anything_sealed_is_not_even_decoded() {
        assert_eq!(SealedCredentials("A".repeat(LONGEST_SEALED)).bytes().map(|b| b.len()), Some(24 * 1024));
        assert_eq!(SealedCredentials("A".repeat(LONGEST_SEALED + 4)).bytes(), None);
        assert_eq!(SealedCredentials("not base64".to_owned()).bytes(), None);
    }
}
