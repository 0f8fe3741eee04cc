//! A key and those that it replaces, and how both stand in a file.

use std::collections::BTreeSet;
use std::fmt;

use rand::TryRng as _;
use sha2::{Digest as _, Sha256};

use super::key::Key;

/// A key and those that are still accepted beside it. Hidden in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRing {
    current: RingKey,
    others: Vec<RingKey>,
}

#[derive(Clone, PartialEq, Eq)]
struct RingKey {
    /// Only where what was encrypted names its key.
    id: Option<String>,
    bytes: [u8; KEY_BYTES],
}

impl KeyRing {
    /// The key that a master secret gives for `key`'s purpose.
    pub fn derived(key: Key, bytes: [u8; KEY_BYTES]) -> Self {
        let id = key.has_ids().then(|| OF_MASTER.to_owned());
        Self { current: RingKey { id, bytes }, others: Vec::new() }
    }

    /// A new one.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn random(key: Key) -> Result<Self, rand::rngs::SysError> {
        let mut bytes = [0_u8; KEY_BYTES];
        rand::rngs::SysRng.try_fill_bytes(&mut bytes)?;
        let id = key.has_ids().then(|| {
            let mut id = hex::encode(Sha256::digest(bytes));
            id.truncate(ID_OF_RANDOM);
            id
        });
        Ok(Self { current: RingKey { id, bytes }, others: Vec::new() })
    }

    /// Out of `key`'s file: a key a line, the one in use first.
    ///
    /// # Errors
    /// In words, which show nothing of a key.
    pub fn read(key: Key, text: &str) -> Result<Self, String> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let mut keys = lines
            .filter(|(_, line)| !line.is_empty())
            .map(|(number, line)| line_of(key, line).map_err(|fault| format!("line {number}: {fault}")))
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(format!("it is empty; expected {}", expected(key)));
        }
        let others = keys.split_off(1);
        let [current] = <[RingKey; 1]>::try_from(keys).map_err(|_| "it is empty".to_owned())?;
        if !others.is_empty() && !key.can_be_changed() {
            return Err(
                "it has several keys; expected one, because what it hashed is not found under another"
                    .to_owned(),
            );
        }
        let ring = Self { current, others };
        let ids: Vec<_> = ring.all().filter_map(|key| key.id.as_deref()).collect();
        if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
            return Err("two of its keys have the same id; expected an id of its own for each".to_owned());
        }
        Ok(ring)
    }

    /// What [`Self::read`] reads.
    pub fn text(&self) -> String {
        let line = |key: &RingKey| match &key.id {
            Some(id) => format!("{id}:{}\n", hex::encode(key.bytes)),
            None => format!("{}\n", hex::encode(key.bytes)),
        };
        self.all().map(line).collect()
    }

    /// The key to sign, prove and encrypt with.
    pub fn current(&self) -> [u8; KEY_BYTES] {
        self.current.bytes
    }

    /// All that are accepted, the current one first.
    pub fn accepted(&self) -> impl Iterator<Item = [u8; KEY_BYTES]> {
        self.all().map(|key| key.bytes)
    }

    /// All that are accepted, each with its id.
    pub fn by_id(&self) -> impl Iterator<Item = (String, [u8; KEY_BYTES])> {
        self.all().map(|key| (key.id.clone().unwrap_or_default(), key.bytes))
    }

    fn all(&self) -> impl Iterator<Item = &RingKey> {
        std::iter::once(&self.current).chain(&self.others)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing(***)")
    }
}

fn line_of(key: Key, line: &str) -> Result<RingKey, String> {
    let (id, digits) = match line.split_once(':') {
        Some((id, digits)) if key.has_ids() && is_id(id) => (Some(id.to_owned()), digits.trim()),
        None if !key.has_ids() => (None, line),
        _ => return Err(format!("expected {}", expected(key))),
    };
    let length = digits.chars().count();
    let mut bytes = [0_u8; KEY_BYTES];
    match hex::decode_to_slice(digits, &mut bytes) {
        Ok(()) => Ok(RingKey { id, bytes }),
        Err(_) if length != 2 * KEY_BYTES => {
            Err(format!("it has {length} characters; expected {}", expected(key)))
        }
        Err(_) => Err(format!("it has characters that are no hex digits; expected {}", expected(key))),
    }
}

fn is_id(id: &str) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn expected(key: Key) -> &'static str {
    if key.has_ids() {
        "ID:KEY, with an ID of 1 to 16 letters and digits and 64 hex digits for KEY, as `openssl rand -hex 32` makes them"
    } else {
        "64 hex digits, as `openssl rand -hex 32` makes them"
    }
}

/// Of a key, as HMAC-SHA-256, Ed25519 and XChaCha20 take it.
pub const KEY_BYTES: usize = 32;
/// The id that a derived key has always had in databases.
const OF_MASTER: &str = "m1";
const ID_OF_RANDOM: usize = 8;
/// It stands in each user's row (`users.stream_key_kid`, of 16 characters): with a longer one nobody could get a stream key.
const LONGEST_ID: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for key in [Key::Input, Key::StreamKeyEncryption] {
            for ring in [KeyRing::derived(key, [7; 32]), KeyRing::random(key).unwrap()] {
                assert_eq!(KeyRing::read(key, &ring.text()).unwrap(), ring);
            }
        }
        assert_eq!(KeyRing::derived(Key::Input, [1; 32]).text(), format!("{}\n", "01".repeat(32)));
        assert!(KeyRing::derived(Key::StreamKeyEncryption, [1; 32]).text().starts_with("m1:0101"));
    }

    #[test]
    fn the_first_line_is_used_and_all_are_accepted() {
        let text = format!("{}\r\n\n  {}  \n", "0a".repeat(32), "0B".repeat(32));
        let ring = KeyRing::read(Key::CallerApi, &text).unwrap();
        assert_eq!(ring.current(), [10; 32]);
        assert_eq!(ring.accepted().collect::<Vec<_>>(), [[10; 32], [11; 32]]);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_its_content() {
        let good = "ab".repeat(32);
        for (key, text, complaint) in [
            (Key::Input, String::new(), "it is empty; expected 64 hex digits"),
            (Key::Input, "\n \n".to_owned(), "it is empty"),
            (Key::Input, good[..60].to_owned(), "line 1: it has 60 characters; expected 64 hex digits"),
            (Key::Input, format!("{good}\n{good}ab"), "line 2: it has 66 characters"),
            (Key::Input, "xy".repeat(32), "line 1: it has characters that are no hex digits"),
            (Key::Input, "é".repeat(64), "line 1: it has characters that are no hex digits"),
            (Key::Input, format!("m1:{good}"), "line 1: expected 64 hex digits"),
            (Key::StreamKeyEncryption, good.clone(), "line 1: expected ID:KEY"),
            (Key::StreamKeyEncryption, format!("m 1:{good}"), "line 1: expected ID:KEY"),
            (Key::StreamKeyEncryption, format!("{}:{good}", "i".repeat(17)), "line 1: expected ID:KEY"),
            (Key::StreamKeyEncryption, format!("a:{good}\na:{good}"), "two of its keys have the same id"),
            (Key::StreamKeyPepper, format!("{good}\n{good}"), "it has several keys"),
        ] {
            let fault = KeyRing::read(key, &text).unwrap_err();
            assert!(fault.starts_with(complaint), "{fault}");
            assert!(!fault.contains("abab") && !fault.contains("xyxy"), "{fault}");
        }
    }
}
