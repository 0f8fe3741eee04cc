//! Stream keys: minted, hashed for look-up, encrypted for their owner's eyes.

use std::fmt;
use std::sync::Arc;

use caudal_livestream::admission::StreamKey;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use thiserror::Error;
use uuid::Uuid;

use crate::config::Secrets;
use crate::error::Error;
use crate::seal::{SealedText, Seals};

/// Why a stream key is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum KeyError {
    /// Sealed under a key that the api does not have any more.
    #[error(
        "the server's secret was changed or lost, and your stream key with it; make a new key and copy it into your encoder"
    )]
    Unreadable,
}

/// Makes, recognises and shows stream keys.
pub(crate) struct StreamKeys {
    pepper: SecretString,
    seals: Arc<Seals>,
}

/// A key as the database keeps it.
pub(crate) struct Sealed {
    /// `users.stream_key`.
    pub(crate) hash: String,
    /// `users.stream_key_enc`: nonce and ciphertext.
    pub(crate) encrypted: Vec<u8>,
    /// `users.stream_key_kid`.
    pub(crate) kid: String,
}

impl StreamKeys {
    pub(crate) fn new(secrets: &Secrets, seals: Arc<Seals>) -> Self {
        Self { pepper: secrets.stream_key_pepper.clone(), seals }
    }

    /// A new key for `user`.
    pub(crate) fn mint(&self, user: Uuid) -> Result<(StreamKey, Sealed), Error> {
        let mut rng = rand::rng();
        let mut text = String::from(StreamKey::PREFIX);
        for _ in 0..StreamKey::RANDOM_CHARACTERS {
            let index = rng.random_range(0..ALPHABET.len());
            text.extend(ALPHABET.get(index).copied().map(char::from));
        }
        let key = StreamKey::new(text);
        let sealed = self.seal(user, &key)?;
        Ok((key, sealed))
    }

    /// What to look a key up by; none for what cannot be one, so that nonsense costs no query.
    pub(crate) fn hash(&self, key: &StreamKey) -> Option<String> {
        key.is_well_formed().then(|| self.hashed(key))
    }

    fn hashed(&self, key: &StreamKey) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.pepper.expose_secret().as_bytes()) else {
            unreachable!()
        };
        mac.update(key.reveal().as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    fn seal(&self, user: Uuid, key: &StreamKey) -> Result<Sealed, Error> {
        let SealedText { encrypted, kid } = self.seals.seal(user.as_bytes(), key.reveal())?;
        Ok(Sealed { hash: self.hashed(key), encrypted, kid })
    }

    /// The key of `user`, for `user`.
    ///
    /// [`KeyError::Unreadable`] when it was sealed under a secret that is gone; a new one is the way on.
    pub(crate) fn open(&self, user: Uuid, encrypted: &[u8], kid: &str) -> Result<StreamKey, KeyError> {
        // Tied to its row: copied to another user it opens nothing.
        self.seals.open(user.as_bytes(), encrypted, kid).map(StreamKey::new).map_err(|why| {
            tracing::warn!(%user, kid, why, "a stream key cannot be read; its owner is asked to make a new one");
            KeyError::Unreadable
        })
    }
}

impl fmt::Debug for StreamKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKeys(***)")
    }
}

const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(kids: &[&str]) -> StreamKeys {
        let secret = |text: &str| SecretString::from(text.repeat(32));
        let secrets = Secrets {
            jwt: secret("j"),
            other_jwt: Vec::new(),
            stream_key_pepper: secret("p"),
            stream_key_encryption: kids.iter().map(|kid| ((*kid).to_owned(), secret(kid))).collect(),
        };
        StreamKeys::new(&secrets, Arc::new(Seals::new(&secrets)))
    }

    #[test]
    fn an_owner_reads_the_key_back_and_nobody_else_does() {
        let (keys, user) = (keys(&["1"]), Uuid::now_v7());
        let (key, sealed) = keys.mint(user).unwrap();
        assert_eq!(keys.open(user, &sealed.encrypted, &sealed.kid).unwrap(), key);
        assert!(keys.open(Uuid::now_v7(), &sealed.encrypted, &sealed.kid).is_err());
        let mut changed = sealed.encrypted.clone();
        changed[30] ^= 1;
        assert!(keys.open(user, &changed, &sealed.kid).is_err());
        assert!(keys.open(user, &changed[..20], &sealed.kid).is_err());
    }

    #[test]
    fn a_key_is_found_by_its_hash() {
        let keys = keys(&["1"]);
        let (key, sealed) = keys.mint(Uuid::now_v7()).unwrap();
        assert_eq!(keys.hash(&key), Some(sealed.hash));
        assert_eq!(key.reveal().len(), 37);
    }

    #[test]
    fn what_cannot_be_a_key_has_no_hash() {
        for nonsense in [
            "",
            "live_",
            "live_short",
            "LIVE_0123456789abcdef0123456789abcdef",
            "live_0123456789abcdef0123456789abcde!",
        ] {
            assert_eq!(keys(&["1"]).hash(&StreamKey::new(nonsense)), None, "{nonsense}");
        }
    }

    #[test]
    fn an_older_encryption_key_still_opens_what_it_sealed() {
        let user = Uuid::now_v7();
        let (key, sealed) = keys(&["1"]).mint(user).unwrap();
        let rotated = keys(&["2", "1"]);
        assert_eq!(rotated.open(user, &sealed.encrypted, &sealed.kid).unwrap(), key);
        assert_eq!(rotated.mint(user).unwrap().1.kid, "2");
        assert!(keys(&["2"]).open(user, &sealed.encrypted, &sealed.kid).is_err());
    }
}
