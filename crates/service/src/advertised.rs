//! The address under which the other parts of a platform find a listener, which need not be the one that it bound.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

/// There is nothing that others could be told.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoAddress {
    /// The listener bound all addresses of its machine, and nobody said which of them others reach.
    #[error(
        "it listens on {0}, and others cannot know where that is: set CAUDAL_ADVERTISED_ADDRESS to the address that they reach it at"
    )]
    Unsaid(SocketAddr),
    /// What was said is not one machine's.
    #[error(
        "CAUDAL_ADVERTISED_ADDRESS is {0}, where nobody can be reached: expected the address that others reach this machine at"
    )]
    Unspecified(IpAddr),
}

/// Where others find the listener that is bound at `bound`: at `said`, if it was said, and else at the address itself.
///
/// # Errors
/// [`NoAddress`] when that would be `0.0.0.0` or `::`.
pub fn advertised(bound: SocketAddr, said: Option<IpAddr>) -> Result<SocketAddr, NoAddress> {
    match said {
        Some(said) if said.is_unspecified() => Err(NoAddress::Unspecified(said)),
        Some(said) => Ok(SocketAddr::new(said, bound.port())),
        None if bound.ip().is_unspecified() => Err(NoAddress::Unsaid(bound)),
        None => Ok(bound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_told_what_was_said_or_what_was_bound_unless_nobody_is_there() {
        for (bound, said, told) in [
            ("127.0.0.1:41935", None, Some("127.0.0.1:41935")),
            ("0.0.0.0:41935", Some("10.0.0.7"), Some("10.0.0.7:41935")),
            ("[::]:41935", Some("fd00::7"), Some("[fd00::7]:41935")),
            ("127.0.0.1:41935", Some("10.0.0.7"), Some("10.0.0.7:41935")),
            ("0.0.0.0:41935", None, None),
            ("[::]:41935", None, None),
            ("10.0.0.7:41935", Some("0.0.0.0"), None),
        ] {
            let said = said.map(|said| said.parse().unwrap());
            let told = told.map(|told| told.parse().unwrap());
            assert_eq!(advertised(bound.parse().unwrap(), said).ok(), told, "{bound} {said:?}");
        }
    }
}
