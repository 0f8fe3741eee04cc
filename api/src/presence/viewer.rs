//! Who a viewer is, without knowing more than is needed to count them once.

use axum::http::{HeaderMap, HeaderValue, header};
use caudal_livestream::StreamId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use uuid::Uuid;

use crate::address::Origin;
use crate::config::{PublicUrls, Secrets};

/// Somebody at a room's door, and from where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewer {
    pub(super) who: Who,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Person(Uuid),
    /// Nobody in particular, in a browser that we gave this number.
    Browser([u8; NUMBER]),
}

/// A viewer of one stream. Those of two streams have nothing in common, whoever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ViewerKey(pub(super) [u8; KEY]);

impl Viewer {
    pub(crate) fn person(user: Uuid, origin: Origin) -> Self {
        Self { who: Who::Person(user), origin }
    }

    pub(super) fn is(self, user: Uuid) -> Self {
        Self::person(user, self.origin)
    }

    /// The address whose share they take. Numbers are given to whoever asks, accounts are not.
    pub(super) fn home(self) -> Option<Origin> {
        match self.who {
            Who::Person(_) => None,
            Who::Browser(_) => Some(self.origin),
        }
    }
}

/// Gives browsers numbers, in a cookie, and knows its own.
pub(crate) struct ViewerIds {
    current: SecretString,
    others: Vec<SecretString>,
    secure: bool,
}

impl ViewerIds {
    pub(crate) fn new(secrets: &Secrets, urls: &PublicUrls) -> Self {
        Self { current: secrets.jwt.clone(), others: secrets.other_jwt.clone(), secure: urls.secure() }
    }

    /// Who sent these headers, as far as we gave them a number.
    pub(crate) fn known(&self, headers: &HeaderMap, origin: Origin) -> Option<Viewer> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut ours = pairs.filter(|(name, _)| *name == COOKIE).filter_map(|(_, value)| self.read(value));
        ours.next().map(|number| Viewer { who: Who::Browser(number), origin })
    }

    /// Somebody new, and the `Set-Cookie` by which they are known later.
    pub(crate) fn give(&self, origin: Origin) -> (Viewer, Option<HeaderValue>) {
        let number: [u8; NUMBER] = rand::random();
        let mut seal = mac(&self.current, SEALED, &[&number]);
        seal.truncate(SEAL);
        let secure = if self.secure { "; Secure" } else { "" };
        // For sockets too, which are not below the api's path.
        let cookie = format!(
            "{COOKIE}={}{}; Path=/; Max-Age={LASTS}; HttpOnly; SameSite=Lax{secure}",
            hex::encode(number),
            hex::encode(seal)
        );
        (Viewer { who: Who::Browser(number), origin }, HeaderValue::try_from(cookie).ok())
    }

    pub(super) fn key(&self, stream: StreamId, who: Who) -> ViewerKey {
        let (kind, id): (&[u8], &[u8]) = match &who {
            Who::Person(user) => (b"person", user.as_bytes()),
            Who::Browser(number) => (b"browser", number),
        };
        let digest = mac(&self.current, KEYED, &[stream.0.as_bytes(), id, kind]);
        ViewerKey(digest.first_chunk().copied().unwrap_or_default())
    }

    fn read(&self, text: &str) -> Option<[u8; NUMBER]> {
        let bytes: [u8; NUMBER + SEAL] = hex::decode(text).ok()?.try_into().ok()?;
        let (number, seal) = bytes.split_first_chunk::<NUMBER>()?;
        let is_ours = |secret| start(secret, SEALED, &[number]).verify_truncated_left(seal).is_ok();
        std::iter::once(&self.current).chain(&self.others).any(is_ours).then_some(*number)
    }
}

fn mac(secret: &SecretString, what: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    start(secret, what, parts).finalize().into_bytes().to_vec()
}

fn start(secret: &SecretString, what: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        // HMAC takes keys of any length.
        unreachable!()
    };
    mac.update(what);
    for part in parts {
        mac.update(part);
    }
    mac
}

const COOKIE: &str = "caudal_viewer";
/// The same secret signs access tokens, whose signed text has no line break, and seals refresh tokens.
const SEALED: &[u8] = b"caudal viewer\n";
const KEYED: &[u8] = b"caudal viewer of a stream\n";
/// Of the cookie, in seconds: a month. Whoever comes later gets another number, which changes no count.
const LASTS: u32 = 30 * 24 * 3600;
const NUMBER: usize = 16;
/// Of the MAC: a forged number is worth one viewer more.
const SEAL: usize = 16;
/// Of the MAC too: two of a million viewers have the same one with a chance of 1 in 10^26.
const KEY: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn ids(secret: &str, others: &[&str]) -> ViewerIds {
        let others = others.iter().map(|secret| (*secret).into()).collect();
        ViewerIds { current: secret.into(), others, secure: true }
    }

    fn origin() -> Origin {
        Origin::from(std::net::IpAddr::from([192, 0, 2, 1]))
    }

    fn sending(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, format!("a=b; {cookie}").parse().unwrap())])
    }

    #[test]
    fn a_browser_is_known_by_its_cookie_also_under_the_key_before() {
        let (given, cookie) = ids(SECRET, &[]).give(origin());
        let cookie = cookie.unwrap().to_str().unwrap().to_owned();
        assert!(cookie.ends_with("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
        let headers = sending(cookie.split(';').next().unwrap());
        let next = "another secret, another secret!!";
        for (secret, others, known) in
            [(SECRET, &[][..], true), (next, &[SECRET][..], true), (next, &[][..], false)]
        {
            let viewer = ids(secret, others).known(&headers, origin());
            assert_eq!(viewer.map(|viewer| viewer.who), known.then_some(given.who), "{secret} {others:?}");
        }
    }

    #[test]
    fn what_is_made_up_is_no_number_of_ours() {
        let ids = ids(SECRET, &[]);
        let (_, cookie) = ids.give(origin());
        let value = cookie.unwrap().to_str().unwrap().split([';', '=']).nth(1).unwrap().to_owned();
        let changed = format!("{}{}", if value.starts_with('0') { '1' } else { '0' }, &value[1..]);
        let zeros = "0".repeat(64);
        for made_up in ["", "me", &value[..62], &format!("{value}00"), &changed, &zeros] {
            let headers = sending(&format!("caudal_viewer={made_up}"));
            assert!(ids.known(&headers, origin()).is_none(), "{made_up}");
        }
        assert!(ids.known(&sending(&format!("caudal_viewer={value}")), origin()).is_some());
    }

    #[test]
    fn a_viewer_of_two_streams_is_not_known_to_be_one() {
        let (ids, user) = (ids(SECRET, &[]), Uuid::now_v7());
        let (one, other) = (StreamId::generate(), StreamId::generate());
        let person = Who::Person(user);
        assert_eq!(ids.key(one, person), ids.key(one, person));
        assert_ne!(ids.key(one, person), ids.key(other, person));
        assert_ne!(ids.key(one, person), ids.key(one, Who::Browser(user.into_bytes())));
    }
}
