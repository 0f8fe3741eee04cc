//! The edge, with what it is given.

use std::sync::Arc;

use caudal_directory::{Audience, StreamDirectory};
use caudal_service::http::HttpLimits;
use caudal_service::tls::Certificate;
use caudal_storage::SegmentStore;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::memory_limit::MediaPart;
use crate::secrets::EdgeKeys;
use crate::settings::Settings;

/// What the edge shares with its process.
pub struct EdgeParts {
    /// For players.
    pub listener: TcpListener,
    /// Its certificate, if it speaks TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// Which streams there are.
    pub directory: Arc<dyn StreamDirectory>,
    /// Viewer counts.
    pub audience: Arc<dyn Audience>,
    /// Of the memory that this process may have.
    pub media_part: MediaPart,
    /// Where workers write segments.
    pub store: SegmentStore,
    /// For its metrics.
    pub registry: Registry,
    /// Cancelled some time before it ends.
    pub leaving: CancellationToken,
}

/// The edge's configuration.
pub fn config(settings: &Settings, keys: EdgeKeys, parts: EdgeParts) -> caudal_hls_edge::Config {
    let trusted_proxies = settings.trusted_proxies.clone().unwrap_or_default();
    caudal_hls_edge::Config {
        listener: parts.listener,
        tls: parts.certificate.map(|certificate| certificate.server_config()),
        directory: parts.directory,
        audience: parts.audience,
        store: parts.store,
        feed_key: keys.feed,
        ticket_key: keys.tickets,
        trusted_proxies: trusted_proxies.clone(),
        registry: parts.registry,
        limits: caudal_hls_edge::EdgeLimits::within(parts.media_part.bytes()),
        http: HttpLimits { least_taken: caudal_hls_edge::LEAST_TAKEN, ..HttpLimits::public(trusted_proxies) },
        leaving: parts.leaving,
    }
}
