//! What the database keeps so that only the api can read it: encrypted, and tied to its row.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::Rng as _;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::config::Secrets;
use crate::error::Error;

/// The keys of `Secrets::stream_key_encryption`.
pub(crate) struct Seals {
    /// By id; the first one encrypts.
    ciphers: Vec<(String, XChaCha20Poly1305)>,
}

/// A text as the database keeps it.
pub(crate) struct SealedText {
    /// Nonce and ciphertext.
    pub(crate) encrypted: Vec<u8>,
    /// Names the key.
    pub(crate) kid: String,
}

impl Seals {
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let ciphers = secrets.stream_key_encryption.iter().map(|(kid, key)| {
            // Hashed to the cipher's length; the secret has at least that much in it.
            let key = Sha256::digest(key.expose_secret().as_bytes());
            (kid.clone(), XChaCha20Poly1305::new(&key))
        });
        Self { ciphers: ciphers.collect() }
    }

    /// `place` says which column of which row the text is for: copied to another one it opens nothing.
    pub(crate) fn seal(&self, place: &[u8], text: &str) -> Result<SealedText, Error> {
        let (kid, cipher) =
            self.ciphers.first().ok_or_else(|| Error::Internal("no encryption key".into()))?;
        let mut nonce = [0_u8; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: text.as_bytes(), aad: &associated(place, kid) };
        let ciphertext = cipher
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| Error::Internal("a text could not be encrypted".into()))?;
        Ok(SealedText { encrypted: [nonce.as_slice(), &ciphertext].concat(), kid: kid.clone() })
    }

    /// The text again, or why it cannot be read, for the log.
    pub(crate) fn open(&self, place: &[u8], encrypted: &[u8], kid: &str) -> Result<String, &'static str> {
        let (_, cipher) =
            self.ciphers.iter().find(|(id, _)| id == kid).ok_or("no encryption key has its id")?;
        let (nonce, ciphertext) = encrypted.split_first_chunk::<NONCE_BYTES>().ok_or("it is too short")?;
        let payload = Payload { msg: ciphertext, aad: &associated(place, kid) };
        let text = cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| "it was changed, or sealed under another CAUDAL_SECRET")?;
        String::from_utf8(text).map_err(|_| "it is no text")
    }
}

fn associated(place: &[u8], kid: &str) -> Vec<u8> {
    [place, kid.as_bytes()].concat()
}

const NONCE_BYTES: usize = 24;
