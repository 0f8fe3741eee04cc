//! The address that limits count.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// One customer of a provider: an IPv4 address, or the IPv6 /64 in which a host picks any address it likes. An IPv4
/// address that is written as an IPv6 one is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(IpAddr);

impl Origin {
    /// The IPv6 /48 around it, which is what a site is given: whoever has one can pick from 65,536 origins. None for IPv4,
    /// where neighbours are strangers to each other.
    pub fn site(self) -> Option<Self> {
        match self.0 {
            IpAddr::V6(address) => Some(Self(network(address, 48))),
            IpAddr::V4(_) => None,
        }
    }
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => network(address, 64),
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn network(address: Ipv6Addr, bits: u32) -> IpAddr {
    let mask = u128::MAX << (128 - bits);
    Ipv6Addr::from_bits(address.to_bits() & mask).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str) -> Origin {
        Origin::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_origin_and_an_ipv4_address_is_one_however_it_is_written() {
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:2"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
    }

    #[test]
    fn a_site_is_an_ipv6_network_of_48_bits() {
        assert_eq!(origin("2001:db8:1:2::1").site(), origin("2001:db8:1:ffff::1").site());
        assert_ne!(origin("2001:db8:1::1").site(), origin("2001:db8:2::1").site());
        assert_eq!(origin("192.0.2.1").site(), None);
    }
}
