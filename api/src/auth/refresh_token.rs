//! Refresh tokens: a session's id, a serial number and a seal that only our secret makes.
//!
//! The database keeps no token, only the newest number: it alone yields none, every replica makes the same ones, and a
//! number that was given out long ago is still recognised as ours.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::AuthError;

/// The how-manyth token of its session, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub(crate) struct Serial(pub(crate) i32);

impl Serial {
    pub(super) fn next(self) -> Self {
        // At one refresh a second for the longest session there is, 2.6 million are given out.
        Self(self.0.saturating_add(1))
    }
}

/// A refresh token as its owner has it. Hidden in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum RefreshToken {
    /// Its seal may still be wrong.
    Numbered { session: Uuid, serial: Serial, seal: [u8; SEAL] },
    /// From before sessions had rows: random bytes whose hash is in `refresh_tokens`.
    Former([u8; FORMER]),
}

impl RefreshToken {
    /// As sent by a client.
    pub(crate) fn parse(text: &str) -> Result<Self, AuthError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| AuthError::RefreshInvalid)?;
        if let Ok(bytes) = <[u8; FORMER]>::try_from(bytes.as_slice()) {
            return Ok(Self::Former(bytes));
        }
        let numbered = || {
            let (session, rest) = bytes.split_first_chunk()?;
            let (serial, seal) = rest.split_first_chunk()?;
            Some(Self::Numbered {
                session: Uuid::from_bytes(*session),
                serial: Serial(i32::from_be_bytes(*serial)),
                seal: seal.try_into().ok()?,
            })
        };
        numbered().ok_or(AuthError::RefreshInvalid)
    }

    /// As sent to a client.
    pub(crate) fn reveal(&self) -> String {
        match self {
            Self::Numbered { session, serial, seal } => {
                let parts = [session.as_bytes().as_slice(), &serial.0.to_be_bytes(), seal];
                URL_SAFE_NO_PAD.encode(parts.concat())
            }
            Self::Former(bytes) => URL_SAFE_NO_PAD.encode(bytes),
        }
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `refresh_tokens.token_hash` of a former token.
pub(super) fn former_hash(token: &[u8; FORMER]) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

/// Makes tokens, and tells ours from others.
pub(super) struct Sealer {
    current: SecretString,
    others: Vec<SecretString>,
}

impl Sealer {
    /// Seals with `current`, and takes seals of the `others` too.
    pub(super) fn new(current: &SecretString, others: &[SecretString]) -> Self {
        Self { current: current.clone(), others: others.to_vec() }
    }

    pub(super) fn token(&self, session: Uuid, serial: Serial) -> RefreshToken {
        let seal = mac(&self.current, session, serial).finalize().into_bytes().into();
        RefreshToken::Numbered { session, serial, seal }
    }

    /// Whether the seal is ours, in a time that says nothing of the right one.
    pub(super) fn made(&self, session: Uuid, serial: Serial, seal: &[u8; SEAL]) -> bool {
        let is_ours = |secret| mac(secret, session, serial).verify_slice(seal).is_ok();
        std::iter::once(&self.current).chain(&self.others).any(is_ours)
    }
}

fn mac(secret: &SecretString, session: Uuid, serial: Serial) -> Hmac<Sha256> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        unreachable!()
    };
    // The same secret signs access tokens, whose signed text has no space and no line break.
    mac.update(b"caudal refresh token\n");
    mac.update(session.as_bytes());
    mac.update(&serial.0.to_be_bytes());
    mac
}

/// HMAC-SHA-256.
const SEAL: usize = 32;
const FORMER: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealer(secret: &str) -> Sealer {
        Sealer::new(&secret.into(), &[])
    }

    fn made(sealer: &Sealer, token: &RefreshToken) -> bool {
        match token {
            RefreshToken::Numbered { session, serial, seal } => sealer.made(*session, *serial, seal),
            RefreshToken::Former(_) => false,
        }
    }

    #[test]
    fn a_token_of_the_secret_before_is_ours_for_as_long_as_that_is_accepted() {
        let former = "0123456789abcdef0123456789abcdef";
        let token = sealer(former).token(Uuid::now_v7(), Serial(7));
        let next = "another secret, another secret!!";
        assert!(made(&Sealer::new(&next.into(), &[former.into()]), &token));
        assert!(!made(&sealer(next), &token));
    }

    #[test]
    fn a_token_is_ours_only_as_it_was_made_and_only_under_our_secret() {
        let ours = sealer("0123456789abcdef0123456789abcdef");
        let token = ours.token(Uuid::now_v7(), Serial(7));
        assert!(made(&ours, &token));
        assert!(!made(&sealer("another secret, another secret!!"), &token));
        let bytes = URL_SAFE_NO_PAD.decode(token.reveal()).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            let changed = RefreshToken::parse(&URL_SAFE_NO_PAD.encode(changed)).unwrap();
            assert!(!made(&ours, &changed), "byte {index}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_is_revealed_as_it_was_sent(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            match RefreshToken::parse(&text) {
                Ok(token) => prop_assert_eq!(token.reveal(), text),
                Err(_) => prop_assert!(bytes.len() != FORMER && bytes.len() != 20 + SEAL),
            }
        }
    }
}
