//! The router's relay connections: who is let in, who takes over, and what comes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use caudal_livestream::assignment::Assignment;
use caudal_livestream::feed::InputState;
use caudal_livestream::proof::Proof;
use caudal_livestream::{Epoch, Generation, SessionId};
use caudal_media::SourceMetadata;
use caudal_rtmp::{
    Limits, LossReason, Metadata, PublishRequested, PublisherConnection, PublisherEvent, PublisherStream,
    Refusal,
};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the publisher does, for the session.
#[derive(Debug)]
pub(crate) enum InputEvent {
    /// A relay connection begins.
    Up { session: SessionId, generation: Generation },
    /// It ended; how, the board says.
    Down,
    /// It ended, and the publisher goes on at another worker.
    HandedOver,
    /// `onMetaData`.
    Metadata(SourceMetadata),
    /// FLV VIDEODATA.
    Video { timestamp_ms: u32, body: Bytes, arrived: Instant },
    /// FLV AUDIODATA.
    Audio { timestamp_ms: u32, body: Bytes, arrived: Instant },
}

/// What the worker knows of its publisher. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub(crate) struct InputBoard(Arc<Mutex<Board>>);

#[derive(Default)]
struct Board {
    state: InputState,
    last_media: Option<Instant>,
    connection: Option<Connection>,
}

/// The relay connection that counts.
#[derive(Clone, Default)]
struct Connection {
    replaced: CancellationToken,
    /// Cancelled once its last event is in the session's channel, however long its peer then takes to hear of it.
    over: CancellationToken,
}

/// A relay's request to publish, as it came.
pub(crate) struct RelayRequest<'a> {
    app: &'a str,
    stream: &'a str,
    epoch: Option<&'a str>,
    session: Option<&'a str>,
    generation: Option<&'a str>,
    auth: Option<&'a str>,
}

impl<'a> RelayRequest<'a> {
    fn of(request: &'a PublishRequested) -> Self {
        let field = |name| request.query.get(name);
        Self {
            app: &request.app,
            stream: request.name.expose(),
            epoch: field("epoch"),
            session: field("session"),
            generation: field("generation"),
            auth: field("auth"),
        }
    }
}

/// Who wants to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) session: SessionId,
    pub(crate) generation: Generation,
}

/// Why a relay is refused; always as `BadName`, upon which the router reads the directory again.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    #[error("this worker has no stream")]
    Idle,
    #[error("not this worker's stream")]
    OtherStream,
    #[error("the request to publish is incomplete")]
    Malformed,
    #[error("the proof does not fit")]
    BadProof,
    #[error("this worker has epoch {0}")]
    OtherEpoch(Epoch),
    #[error("the publisher is of generation {0} by now")]
    OldGeneration(Generation),
    #[error("another session has this generation")]
    OtherSession,
}

impl InputBoard {
    /// The publisher as it stands now.
    pub(crate) fn state(&self) -> InputState {
        let board = self.board();
        let silent = board.last_media.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
        InputState { silent_ms: silent, ..board.state.clone() }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) {
        self.board().last_media = Some(Instant::now());
    }

    /// The worker is to go as soon as another one has the publisher.
    pub(crate) fn leave(&self) {
        self.board().state.leaving = true;
    }

    /// Nothing of this publisher's can be packaged: `what` it sends, for the controller, which ends the broadcast. Its
    /// successor may be here already and has yet to be judged.
    pub(crate) fn give_up(&self, session: SessionId, what: String) {
        let mut board = self.board();
        if board.state.up && board.state.session == Some(session) {
            board.state.unplayable = Some(what);
        }
    }
}

/// Decides on a request to publish, given the assignment and the publisher so far.
pub(crate) fn admit(
    assignment: Option<&Assignment>,
    known: &InputState,
    request: &RelayRequest<'_>,
) -> Result<Candidate, NotAdmitted> {
    let assignment = assignment.ok_or(NotAdmitted::Idle)?;
    if request.app != APP || request.stream != assignment.stream.to_string() {
        return Err(NotAdmitted::OtherStream);
    }
    let proof = Proof::from_peer(request.auth.ok_or(NotAdmitted::Malformed)?);
    if !assignment.knows_router(&proof) {
        return Err(NotAdmitted::BadProof);
    }
    if request.epoch.ok_or(NotAdmitted::Malformed)?.parse() != Ok(assignment.epoch) {
        return Err(NotAdmitted::OtherEpoch(assignment.epoch));
    }
    let session = request.session.and_then(|text| text.parse().ok()).ok_or(NotAdmitted::Malformed)?;
    let generation: Generation =
        request.generation.and_then(|text| text.parse().ok()).ok_or(NotAdmitted::Malformed)?;
    let lowest = known.generation.max(assignment.generation);
    if generation < lowest {
        return Err(NotAdmitted::OldGeneration(lowest));
    }
    // The same session may relay anew at any time; two sessions of one generation cannot both be right.
    if generation == known.generation && known.session.is_some_and(|other| other != session) {
        return Err(NotAdmitted::OtherSession);
    }
    Ok(Candidate { session, generation })
}

/// The RTMP side of a worker.
#[derive(Clone)]
pub(crate) struct InputDoor {
    pub(crate) board: InputBoard,
    /// None until there is an assignment.
    pub(crate) assignment: tokio::sync::watch::Receiver<Option<Arc<Assignment>>>,
    /// Full when the session is busy; then the connection is not read, and TCP holds the router back.
    pub(crate) events: mpsc::Sender<InputEvent>,
}

impl InputDoor {
    /// Takes relay connections until `shutdown`, and returns once all have ended.
    pub(crate) async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let (socket, peer) = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "RTMP accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                tracing::warn!(%peer, "more relay connections than a stream can need: closed");
                continue;
            };
            let door = self.clone();
            let shutdown = shutdown.clone();
            connections.spawn(async move {
                door.connection(socket, shutdown).await;
                drop(slot);
            });
        }
        connections.close();
        connections.wait().await;
    }

    async fn connection(self, socket: TcpStream, shutdown: CancellationToken) {
        // A router opens with its replay at line speed, and it has been admitted by its own proof.
        let limits = Limits { max_bitrate: None, first_media: FIRST_MEDIA, ..Limits::default() };
        let request = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = PublisherConnection::accept_tcp(socket, limits) => match accepted {
                Ok(request) => request,
                Err(error) => {
                    tracing::debug!(%error, "relay connection failed");
                    return;
                }
            },
        };
        let assignment = self.assignment.borrow().clone();
        let connection = Connection::default();
        let _over = connection.over.clone().drop_guard();
        let admitted = {
            let mut board = self.board.board();
            let candidate = admit(assignment.as_deref(), &board.state, &RelayRequest::of(request.details()));
            candidate.map(|candidate| {
                let before = board.connection.replace(connection.clone());
                board.state = InputState {
                    session: Some(candidate.session),
                    generation: candidate.generation,
                    up: true,
                    leaving: board.state.leaving,
                    ..InputState::default()
                };
                (candidate, before)
            })
        };
        let (candidate, before) = match admitted {
            Ok(admitted) => admitted,
            Err(reason) => {
                tracing::info!(%reason, "relay refused");
                request.reject(Refusal::BadName, &reason.to_string()).await;
                return;
            }
        };
        // What the connection before this one read is with the session before anything of this one.
        if let Some(before) = before {
            before.replaced.cancel();
            before.over.cancelled().await;
        }
        let Candidate { session, generation } = candidate;
        if self.events.send(InputEvent::Up { session, generation }).await.is_err() {
            return;
        }
        let stream = request.accept().await;
        self.read(stream, &connection, &shutdown).await;
    }

    async fn read(
        &self,
        mut stream: PublisherStream<TcpStream>,
        connection: &Connection,
        shutdown: &CancellationToken,
    ) {
        loop {
            let event = tokio::select! {
                () = connection.replaced.cancelled() => {
                    self.down(connection).await;
                    stream.drop_publisher(Refusal::BadName, "another relay of this stream took over").await;
                    return;
                }
                () = shutdown.cancelled() => {
                    self.leave(connection, false).await;
                    return;
                }
                event = stream.next_event() => event,
            };
            let arrived = Instant::now();
            let event = match event {
                Some(PublisherEvent::Metadata(metadata)) => InputEvent::Metadata(source_metadata(&metadata)),
                Some(PublisherEvent::Video { timestamp_ms, data: body }) => {
                    self.board.heard();
                    InputEvent::Video { timestamp_ms, body, arrived }
                }
                Some(PublisherEvent::Audio { timestamp_ms, data: body }) => {
                    self.board.heard();
                    InputEvent::Audio { timestamp_ms, body, arrived }
                }
                Some(PublisherEvent::Lost { explicit, reason }) => {
                    tracing::info!(%reason, explicit, "publisher lost");
                    if reason == LossReason::HandedOver {
                        self.hand_over(connection).await;
                    } else {
                        self.leave(connection, explicit).await;
                    }
                    stream.close().await;
                    return;
                }
                None => {
                    self.leave(connection, false).await;
                    return;
                }
            };
            self.send(event).await;
        }
    }

    /// The connection ended by itself. If another one has taken over meanwhile, the publisher is not lost.
    async fn leave(&self, connection: &Connection, explicit: bool) {
        {
            let mut board = self.board.board();
            if !connection.replaced.is_cancelled() {
                board.state.up = false;
                board.state.unplayable = None;
                board.state.explicit = explicit;
                board.connection = None;
            }
        }
        self.down(connection).await;
    }

    /// Its last event. A successor is let in now: the farewell to a peer that has vanished takes as long as its router gives
    /// a dial, which would then count as a worker that cannot be reached.
    async fn down(&self, connection: &Connection) {
        self.send(InputEvent::Down).await;
        connection.over.cancel();
    }

    /// The router has moved the publisher. A connection that has taken over from this one knows nothing of that.
    async fn hand_over(&self, connection: &Connection) {
        {
            let mut board = self.board.board();
            if !connection.replaced.is_cancelled() {
                board.state.up = false;
                board.state.unplayable = None;
                board.state.moved = true;
                board.connection = None;
            }
        }
        let replaced = connection.replaced.is_cancelled();
        self.send(if replaced { InputEvent::Down } else { InputEvent::HandedOver }).await;
        connection.over.cancel();
    }

    async fn send(&self, event: InputEvent) {
        // The session has ended: nobody is to hear of it.
        let _ = self.events.send(event).await;
    }
}

fn source_metadata(metadata: &Metadata) -> SourceMetadata {
    let fps_milli = metadata.frame_rate.and_then(|fps| format!("{:.0}", fps * 1000.0).parse().ok());
    SourceMetadata {
        width: metadata.width,
        height: metadata.height,
        fps_milli,
        has_video: metadata.has_video,
        has_audio: metadata.has_audio,
        encoder: metadata.encoder.clone(),
    }
}

/// The application of relays, ARCHITECTURE §3.5.
const APP: &str = "relay";
/// One relay, its successor, and strangers who have not proven anything.
const MAX_CONNECTIONS: usize = 16;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A relay that is opened ahead of a planned move sends nothing until the publisher's next keyframe, for which a move waits
/// 30 s.
const FIRST_MEDIA: Duration = Duration::from_secs(45);

#[cfg(test)]
mod tests {
    use caudal_livestream::admission::LatencyMode;
    use caudal_livestream::assignment::AssignmentMode;
    use caudal_livestream::proof::RoleKey;
    use caudal_livestream::{StreamId, UnixMillis, WorkerId};
    use caudal_rtmp::{RelayClient, RelayTarget};

    use super::*;

    #[test]
    fn a_publisher_is_given_up_only_while_it_is_there() {
        let board = InputBoard::default();
        let [session, successor] = [SessionId::generate(), SessionId::generate()];
        board.give_up(session, "no sound came".to_owned());
        assert_eq!(board.state().unplayable, None);
        for (there, told) in [(successor, None), (session, Some("no sound came"))] {
            board.board().state.session = Some(there);
            board.board().state.up = true;
            board.give_up(session, "no sound came".to_owned());
            assert_eq!(board.state().unplayable.as_deref(), told);
        }
    }

    #[tokio::test]
    async fn a_takeover_does_not_wait_until_the_router_before_it_has_heard_of_it() {
        let (stream, epoch, key) = (StreamId::generate(), Epoch(1), RoleKey::new([7; 32]));
        let (_assigned, assignment) =
            tokio::sync::watch::channel(Some(Arc::new(assignment(stream, epoch, Generation(1), &key))));
        let (events, mut told) = mpsc::channel(16);
        let door = InputDoor { board: InputBoard::default(), assignment, events };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rtmp = listener.local_addr().unwrap();
        let mut relays = Vec::new();
        let (mut tasks, mut connections) = (tokio::task::JoinSet::new(), Vec::new());
        for generation in [1, 2] {
            let (session, auth) = (SessionId::generate(), key.proof(stream, epoch));
            let target = RelayTarget {
                app: APP.to_owned(),
                stream_name: format!(
                    "{stream}?epoch={epoch}&session={session}&generation={generation}&auth={}",
                    auth.reveal()
                ),
                tc_url: format!("rtmp://{rtmp}/{APP}"),
            };
            let dial = RelayClient::connect_tcp(rtmp, target, Instant::now() + Duration::from_mins(1));
            let serve = async {
                let (socket, _) = listener.accept().await.unwrap();
                tasks.spawn(door.clone().connection(socket, CancellationToken::new()))
            };
            let (relay, connection) = tokio::join!(dial, serve);
            // The first one's peer has vanished: it neither reads nor closes.
            relays.push(relay.unwrap());
            connections.push(connection);
        }
        assert!(!connections.first().unwrap().is_finished(), "the first is told still");
        let mut seen = Vec::new();
        while seen.len() < 3 {
            seen.push(match told.recv().await.unwrap() {
                InputEvent::Up { generation, .. } => Some(generation),
                InputEvent::Down => None,
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(seen, [Some(Generation(1)), None, Some(Generation(2))]);
        tasks.shutdown().await;
    }

    fn assignment(stream: StreamId, epoch: Epoch, generation: Generation, key: &RoleKey) -> Assignment {
        Assignment {
            worker: WorkerId::generate(),
            stream,
            epoch,
            generation,
            mode: AssignmentMode::Live,
            floor: None,
            ladder: Vec::new(),
            latency_mode: LatencyMode::Low,
            record: false,
            hints: None,
            input_key_digest: key.proof(stream, epoch).digest(),
            feed_key_digest: RoleKey::new([8; 32]).proof(stream, epoch).digest(),
            other_input_key_digests: Vec::new(),
            other_feed_key_digests: Vec::new(),
            expires: UnixMillis(0),
        }
    }

    #[test]
    fn while_the_routers_key_is_changed_it_may_show_either() {
        let (stream, epoch) = (StreamId::generate(), Epoch(3));
        let (current, next, strange) = (RoleKey::new([7; 32]), RoleKey::new([9; 32]), RoleKey::new([1; 32]));
        let mut assignment = assignment(stream, epoch, Generation(1), &current);
        assignment.other_input_key_digests = vec![next.proof(stream, epoch).digest()];
        assert!(assignment.knows_router(&current.proof(stream, epoch)));
        assert!(assignment.knows_router(&next.proof(stream, epoch)));
        assert!(!assignment.knows_router(&strange.proof(stream, epoch)));
        assert!(!assignment.knows_reader(&next.proof(stream, epoch)), "the edge has a key of its own");
    }

    #[test]
    fn a_relay_is_admitted_by_its_proof_epoch_and_generation() {
        let (stream, epoch) = (StreamId::generate(), Epoch(3));
        let key = RoleKey::new([7; 32]);
        let proof = key.proof(stream, epoch);
        let assignment = assignment(stream, epoch, Generation(4), &key);
        let (name, session) = (stream.to_string(), SessionId::generate());
        let session_text = session.to_string();
        let good = || RelayRequest {
            app: "relay",
            stream: &name,
            epoch: Some("3"),
            session: Some(&session_text),
            generation: Some("4"),
            auth: Some(proof.reveal()),
        };
        let publishing = |generation, session| InputState {
            session: Some(session),
            generation: Generation(generation),
            ..InputState::default()
        };
        let nobody = InputState::default();
        let ask = |known: &InputState, request: RelayRequest<'_>| admit(Some(&assignment), known, &request);

        let admitted = Ok(Candidate { session, generation: Generation(4) });
        assert_eq!(ask(&nobody, good()), admitted);
        assert_eq!(ask(&publishing(4, session), good()), admitted, "the same session relays anew");
        assert_eq!(ask(&publishing(3, SessionId::generate()), good()), admitted, "a takeover");
        assert_eq!(ask(&publishing(4, SessionId::generate()), good()), Err(NotAdmitted::OtherSession));
        assert_eq!(ask(&publishing(5, session), good()), Err(NotAdmitted::OldGeneration(Generation(5))));

        assert_eq!(admit(None, &nobody, &good()), Err(NotAdmitted::Idle));
        assert_eq!(ask(&nobody, RelayRequest { app: "live", ..good() }), Err(NotAdmitted::OtherStream));
        assert_eq!(ask(&nobody, RelayRequest { stream: "x", ..good() }), Err(NotAdmitted::OtherStream));
        assert_eq!(
            ask(&nobody, RelayRequest { epoch: Some("2"), ..good() }),
            Err(NotAdmitted::OtherEpoch(epoch))
        );
        let below = RelayRequest { generation: Some("3"), ..good() };
        assert_eq!(ask(&nobody, below), Err(NotAdmitted::OldGeneration(Generation(4))));
        let other = key.proof(stream, Epoch(2));
        assert_eq!(
            ask(&nobody, RelayRequest { auth: Some(other.reveal()), ..good() }),
            Err(NotAdmitted::BadProof)
        );
        for missing in [
            RelayRequest { auth: None, ..good() },
            RelayRequest { session: None, ..good() },
            RelayRequest { session: Some("me"), ..good() },
            RelayRequest { generation: Some("-1"), ..good() },
        ] {
            assert_eq!(ask(&nobody, missing), Err(NotAdmitted::Malformed));
        }
    }
}
