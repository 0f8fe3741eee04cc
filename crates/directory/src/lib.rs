//! Where the streams are and how each stands: the one thing that router, edge, api and controller share.
//!
//! `local` keeps it in this process and its folder; `remote` is a copy of one that another process keeps; `kubernetes` is a copy
//! of a namespace's `LiveStream` resources.

mod audience;
mod controller_link;
mod kubernetes;
mod local;
mod remote;
mod remote_audience;
mod reporter;
mod streams;
mod worker_client;
mod worker_feed;

use std::sync::Arc;

use caudal_livestream::record::{Ingest, LiveStream, MediaInfo, Phase, RelayFailures, Spec};
use caudal_livestream::report::EndReason;
use caudal_livestream::{Generation, SessionId, StreamId};
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::watch;

pub use audience::{Audience, LocalAudience};
pub use caudal_controller::{MoveError, Moved};
pub use kubernetes::{KubernetesDirectory, Reader};
pub use local::{LocalConfig, LocalDirectory, Notice, NoticeKind, StartError};
pub use remote::{RemoteDirectory, directory_routes};
pub use remote_audience::{BadAddress, RemoteAudience};
pub use reporter::Reporter;
pub use streams::Streams;
pub use worker_client::{AssignError, FeedRenditions, FileSize, WorkerClient, WorkerUnreachable};
pub use worker_feed::{ControlEvent, ControlFeed, Feed, FeedLost};

/// The directory as router and edge use it.
pub trait StreamDirectory: Send + Sync + 'static {
    /// Creates a stream, with its first publisher at generation 1. Must be done before `Publish.Start` is answered.
    fn open(&self, spec: Spec) -> BoxFuture<'_, Result<Arc<LiveStream>, OpenError>>;

    /// Makes `ingest` the publisher of an open stream: `ingest.generation` must be one more than the directory's.
    fn reconnect(
        &self,
        stream: StreamId,
        ingest: Ingest,
    ) -> BoxFuture<'_, Result<Arc<LiveStream>, ReconnectError>>;

    /// The router's relay to a worker failed so often: evidence for the controller, which judges. Written to
    /// `spec.ingest.relay`; ignored when `failures.session` is not the current one, or nothing of it is new. Whether the directory
    /// has taken it, be it to ignore it; so are the next two.
    fn worker_unreachable(&self, stream: StreamId, failures: RelayFailures) -> BoxFuture<'_, bool>;

    /// What the router measured of the publisher, when it changed; ignored unless `session` is the current one.
    fn report_media(&self, stream: StreamId, session: SessionId, media: MediaInfo) -> BoxFuture<'_, bool>;

    /// The router turned the publisher away for what it sends, and told it so in these words: the broadcast ends with
    /// them, or the publisher would be let in with the same again and again. Ignored unless `session` is the current
    /// one.
    fn media_refused(&self, stream: StreamId, session: SessionId, words: String) -> BoxFuture<'_, bool>;

    /// All streams, and each change to any of them.
    fn watch(&self) -> watch::Receiver<Streams>;

    /// One stream as it stands.
    fn get(&self, stream: StreamId) -> Option<Arc<LiveStream>> {
        self.watch().borrow().get(&stream).cloned()
    }
}

/// The directory as the api uses it: what it asks of the lifecycle.
pub trait StreamControl: Send + Sync + 'static {
    /// Ends a broadcast. Returns once the controller has taken it up; valid in every phase, and for streams that the
    /// directory does not know.
    fn end(&self, stream: StreamId, reason: EndReason) -> BoxFuture<'_, Result<(), Unavailable>>;

    /// Ends the publisher's connection, not the broadcast.
    fn drop_publisher(&self, stream: StreamId, reason: String) -> BoxFuture<'_, Result<(), Unavailable>>;

    /// The cached authorization of this stream's key no longer counts.
    fn revoke_key(&self, stream: StreamId) -> BoxFuture<'_, Result<(), Unavailable>>;

    /// The stream as it stands, for its owner's eyes; none when the directory does not know it.
    fn inspect(&self, stream: StreamId) -> Option<Arc<LiveStream>>;

    /// Moves a live stream to another worker (ARCHITECTURE §3.9), and returns once that has announced media, or why it has
    /// not: after 80 s at most. A control that cannot move streams says so.
    fn move_stream(&self, _stream: StreamId) -> BoxFuture<'_, Result<Moved, MoveError>> {
        Box::pin(async { Err(MoveError::Unavailable("streams cannot be moved from here".to_owned())) })
    }

    /// All streams as they stand. A control that cannot list them says none.
    fn running(&self) -> Vec<Arc<LiveStream>> {
        Vec::new()
    }

    /// Whether [`Self::inspect`] and [`Self::running`] show what the controller knows, as far as that can be read. While this
    /// is false, a stream that is missing there may well be on the air.
    fn is_current(&self) -> bool {
        true
    }

    /// Whether the controller is known to have no such stream. One whose record cannot be read is there.
    fn is_missing(&self, stream: StreamId) -> bool {
        self.is_current() && self.inspect(stream).is_none()
    }

    /// The same, asked anew where what is shown may be late without anybody knowing: for who is about to act on it.
    fn is_certainly_missing(&self, stream: StreamId) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(self.is_missing(stream)))
    }
}

/// Why a stream cannot be created.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It is there already: reconnect to it instead.
    #[error("stream {} is open already", .0.spec.stream)]
    Exists(Arc<LiveStream>),
    /// The platform takes no more streams now.
    #[error("no capacity for another stream")]
    NoCapacity,
    /// It names a pool of workers that there is not.
    #[error("there is no WorkerPool {0}")]
    NoPool(String),
    /// Try again later.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a publisher cannot come back.
#[derive(Debug, Error)]
pub enum ReconnectError {
    /// Somebody else was decided on meanwhile; read the record again.
    #[error("the stream's publisher is of generation {0} by now")]
    Stale(Generation),
    /// The stream takes no publisher any more.
    #[error("the stream is {0:?}")]
    Over(Phase),
    /// There is no such stream.
    #[error("the stream is unknown")]
    Unknown,
    /// Try again later.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The directory cannot be reached or written now.
#[derive(Debug, Error)]
#[error("the stream directory is unavailable: {0}")]
pub struct Unavailable(pub String);
