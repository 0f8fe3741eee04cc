//! PROXY protocol, version 2: what a load balancer says of a connection that it passes on, before anything of the connection
//! itself. <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>, section 2.2

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ppp::v2::{Addresses, Command, Header, ParseError, Protocol};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Why a connection's origin is not known.
#[derive(Debug, Error)]
pub(crate) enum NoHeader {
    #[error("the connection was closed before anything came")]
    Nothing,
    #[error("none came in {} s", DEADLINE.as_secs())]
    Late,
    #[error("the connection broke off: {0}")]
    Broken(#[from] io::Error),
    #[error("{0} bytes of addresses and more: at most {MOST} are read")]
    Long(usize),
    #[error("no header of version 2: {0}")]
    Invalid(#[from] ParseError),
}

/// Reads the header, and no byte beyond it. None for a connection of the load balancer's own, such as a health check, and for
/// one that came to it by other means than TCP.
pub(crate) async fn source(
    connection: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, NoHeader> {
    timeout(DEADLINE, read(connection)).await.map_err(|_| NoHeader::Late)?
}

async fn read(connection: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, NoHeader> {
    let mut fixed = [0; FIXED];
    let begun = connection.read(&mut fixed).await?;
    let Some(rest) = fixed.get_mut(begun..).filter(|_| begun > 0) else { return Err(NoHeader::Nothing) };
    connection.read_exact(rest).await?;
    // Says what it is not before anybody waits for more of it.
    match Header::try_from(&fixed[..]) {
        Ok(_) | Err(ParseError::Partial(..)) => {}
        Err(error) => return Err(error.into()),
    }
    let [.., high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MOST {
        return Err(NoHeader::Long(length));
    }
    let mut whole = fixed.to_vec();
    whole.resize(FIXED + length, 0);
    if let Some(addresses) = whole.get_mut(FIXED..) {
        connection.read_exact(addresses).await?;
    }
    let header = Header::try_from(whole.as_slice())?;
    Ok(match (header.command, header.protocol, header.addresses) {
        (Command::Proxy, Protocol::Stream, Addresses::IPv4(ip)) => {
            Some((ip.source_address, ip.source_port).into())
        }
        (Command::Proxy, Protocol::Stream, Addresses::IPv6(ip)) => {
            Some((ip.source_address, ip.source_port).into())
        }
        _ => None,
    })
}

/// Signature, version and command, family, length.
const FIXED: usize = 16;
/// Addresses of any family, and what load balancers add about TLS and themselves.
const MOST: usize = 4096;
const DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    /// What is read, and what is left behind it.
    async fn read_from(bytes: &[u8]) -> (Result<Option<SocketAddr>, NoHeader>, Vec<u8>) {
        let mut rest = bytes;
        let source = source(&mut rest).await;
        (source, rest.to_vec())
    }

    fn header(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[0x20 | command, family], &length, addresses].concat()
    }

    #[tokio::test]
    async fn a_header_names_the_publisher_and_leaves_what_follows_it() {
        let v4 = [203, 0, 113, 7, 10, 0, 0, 1, 0xC3, 0x50, 0x07, 0x8F];
        let v6 = [&[0x20, 1, 0x0D, 0xB8][..], &[0; 11], &[7], &[0; 16], &[0xC3, 0x50, 0x07, 0x8F]].concat();
        let with_more = [&v4[..], &[0x04, 0, 1, 0]].concat();
        for (case, bytes, expected) in [
            ("IPv4", header(1, 0x11, &v4), Some("203.0.113.7:50000")),
            ("IPv6", header(1, 0x21, &v6), Some("[2001:db8::7]:50000")),
            ("with a TLV", header(1, 0x11, &with_more), Some("203.0.113.7:50000")),
            ("the load balancer's own", header(0, 0x11, &v4), None),
            ("its own, without addresses", header(0, 0, &[]), None),
            ("UDP", header(1, 0x12, &v4), None),
            ("a Unix socket", header(1, 0x31, &[0; 216]), None),
        ] {
            let (source, rest) = read_from(&[&bytes[..], b"\x03rest"].concat()).await;
            assert_eq!(source.unwrap(), expected.map(|text| text.parse().unwrap()), "{case}");
            assert_eq!(rest, b"\x03rest", "{case}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_none_is_refused_in_time() {
        let long = [SIGNATURE, &[0x21, 0x11, 0xFF, 0xFF]].concat();
        assert!(matches!(read_from(&long).await.0, Err(NoHeader::Long(0xFFFF))));
        assert!(matches!(read_from(&header(1, 0x11, &[0; 11])).await.0, Err(NoHeader::Invalid(_))));
        assert!(matches!(
            read_from(b"PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\n").await.0,
            Err(NoHeader::Invalid(_))
        ));
        assert!(matches!(read_from(&[3; 1537]).await.0, Err(NoHeader::Invalid(_))), "RTMP");
        assert!(matches!(read_from(SIGNATURE).await.0, Err(NoHeader::Broken(_))));
        assert!(matches!(read_from(b"").await.0, Err(NoHeader::Nothing)));
        let (mut silent, _other) = tokio::io::duplex(64);
        assert!(matches!(source(&mut silent).await, Err(NoHeader::Late)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(after in prop::collection::vec(any::<u8>(), 0..600), signed in any::<bool>()) {
            let bytes = if signed { [SIGNATURE, &after].concat() } else { after };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _ = runtime.block_on(read_from(&bytes));
        }
    }
}
