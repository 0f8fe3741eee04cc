//! Storage credentials of one stream, sealed to the worker that is to have them.
//!
//! With HPKE (RFC 9180: X25519, HKDF-SHA256 and ChaCha20-Poly1305, of rustls and aws-lc), to a key that the worker has made at its
//! start. They open under the worker, stream and epoch that they were sealed for and no other. Who sealed them is not said by this, but
//! by the signature of the order that carries them.

use std::fmt;

use caudal_livestream::UnixMillis;
use caudal_livestream::credentials::{Recipient, SealedCredentials, SealingPublicKey};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// S3 credentials that open one stream's objects alone, for a limited time. Hidden in `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamCredentials {
    /// The public half of the key pair.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: String,
    /// What the storage reads the session's policy from.
    pub session_token: String,
    /// When they were made, by the clock of whoever had them made. Of two, a worker wants the later ones, whichever hold longer.
    /// 0 from an operator that does not say so yet.
    #[serde(default = "unsaid")]
    pub issued: UnixMillis,
    /// The storage takes them until then.
    pub expires: UnixMillis,
}

fn unsaid() -> UnixMillis {
    UnixMillis(0)
}

impl StreamCredentials {
    /// Whether each of the three texts can be in an HTTP header, where the S3 client puts them.
    pub fn are_well_formed(&self) -> bool {
        [&self.access_key_id, &self.secret_access_key, &self.session_token]
            .iter()
            .all(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
    }
}

impl fmt::Debug for StreamCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamCredentials(***, expires: {:?})", self.expires)
    }
}

/// What a worker opens sealed credentials with. Made at its start, and never written anywhere.
pub struct SealingKey {
    public: SealingPublicKey,
    private: HpkePrivateKey,
}

/// Why credentials could not be sealed or opened. Says nothing of what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// No key could be made, or nothing sealed to this one, as a hostile peer can send it.
    #[error("the storage credentials cannot be sealed")]
    NotSealed,
    /// Not base64, too short or too long.
    #[error("the sealed storage credentials are malformed")]
    Malformed,
    /// Sealed to another key, or for another worker, stream or epoch, or changed on the way.
    #[error("the storage credentials are not sealed for this worker, stream and epoch")]
    NotForUs,
    /// Sealed for us, and not what credentials look like.
    #[error("the storage credentials cannot be read")]
    Unreadable,
}

impl SealingKey {
    /// A new pair.
    ///
    /// # Errors
    /// [`SealError::NotSealed`] when there is no randomness.
    pub fn generate() -> Result<Self, SealError> {
        let (public, private) = SUITE.generate_key_pair().map_err(|_| SealError::NotSealed)?;
        let public = public.0.as_slice().try_into().map_err(|_| SealError::NotSealed)?;
        Ok(Self { public: SealingPublicKey(public), private })
    }

    /// What to seal to.
    pub fn public(&self) -> SealingPublicKey {
        self.public
    }

    /// The credentials, where they were sealed to this key and for `recipient`.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn open(
        &self,
        sealed: &SealedCredentials,
        recipient: Recipient,
    ) -> Result<StreamCredentials, SealError> {
        let bytes = sealed.bytes().ok_or(SealError::Malformed)?;
        let (secret, ciphertext) = bytes.split_at_checked(SECRET_LENGTH).ok_or(SealError::Malformed)?;
        let secret = EncapsulatedSecret(secret.to_vec());
        let opened = SUITE.open(&secret, INFO, &associated(recipient), ciphertext, &self.private);
        let opened = opened.map_err(|_| SealError::NotForUs)?;
        let read: StreamCredentials = serde_json::from_slice(&opened).map_err(|_| SealError::Unreadable)?;
        if read.are_well_formed() { Ok(read) } else { Err(SealError::Unreadable) }
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(***)")
    }
}

impl StreamCredentials {
    /// Readable for whoever has the private half of `key`, and for `recipient` alone.
    ///
    /// # Errors
    /// [`SealError::NotSealed`] when the key is none.
    pub fn seal(&self, key: SealingPublicKey, recipient: Recipient) -> Result<SealedCredentials, SealError> {
        let plain = serde_json::to_vec(self).map_err(|_| SealError::NotSealed)?;
        let sealed = SUITE.seal(INFO, &associated(recipient), &plain, &HpkePublicKey(key.0.to_vec()));
        let (secret, ciphertext) = sealed.map_err(|_| SealError::NotSealed)?;
        Ok(SealedCredentials::new(&[secret.0, ciphertext].concat()))
    }
}

/// The seal's associated data; each part has a fixed length.
fn associated(recipient: Recipient) -> Vec<u8> {
    let Recipient { worker, stream, epoch } = recipient;
    [worker.0.as_bytes().as_slice(), stream.0.as_bytes(), &epoch.0.to_be_bytes()].concat()
}

/// Of what HPKE puts before the ciphertext: an X25519 key.
const SECRET_LENGTH: usize = 32;
/// What the seal is for, so that it can be taken for nothing else. A later format gets another number.
const INFO: &[u8] = b"caudal storage credentials 1";

#[cfg(test)]
mod tests {
    use caudal_livestream::{Epoch, StreamId, WorkerId};
    use proptest::prelude::*;

    use super::*;

    fn credentials() -> StreamCredentials {
        StreamCredentials {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCY".to_owned(),
            session_token: "FwoGZXIvYXdzE==".to_owned(),
            issued: UnixMillis(1_789_996_400_000),
            expires: UnixMillis(1_790_000_000_000),
        }
    }

    fn recipient() -> Recipient {
        Recipient { worker: WorkerId::generate(), stream: StreamId::generate(), epoch: Epoch(3) }
    }

    #[test]
    fn what_is_sealed_for_a_worker_opens_for_that_worker_stream_and_epoch_alone() {
        let (key, recipient) = (SealingKey::generate().unwrap(), recipient());
        let sealed = credentials().seal(key.public(), recipient).unwrap();
        assert_eq!(key.open(&sealed, recipient), Ok(credentials()));
        for other in [
            Recipient { worker: WorkerId::generate(), ..recipient },
            Recipient { stream: StreamId::generate(), ..recipient },
            Recipient { epoch: Epoch(4), ..recipient },
        ] {
            assert_eq!(key.open(&sealed, other), Err(SealError::NotForUs), "{other:?}");
        }
        let other = SealingKey::generate().unwrap();
        assert_eq!(other.open(&sealed, recipient), Err(SealError::NotForUs), "another worker's key");
    }

    #[test]
    fn nothing_of_the_secrets_is_in_what_is_sent_or_logged() {
        let (key, recipient) = (SealingKey::generate().unwrap(), recipient());
        let sealed = credentials().seal(key.public(), recipient).unwrap();
        let raw = sealed.bytes().unwrap();
        for secret in [credentials().secret_access_key, credentials().session_token] {
            assert!(!raw.windows(secret.len()).any(|window| window == secret.as_bytes()));
            assert!(!format!("{:?} {key:?} {sealed:?}", credentials()).contains(&secret));
        }
    }

    #[test]
    fn a_key_to_which_nothing_can_be_sealed_is_refused() {
        assert_eq!(credentials().seal(SealingPublicKey([0; 32]), recipient()), Err(SealError::NotSealed));
    }

    #[test]
    fn those_of_the_release_before_do_not_say_when_they_were_made() {
        let mut said = serde_json::to_value(credentials()).unwrap();
        said.as_object_mut().unwrap().remove("issued").unwrap();
        let read: StreamCredentials = serde_json::from_value(said).unwrap();
        assert_eq!(read, StreamCredentials { issued: UnixMillis(0), ..credentials() });
    }

    #[test]
    fn credentials_that_no_header_can_carry_are_unreadable() {
        let (key, recipient) = (SealingKey::generate().unwrap(), recipient());
        for bad in ["", "with space", "line\nbreak", "ü"] {
            let with = StreamCredentials { session_token: bad.to_owned(), ..credentials() };
            let sealed = with.seal(key.public(), recipient).unwrap();
            assert_eq!(key.open(&sealed, recipient), Err(SealError::Unreadable), "{bad:?}");
        }
    }

    /// As it may come from the network.
    fn sealed(text: &str) -> SealedCredentials {
        serde_json::from_value(serde_json::json!(text)).unwrap()
    }

    proptest! {
        #[test]
        fn no_text_opens_that_was_not_sealed(text in "[A-Za-z0-9+/=]{0,200}|.{0,100}") {
            let key = SealingKey::generate().unwrap();
            prop_assert!(key.open(&sealed(&text), recipient()).is_err());
        }

        #[test]
        fn no_bytes_open_that_were_not_sealed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let key = SealingKey::generate().unwrap();
            prop_assert!(key.open(&SealedCredentials::new(&bytes), recipient()).is_err());
        }

        #[test]
        fn a_changed_byte_opens_nothing(at: prop::sample::Index, change in 1_u8..) {
            let (key, recipient) = (SealingKey::generate().unwrap(), recipient());
            let sealed = credentials().seal(key.public(), recipient).unwrap();
            let mut bytes = sealed.bytes().unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            prop_assert!(key.open(&SealedCredentials::new(&bytes), recipient).is_err());
        }
    }
}
