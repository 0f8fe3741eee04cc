//! Tokens in links that are mailed or handed on: whoever has one may do one thing.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// As it stands in a link. Hidden in `Debug`.
pub(crate) struct OneTimeToken(String);

impl OneTimeToken {
    pub(crate) fn generate() -> Self {
        let mut bytes = [0_u8; BYTES];
        rand::rng().fill_bytes(&mut bytes);
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// For the link, and for nothing else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn hash(&self) -> Vec<u8> {
        hash(&self.0)
    }
}

impl fmt::Debug for OneTimeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What to look a token up by that somebody sent, whatever it is. A plain hash is enough: nobody guesses what went in.
pub(crate) fn hash_of_sent(token: &SecretString) -> Vec<u8> {
    hash(token.expose_secret())
}

/// For garde: ours have 43 characters, and nobody needs to hash a megabyte.
pub(crate) fn is_token(token: &SecretString, (): &()) -> garde::Result {
    match token.expose_secret().len() {
        1..=128 => Ok(()),
        _ => Err(garde::Error::new("this is no token")),
    }
}

fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// As many as a hash has.
const BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_what_was_sent_and_shows_itself_to_nobody_else() {
        let (token, other) = (OneTimeToken::generate(), OneTimeToken::generate());
        assert_eq!(hash_of_sent(&token.reveal().into()), token.hash());
        assert_ne!(token.hash(), other.hash());
        assert_eq!(format!("{token:?}"), "***");
        assert!(is_token(&token.reveal().into(), &()).is_ok());
        assert!(is_token(&"".into(), &()).is_err() && is_token(&"x".repeat(129).into(), &()).is_err());
    }
}
