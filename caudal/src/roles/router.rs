//! The router, with what it is given.

use std::num::NonZeroUsize;
use std::sync::Arc;

use caudal_directory::StreamDirectory;
use caudal_service::tls::Certificate;
use caudal_traces::Traces;
use prometheus::Registry;
use secrecy::SecretString;
use tokio::net::TcpListener;

use super::memory_limit::MediaPart;
use crate::secrets::RouterKeys;
use crate::settings::Settings;

/// What the router shares with its process.
pub struct RouterParts {
    /// For publishers.
    pub rtmp: TcpListener,
    /// For publishers under TLS.
    pub rtmps: Option<TcpListener>,
    /// The certificate for that.
    pub certificate: Option<Arc<Certificate>>,
    /// For other routers and the api.
    pub internal: TcpListener,
    /// Where the streams are.
    pub directory: Arc<dyn StreamDirectory>,
    /// Base URL of the api's internal listener.
    pub api_url: String,
    /// For what it shares with other routers; none where there is no other.
    pub redis_url: Option<SecretString>,
    /// For its metrics.
    pub registry: Registry,
    /// For its spans.
    pub traces: Traces,
    /// Of the memory that its process may have, for replays.
    pub media_part: MediaPart,
}

/// The router's configuration.
///
/// # Errors
/// When a limit is beyond what this machine can count.
pub fn config(
    settings: &Settings,
    keys: RouterKeys,
    parts: RouterParts,
) -> anyhow::Result<caudal_ingest_router::Config> {
    let internal = caudal_ingest_router::Internal {
        listener: parts.internal,
        verifier: keys.callers,
        advertised: settings.advertised_address,
    };
    Ok(caudal_ingest_router::Config {
        rtmp: parts.rtmp,
        rtmps: parts.rtmps.zip(parts.certificate.map(|certificate| certificate.server_config())),
        internal,
        directory: parts.directory,
        api_url: parts.api_url,
        signer: keys.signer,
        input_key: keys.input,
        second_publisher: None,
        reconnect_window: settings.reconnect_window.0,
        limits: caudal_ingest_router::Limits {
            replay_memory: parts.media_part.bytes(),
            connections_per_address: NonZeroUsize::new(usize::try_from(
                settings.max_connections_per_address,
            )?),
            addresses: caudal_ingest_router::Addresses::Real(
                settings.rtmp_proxies.clone().unwrap_or_default(),
            ),
            bitrate: settings.max_bitrate.0,
            drain: caudal_ingest_router::Drain {
                accept: settings.drain_accept.0,
                spread: settings.drain_spread.0,
                ..caudal_ingest_router::Drain::default()
            },
            ..caudal_ingest_router::Limits::default()
        },
        redis_url: parts.redis_url,
        registry: parts.registry,
        traces: parts.traces,
    })
}
