//! Who is on the other side of a connection or a request, as far as its address is known to be real.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;
use thiserror::Error;

/// The proxies in front of a listener, as addresses and ranges; their `X-Forwarded-For` is believed.
///
/// Parsed from a list such as `10.0.0.0/8, 2001:db8::/32, 192.0.2.7`; empty by default.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<Range>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    network: u128,
    mask: u128,
}

/// What a list of proxies must look like.
#[derive(Debug, Error)]
#[error("{0:?} is no address and no range such as 10.0.0.0/8")]
pub struct InvalidRange(String);

impl FromStr for TrustedProxies {
    type Err = InvalidRange;

    fn from_str(list: &str) -> Result<Self, InvalidRange> {
        let ranges = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        ranges
            .map(|entry| Range::parse(entry).ok_or_else(|| InvalidRange(entry.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl TrustedProxies {
    /// The address that a request really came from: the nearest one that is none of our proxies.
    pub fn real(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut real = peer;
        if !self.contains(real) {
            return real;
        }
        let hops: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        for hop in hops.into_iter().rev() {
            // Each proxy appends the peer it saw; what lies behind an unreadable entry could be anybody's invention.
            let Some(hop) = address_of(hop) else { break };
            real = hop;
            if !self.contains(real) {
                break;
            }
        }
        real
    }

    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = bits(address);
        self.0.iter().any(|range| bits & range.mask == range.network)
    }
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        // IPv4 lies in ::ffff:0:0/96.
        let (offset, longest) = if address.is_ipv4() { (96, 32) } else { (0, 128) };
        let length = length.unwrap_or(longest);
        if length > longest {
            return None;
        }
        let mask = u128::MAX.checked_shl(128 - offset - length).unwrap_or(0);
        Some(Self { network: bits(address) & mask, mask })
    }
}

/// Some proxies name the visitor's port too: `192.0.2.1:50123`, `[2001:db8::1]:50123`.
fn address_of(hop: &str) -> Option<IpAddr> {
    hop.parse().or_else(|_| hop.parse::<SocketAddr>().map(|hop| hop.ip())).ok()
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(proxies: &str, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let proxies: TrustedProxies = proxies.parse().unwrap();
        proxies.real(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn without_trusted_proxies_the_header_means_nothing() {
        assert_eq!(real("", "203.0.113.1", &["198.51.100.1"]), "203.0.113.1");
    }

    #[test]
    fn a_trusted_proxy_names_the_client() {
        assert_eq!(real("10.0.0.0/8", "10.1.2.3", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(real("::1", "::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(real("10.0.0.0/8", "10.1.2.3", &["198.51.100.1:50123"]), "198.51.100.1");
        assert_eq!(real("::1", "::1", &["[2001:db8::7]:50123"]), "2001:db8::7");
    }

    #[test]
    fn what_the_client_itself_claimed_is_not_believed() {
        assert_eq!(real("10.0.0.0/8", "10.1.2.3", &["192.0.2.66, 198.51.100.1, 10.9.9.9"]), "198.51.100.1");
        assert_eq!(real("10.0.0.0/8", "10.1.2.3", &["192.0.2.66", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(real("10.0.0.0/8", "10.1.2.3", &["192.0.2.66, nonsense"]), "10.1.2.3");
    }

    #[test]
    fn a_range_holds_what_it_says() {
        let proxies: TrustedProxies = "192.168.0.0/16, 2001:db8::/32, 127.0.0.1".parse().unwrap();
        for (address, inside) in [
            ("192.168.255.255", true),
            ("192.169.0.0", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
        ] {
            assert_eq!(proxies.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!("0.0.0.0/0".parse::<TrustedProxies>().unwrap().contains("203.0.113.9".parse().unwrap()));
        for nonsense in ["10.0.0.0/33", "10.0.0/8", "host", "::/129"] {
            assert!(nonsense.parse::<TrustedProxies>().is_err(), "{nonsense}");
        }
    }
}
