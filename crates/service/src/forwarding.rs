//! Proxies that are taken for visitors: all who come through one share a single limit until it is trusted, so its first
//! request says so in the log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;

use crate::forwarded::TrustedProxies;
use crate::origin::Origin;

/// What is wrong between a proxy and us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// It names its visitors in this header, and is not among the trusted proxies.
    NotTrusted(&'static str),
    /// It is trusted, and names its visitors in this header, which is not the one that is read.
    NotRead(&'static str),
}

impl Mistake {
    /// In a request from `peer`, the address at the other end of the connection.
    fn of(proxies: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) -> Option<Self> {
        let header = FORWARDING.into_iter().find(|name| headers.contains_key(*name))?;
        if !proxies.contains(peer) {
            return Some(Self::NotTrusted(header));
        }
        (header != READ).then_some(Self::NotRead(header))
    }
}

/// Says each mistake of each address once an hour.
#[derive(Debug, Default)]
pub struct ForwardingNotices {
    // Held for single map operations only, never across an await. Bounded: see [`MAX_REMEMBERED`].
    said: Mutex<HashMap<Origin, Instant>>,
}

impl ForwardingNotices {
    /// Logs what is wrong about a request from `peer`, unless that was said a short time ago.
    pub fn look(&self, proxies: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) {
        let Some(mistake) = Mistake::of(proxies, peer, headers) else { return };
        if !self.due(peer.into(), Instant::now()) {
            return;
        }
        match mistake {
            Mistake::NotTrusted(header) => tracing::warn!(
                %peer,
                header,
                "an address that is not trusted says for whom it asks: everybody behind it counts as one visitor. \
                 If this is your proxy, set CAUDAL_TRUSTED_PROXIES={peer}"
            ),
            Mistake::NotRead(header) => tracing::warn!(
                %peer,
                header,
                "a trusted proxy sends no X-Forwarded-For, the only such header that is read: everybody behind it \
                 counts as one visitor. Let it set X-Forwarded-For"
            ),
        }
    }

    fn due(&self, origin: Origin, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.get(&origin).is_some_and(|last| now.duration_since(*last) < SAY_AGAIN) {
            return false;
        }
        if said.len() >= MAX_REMEMBERED {
            said.retain(|_, last| now.duration_since(*last) < SAY_AGAIN);
            if said.len() >= MAX_REMEMBERED {
                return false;
            }
        }
        said.insert(origin, now);
        true
    }
}

/// `X-Forwarded-For` first: beside it the others do not matter.
const FORWARDING: [&str; 4] = [READ, "forwarded", "x-real-ip", "cf-connecting-ip"];
/// The header that [`TrustedProxies`] reads.
const READ: &str = "x-forwarded-for";
/// Seldom enough to be no flood, often enough to be in any day's log.
const SAY_AGAIN: Duration = Duration::from_secs(3600);
/// Nobody has more proxies than that, while any stranger can send such a header: further addresses are not mentioned
/// until an earlier one is an hour old.
const MAX_REMEMBERED: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(names: &[&'static str]) -> HeaderMap {
        names.iter().map(|name| (name.parse().unwrap(), "198.51.100.1".parse().unwrap())).collect()
    }

    #[test]
    fn a_proxy_is_noticed_by_the_headers_that_proxies_send() {
        let proxies: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        for (peer, names, mistake) in [
            ("172.17.0.1", &[][..], None),
            ("172.17.0.1", &["x-forwarded-for"], Some(Mistake::NotTrusted("x-forwarded-for"))),
            ("172.17.0.1", &["forwarded"], Some(Mistake::NotTrusted("forwarded"))),
            ("172.17.0.1", &["x-real-ip"], Some(Mistake::NotTrusted("x-real-ip"))),
            ("2001:db8::1", &["cf-connecting-ip"], Some(Mistake::NotTrusted("cf-connecting-ip"))),
            ("10.1.2.3", &["x-forwarded-for", "x-real-ip"], None),
            ("10.1.2.3", &["x-real-ip"], Some(Mistake::NotRead("x-real-ip"))),
            ("10.1.2.3", &["forwarded"], Some(Mistake::NotRead("forwarded"))),
            ("10.1.2.3", &[], None),
        ] {
            let found = Mistake::of(&proxies, peer.parse().unwrap(), &headers(names));
            assert_eq!(found, mistake, "{peer} {names:?}");
        }
    }

    #[test]
    fn an_address_is_mentioned_once_an_hour() {
        let (notices, start) = (ForwardingNotices::default(), Instant::now());
        let origin = |text: &str| Origin::from(text.parse::<IpAddr>().unwrap());
        assert!(notices.due(origin("172.17.0.1"), start));
        assert!(!notices.due(origin("172.17.0.1"), start + Duration::from_secs(3599)));
        assert!(notices.due(origin("172.17.0.2"), start));
        assert!(notices.due(origin("172.17.0.1"), start + Duration::from_secs(3600)));
    }

    #[test]
    fn strangers_who_send_the_header_from_everywhere_fill_neither_memory_nor_log() {
        let (notices, start) = (ForwardingNotices::default(), Instant::now());
        let origin = |n: u32| Origin::from(IpAddr::from(n.to_be_bytes()));
        let lines = (0..100_000).filter(|n| notices.due(origin(*n), start)).count();
        assert_eq!(lines, MAX_REMEMBERED);
        assert_eq!(notices.said.lock().unwrap().len(), MAX_REMEMBERED);
        assert!(notices.due(origin(7_000_000), start + SAY_AGAIN));
    }
}
