//! Where a request comes from, as far as that is known to be real.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;

pub use caudal_service::forwarded::{InvalidRange, TrustedProxies};
pub(crate) use caudal_service::origin::Origin;

/// The address that limits and logs count for a request: the nearest one that is none of our proxies.
pub(crate) fn visitor(proxies: &TrustedProxies, parts: &Parts) -> Option<IpAddr> {
    Some(proxies.real(peer(parts)?, &parts.headers).to_canonical())
}

/// The address at the other end of the connection: a visitor's, or a proxy's.
pub(crate) fn peer(parts: &Parts) -> Option<IpAddr> {
    let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(peer.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(peer: Option<&str>, forwarded: &str) -> Parts {
        let request = Request::builder().header("x-forwarded-for", forwarded).body(()).unwrap();
        let (mut parts, ()) = request.into_parts();
        if let Some(peer) = peer {
            parts.extensions.insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        }
        parts
    }

    #[test]
    fn a_visitor_is_who_a_trusted_proxy_says_and_otherwise_the_peer() {
        let proxies: TrustedProxies = "10.0.0.0/8".parse().unwrap();
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        for (connection, forwarded, from, at) in [
            (Some("10.0.0.1:5"), "192.0.2.1", address("192.0.2.1"), address("10.0.0.1")),
            (Some("[::ffff:10.0.0.1]:5"), "192.0.2.1", address("192.0.2.1"), address("10.0.0.1")),
            (Some("192.0.2.7:5"), "192.0.2.1", address("192.0.2.7"), address("192.0.2.7")),
            (Some("10.0.0.1:5"), "::ffff:192.0.2.1", address("192.0.2.1"), address("10.0.0.1")),
            (None, "192.0.2.1", None, None),
        ] {
            let parts = parts(connection, forwarded);
            assert_eq!((visitor(&proxies, &parts), peer(&parts)), (from, at), "{connection:?}");
        }
    }
}
