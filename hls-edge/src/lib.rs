//! The viewers' door: low-latency HLS, plain HLS and DASH from a worker's feed, shared storage and nothing else.
//!
//! Keeps no state that matters: what it has in memory comes from feeds and can be had again. Knows nothing of RTMP,
//! of packaging or of the lifecycle's rules; whether a stream exists is the directory's word alone.

mod answer;
mod answer_room;
mod asker;
mod crowd;
mod edge;
mod feeds;
mod follower;
#[doc(hidden)]
pub mod fuzzing;
mod grant;
mod lead_in;
mod media_budget;
mod media_files;
mod memory;
mod metrics;
mod mirror;
mod playlists;
mod reload;
mod rendered;
mod request;
mod routes;
mod sources;
mod stored_files;
mod streams;
mod successor;
mod ticket;
mod viewers;
mod waiting_room;
mod watched;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use caudal_directory::{Audience, StreamDirectory, WorkerClient};
use caudal_livestream::proof::RoleKey;
use caudal_service::forwarded::TrustedProxies;
use caudal_service::forwarding::ForwardingNotices;
use caudal_service::http::{HttpLimits, HttpServer};
use caudal_storage::SegmentStore;
use prometheus::Registry;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::answer_room::AnswerRoom;
use crate::edge::Edge;
use crate::media_budget::{MediaBudget, UNHELD_PART};
use crate::metrics::Metrics;
use crate::sources::Sources;
use crate::stored_files::StoredFiles;
use crate::streams::Streams;
use crate::viewers::Viewers;
use crate::waiting_room::WaitingRoom;

pub use crate::ticket::TicketKey;

/// What the edge's listener should ask of its readers ([`HttpLimits::least_taken`]): 17 kB/s, as much as sound needs. A slower one
/// cannot watch, and keeps media in memory that nobody else needs any more.
pub const LEAST_TAKEN: u64 = 512 * 1024;

/// What an edge is made of.
pub struct Config {
    /// Where viewers come in.
    pub listener: TcpListener,
    /// Serve TLS with h2; browsers need it for several players at once.
    pub tls: Option<rustls::ServerConfig>,
    /// Which streams there are.
    pub directory: Arc<dyn StreamDirectory>,
    /// Who is told how many watch.
    pub audience: Arc<dyn Audience>,
    /// Where finished segments are.
    pub store: SegmentStore,
    /// The role key that opens a worker's feed and media.
    pub feed_key: RoleKey,
    /// Signs what tells players apart; the same for all edges of a platform, and kept, or viewers count by address until
    /// they reload.
    pub ticket_key: TicketKey,
    /// Proxies in front of the edge, whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Where metrics are registered.
    pub registry: Registry,
    /// Bounds on memory and on waiting requests.
    pub limits: EdgeLimits,
    /// The listener's deadlines.
    pub http: HttpLimits,
    /// Cancelled some time before the shutdown, so that players go elsewhere between two requests.
    pub leaving: CancellationToken,
}

/// Bounds on memory and on waiting requests.
#[derive(Clone, Copy, Debug)]
pub struct EdgeLimits {
    /// Bytes of media that are kept for all followed streams together; none for no limit. What running answers keep beyond
    /// that may be a fifth as much; where it is more, the streams keep less.
    pub memory: Option<usize>,
    /// Of one of them.
    pub memory_per_stream: usize,
    /// Bytes of media that the running answers about broadcasts that are over hold together; none for no limit.
    pub stored_answers: Option<usize>,
    /// Requests that may wait at the same time, of all streams.
    pub waiting: usize,
    /// Of one stream.
    pub waiting_per_stream: usize,
    /// Of one address (an IPv4 address or an IPv6 /64), of all streams.
    pub waiting_per_address: usize,
    /// How long a player must have fetched media before it counts as a viewer.
    pub settling: Duration,
}

impl EdgeLimits {
    /// Of a process that may take so many bytes for media; none for no limit.
    pub fn within(media: Option<usize>) -> Self {
        let stored_answers = media.map(|bytes| bytes / UNHELD_PART);
        Self { memory: media, stored_answers, ..Self::default() }
    }
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            memory: None,
            // Four renditions of 12 Mb/s together for nine target durations of 4 s are 54 MB.
            memory_per_stream: 96 * 1024 * 1024,
            stored_answers: None,
            // A waiting request is a few kilobytes.
            waiting: 100_000,
            waiting_per_stream: 50_000,
            // A school of a thousand: two playlists and a part each.
            waiting_per_address: 4_000,
            settling: Duration::from_secs(3),
        }
    }
}

/// Why the edge cannot run.
#[derive(Debug, Error)]
pub enum Error {
    /// Its metrics are registered already.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The client that reaches workers cannot be made.
    #[error("worker client: {0}")]
    Workers(#[from] reqwest::Error),
    /// The listener failed for good.
    #[error("listener: {0}")]
    Listener(#[from] io::Error),
}

/// Serves viewers until `shutdown`, then takes no more of them, answers who waits, and returns.
///
/// # Errors
/// [`Error`] when it cannot start, or its listener fails for good.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let metrics = Metrics::register(&config.registry)?;
    let sources = Sources {
        workers: WorkerClient::new()?,
        feed_key: config.feed_key,
        store: config.store.clone(),
        metrics: metrics.clone(),
        living: Arc::new(MediaBudget::new(config.limits.memory)),
    };
    // Ends the tasks also when the listener fails. Streams are followed for a moment after `shutdown`: who waits for a part is
    // given it, where a refusal would make a player wait for its next try.
    let ended = CancellationToken::new();
    let _ends_them_at_last = ended.clone().drop_guard();
    let streams = Arc::new(Streams::new(config.directory.as_ref(), sources, config.limits, ended.clone()));
    let viewers =
        Arc::new(Viewers::new(config.audience, metrics.clone(), config.ticket_key, config.limits.settling));
    let edge = Arc::new(Edge {
        streams: Arc::clone(&streams),
        viewers: Arc::clone(&viewers),
        stored: StoredFiles::new(
            config.store,
            Arc::clone(streams.media()),
            config.limits.stored_answers.map(AnswerRoom::new),
        ),
        waiting: WaitingRoom::new(
            config.limits.waiting,
            config.limits.waiting_per_address,
            metrics.waiting.clone(),
        ),
        trusted_proxies: config.trusted_proxies,
        forwarding: ForwardingNotices::default(),
        metrics,
        shutdown: ended.clone(),
    });
    let mut server = HttpServer::new(config.listener, config.http).until_leaving(config.leaving);
    if let Some(tls) = config.tls {
        server = server.with_tls(tls);
    }
    let serve = async {
        let served = server.serve(routes::router(edge), shutdown.clone()).await;
        ended.cancel();
        served
    };
    let farewell = ended.run_until_cancelled(async {
        shutdown.cancelled().await;
        sleep(FAREWELL).await;
        ended.cancel();
    });
    let (served, _, (), ()) = tokio::join!(serve, farewell, streams.run(), viewers.run(ended.clone()));
    Ok(served?)
}

/// A stream that runs has its next part sooner than that. It is less than [`HttpLimits::drain`], after which nobody is answered.
const FAREWELL: Duration = Duration::from_millis(1500);

#[cfg(test)]
mod tests;
