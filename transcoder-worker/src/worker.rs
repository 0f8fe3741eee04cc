//! The process: its listeners, its one assignment, and what runs for it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::WorkerId;
use caudal_livestream::assignment::WorkerReady;
use caudal_livestream::record::WorkerAddress;
use caudal_service::advertised::{NoAddress, advertised};
use caudal_service::health::Readiness;
use caudal_service::http::{HttpLimits, HttpServer};
use caudal_storage::{AssignedCredentials, SealError, SegmentStore};
use caudal_traces::Traces;
use ed25519_dalek::VerifyingKey;
use prometheus::Registry;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::assignment_desk::AssignmentDesk;
use crate::clock::WallClock;
use crate::encoder::LadderChoice;
use crate::feed::FeedBroadcaster;
use crate::ffmpeg::Ffmpeg;
use crate::http;
use crate::input::{InputBoard, InputDoor};
use crate::metrics::Metrics;
use crate::milestones::Milestones;
use crate::storage_credentials::StorageCredentials;
use crate::stream_job::{SessionInput, StreamJob};

/// What a worker is given.
#[derive(Debug)]
pub struct Config {
    /// Who it is; `CAUDAL_WORKER_ID`.
    pub worker: WorkerId,
    /// Whose assignments it takes; `CAUDAL_CONTROLLER_KEY`. Several while the controller's key is changed.
    pub controller: Vec<VerifyingKey>,
    /// Where segments go.
    pub storage: SegmentStore,
    /// What that signs with, where it waits for credentials that come with the assignment; none where it has its own.
    pub credentials: Option<AssignedCredentials>,
    /// Bound, for the router's relay.
    pub rtmp: TcpListener,
    /// Bound, for controller, edges and scrapers.
    pub http: TcpListener,
    /// The address that router, controller and edges reach both listeners at; none when it is the one that they bound.
    pub advertised: Option<IpAddr>,
    /// Where metrics go.
    pub registry: Registry,
    /// Where spans go.
    pub traces: Traces,
    /// ffmpeg's path, or its name in `PATH`.
    pub ffmpeg: PathBuf,
    /// How many renditions below the source to make.
    pub ladder: LadderChoice,
    /// How long a poster stays before the next one is made.
    pub poster_interval: Duration,
    /// Cancelled when the worker is to go as soon as its stream does not need it: it says so on its feed, and serves on
    /// while it has a publisher, until that is handed over. Without a publisher it goes at once.
    pub leave: CancellationToken,
}

/// Why a worker cannot work.
#[derive(Debug, Error)]
pub enum Error {
    /// A listener is of no use.
    #[error("the worker's listener: {0}")]
    Listener(#[from] io::Error),
    /// Nobody could be told where a listener is.
    #[error("the worker's listener: {0}")]
    Unreachable(#[from] NoAddress),
    /// Two workers in one registry, most likely.
    #[error("the worker's metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Nothing can be sealed to it.
    #[error("the worker's key: {0}")]
    Key(#[from] SealError),
}

impl Config {
    /// The line to print once everything is bound.
    ///
    /// # Errors
    /// When a listener has no address, or none that others could reach.
    pub fn ready(&self) -> Result<WorkerReady, Error> {
        let rtmp = advertised(self.rtmp.local_addr()?, self.advertised)?;
        let http = advertised(self.http.local_addr()?, self.advertised)?;
        Ok(WorkerReady { worker: self.worker, rtmp, http })
    }

    fn address(&self) -> Result<WorkerAddress, Error> {
        let WorkerReady { worker, rtmp, http } = self.ready()?;
        Ok(WorkerAddress { worker, rtmp, http })
    }
}

/// Waits for an assignment, carries it out, and returns: after the broadcast's end, when another worker has replaced
/// this one, or, with everything stored that can be, at `shutdown`.
///
/// # Errors
/// [`Error`] when the worker could not begin.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let metrics = Metrics::register(&config.registry)?;
    let address = config.address()?;
    let ffmpeg = Ffmpeg::find(&config.ffmpeg).await;
    let ffmpeg = ffmpeg.inspect_err(|error| {
        let program = config.ffmpeg.display();
        tracing::warn!(%program, %error, "no ffmpeg: streams have their source rendition only, and no poster");
    });
    let ffmpeg = ffmpeg.ok();
    let Config { worker, controller, storage, rtmp, http, registry, traces, .. } = config;
    let Config { credentials, ladder, poster_interval, leave, .. } = config;
    let credentials = credentials.map(|store| StorageCredentials::new(store, metrics.clone())).transpose()?;
    let credentials = credentials.map(Arc::new);
    let board = InputBoard::default();
    let (assigned, assignment) = watch::channel(None);
    let (start, mut started) = mpsc::channel(1);
    let (held, held_now) = watch::channel(None);
    let desk = Arc::new(AssignmentDesk {
        worker,
        controller,
        address,
        store: storage.clone(),
        credentials: credentials.clone(),
        encodes: ffmpeg.is_some(),
        taken: Mutex::new(None),
        held,
        assigned,
        board: board.clone(),
        start,
    });
    // Full when the session is busy: then the relay is not read.
    let (input_events, input) = mpsc::channel(INPUT_QUEUE);
    let (stop_http, stop_input) = (CancellationToken::new(), CancellationToken::new());
    let readiness = Readiness::default();
    let mut servers = JoinSet::new();
    let limits = HttpLimits { connections: MAX_HTTP_CONNECTIONS, drain: HTTP_DRAIN, ..HttpLimits::default() };
    let router = http::routes(desk, held_now, readiness.clone(), registry);
    let serve = HttpServer::new(http, limits).serve(router, stop_http.clone());
    servers.spawn(async move {
        if let Err(error) = serve.await {
            tracing::error!(%error, "the HTTP side has failed");
        }
    });
    let door = InputDoor { board: board.clone(), assignment, events: input_events };
    servers.spawn(door.serve(rtmp, stop_input.clone()));
    if let Some(credentials) = credentials {
        let stop = stop_http.clone();
        servers.spawn(async move {
            stop.run_until_cancelled(credentials.watch()).await;
        });
    }
    readiness.set(true);

    let begun = tokio::select! {
        () = shutdown.cancelled() => None,
        () = leave.cancelled() => None,
        begun = started.recv() => begun,
    };
    if let Some(begun) = begun {
        let feed = FeedBroadcaster::new(metrics.clone());
        let from = SessionInput { board, input, relayed: Vec::new(), closed: stop_input.clone(), feed };
        let clock = WallClock::start();
        let store = storage;
        let told_to_go = leave.clone();
        let milestones = Milestones::new(traces, &begun.assignment);
        let job = StreamJob {
            begun,
            store,
            address,
            metrics,
            milestones,
            ffmpeg,
            ladder,
            poster_interval,
            clock,
            leave,
        };
        // It is ready for as long as it serves its stream: whose it is, a pod's labels say.
        let unready = async {
            tokio::select! {
                () = told_to_go.cancelled() => {}
                () = shutdown.cancelled() => {}
            }
            readiness.set(false);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = job.run(from, &shutdown) => {}
            () = unready => {}
        }
    }
    stop_input.cancel();
    stop_http.cancel();
    while servers.join_next().await.is_some() {}
    Ok(())
}

/// A relay at line speed brings some hundred tags in one read.
const INPUT_QUEUE: usize = 256;
/// Edges, the controller, a scraper.
const MAX_HTTP_CONNECTIONS: usize = 512;
/// Feeds have been closed by then; only a reader that does not read is left.
const HTTP_DRAIN: Duration = Duration::from_millis(500);
