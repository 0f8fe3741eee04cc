//! Stream keys: minted, hashed for look-up, encrypted for their owner's eyes.

use std::fmt;

use caudal_livestream::admission::StreamKey;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use rand::{Rng as _, RngExt as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use uuid::Uuid;

use crate::config::Secrets;
use crate::error::Error;

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
    /// By id; the first one encrypts.
    ciphers: Vec<(String, XChaCha20Poly1305)>,
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
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let ciphers = secrets.stream_key_encryption.iter().map(|(kid, key)| {
            // Hashed to the cipher's length; the secret has at least that much in it.
            let key = Sha256::digest(key.expose_secret().as_bytes());
            (kid.clone(), XChaCha20Poly1305::new(&key))
        });
        Self { pepper: secrets.stream_key_pepper.clone(), ciphers: ciphers.collect() }
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
        let (kid, cipher) =
            self.ciphers.first().ok_or_else(|| Error::Internal("no stream key encryption key".into()))?;
        let mut nonce = [0_u8; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let aad = associated(user, kid);
        let payload = Payload { msg: key.reveal().as_bytes(), aad: &aad };
        let ciphertext = cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Error::Internal("a stream key could not be encrypted".into()))?;
        let encrypted = [nonce.as_slice(), &ciphertext].concat();
        Ok(Sealed { hash: self.hashed(key), encrypted, kid: kid.clone() })
    }

    /// The key of `user`, for `user`.
    ///
    /// [`KeyError::Unreadable`] when it was sealed under a secret that is gone; a new one is the way on.
    pub(crate) fn open(&self, user: Uuid, encrypted: &[u8], kid: &str) -> Result<StreamKey, KeyError> {
        self.opened(user, encrypted, kid).map_err(|why| {
            tracing::warn!(%user, kid, why, "a stream key cannot be read; its owner is asked to make a new one");
            KeyError::Unreadable
        })
    }

    fn opened(&self, user: Uuid, encrypted: &[u8], kid: &str) -> Result<StreamKey, &'static str> {
        let (_, cipher) =
            self.ciphers.iter().find(|(id, _)| id == kid).ok_or("no encryption key has its id")?;
        let (nonce, ciphertext) = encrypted.split_first_chunk::<NONCE_BYTES>().ok_or("it is too short")?;
        let payload = Payload { msg: ciphertext, aad: &associated(user, kid) };
        let text = cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| "it was changed, or sealed under another CAUDAL_SECRET")?;
        String::from_utf8(text).map(StreamKey::new).map_err(|_| "it is no text")
    }
}

impl fmt::Debug for StreamKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKeys(***)")
    }
}

/// Ties a ciphertext to its row: copied to another user it opens nothing.
fn associated(user: Uuid, kid: &str) -> Vec<u8> {
    [user.as_bytes().as_slice(), kid.as_bytes()].concat()
}

const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const NONCE_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(kids: &[&str]) -> StreamKeys {
        let secret = |text: &str| SecretString::from(text.repeat(32));
        StreamKeys::new(&Secrets {
            jwt: secret("j"),
            other_jwt: Vec::new(),
            stream_key_pepper: secret("p"),
            stream_key_encryption: kids.iter().map(|kid| ((*kid).to_owned(), secret(kid))).collect(),
        })
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
