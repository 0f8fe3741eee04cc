//! The process: its listeners, its one assignment, and what runs for it.

use std::io;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use axum::http::StatusCode;
use caudal_livestream::assignment::{Assignment, AssignmentMode, WorkerReady};
use caudal_livestream::proof::{AssignmentError, SignedAssignment};
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::Ownership;
use caudal_livestream::{InstallationId, WorkerId};
use caudal_media::Resume;
use caudal_service::advertised::{NoAddress, advertised};
use caudal_service::health::Readiness;
use caudal_service::http::{HttpLimits, HttpServer};
use caudal_storage::{ClaimError, SegmentStore};
use ed25519_dalek::VerifyingKey;
use prometheus::Registry;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::assignment::{Refusal, Verdict, judge};
use crate::claim::{CLAIM_DEADLINE, Unclaimed, claim};
use crate::clock::WallClock;
use crate::closing::Closing;
use crate::encoder::{LadderChoice, encoder};
use crate::feed::FeedBroadcaster;
use crate::ffmpeg::Ffmpeg;
use crate::finish;
use crate::http::{self, Held};
use crate::input::{InputBoard, InputDoor, InputEvent};
use crate::media_memory::MediaMemory;
use crate::metrics::Metrics;
use crate::outage::Outage;
use crate::poster::{PosterOutlet, Posters};
use crate::prepared::{Prepared, Turn};
use crate::publication::{Publication, PublicationError, Standing};
use crate::salvage::{Before, Known};
use crate::session::{Order, Session, SessionParts};
use crate::storage_writer::StorageHandle;

/// What a worker is given.
#[derive(Debug)]
pub struct Config {
    /// Who it is; `CAUDAL_WORKER_ID`.
    pub worker: WorkerId,
    /// Whose assignments it takes; `CAUDAL_CONTROLLER_KEY`.
    pub controller: VerifyingKey,
    /// Where segments go.
    pub storage: SegmentStore,
    /// Bound, for the router's relay.
    pub rtmp: TcpListener,
    /// Bound, for controller, edges and scrapers.
    pub http: TcpListener,
    /// The address that router, controller and edges reach both listeners at; none when it is the one that they bound.
    pub advertised: Option<IpAddr>,
    /// Where metrics go.
    pub registry: Registry,
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
    if ffmpeg.is_none() {
        tracing::warn!(program = %config.ffmpeg.display(), "no ffmpeg: streams have their source rendition only, and no poster");
    }
    let Config { worker, controller, storage, rtmp, http, registry, ladder, poster_interval, leave, .. } =
        config;
    let board = InputBoard::default();
    let (assigned, assignment) = watch::channel(None);
    let (start, mut started) = mpsc::channel(1);
    let (held, held_now) = watch::channel(None);
    let desk = Arc::new(AssignmentDesk {
        worker,
        controller,
        address,
        store: storage.clone(),
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
    readiness.set(true);

    let begun = tokio::select! {
        () = shutdown.cancelled() => None,
        () = leave.cancelled() => None,
        begun = started.recv() => begun,
    };
    if let Some(begun) = begun {
        // Nothing else is taken by a worker that has had a stream.
        readiness.set(false);
        let clock = WallClock::start();
        let job = StreamJob {
            begun,
            store: storage,
            address,
            metrics,
            ffmpeg,
            ladder,
            poster_interval,
            clock,
            leave,
        };
        match job.begun.assignment.mode {
            AssignmentMode::Finish => {
                let feed = FeedBroadcaster::new(job.metrics.clone());
                job.finish(feed).await;
            }
            mode @ (AssignmentMode::Live | AssignmentMode::Prepare) => {
                let feed = FeedBroadcaster::new(job.metrics.clone());
                let from =
                    SessionInput { board, input, relayed: Vec::new(), closed: stop_input.clone(), feed };
                if mode == AssignmentMode::Live {
                    job.live(from, &shutdown).await;
                } else {
                    job.prepared(from, &shutdown).await;
                }
            }
        }
    }
    stop_input.cancel();
    stop_http.cancel();
    while servers.join_next().await.is_some() {}
    Ok(())
}

/// Takes assignments, one after the other.
pub(crate) struct AssignmentDesk {
    worker: WorkerId,
    controller: VerifyingKey,
    address: WorkerAddress,
    store: SegmentStore,
    taken: Mutex<Option<Taken>>,
    /// What the HTTP side shows, from before the assignment is acknowledged.
    held: watch::Sender<Option<Held>>,
    /// What the RTMP side lets in, from then too.
    assigned: watch::Sender<Option<Arc<Assignment>>>,
    board: InputBoard,
    start: mpsc::Sender<Begun>,
}

struct Taken {
    assignment: Arc<Assignment>,
    orders: mpsc::Sender<Order>,
}

/// An assignment that was taken. Its epoch is claimed, unless it is one to get ready.
pub(crate) struct Begun {
    assignment: Arc<Assignment>,
    before: Option<Before>,
    owner: Ownership,
    orders: mpsc::Receiver<Order>,
    memory: Arc<StdMutex<MediaMemory>>,
}

/// Why an assignment is refused.
#[derive(Debug, Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Unsigned(#[from] AssignmentError),
    #[error(transparent)]
    Judged(#[from] Refusal),
    #[error(transparent)]
    Unclaimed(#[from] Unclaimed),
    #[error("the worker ends")]
    Leaving,
}

impl Refused {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unsigned(AssignmentError::BadSignature) => StatusCode::FORBIDDEN,
            Self::Unsigned(_) => StatusCode::BAD_REQUEST,
            Self::Judged(refusal) => refusal.status(),
            Self::Unclaimed(Unclaimed::Claim(ClaimError::Taken(_)) | Unclaimed::Behind(_)) => {
                StatusCode::CONFLICT
            }
            Self::Unclaimed(_) | Self::Leaving => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl AssignmentDesk {
    /// Checks an assignment and does what it says; returns once its epoch is claimed, or everything is ready for that.
    pub(crate) async fn take(&self, signed: &SignedAssignment) -> Result<(), Refused> {
        let offered = signed.verify(&self.controller)?;
        let mut taken = self.taken.lock().await;
        let held = taken.as_ref().map(|taken| taken.assignment.as_ref());
        // Not the worker's own clock: the controller reads the machine's, and that may have been set since the start.
        match judge(self.worker, held, &offered, WallClock::start().now())? {
            Verdict::Same => Ok(()),
            Verdict::End => match taken.as_ref() {
                Some(taken) => taken.orders.send(Order::Finish).await.map_err(|_| Refused::Leaving),
                None => Ok(()),
            },
            Verdict::GoLive => match taken.as_mut() {
                Some(taken) => {
                    let order = Order::Live(offered.floor);
                    taken.orders.send(order).await.map_err(|_| Refused::Leaving)?;
                    taken.assignment = Arc::new(offered);
                    Ok(())
                }
                None => Ok(()),
            },
            Verdict::Take => {
                let installation = InstallationId::of(&self.controller);
                let owner = Ownership { installation, record: offered.record };
                let before = if offered.mode == AssignmentMode::Prepare {
                    // A storage that cannot be read would show itself when the old worker is gone.
                    let read = timeout(CLAIM_DEADLINE, self.store.epochs(offered.stream)).await;
                    read.map_err(|_| Unclaimed::Deadline)?.map_err(Unclaimed::from)?;
                    None
                } else {
                    claim(&self.store, self.address, &offered, owner, offered.floor).await?
                };
                let assignment = Arc::new(offered);
                // Full when the session is busy; then a new feed waits.
                let (orders_in, orders) = mpsc::channel(ORDER_QUEUE);
                *taken = Some(Taken { assignment: Arc::clone(&assignment), orders: orders_in.clone() });
                let memory = Arc::new(StdMutex::new(MediaMemory::new(PARTS_KEPT_AT_FIRST, MAX_MEDIA_MEMORY)));
                self.held.send_replace(Some(Held {
                    assignment: Arc::clone(&assignment),
                    orders: orders_in,
                    memory: Arc::clone(&memory),
                    board: self.board.clone(),
                }));
                if assignment.mode != AssignmentMode::Finish {
                    self.assigned.send_replace(Some(Arc::clone(&assignment)));
                }
                self.start
                    .send(Begun { assignment, before, owner, orders, memory })
                    .await
                    .map_err(|_| Refused::Leaving)
            }
        }
    }
}

struct SessionInput {
    board: InputBoard,
    input: mpsc::Receiver<InputEvent>,
    /// What was read of the connection before the session began.
    relayed: Vec<InputEvent>,
    closed: CancellationToken,
    feed: FeedBroadcaster,
}

/// One stream's work.
struct StreamJob {
    begun: Begun,
    store: SegmentStore,
    address: WorkerAddress,
    metrics: Metrics,
    ffmpeg: Option<Ffmpeg>,
    ladder: LadderChoice,
    poster_interval: Duration,
    clock: WallClock,
    leave: CancellationToken,
}

impl StreamJob {
    /// Waits for its turn, claims the epoch then, and not before.
    async fn prepared(mut self, mut from: SessionInput, shutdown: &CancellationToken) {
        let (stream, epoch) = (self.begun.assignment.stream, self.begun.assignment.epoch);
        tracing::info!(%stream, epoch = epoch.0, "ready to take the stream over");
        let prepared = Prepared {
            stream,
            epoch,
            store: &self.store,
            board: &from.board,
            input: &mut from.input,
            orders: &mut self.begun.orders,
            feed: &mut from.feed,
        };
        let turn = prepared.wait(shutdown, &self.leave).await;
        let assigned = self.begun.assignment.floor;
        let floor = match &turn {
            Turn::Leave => return tracing::info!(%stream, epoch = epoch.0, "not needed"),
            Turn::Live { floor, .. } => floor.or(assigned),
            Turn::Finish => assigned,
        };
        let Self { begun, store, address, .. } = &self;
        match claim(store, *address, &begun.assignment, begun.owner, floor).await {
            Ok(before) => self.begun.before = before,
            // The controller notices by the end of the feed, and finds another worker.
            Err(error) => return tracing::error!(%stream, %error, "the stream cannot be taken over"),
        }
        match turn {
            Turn::Live { relayed, .. } => self.live(SessionInput { relayed, ..from }, shutdown).await,
            Turn::Finish => self.finish(from.feed).await,
            Turn::Leave => {}
        }
    }

    async fn live(self, from: SessionInput, shutdown: &CancellationToken) {
        let Self { begun, store, address, metrics, ffmpeg, ladder, poster_interval, clock, leave: asked } =
            self;
        let Begun { assignment, before, owner, orders, memory } = begun;
        let (stream, epoch) = (assignment.stream, assignment.epoch);
        tracing::info!(%stream, epoch = epoch.0, continued = before.is_some(), "assigned");
        let damaged = before.as_ref().is_some_and(|before| before.known == Known::InPart);
        let resume = before.map(|Before { filled, floor, .. }| Resume {
            timeline: filled.timeline,
            clock: filled.clock,
            floor,
        });
        let outage = Outage::default();
        let leave = shutdown.child_token();
        let mut tasks = JoinSet::new();

        let storage = StorageHandle::new(metrics.clone());
        // Full when the session is busy; then the writer waits.
        let (settled_in, settled) = mpsc::channel(SETTLED_QUEUE);
        tasks.spawn(storage.clone().write(store.clone(), stream, settled_in, outage.watch()));

        let (standings, standing) = watch::channel(None);
        let publication = Publication::new(store.clone(), stream, epoch, address, owner);
        let replaced = leave.clone();
        let trouble = outage.watch();
        tasks.spawn(async move {
            if let Err(error) = publication.follow(standing, trouble).await {
                tracing::warn!(%stream, %error, "nothing more is written");
                replaced.cancel();
            }
        });

        let (posters, pictures) = watch::channel(None);
        // Full when the session is busy; then ffmpeg waits.
        let (encoded_in, encoded) = mpsc::channel(ENCODED_QUEUE);
        let stop_encoder = CancellationToken::new();
        let mut encoder_handle = None;
        let mut rungs = Vec::new();
        let mut poster_task = JoinSet::new();
        if let Some(ffmpeg) = ffmpeg {
            let (outlet, made) = PosterOutlet::new(poster_interval);
            let task = Posters::new(ffmpeg.clone(), store.clone(), stream, poster_interval);
            poster_task.spawn(task.run(pictures, made));
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            rungs = ladder.of(&assignment.ladder, cores);
            if !assignment.ladder.is_empty() {
                let (handle, task) =
                    encoder(ffmpeg, metrics.clone(), outlet, encoded_in, stop_encoder.clone());
                encoder_handle = Some(handle);
                tasks.spawn(task);
            }
        }
        let session = Session::new(SessionParts {
            assignment,
            resume,
            ladder: rungs,
            clock,
            board: from.board,
            input: from.input,
            relayed: from.relayed,
            asked_to_leave: asked,
            feed: from.feed,
            orders,
            memory,
            storage,
            settled,
            standings,
            encoder: encoder_handle,
            encoded,
            posters: Some(posters),
            input_closed: from.closed,
            metrics,
        });
        // The session owns the senders that the other tasks wait on, so they end with it.
        let closing = session.run(leave).await;
        stop_encoder.cancel();
        let last_writes = Instant::now() + LAST_WRITES;
        let all = async { while tasks.join_next().await.is_some() {} };
        let give_up = async {
            let _ = timeout(LAST_TRIES, shutdown.cancelled()).await;
            sleep(LAST_WRITES).await;
        };
        let in_time = tokio::select! { () = all => true, () = give_up => false };
        if !in_time {
            tracing::warn!(%stream, "storage did not take everything in time");
            tasks.shutdown().await;
        }
        // A broadcast too short for its first poster gets one now, if there is time.
        let _ = timeout_at(last_writes, poster_task.join_next()).await;
        poster_task.shutdown().await;
        if damaged && closing == Closing::Finish {
            // The publisher may never have come, and then there was no timeline to write the end of.
            let mut publication = Publication::new(store, stream, epoch, address, owner);
            if let Err(error) = publication.close_stored().await {
                tracing::warn!(%stream, %error, "the end of the broadcast cannot be written");
            }
        }
        tracing::info!(%stream, epoch = epoch.0, reason = %closing, "done");
    }

    /// No publisher, no media: the stored broadcast gets its end.
    async fn finish(self, mut feed: FeedBroadcaster) {
        let Self { begun, store, address, .. } = self;
        let Begun { assignment, before, owner, mut orders, .. } = begun;
        let (stream, epoch) = (assignment.stream, assignment.epoch);
        let known = before.filter(|before| before.known == Known::Whole);
        let timeline =
            known.map(|before| (finish::ended(before.filled.timeline, epoch), before.filled.clock));
        let standing = timeline.clone().map(|(timeline, clock)| Standing { timeline, clock, closed: true });
        let mut publication = Publication::new(store, stream, epoch, address, owner);
        let mut trouble = Outage::default().watch();
        for tries in 1..=FINISH_TRIES {
            let written = match &standing {
                Some(standing) => publication.write(standing, Instant::now()).await,
                None => publication.close_stored().await,
            };
            match written {
                Ok(()) => {
                    trouble.over();
                    break;
                }
                Err(error @ PublicationError::Fenced(_)) => {
                    tracing::warn!(%stream, %error, "nothing more is written");
                    break;
                }
                Err(error) if tries == FINISH_TRIES => {
                    tracing::warn!(%stream, %error, "the end of the broadcast cannot be written");
                }
                Err(error) => trouble.wait(&error).await,
            }
        }
        tracing::info!(%stream, epoch = epoch.0, "finished");
        feed.announce(&caudal_livestream::feed::Event::End, None);
        feed.close();
        // Whoever asks within this learns the end from the feed; afterwards from storage.
        let ask = async {
            while let Some(order) = orders.recv().await {
                if let Order::Join(reader) = order {
                    feed.join(
                        reader,
                        timeline.as_ref().map(|(timeline, _)| timeline),
                        InputBoard::default().state(),
                    );
                    feed.announce(&caudal_livestream::feed::Event::End, None);
                    feed.close();
                }
            }
        };
        let _ = timeout(FINISH_LINGER, ask).await;
    }
}

/// A relay at line speed brings some hundred tags in one read.
const INPUT_QUEUE: usize = 256;
const ORDER_QUEUE: usize = 32;
const SETTLED_QUEUE: usize = 64;
const ENCODED_QUEUE: usize = 128;
/// Edges, the controller, a scraper.
const MAX_HTTP_CONNECTIONS: usize = 512;
/// Feeds have been closed by then; only a reader that does not read is left.
const HTTP_DRAIN: Duration = Duration::from_millis(500);
/// Until the target duration is known: six times the longest.
const PARTS_KEPT_AT_FIRST: Duration = Duration::from_mins(1);
/// With the queue for storage, which shares its bytes, what one stream may hold: a minute of 20 Mb/s and its rungs.
const MAX_MEDIA_MEMORY: usize = 384 * 1024 * 1024;
/// After the session: the last state and playlists.
const LAST_WRITES: Duration = Duration::from_secs(1);
/// How long a storage that is away or full is given to come back before [`LAST_WRITES`], unless the platform ends.
const LAST_TRIES: Duration = Duration::from_secs(30);
const FINISH_TRIES: u32 = 10;
const FINISH_LINGER: Duration = Duration::from_secs(3);
