//! What a router is given.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use caudal_directory::StreamDirectory;
use caudal_livestream::admission::SecondPublisher;
use caudal_livestream::proof::RoleKey;
use caudal_rtmp::MAX_BITRATE;
use caudal_service::forwarded::TrustedProxies;
use caudal_service::internal::{Signer, Verifier};
use caudal_traces::Traces;
use prometheus::Registry;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_rustls::rustls::ServerConfig;

/// A router's settings and what it shares with its process.
pub struct Config {
    /// For publishers.
    pub rtmp: TcpListener,
    /// For publishers under TLS.
    pub rtmps: Option<(TcpListener, ServerConfig)>,
    /// For other routers and the api.
    pub internal: Internal,
    /// Where the streams are.
    pub directory: Arc<dyn StreamDirectory>,
    /// Base URL of the api's internal listener.
    pub api_url: String,
    /// Signs as `ingest-router`.
    pub signer: Signer,
    /// Proves this role to workers.
    pub input_key: RoleKey,
    /// What a second publisher on a live key means; none leaves it to the api's answer.
    pub second_publisher: Option<SecondPublisher>,
    /// How long a lost publisher may take to come back.
    pub reconnect_window: Duration,
    /// How much is let in.
    pub limits: Limits,
    /// Redis' URL, for guessed and refused keys to count for all routers that have it; none counts in this process.
    pub redis_url: Option<SecretString>,
    /// For this router's metrics.
    pub registry: Registry,
    /// For this router's spans.
    pub traces: Traces,
}

/// The listener for other routers and the api.
pub struct Internal {
    /// Where they ask.
    pub listener: TcpListener,
    /// Knows them: allows the callers `ingest-router` and `api`.
    pub verifier: Verifier,
    /// The address that they reach it at, for `spec.ingest.router`; none when it is the one that the listener bound.
    pub advertised: Option<IpAddr>,
}

/// How much is let in.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Publishers at a time that have been let in; a tenth more for those that return to an open broadcast.
    pub publishers: usize,
    /// Bytes that all publishers' newest media, which a new worker is given, may take together; none for no limit. Up to
    /// 24 MiB each. Who would begin a broadcast beyond it is refused, who goes on with one is not.
    pub replay_memory: Option<usize>,
    /// Connections at a time that have not been let in. When there is one more, the oldest of the address that has most of
    /// them is closed.
    pub waiting: usize,
    /// Connections at a time from one address that have not been let in; none for no limit.
    pub connections_per_address: Option<NonZeroUsize>,
    /// Whether a connection's address is the publisher's own: not behind a proxy or a load balancer that hides it.
    /// Limits by address count only then.
    pub addresses: Addresses,
    /// Bits a second of one publisher, averaged over ten seconds.
    pub bitrate: u64,
    /// How publishers are let go of once the router is told to stop.
    pub drain: Drain,
}

/// The end of a router whose publishers go to others. Its parts follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Connections are still taken for so long: load balancers notice late that a router is not ready any more.
    pub accept: Duration,
    /// Publishers are let go of one by one within this time, so that they do not come to the others all at once.
    pub spread: Duration,
    /// How long the last ones and their relays may take to end.
    pub farewell: Duration,
}

impl Drain {
    /// The longest that a router takes to end.
    pub fn total(self) -> Duration {
        self.accept + self.spread + self.farewell
    }
}

impl Default for Drain {
    /// Of a router that has nobody beside it: at once.
    fn default() -> Self {
        Self { accept: Duration::ZERO, spread: Duration::ZERO, farewell: Duration::from_secs(5) }
    }
}

/// Whose addresses connections come from.
#[derive(Clone, Debug)]
pub enum Addresses {
    /// The publishers'. Connections from these load balancers begin with a PROXY protocol header of version 2, which says whose.
    Real(TrustedProxies),
    /// A proxy's.
    Shared,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            publishers: 1000,
            replay_memory: None,
            waiting: 2000,
            connections_per_address: NonZeroUsize::new(32),
            addresses: Addresses::Real(TrustedProxies::default()),
            bitrate: MAX_BITRATE,
            drain: Drain::default(),
        }
    }
}

/// The default of [`Config::reconnect_window`] (ARCHITECTURE §3.7).
pub const RECONNECT_WINDOW: Duration = Duration::from_secs(30);
