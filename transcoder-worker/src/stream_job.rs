//! What a worker does for its stream: the tasks around the session, and what is left to do after it.

use std::num::NonZeroUsize;
use std::time::Duration;

use caudal_livestream::assignment::AssignmentMode;
use caudal_livestream::feed::Event;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::FilledState;
use caudal_media::Resume;
use caudal_storage::SegmentStore;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::assignment_desk::Begun;
use crate::attendance::Attendance;
use crate::claim::EpochClaim;
use crate::clock::WallClock;
use crate::closing::Closing;
use crate::encoder::{LadderChoice, encoder};
use crate::feed::FeedBroadcaster;
use crate::ffmpeg::Ffmpeg;
use crate::finish;
use crate::input::{InputBoard, InputEvent};
use crate::metrics::Metrics;
use crate::milestones::Milestones;
use crate::outage::Outage;
use crate::poster::{PosterOutlet, Posters};
use crate::prepared::{Prepared, Turn};
use crate::publication::{Publication, PublicationError, Standing};
use crate::salvage::{Before, Known};
use crate::session::{Order, Session, SessionParts};
use crate::storage_writer::StorageHandle;

/// Where a session's media comes from, and who hears of it.
pub(crate) struct SessionInput {
    pub(crate) board: InputBoard,
    pub(crate) input: mpsc::Receiver<InputEvent>,
    /// What was read of the connection before the session began.
    pub(crate) relayed: Vec<InputEvent>,
    pub(crate) closed: CancellationToken,
    pub(crate) feed: FeedBroadcaster,
}

/// One stream's work.
pub(crate) struct StreamJob {
    pub(crate) begun: Begun,
    pub(crate) store: SegmentStore,
    pub(crate) address: WorkerAddress,
    pub(crate) metrics: Metrics,
    pub(crate) milestones: Milestones,
    pub(crate) ffmpeg: Option<Ffmpeg>,
    pub(crate) ladder: LadderChoice,
    pub(crate) poster_interval: Duration,
    pub(crate) clock: WallClock,
    pub(crate) leave: CancellationToken,
}

impl StreamJob {
    /// Does it, whole.
    pub(crate) async fn run(self, from: SessionInput, shutdown: &CancellationToken) {
        match self.begun.assignment.mode {
            AssignmentMode::Finish => self.finish(from).await,
            AssignmentMode::Live => self.live(from, shutdown).await,
            AssignmentMode::Prepare => self.prepared(from, shutdown).await,
        }
    }

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
        let (floor, relayed, finish) = match turn {
            Turn::Leave => return tracing::info!(%stream, epoch = epoch.0, "not needed"),
            Turn::Live { floor, relayed } => (floor.or(assigned), relayed, false),
            Turn::Finish => (assigned, Vec::new(), true),
        };
        let Begun { assignment, owner, orders, .. } = &mut self.begun;
        let claim =
            EpochClaim { store: &self.store, address: self.address, assignment, owner: *owner, floor };
        let claimed = Box::pin(claim.make_patiently());
        let attendance = Attendance::new(&from.board, orders, &mut from.feed, None);
        let attended = attendance.during(&mut from.input, claimed);
        let Some((claimed, heard)) = shutdown.run_until_cancelled(attended).await else {
            return tracing::info!(%stream, epoch = epoch.0, "told to end before the epoch was claimed");
        };
        match claimed {
            Ok(before) => {
                let now = self.clock.now();
                self.begun.before = Before::known_further(before, (stream, epoch), heard.floor, now);
            }
            // The controller notices by the end of the feed, and finds another worker.
            Err(error) => return tracing::error!(%stream, %error, "the stream cannot be taken over"),
        }
        if finish || heard.finish {
            self.finish(from).await;
        } else {
            from.relayed = relayed;
            from.relayed.extend(heard.relayed);
            self.live(from, shutdown).await;
        }
    }

    async fn live(self, from: SessionInput, shutdown: &CancellationToken) {
        let Self { begun, store, address, metrics, milestones, ffmpeg, .. } = self;
        let Self { ladder, poster_interval, clock, leave: asked, .. } = self;
        let Begun { assignment, before, owner, orders, memory } = begun;
        let (stream, epoch) = (assignment.stream, assignment.epoch);
        tracing::info!(%stream, epoch = epoch.0, continued = before.is_some(), "assigned");
        let damaged = before.as_ref().is_some_and(|before| before.known == Known::InPart);
        let resume = before.map(|before| {
            let beyond = before.beyond();
            let Before { filled: FilledState { timeline, clock, .. }, floor, .. } = before;
            Resume { timeline, clock, floor, beyond }
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
            milestones,
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
    async fn finish(self, from: SessionInput) {
        let SessionInput { board, mut input, mut feed, .. } = from;
        let Self { begun, store, address, .. } = self;
        let Begun { assignment, before, owner, mut orders, .. } = begun;
        let (stream, epoch) = (assignment.stream, assignment.epoch);
        let known = before.filter(|before| before.known != Known::InPart);
        let timeline =
            known.map(|before| (finish::ended(before.filled.timeline, epoch), before.filled.clock));
        let standing = timeline.clone().map(|(timeline, clock)| Standing { timeline, clock, closed: true });
        let mut publication = Publication::new(store, stream, epoch, address, owner);
        let write = Box::pin(async {
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
        });
        let shown = timeline.as_ref().map(|(timeline, _)| timeline);
        let attendance = Attendance::new(&board, &mut orders, &mut feed, shown);
        attendance.during(&mut input, write).await;
        tracing::info!(%stream, epoch = epoch.0, "finished");
        feed.announce(&Event::End, None);
        feed.close();
        // Whoever asks within this learns the end from the feed; afterwards from storage.
        let ask = async {
            while let Some(order) = orders.recv().await {
                if let Order::Join(reader) = order {
                    feed.join(reader, shown, board.state());
                    feed.announce(&Event::End, None);
                    feed.close();
                }
            }
        };
        let _ = timeout(FINISH_LINGER, ask).await;
    }
}

const SETTLED_QUEUE: usize = 64;
const ENCODED_QUEUE: usize = 128;
/// After the session: the last state and playlists.
const LAST_WRITES: Duration = Duration::from_secs(1);
/// How long a storage that is away or full is given to come back before [`LAST_WRITES`], unless the platform ends.
const LAST_TRIES: Duration = Duration::from_secs(30);
const FINISH_TRIES: u32 = 10;
const FINISH_LINGER: Duration = Duration::from_secs(3);
