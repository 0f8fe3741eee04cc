//! Rooms over Socket.IO (v4 clients): the same events as in raw JSON, with acknowledgements as answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use caudal_livestream::StreamId;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use socketioxide::extract::{AckSender, Extension, SocketRef, TryData};
use socketioxide::handler::ConnectHandler as _;
use socketioxide::service::SocketIoService;
use socketioxide::{ParserError, SocketIo, TransportType};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::answer::Answer;
use super::conversation::{FRAMES, WINDOW};
use super::frame;
use super::hub::Member;
use super::position::Position;
use super::speak::Saying;
use super::voice::Voice;
use crate::address;
use crate::app::{Accounts, Chat, Entrance};
use crate::limits::gcra::{FullAt, Quota};
use crate::sockets::Place;

/// The other door to the rooms. All clones are one; whoever owns it awaits [`SocketIoDoor::close`].
#[derive(Clone)]
pub(crate) struct SocketIoDoor {
    io: SocketIo,
    deliveries: TaskTracker,
}

/// What all its sockets share.
#[derive(Clone)]
struct Shared {
    chat: Arc<Chat>,
    accounts: Arc<Accounts>,
    entrance: Arc<Entrance>,
    deliveries: TaskTracker,
}

/// One socket.
struct Peer {
    shared: Shared,
    voice: tokio::sync::Mutex<Voice>,
    // Both held for single operations only, never across an await.
    rooms: Mutex<HashMap<StreamId, DropGuard>>,
    pace: Mutex<(FullAt, Instant)>,
    _place: Place,
}

/// With `polling`, clients may begin by HTTP requests, which must all reach one replica; without it only by a WebSocket.
pub(crate) fn open(
    chat: Arc<Chat>,
    accounts: Arc<Accounts>,
    entrance: Arc<Entrance>,
    polling: bool,
) -> (SocketIoDoor, SocketIoService<socketioxide::service::NotFoundService>) {
    let builder = SocketIo::builder()
        // A poll waits for the next ping at most, and no request may take longer than the api's deadline.
        .ping_interval(PING_EVERY)
        .connect_timeout(Duration::from_secs(5))
        .max_payload(MOST_IN_A_POLL)
        .max_buffer_size(WAITING)
        .ws_max_message_size(MAX_MESSAGE)
        .ws_max_frame_size(MAX_MESSAGE);
    let builder = if polling { builder } else { builder.transports([TransportType::Websocket]) };
    let (service, io) = builder.build_svc();
    let deliveries = TaskTracker::new();
    let shared = Shared { chat, accounts, entrance, deliveries: deliveries.clone() };
    let admit = {
        let shared = shared.clone();
        async move |socket: SocketRef| admit(&socket, shared)
    };
    io.ns("/", begin.with(admit));
    (SocketIoDoor { io, deliveries }, service)
}

impl SocketIoDoor {
    /// Closes all sockets, and waits until nobody is told anything any more.
    pub(crate) async fn close(&self) {
        self.io.close().await;
        self.deliveries.close();
        self.deliveries.wait().await;
    }
}

/// What somebody may say of themselves when they connect.
#[derive(Deserialize)]
struct Credentials {
    token: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

/// A stream by its id alone, or with what the client has already.
#[derive(Deserialize)]
#[serde(untagged)]
enum Room {
    Id(StreamId),
    #[serde(rename_all = "camelCase")]
    Since { stream_id: StreamId, since: Option<Position> },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    stream_id: StreamId,
    message: String,
    client_msg_id: Option<String>,
    reply_to: Option<Uuid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Removal {
    stream_id: StreamId,
    id: Uuid,
}

/// Before the socket is let in: whose page it is of, and whether there is room.
fn admit(socket: &SocketRef, shared: Shared) -> Result<(), String> {
    let parts = socket.req_parts();
    if !shared.chat.origins.allow(&parts.headers) {
        return Err("pages of another site may not do this".to_owned());
    }
    let address = address::visitor(&shared.entrance.trusted_proxies, parts)
        .ok_or_else(|| "the request has no peer".to_owned())?;
    let place = shared.chat.sockets.enter(None, address).map_err(|full| full.to_string())?;
    socket.extensions.insert(Arc::new(Peer {
        shared,
        voice: tokio::sync::Mutex::default(),
        rooms: Mutex::default(),
        pace: Mutex::new((FullAt::default(), Instant::now())),
        _place: place,
    }));
    Ok(())
}

async fn begin(socket: SocketRef, Extension(peer): Extension<Arc<Peer>>, TryData(who): TryData<Credentials>) {
    socket.on("join_stream", join);
    socket.on("leave_stream", leave);
    socket.on("send_message", send);
    socket.on("delete_message", remove);
    socket.on("authenticate", authenticate);
    socket.on("refresh_auth", authenticate);
    socket.on_disconnect(async |Extension(peer): Extension<Arc<Peer>>| peer.leave_all());
    if let Some(token) = who.ok().and_then(|who| who.token) {
        let answer = peer.voice.lock().await.authenticate(&peer.shared.accounts, &token).await;
        if let Answer::Refused(refused) = answer {
            let _ = socket.emit("error", &refused);
        }
    }
}

async fn authenticate(
    socket: SocketRef,
    Extension(peer): Extension<Arc<Peer>>,
    TryData(token): TryData<Token>,
    ack: AckSender,
) {
    if !peer.may_ask(&socket) {
        return;
    }
    let answer = match token {
        Ok(Token { token }) => peer.voice.lock().await.authenticate(&peer.shared.accounts, &token).await,
        Err(error) => not_understood(&error),
    };
    let _ = ack.send(&answer);
}

async fn join(
    socket: SocketRef,
    Extension(peer): Extension<Arc<Peer>>,
    TryData(room): TryData<Room>,
    ack: AckSender,
) {
    if !peer.may_ask(&socket) {
        return;
    }
    let (stream, since) = match room {
        Ok(Room::Id(stream)) => (stream, None),
        Ok(Room::Since { stream_id, since }) => (stream_id, since),
        Err(error) => return drop(ack.send(&not_understood(&error))),
    };
    let left = match peer.enter(stream) {
        Ok(left) => left,
        Err(answer) => return drop(ack.send(&answer)),
    };
    let (member, inbox) = Member::new();
    match peer.shared.chat.hub.join(stream, since, member).await {
        Ok(joined) => {
            let mut data = frame::data_of(stream, &joined);
            if let Some(fields) = data.as_object_mut() {
                fields.insert("ok".to_owned(), true.into());
            }
            let _ = ack.send(&data);
            peer.shared.deliveries.spawn(deliver(socket, Arc::clone(&peer), inbox, left));
        }
        Err(error) => {
            peer.leave(stream);
            let _ = ack.send(&Answer::from(error));
        }
    }
}

async fn leave(
    socket: SocketRef,
    Extension(peer): Extension<Arc<Peer>>,
    TryData(room): TryData<Room>,
    ack: AckSender,
) {
    if !peer.may_ask(&socket) {
        return;
    }
    let answer = match room {
        Ok(Room::Id(stream) | Room::Since { stream_id: stream, .. }) => {
            peer.leave(stream);
            Answer::done()
        }
        Err(error) => not_understood(&error),
    };
    let _ = ack.send(&answer);
}

async fn send(
    socket: SocketRef,
    Extension(peer): Extension<Arc<Peer>>,
    TryData(message): TryData<Message>,
    ack: AckSender,
) {
    if !peer.may_ask(&socket) {
        return;
    }
    let answer = match message {
        Ok(Message { stream_id: stream, message, client_msg_id, reply_to }) => {
            let saying = Saying { stream, text: &message, reply_to, client_id: client_msg_id.as_deref() };
            let Shared { chat, accounts, .. } = &peer.shared;
            // Held until the answer is there: what the room tells of this message waits behind it.
            peer.voice.lock().await.say(chat, accounts, saying).await
        }
        Err(error) => not_understood(&error),
    };
    let _ = ack.send(&answer);
}

async fn remove(
    socket: SocketRef,
    Extension(peer): Extension<Arc<Peer>>,
    TryData(removal): TryData<Removal>,
    ack: AckSender,
) {
    if !peer.may_ask(&socket) {
        return;
    }
    let answer = match removal {
        Ok(Removal { stream_id, id }) => {
            let Shared { chat, accounts, .. } = &peer.shared;
            peer.voice.lock().await.remove(chat, accounts, stream_id, id).await
        }
        Err(error) => not_understood(&error),
    };
    let _ = ack.send(&answer);
}

/// Hands on what a room tells, until one side has enough.
async fn deliver(
    socket: SocketRef,
    peer: Arc<Peer>,
    mut inbox: mpsc::Receiver<Utf8Bytes>,
    left: CancellationToken,
) {
    #[derive(Deserialize)]
    struct Frame<'a> {
        event: &'a str,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    while let Some(told) = left.run_until_cancelled(inbox.recv()).await {
        let Some(told) = told else {
            // Too slow, or the server stops: the client comes again from where it was.
            return drop(socket.disconnect());
        };
        if peer.voice.lock().await.is_own(&told) {
            continue;
        }
        let Ok(Frame { event, data }) = serde_json::from_str(&told) else { continue };
        if socket.emit(event, data).is_err() {
            return drop(socket.disconnect());
        }
    }
}

impl Peer {
    /// Counts a request; a socket that asks too much is closed.
    fn may_ask(&self, socket: &SocketRef) -> bool {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let (bucket, began) = &mut *pace;
        let verdict = bucket.count(Quota::new(FRAMES, WINDOW), began.elapsed() + WINDOW);
        if verdict.retry_after.is_some() {
            let _ = socket.emit("error", &json!({ "code": "too_many", "detail": "too many requests" }));
            let _ = socket.clone().disconnect();
        }
        verdict.retry_after.is_none()
    }

    /// Takes a place in a room. The token ends when the room is left.
    fn enter(&self, stream: StreamId) -> Result<CancellationToken, Answer> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.len() >= MOST_ROOMS && !rooms.contains_key(&stream) {
            return Err(Answer::malformed(format!("a socket is in {MOST_ROOMS} rooms at most; leave one")));
        }
        let left = CancellationToken::new();
        // Whoever joins again is told everything once: what was told before ends here.
        rooms.insert(stream, left.clone().drop_guard());
        Ok(left)
    }

    fn leave(&self, stream: StreamId) {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).remove(&stream);
    }

    fn leave_all(&self) {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn not_understood(error: &ParserError) -> Answer {
    Answer::malformed(error.to_string())
}

/// Shorter than the deadline of a request.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Of what a client sends at once, in bytes.
const MAX_MESSAGE: usize = 16 * 1024;
/// Of an answer to a poll: fifty messages of the longest kind, and more.
const MOST_IN_A_POLL: u64 = 256 * 1024;
/// Events that a slow client has not taken, before it is let go.
const WAITING: usize = 256;
/// Of one socket.
const MOST_ROOMS: usize = 20;
