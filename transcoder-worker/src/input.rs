//! The router's relay connections: who takes over, and what comes.

mod relay_request;
mod strangers;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use caudal_livestream::assignment::Assignment;
use caudal_livestream::feed::InputState;
use caudal_livestream::{Generation, MediaDuration, SessionId};
use caudal_media::SourceMetadata;
use caudal_rtmp::{
    Limits, LossReason, Metadata, PublisherConnection, PublisherEvent, PublisherStream, Refusal,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use relay_request::{Candidate, RelayRequest, admit};
use strangers::{Place, Strangers};

/// What the publisher does, for the session.
#[derive(Debug)]
pub(crate) enum InputEvent {
    /// A relay connection begins. `again` is cancelled to end it, so that the router opens another one and begins that with
    /// its replay. Until that comes, the publisher counts as there.
    Up { session: SessionId, generation: Generation, again: CancellationToken },
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

impl InputEvent {
    /// Bytes of media in the event.
    pub(crate) fn media_len(&self) -> usize {
        match self {
            Self::Video { body, .. } | Self::Audio { body, .. } => body.len(),
            Self::Up { .. } | Self::Down | Self::HandedOver | Self::Metadata(_) => 0,
        }
    }
}

/// What the worker knows of its publisher. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub(crate) struct InputBoard {
    board: Arc<Mutex<Board>>,
    /// The timestamp that the router is told to be needed next.
    awaited: watch::Sender<Option<u32>>,
}

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
    /// Its session wants another one, with the router's replay.
    again: CancellationToken,
    /// Cancelled once its last event is in the session's channel, however long its peer then takes to hear of it.
    over: CancellationToken,
}

impl InputBoard {
    /// The publisher as it stands now.
    pub(crate) fn state(&self) -> InputState {
        let board = self.board();
        let silent = board.last_media.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX));
        InputState { silent_ms: silent, ..board.state.clone() }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) {
        self.board().last_media = Some(Instant::now());
    }

    /// Nothing can be made of the publisher's media without what it sends at or behind this timestamp.
    pub(crate) fn awaits(&self, timestamp_ms: u32) {
        self.awaited.send_replace(Some(timestamp_ms));
    }

    /// The worker is to go as soon as another one has the publisher.
    pub(crate) fn leave(&self) {
        self.board().state.leaving = true;
    }

    /// So much media is missing where this worker went on for another.
    pub(crate) fn went_on(&self, lost: MediaDuration) {
        self.board().state.seam_lost_ms = Some(lost.0 / 1000);
    }

    /// The connection that was asked for has not come. One that has come by itself is not the one that was ended.
    pub(crate) fn nobody_came(&self) {
        let mut board = self.board();
        if board.connection.as_ref().is_some_and(|connection| connection.again.is_cancelled()) {
            board.state.up = false;
            board.state.unplayable = None;
            board.connection = None;
        }
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
        let strangers = Strangers::default();
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
            let place = strangers.enter(peer.ip());
            connections.spawn(self.clone().connection(socket, place, shutdown.clone()));
        }
        connections.close();
        connections.wait().await;
    }

    async fn connection(self, socket: TcpStream, place: Place, shutdown: CancellationToken) {
        // A router opens with its replay at line speed, and it has been admitted by its own proof.
        let limits = Limits { max_bitrate: None, first_media: FIRST_MEDIA, ..Limits::default() };
        let request = tokio::select! {
            () = shutdown.cancelled() => return,
            () = place.over() => return,
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
                    seam_lost_ms: board.state.seam_lost_ms,
                    ..InputState::default()
                };
                (candidate, before)
            })
        };
        let (candidate, before) = match admitted {
            Ok(admitted) => admitted,
            Err(reason) => {
                tracing::info!(%reason, "relay refused");
                let reason = reason.to_string();
                tokio::select! {
                    () = place.over() => {}
                    () = request.reject(Refusal::BadName, &reason) => {}
                }
                return;
            }
        };
        drop(place);
        // What the connection before this one read is with the session before anything of this one.
        if let Some(before) = before {
            before.replaced.cancel();
            before.over.cancelled().await;
        }
        let Candidate { session, generation } = candidate;
        let again = connection.again.clone();
        if self.events.send(InputEvent::Up { session, generation, again }).await.is_err() {
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
        let mut awaited = self.board.awaited.subscribe();
        loop {
            let event = tokio::select! {
                () = connection.replaced.cancelled() => {
                    self.down(connection).await;
                    stream.drop_publisher(Refusal::BadName, "another relay of this stream took over").await;
                    return;
                }
                () = connection.again.cancelled() => {
                    self.down(connection).await;
                    // The refusal that a router does not take for a failed worker.
                    stream.drop_publisher(Refusal::BadName, "the stream is wanted from its replay on").await;
                    return;
                }
                () = shutdown.cancelled() => {
                    self.leave(connection, false).await;
                    return;
                }
                // The sender lives as long as the board.
                Ok(()) = awaited.changed() => {
                    if let Some(timestamp_ms) = *awaited.borrow_and_update() {
                        stream.awaits(timestamp_ms);
                    }
                    continue;
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

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A relay that is opened ahead of a planned move sends nothing until the publisher's next keyframe, for which a move waits
/// 30 s.
const FIRST_MEDIA: Duration = Duration::from_secs(45);

#[cfg(test)]
mod tests {
    use caudal_livestream::proof::RoleKey;
    use caudal_livestream::{Epoch, StreamId};
    use caudal_rtmp::{RelayClient, RelayTarget};

    use super::relay_request::APP;
    use super::relay_request::tests::assignment;
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
        let (door, mut told, _assigned) = assigned_door(stream, epoch, &key);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rtmp = listener.local_addr().unwrap();
        let mut relays = Vec::new();
        let (mut tasks, mut connections) = (tokio::task::JoinSet::new(), Vec::new());
        for generation in [1, 2] {
            let target = relay_target(stream, epoch, generation, &key);
            let dial = RelayClient::connect_tcp(rtmp, target, Instant::now() + Duration::from_mins(1));
            let serve = async {
                let (socket, _) = listener.accept().await.unwrap();
                let place = Strangers::default().enter(rtmp.ip());
                tasks.spawn(door.clone().connection(socket, place, CancellationToken::new()))
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

    #[tokio::test]
    async fn a_relay_is_taken_however_many_strangers_hold_a_connection() {
        let (stream, epoch, key) = (StreamId::generate(), Epoch(1), RoleKey::new([7; 32]));
        let (door, mut told, _assigned) = assigned_door(stream, epoch, &key);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let rtmp = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(door.serve(listener, shutdown.clone()));
        let mut silent = Vec::new();
        for _ in 0..strangers::MAX_STRANGERS {
            silent.push(TcpStream::connect(rtmp).await.unwrap());
        }
        let target = relay_target(stream, epoch, 1, &key);
        let relay =
            RelayClient::connect_tcp(rtmp, target, Instant::now() + Duration::from_mins(1)).await.unwrap();
        assert!(matches!(told.recv().await, Some(InputEvent::Up { generation: Generation(1), .. })));
        // Others go for those who come now, and the relay stays.
        for _ in 0..2 * strangers::MAX_STRANGERS {
            silent.push(TcpStream::connect(rtmp).await.unwrap());
        }
        relay.unpublish().await;
        assert!(matches!(told.recv().await, Some(InputEvent::Down)));
        shutdown.cancel();
        serving.await.unwrap();
    }

    /// A door of a worker that has an assignment for as long as the third part of this lives.
    fn assigned_door(
        stream: StreamId,
        epoch: Epoch,
        key: &RoleKey,
    ) -> (InputDoor, mpsc::Receiver<InputEvent>, watch::Sender<Option<Arc<Assignment>>>) {
        let (assigned, assignment) =
            watch::channel(Some(Arc::new(assignment(stream, epoch, Generation(1), key))));
        let (events, told) = mpsc::channel(16);
        (InputDoor { board: InputBoard::default(), assignment, events }, told, assigned)
    }

    fn relay_target(stream: StreamId, epoch: Epoch, generation: u32, key: &RoleKey) -> RelayTarget {
        let (session, auth) = (SessionId::generate(), key.proof(stream, epoch));
        RelayTarget {
            app: APP.to_owned(),
            stream_name: format!(
                "{stream}?epoch={epoch}&session={session}&generation={generation}&auth={}",
                auth.reveal()
            ),
            tc_url: format!("rtmp://localhost/{APP}"),
        }
    }
}
