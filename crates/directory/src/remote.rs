//! The directory of a controller in another process: `caudal controller` serves it ([`directory_routes`]), the roles beside it
//! hold a copy and send their commands there. Stands in for Kubernetes where there is none.
//!
//! * `wire` – the messages
//! * `served` – the controller's side
//! * `commands` – what the controller is asked for
//! * `replica` – the copy, kept by what the controller says; pure
//! * `lines` – lines out of an answer
//! * `obstacle` – what is in the way, in words
//! * `controller_clock` – the controller's time; pure
//!
//! **Commands** are idempotent, and repeated until the controller has answered or the deadline is over. A caller that has the
//! answer finds its effect in the copy too.
//!
//! **The copy** is behind by a network's latency. While the controller is away it stays as it was last, and
//! [`StreamControl::is_current`] says so.

mod commands;
mod controller_clock;
mod lines;
mod obstacle;
mod replica;
mod served;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use caudal_controller::Excuses;
use caudal_livestream::record::{Ingest, LiveStream, MediaInfo, RelayFailures, Spec};
use caudal_livestream::report::EndReason;
use caudal_livestream::{SessionId, StreamId};
use caudal_service::http_client::{SignedClient, why_cut_off, why_not_sent};
use caudal_service::internal::{InternalListener, Signer, refusal, refuses_signature};
use futures::future::BoxFuture;
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::commands::COMMAND_DEADLINE;
use self::controller_clock::ControllerClock;
use self::lines::{Cut, Lines};
use self::obstacle::Obstacle;
use self::replica::{Replica, Unreadable};
use self::wire::{Answer, Mark, Moment, Outcome};
use crate::{OpenError, ReconnectError, StreamControl, StreamDirectory, Streams, Unavailable};

pub use self::served::directory_routes;

/// A copy of a controller's directory, and the way to it.
pub struct RemoteDirectory {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Shared {
    http: SignedClient,
    /// Base URL of the controller's internal listener.
    controller: String,
    /// After so much of it the connection counts as lost.
    silence: Duration,
    // Held for map operations only, never across an await.
    replica: Mutex<Replica>,
    // The same.
    clock: Mutex<ControllerClock>,
    streams: watch::Sender<Streams>,
    standing: watch::Sender<Standing>,
    obstacle: watch::Sender<Option<String>>,
}

/// How a copy stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    /// None while there is no connection that has shown everything once.
    mark: Option<Mark>,
    /// A stream that is missing in the copy is missing in the controller's directory, unless its record cannot be read.
    complete: bool,
}

impl RemoteDirectory {
    /// Begins to read the directory of the controller whose internal listener is at `controller` (`http://10.0.0.7:3001`), as
    /// the caller that `signer` is; it may be away. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn start(controller: String, signer: Signer) -> Result<Arc<Self>, reqwest::Error> {
        Self::start_with(controller, signer, SILENCE)
    }

    fn start_with(
        controller: String,
        signer: Signer,
        silence: Duration,
    ) -> Result<Arc<Self>, reqwest::Error> {
        let shared = Arc::new(Shared {
            http: SignedClient::new(signer)?,
            controller,
            silence,
            replica: Mutex::default(),
            clock: Mutex::new(ControllerClock::new()),
            streams: watch::Sender::new(Streams::default()),
            standing: watch::Sender::new(Standing::default()),
            obstacle: watch::Sender::new(None),
        });
        let directory = Self { shared, tasks: TaskTracker::new(), stop: CancellationToken::new() };
        let (shared, stop) = (Arc::clone(&directory.shared), directory.stop.clone());
        directory.tasks.spawn(async move {
            stop.run_until_cancelled(shared.follow()).await;
        });
        Ok(Arc::new(directory))
    }

    /// Waits until the controller's directory has been read once.
    pub async fn read_once(&self) {
        // The sender is ours, so this ends only by its value.
        let _ = self.shared.standing.subscribe().wait_for(|standing| standing.mark.is_some()).await;
    }

    /// Waits until the controller has come or gone: whether the copy follows it now. The first call answers at once if
    /// that is not `so_far`.
    pub async fn follows(&self, so_far: bool) -> bool {
        let mut standing = self.shared.standing.subscribe();
        let changed = standing.wait_for(|standing| standing.mark.is_some() != so_far).await;
        changed.map_or(so_far, |standing| standing.mark.is_some())
    }

    /// What is in the way of following the controller, in words; none while nothing is.
    pub fn obstacle(&self) -> watch::Receiver<Option<String>> {
        self.shared.obstacle.subscribe()
    }

    /// Stops following the controller. The copy stays as it is.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Shared {
    fn replica(&self) -> MutexGuard<'_, Replica> {
        self.replica.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clock(&self) -> MutexGuard<'_, ControllerClock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when a command that is begun now is waited for, by the controller's clock.
    fn waits_until(&self) -> Option<Moment> {
        self.clock().at(Instant::now() + COMMAND_DEADLINE)
    }

    /// Keeps the copy, for good.
    async fn follow(&self) {
        let mut pause = FIRST_PAUSE;
        let mut said = None;
        let mut excuses = Excuses::default();
        loop {
            let began = Instant::now();
            let lost = self.read(&mut said, &mut excuses).await;
            let was_current = self.standing.send_replace(Standing::default()).mark.is_some();
            if was_current {
                pause = FIRST_PAUSE;
            }
            let obstacle = match lost {
                Lost::StoodStill => {
                    tracing::debug!("the controller was lost while this process stood still");
                    None
                }
                Lost::Away(reason) => Some((Obstacle::Away, reason)),
                Lost::Refused(reason) => Some((Obstacle::Refuses, reason)),
            };
            if let Some((obstacle, reason)) = obstacle {
                self.obstacle.send_replace(Some(obstacle.say(&self.controller, &reason, &mut said)));
            }
            sleep_until(began + pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// Reads all changes until the connection is lost, and says why it was. `said` is what was said to be in the way.
    async fn read(&self, said: &mut Option<Obstacle>, excuses: &mut Excuses) -> Lost {
        self.replica().begin();
        let asked = Instant::now();
        let opening = timeout(ANSWER_DEADLINE, answer(self.http.get(&self.controller, wire::WATCH))).await;
        let mut answer = match opening {
            Ok(Ok(answer)) => answer,
            Ok(Err(Failure::Signature(reason))) => return Lost::Refused(reason),
            Ok(Err(Failure::Transport(reason) | Failure::Refused(reason))) => {
                return lost(reason, excuses, asked, ANSWER_DEADLINE);
            }
            Err(_) => return lost("it does not answer".to_owned(), excuses, asked, ANSWER_DEADLINE),
        };
        if answer.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != wire::LINES) {
            // A web server answers anything with its pages.
            return Lost::Away(refusal(CONTROLLER, answer.status(), answer.headers()));
        }
        let mut lines = Lines::new(LONGEST_LINE);
        let mut excused = false;
        loop {
            // A line a second, so that silence means that it hangs or cannot be reached.
            let asked = Instant::now();
            let reason = match timeout(self.silence, answer.chunk()).await {
                Ok(Ok(Some(piece))) => {
                    (*excuses, excused) = (Excuses::default(), false);
                    lines.push(&piece);
                    while let Some(cut) = lines.next() {
                        if let Err(reason) = self.take(cut, said) {
                            return Lost::Away(reason);
                        }
                    }
                    continue;
                }
                Err(_) if excuse_standstill(excuses, asked, self.silence) => {
                    // What came meanwhile is there to be read in a moment, or that the controller has given this reader up.
                    excused = true;
                    continue;
                }
                Err(_) => return Lost::Away(format!("it was silent for {:?}", self.silence)),
                Ok(Ok(None)) => "it closed the connection".to_owned(),
                Ok(Err(error)) => why_cut_off(&error),
            };
            return if excused { Lost::StoodStill } else { lost(reason, excuses, asked, self.silence) };
        }
    }

    fn take(&self, cut: Cut, said: &mut Option<Obstacle>) -> Result<(), String> {
        let mut replica = self.replica();
        let heard = match cut {
            Cut::Line(line) => replica.hear(&line).map_err(|error| error.to_string())?,
            Cut::TooLong => Err(replica.doubt(Unreadable::TooLong)),
        };
        match heard {
            Err(unreadable) => tracing::warn!(%unreadable, "the controller's directory: left out"),
            Ok(false) => {}
            Ok(true) => {
                if let Some(said_at) = replica.said_at() {
                    self.clock().heard(said_at, Instant::now());
                }
                self.show(replica.streams());
                if self.standing.borrow().mark.is_none() && said.take().is_some() {
                    tracing::info!(controller = self.controller, "the controller is there");
                    self.obstacle.send_replace(None);
                }
                self.standing
                    .send_replace(Standing { mark: replica.mark(), complete: replica.is_complete() });
            }
        }
        Ok(())
    }

    fn show(&self, now: &Streams) {
        self.streams.send_if_modified(|streams| {
            let changed = !streams.ptr_eq(now);
            if changed {
                *streams = now.clone();
            }
            changed
        });
    }
}

/// The answer to a request, if it is 200.
async fn answer(request: RequestBuilder) -> Result<Response, Failure> {
    let answer = request.send().await.map_err(|error| Failure::Transport(why_not_sent(&error)))?;
    let status = answer.status();
    if status == StatusCode::OK {
        return Ok(answer);
    }
    let reason = refusal(CONTROLLER, status, answer.headers());
    if refuses_signature(CONTROLLER, status, answer.headers()) {
        return Err(Failure::Signature(reason));
    }
    Err(if status.is_client_error() { Failure::Refused(reason) } else { Failure::Transport(reason) })
}

/// Why the directory is read no further on a connection.
enum Lost {
    /// This process did not run, and could not hear.
    StoodStill,
    /// In words for the log.
    Away(String),
    /// The same, of a controller that does not accept the signature.
    Refused(String),
}

/// The connection was lost for this reason, during a wait that began at `asked`.
fn lost(reason: String, excuses: &mut Excuses, asked: Instant, at_most: Duration) -> Lost {
    if excuse_standstill(excuses, asked, at_most) { Lost::StoodStill } else { Lost::Away(reason) }
}

/// Whether that the controller was not heard is this process's own fault.
fn excuse_standstill(excuses: &mut Excuses, asked: Instant, at_most: Duration) -> bool {
    let took = excuses.excuse(asked, at_most);
    if let Some(took) = took {
        tracing::warn!(?took, "this process stood still, and could not hear the controller");
    }
    took.is_some()
}

/// Why a request was not answered as asked.
enum Failure {
    /// It may go better the next time.
    Transport(String),
    /// It would not.
    Refused(String),
    /// The controller does not accept the signature.
    Signature(String),
}

fn unavailable(reason: &str) -> Unavailable {
    Unavailable(format!("the controller: {reason}"))
}

/// An answer that no command of this kind gets.
fn strange(outcome: &Outcome) -> Unavailable {
    unavailable(&format!("it answered something else: {outcome:?}"))
}

impl StreamDirectory for RemoteDirectory {
    fn open(&self, spec: Spec) -> BoxFuture<'_, Result<Arc<LiveStream>, OpenError>> {
        Box::pin(async move {
            let open = wire::Open { spec, by: self.shared.waits_until() };
            match self.shared.command(wire::OPEN, &open).await? {
                Outcome::Record { record } => Ok(Arc::from(record)),
                Outcome::Exists { record } => Err(OpenError::Exists(Arc::from(record))),
                Outcome::NoCapacity => Err(OpenError::NoCapacity),
                other => Err(strange(&other).into()),
            }
        })
    }

    fn reconnect(
        &self,
        stream: StreamId,
        ingest: Ingest,
    ) -> BoxFuture<'_, Result<Arc<LiveStream>, ReconnectError>> {
        Box::pin(async move {
            let reconnect = wire::Reconnect { stream, ingest, by: self.shared.waits_until() };
            match self.shared.command(wire::RECONNECT, &reconnect).await? {
                Outcome::Record { record } => Ok(Arc::from(record)),
                Outcome::Stale { generation } => Err(ReconnectError::Stale(generation)),
                Outcome::Over { phase } => Err(ReconnectError::Over(phase)),
                Outcome::Unknown => Err(ReconnectError::Unknown),
                other => Err(strange(&other).into()),
            }
        })
    }

    fn worker_unreachable(&self, stream: StreamId, failures: RelayFailures) -> BoxFuture<'_, bool> {
        self.tell(stream, wire::WORKER_UNREACHABLE, wire::WorkerUnreachable { stream, failures })
    }

    fn report_media(&self, stream: StreamId, session: SessionId, media: MediaInfo) -> BoxFuture<'_, bool> {
        self.tell(stream, wire::REPORT_MEDIA, wire::ReportMedia { stream, session, media })
    }

    fn media_refused(&self, stream: StreamId, session: SessionId, words: String) -> BoxFuture<'_, bool> {
        self.tell(stream, wire::MEDIA_REFUSED, wire::MediaRefused { stream, session, words })
    }

    fn watch(&self) -> watch::Receiver<Streams> {
        self.shared.streams.subscribe()
    }
}

impl RemoteDirectory {
    /// For what will be said again if it matters. Whether it was taken.
    fn tell(
        &self,
        stream: StreamId,
        path: &'static str,
        command: impl Serialize + Send + Sync + 'static,
    ) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            match self.shared.until_answered(path, &command).await {
                Ok(Answer { outcome: Outcome::Unavailable { reason }, .. }) => {
                    tracing::warn!(%stream, reason, path, "the controller could not take this");
                    return false;
                }
                Ok(_) => return true,
                // That is said once for all streams.
                Err(Failure::Transport(error) | Failure::Signature(error)) => {
                    tracing::debug!(%stream, error, path, "the controller did not hear this");
                }
                Err(Failure::Refused(error)) => {
                    tracing::warn!(%stream, error, path, "the controller does not take this");
                }
            }
            false
        })
    }

    async fn order(&self, path: &str, command: &(impl Serialize + Sync)) -> Result<(), Unavailable> {
        match self.shared.command(path, command).await? {
            Outcome::Done => Ok(()),
            other => Err(strange(&other)),
        }
    }
}

impl StreamControl for RemoteDirectory {
    fn end(&self, stream: StreamId, reason: EndReason) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move { self.order(wire::END, &wire::End { stream, reason }).await })
    }

    fn drop_publisher(&self, stream: StreamId, reason: String) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(
            async move { self.order(wire::DROP_PUBLISHER, &wire::DropPublisher { stream, reason }).await },
        )
    }

    fn revoke_key(&self, stream: StreamId) -> BoxFuture<'_, Result<(), Unavailable>> {
        Box::pin(async move { self.order(wire::REVOKE_KEY, &wire::RevokeKey { stream }).await })
    }

    fn inspect(&self, stream: StreamId) -> Option<Arc<LiveStream>> {
        self.get(stream)
    }

    fn running(&self) -> Vec<Arc<LiveStream>> {
        self.shared.streams.borrow().values().cloned().collect()
    }

    fn is_current(&self) -> bool {
        self.shared.standing.borrow().complete
    }

    fn is_missing(&self, stream: StreamId) -> bool {
        self.is_current() && self.shared.replica().is_missing(stream)
    }
}

/// What is asked.
const CONTROLLER: InternalListener = InternalListener::Controller;
/// To the head of the long answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// Five missed heartbeats.
const SILENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// A record is 2 KB; its title and the words to a publisher are bounded.
const LONGEST_LINE: usize = 256 * 1024;
