//! One publisher, from its admission to its end.

use std::sync::Arc;
use std::time::Duration;

use caudal_directory::StreamDirectory;
use caudal_livestream::record::{MediaInfo, RelayFailures};
use caudal_livestream::{Epoch, SessionId, StreamId, UnixMillis};
use caudal_rtmp::{LossReason, PublisherEvent, PublisherStream, SessionError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::clock::unix_millis;
use crate::link::{Link, LinkEvent};
use crate::measure::Measure;
use crate::metrics::{Counted, Metrics, SessionEnd, add};
use crate::replay::{Replay, ReplayLimits};
use crate::reports::wait_until_taken;
use crate::seats::Seat;
use crate::sessions::Registration;
use crate::tag::{Body, Tag};
use crate::verdict::{AskedToReconnect, Dismissal, dismissal};
use crate::words;

/// One publisher and all that belongs to it: one task owns it and does everything, so that nothing is shared and nothing
/// is queued twice.
pub(crate) struct Session<IO> {
    stream: StreamId,
    directory: Arc<dyn StreamDirectory>,
    metrics: Metrics,
    registration: Registration,
    publisher: Option<Connected<IO>>,
    seat: Seat,
    begun: std::time::Instant,
    replay: Replay,
    /// Bytes. A replay is emptied when timestamps jump or no media comes, and is as long again soon after that.
    most_held: usize,
    measure: Measure,
    link: Link,
    last_ms: u32,
    /// Since when media comes, of which nothing opened decoding.
    closed_since: Option<std::time::Instant>,
    /// What must not keep the publisher waiting: reports to the directory, and farewells.
    errands: JoinSet<Errand>,
    reporting: bool,
    relay_failures: Failures,
    /// The worker's epoch whose relay failed last, until one is up.
    failing: Option<Epoch>,
}

struct Connected<IO> {
    stream: PublisherStream<IO>,
    /// It understands a request to reconnect.
    can_reconnect: bool,
    _counted: Counted,
}

/// The publisher has left; its last media and its good-bye still go to the worker.
#[derive(Clone, Copy, Debug)]
struct Departure {
    explicit: bool,
    deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errand {
    MediaReported { taken: bool },
    WorkerReported,
    RefusalReported,
    Farewell,
}

/// The failures of a session's relay that speak against its worker, counted for the directory.
#[derive(Debug, Default)]
struct Failures {
    counted: Option<RelayFailures>,
    told: Option<RelayFailures>,
    /// A count is on its way; what is added meanwhile goes with the next.
    telling: bool,
}

impl Failures {
    fn another(&mut self, epoch: Epoch, session: SessionId, now: UnixMillis) {
        self.counted = Some(RelayFailures::after(self.counted, epoch, session, now));
    }

    /// The count that the caller is to tell now, if there is one.
    fn take_untold(&mut self) -> Option<RelayFailures> {
        let counted = self.counted.filter(|_| !self.telling && self.counted != self.told)?;
        self.told = Some(counted);
        self.telling = true;
        Some(counted)
    }
}

/// How a session came to its end.
#[derive(Debug)]
enum End {
    Left(Departure),
    Dismissed(Dismissal),
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static> Session<IO> {
    /// Of a publisher that was let in.
    pub(crate) fn new(
        publisher: PublisherStream<IO>,
        can_reconnect: bool,
        seat: Seat,
        directory: Arc<dyn StreamDirectory>,
        registration: Registration,
        link: Link,
        metrics: Metrics,
    ) -> Self {
        let counted = Counted::new(&metrics.publishers);
        Self {
            stream: registration.stream(),
            directory,
            metrics,
            registration,
            publisher: Some(Connected { stream: publisher, can_reconnect, _counted: counted }),
            seat,
            begun: std::time::Instant::now(),
            replay: Replay::new(ReplayLimits::default()),
            most_held: 0,
            measure: Measure::new(unix_millis()),
            link,
            last_ms: 0,
            closed_since: None,
            errands: JoinSet::new(),
            reporting: false,
            relay_failures: Failures::default(),
            failing: None,
        }
    }

    /// Until the publisher has left and the worker has all that it sent, or until it is dismissed.
    pub(crate) async fn run(mut self) -> SessionEnd {
        let (end, explicit) = match self.relay_until_the_end().await {
            End::Left(Departure { explicit: true, .. }) => (SessionEnd::Unpublished, true),
            End::Left(_) => (SessionEnd::Lost, false),
            End::Dismissed(dismissal) => {
                let end = dismissal.end;
                tracing::info!(stream = %self.stream, end = end.label(), told = dismissal.message, "publisher dismissed");
                self.registration.left(false);
                if let Some(connected) = self.publisher.take() {
                    self.errands.spawn(async move {
                        connected.stream.drop_publisher(dismissal.refusal, &dismissal.message).await;
                        Errand::Farewell
                    });
                }
                (end, false)
            }
        };
        let Self { link, mut errands, metrics, .. } = self;
        link.finish(explicit).await;
        // Each of them has a deadline of its own.
        while errands.join_next().await.is_some() {}
        metrics.ended(end);
        end
    }

    async fn relay_until_the_end(&mut self) -> End {
        let mut departure: Option<Departure> = None;
        // When a router that stops no longer waits for a publisher that it has asked to leave.
        let mut patience: Option<Instant> = None;
        let leave = self.registration.leave.clone();
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let record = self.registration.record.borrow_and_update().clone();
            let (session, generation) = (self.registration.session(), self.registration.generation());
            let asked = if patience.is_some() { AskedToReconnect::Yes } else { AskedToReconnect::No };
            if let Some(dismissal) = dismissal(record.as_deref(), session, generation, asked) {
                return match departure {
                    Some(departure) => End::Left(departure),
                    None => End::Dismissed(dismissal),
                };
            }
            if let Some(record) = record {
                self.link.follow(&record.status);
            }
            // Until the record changes there is no need to look at it again.
            loop {
                if let Some(departure) = departure.filter(|_| self.link.is_drained(&self.replay)) {
                    return End::Left(departure);
                }
                tokio::select! {
                    // One that has left is waited for by a deadline of its own, and by the router's.
                    () = leave.cancelled(), if patience.is_none() && departure.is_none() => {
                        patience = Some(Instant::now() + self.ask_to_leave());
                    }
                    () = at(patience), if departure.is_none() => return End::Dismissed(Dismissal::shutdown()),
                    changed = self.registration.record.changed() => {
                        // The sender lives as long as the registration.
                        drop(changed);
                        break;
                    }
                    event = next_event(&mut self.publisher) => departure = self.published(event),
                    event = self.link.progress(&self.replay) => self.linked(event),
                    _ = seconds.tick() => self.second(),
                    Some(errand) = self.errands.join_next() => self.done(errand.ok()),
                    () = at(departure.map(|departure| departure.deadline)) => if let Some(departure) = departure {
                        tracing::debug!(stream = %self.stream, "no worker took the last of a publisher");
                        return End::Left(departure);
                    },
                }
            }
        }
    }

    fn published(&mut self, event: PublisherEvent) -> Option<Departure> {
        let tag = match event {
            PublisherEvent::Metadata(metadata) => {
                // Encoders give it any timestamp; it belongs to what came last.
                Tag { timestamp_ms: self.last_ms, body: Body::Metadata(Arc::new(*metadata)) }
            }
            PublisherEvent::Audio { timestamp_ms, data } => Tag { timestamp_ms, body: Body::Audio(data) },
            PublisherEvent::Video { timestamp_ms, data } => Tag { timestamp_ms, body: Body::Video(data) },
            PublisherEvent::Lost { explicit, reason } => return Some(self.lost(explicit, &reason)),
        };
        let now = std::time::Instant::now();
        self.last_ms = tag.timestamp_ms;
        add(&self.metrics.received_bytes, tag.len());
        if !matches!(tag.body, Body::Metadata(_)) {
            self.registration.media(now);
        }
        self.measure.tag(&tag, now);
        if self.measure.other_track_appeared() {
            tracing::info!(stream = %self.stream, "more than one track of a kind: only the first is packaged");
        }
        if self.replay.push(tag) {
            tracing::info!(stream = %self.stream, "the publisher's timestamps jumped");
        }
        self.closed_since = self.closed_since.or(Some(now)).filter(|_| self.replay.is_closed());
        if self.closed_since.is_some_and(|since| now.saturating_duration_since(since) >= WITHOUT_KEYFRAME) {
            self.replay.open_anywhere();
        }
        None
    }

    /// Asks the publisher to go to another router, if it understands that, and says how long it may take.
    fn ask_to_leave(&mut self) -> Duration {
        match &mut self.publisher {
            Some(Connected { stream, can_reconnect: true, .. }) => {
                tracing::info!(stream = %self.stream, "publisher asked to reconnect");
                self.registration.asked_to_reconnect();
                stream.ask_to_reconnect(words::RECONNECT);
                RECONNECTING
            }
            _ => Duration::ZERO,
        }
    }

    fn lost(&mut self, explicit: bool, reason: &LossReason) -> Departure {
        tracing::info!(stream = %self.stream, session = %self.registration.session(), explicit, %reason, "publisher lost");
        self.registration.left(explicit);
        self.link.hold_nothing();
        if let LossReason::Failed(error @ SessionError::UnsupportedCodec(_)) = reason {
            self.report_refusal(error.to_string());
        }
        if let Some(connected) = self.publisher.take() {
            self.errands.spawn(async move {
                connected.stream.close().await;
                Errand::Farewell
            });
        }
        Departure { explicit, deadline: Instant::now() + LAST_WORDS }
    }

    fn linked(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Sent => {}
            LinkEvent::Prepared => tracing::info!(stream = %self.stream, "the next worker is ready"),
            LinkEvent::Switched(epoch) => {
                tracing::info!(stream = %self.stream, %epoch, "switched to the next worker at a keyframe");
            }
            LinkEvent::Connected => {
                self.failing = None;
                tracing::info!(stream = %self.stream, "relay connected");
            }
            LinkEvent::Failed { epoch, error, report } => {
                // While the controller is away nobody replaces a worker, and it is tried again every 1.6 s.
                if self.failing.replace(epoch) == Some(epoch) {
                    tracing::debug!(stream = %self.stream, %epoch, %error, "relay failed again");
                } else {
                    tracing::warn!(stream = %self.stream, %epoch, %error, "relay failed; trying again");
                }
                if report {
                    let session = self.registration.session();
                    self.relay_failures.another(epoch, session, unix_millis());
                    self.report_worker();
                }
            }
        }
    }

    fn second(&mut self) {
        let held = self.replay.held_bytes();
        self.most_held = self.most_held.max(held);
        if self.begun.elapsed() >= REPLAY_SETTLED {
            self.seat.settle(self.most_held);
        }
        self.seat.hold(held);
        if let Some(bytes) = self.seat.cut_to() {
            self.replay.cut(bytes);
            self.seat.hold(self.replay.held_bytes());
        }
        if let Some(event) = self.link.check(&self.replay) {
            self.linked(event);
        }
        let dropped = self.link.take_dropped();
        self.metrics.dropped_frames.inc_by(dropped);
        self.measure.dropped(dropped);
        // Before the first media there is nothing to tell; while a report is on its way, the next one waits for the
        // next second and is then up to date.
        if self.publisher.is_some() {
            let now = std::time::Instant::now();
            self.registration.measured(self.measure.current(now));
            let record = self.registration.record.borrow().clone();
            if record.is_some_and(|record| record.status.media.is_none()) {
                self.measure.not_in_record(now);
            }
            if !self.reporting
                && let Some(media) = self.measure.news(now)
            {
                self.report_media(media);
            }
        }
    }

    fn report_media(&mut self, media: MediaInfo) {
        let (directory, stream, session) =
            (Arc::clone(&self.directory), self.stream, self.registration.session());
        self.reporting = true;
        let leave = self.registration.leave.clone();
        self.errands.spawn(async move {
            let taken = wait_until_taken(directory.report_media(stream, session, media), leave).await;
            if !taken {
                tracing::debug!(%stream, "the directory did not take a measurement");
            }
            Errand::MediaReported { taken }
        });
    }

    fn report_refusal(&mut self, words: String) {
        let (directory, stream, session) =
            (Arc::clone(&self.directory), self.stream, self.registration.session());
        let leave = self.registration.leave.clone();
        self.errands.spawn(async move {
            if !wait_until_taken(directory.media_refused(stream, session, words), leave).await {
                tracing::warn!(%stream, "the directory did not take why a publisher was turned away");
            }
            Errand::RefusalReported
        });
    }

    fn report_worker(&mut self) {
        let Some(failures) = self.relay_failures.take_untold() else { return };
        let (directory, stream) = (Arc::clone(&self.directory), self.stream);
        let leave = self.registration.leave.clone();
        self.errands.spawn(async move {
            if !wait_until_taken(directory.worker_unreachable(stream, failures), leave).await {
                // It is told again with the next failure, and that the directory is away says the directory itself.
                tracing::debug!(%stream, "the directory did not take that a worker is unreachable");
            }
            Errand::WorkerReported
        });
    }

    fn done(&mut self, errand: Option<Errand>) {
        match errand {
            Some(Errand::MediaReported { taken }) => {
                self.reporting = false;
                if !taken {
                    self.measure.news_not_taken();
                }
            }
            Some(Errand::WorkerReported) => {
                self.relay_failures.telling = false;
                self.report_worker();
            }
            Some(Errand::RefusalReported | Errand::Farewell) => {}
            // One panicked; nobody knows which.
            None => (self.reporting, self.relay_failures.telling) = (false, false),
        }
    }
}

async fn next_event<IO>(publisher: &mut Option<Connected<IO>>) -> PublisherEvent
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    match publisher {
        Some(connected) => match connected.stream.next_event().await {
            Some(event) => event,
            // `Lost` came before, and took the publisher away.
            None => PublisherEvent::Lost { explicit: false, reason: LossReason::Closed },
        },
        None => std::future::pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// How long a first keyframe is waited for; a GOP may be long. Less than the 20 s of media after which a worker calls a session
/// unplayable (ARCHITECTURE §3.11).
const WITHOUT_KEYFRAME: Duration = Duration::from_secs(17);
/// By then a replay is as long as it gets, unless the publisher changes what it sends.
const REPLAY_SETTLED: Duration = Duration::from_secs(30);
/// Drain time after the publisher has left; covers very short broadcasts, whose worker has only just started.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// How long a publisher that was asked to reconnect may take to leave. Less than [`Drain::farewell`](crate::Drain::farewell), so
/// that the one that is asked last has as long, and is told why it is closed.
const RECONNECTING: Duration = Duration::from_secs(3);
