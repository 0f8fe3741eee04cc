//! One client of Socket.IO, from the first to the last packet.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use caudal_livestream::StreamId;
use engineioxide::Str;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::engine::Connection;
use super::packet::{self, Packet};
use super::rooms::{self, Rooms};
use super::which_room::WhichRoom;
use crate::app::{Accounts, Chat, Notifications};
use crate::chat::answer::Answer;
use crate::chat::conversation;
use crate::chat::frame::{self, Request};
use crate::chat::hub::{Member, Seat};
use crate::chat::voice::{Lost, Voice};
use crate::departures;
use crate::limits::gcra::{FullAt, Quota};
use crate::notifications::Listening;
use crate::presence::Viewer;
use crate::sockets::{Badge, FRAMES, Frame, MAX_FRAME, WINDOW, read};

/// What sessions have of the server.
pub(super) struct Around<'a> {
    pub(super) chat: &'a Chat,
    pub(super) accounts: &'a Accounts,
    pub(super) notifications: &'a Notifications,
}

/// Until one side has enough, or `closing`.
pub(super) async fn run(
    Around { chat, accounts, notifications }: Around<'_>,
    viewer: Viewer,
    connection: &Connection,
    mut inbox: mpsc::Receiver<Str>,
    closing: &CancellationToken,
) {
    let badge = Arc::new(chat.sockets.badge());
    let mut session = Session {
        chat,
        accounts,
        connection,
        closing,
        voice: Voice::new(Arc::clone(&badge)),
        listening: Listening::new(notifications.hub.clone()),
        rooms: Rooms::new(),
        viewer,
        is_in: false,
    };
    let (mut pace, began) = (FullAt::default(), Instant::now());
    let end = loop {
        let expires = session.voice.lasts();
        let went_on = tokio::select! {
            () = closing.cancelled() => Err(End::Gone),
            () = connection.closed() => Err(End::Gone),
            () = badge.sent_away() => Err(End::sent_away(&badge)),
            (stream, told) = session.rooms.next() => session.hear_in(stream, told).await,
            told = session.listening.next() => session.hear(told).await,
            text = inbox.recv() => match text {
                Some(text) if pace.count(Quota::new(FRAMES, WINDOW), began.elapsed() + WINDOW).retry_after.is_none() => {
                    session.take(&text).await.and_then(|()| session.voice.lost().map_or(Ok(()), |lost| Err(lost.into())))
                }
                _ => Err(TOO_MANY),
            },
            () = sleep_until(began + TO_CONNECT), if !session.is_in => Err(End::Gone),
            () = sleep(expires.unwrap_or_default()), if expires.is_some() => Err(Lost::Expired.into()),
        };
        if let Err(end) = went_on {
            break end;
        }
    };
    session.part(end).await;
}

struct Session<'a> {
    chat: &'a Chat,
    accounts: &'a Accounts,
    connection: &'a Connection,
    closing: &'a CancellationToken,
    voice: Voice,
    listening: Listening,
    rooms: Rooms<Seat>,
    viewer: Viewer,
    /// It has connected to the namespace.
    is_in: bool,
}

/// Why a session is over.
enum End {
    /// There is nobody to talk to any more.
    Gone,
    /// Official clients come back by themselves, and say what they have.
    TooSlow,
    /// They come back when their page wants to.
    Parted { code: &'static str, detail: &'static str },
}

impl End {
    /// The log-in is over, or the person was banned.
    fn sent_away(badge: &Badge) -> Self {
        let (code, detail) = badge.last_words().unwrap_or((departures::ENDED, "the session has been ended"));
        let code = if code == departures::BANNED { "banned" } else { "session_revoked" };
        Self::Parted { code, detail }
    }
}

impl From<Lost> for End {
    fn from(lost: Lost) -> Self {
        let code = match lost {
            Lost::Expired => "token_expired",
            Lost::Ended => "session_revoked",
        };
        Self::Parted { code, detail: lost.words() }
    }
}

/// What an event is answered with.
enum Reply {
    Plain(Answer),
    /// In a room.
    Joined(Value),
}

impl Session<'_> {
    /// A room that was closed is left: the client knows that its broadcast is over, and may be in others.
    async fn hear_in(&mut self, stream: StreamId, told: Option<Utf8Bytes>) -> Result<(), End> {
        if told.is_none() && !self.chat.hub.is_open(stream) {
            self.rooms.leave(stream);
            return Ok(());
        }
        self.hear(told).await
    }

    async fn hear(&mut self, told: Option<Utf8Bytes>) -> Result<(), End> {
        let told = told.ok_or(End::TooSlow)?;
        if self.voice.is_own(&told) {
            return Ok(());
        }
        match packet::from_frame(&told) {
            Some(event) => self.send(event).await,
            None => Ok(()),
        }
    }

    async fn take(&mut self, text: &str) -> Result<(), End> {
        if text.len() > MAX_FRAME {
            return Err(NOT_UNDERSTOOD);
        }
        match packet::read(text).map_err(|_| NOT_UNDERSTOOD)? {
            Packet::Connect { .. } if self.is_in => Ok(()),
            Packet::Connect { auth } => self.connect(auth).await,
            Packet::ConnectElsewhere { namespace } => self.send(packet::no_such_namespace(namespace)).await,
            Packet::Disconnect => Err(End::Gone),
            Packet::Ack => Ok(()),
            Packet::Event { .. } if !self.is_in => Err(NOT_UNDERSTOOD),
            Packet::Event { ack, name, data } => {
                let reply = self.act(name, data.unwrap_or("{}")).await;
                self.answer(ack, reply).await
            }
        }
    }

    /// Whoever comes with a token that is no good listens as nobody, and is told why: a page that was left open must not go deaf.
    async fn connect(&mut self, auth: Option<&str>) -> Result<(), End> {
        #[derive(Deserialize)]
        struct Auth {
            token: Option<String>,
        }
        self.is_in = true;
        self.send(packet::connected(&Uuid::now_v7().simple().to_string())).await?;
        let token = auth.and_then(|auth| serde_json::from_str::<Auth>(auth).ok()).and_then(|auth| auth.token);
        match token {
            Some(token) => {
                let answer = self.ask(None, Request::Authenticate { token }).await;
                self.answer(None, Reply::Plain(answer)).await
            }
            None => Ok(()),
        }
    }

    /// `name` and `data` are JSON.
    async fn act(&mut self, name: &str, data: &str) -> Reply {
        match name {
            r#""join_stream""# => self.join(data).await,
            r#""leave_stream""# => Reply::Plain(match WhichRoom::read(data) {
                Ok(WhichRoom { stream, .. }) => {
                    self.rooms.leave(stream);
                    Answer::done()
                }
                Err(answer) => answer,
            }),
            _ => Reply::Plain(self.request(name, data).await),
        }
    }

    async fn join(&mut self, data: &str) -> Reply {
        let WhichRoom { stream, since } = match WhichRoom::read(data) {
            Ok(named) => named,
            Err(answer) => return Reply::Plain(answer),
        };
        if !self.rooms.have_place_for(stream) {
            let detail = format!("a connection may be in {} rooms; leave one", rooms::MOST);
            return Reply::Plain(Answer::refused("too_many", detail));
        }
        let (member, inbox) = Member::new();
        match self.chat.hub.join(stream, since, member, self.viewer).await {
            Ok((joined, mut seat)) => {
                if let Some(person) = self.voice.person() {
                    seat.is(person);
                }
                self.rooms.enter(stream, inbox, seat);
                let mut data = frame::joined_data(stream, &joined);
                if let (Some(data), Some(standing)) =
                    (data.as_object_mut(), self.voice.standing(self.chat, stream).await)
                {
                    data.insert("self".into(), json!(standing));
                }
                Reply::Joined(data)
            }
            Err(error) => Reply::Plain(error.into()),
        }
    }

    /// Everything that raw WebSockets can ask for too.
    async fn request(&mut self, name: &str, data: &str) -> Answer {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Where {
            stream_id: Option<StreamId>,
        }
        match read(&format!(r#"{{"event":{name},"data":{data}}}"#)) {
            Ok(Frame { request, .. }) => {
                let named = serde_json::from_str(data).ok().and_then(|Where { stream_id }| stream_id);
                self.ask(named, request).await
            }
            Err((_, words)) => Answer::malformed(words),
        }
    }

    async fn ask(&mut self, stream: Option<StreamId>, request: Request) -> Answer {
        let Self { chat, accounts, voice, listening, rooms, .. } = self;
        let present = stream.and_then(|stream| rooms.seat(stream)).and_then(Seat::present);
        let answer = conversation::act(chat, accounts, stream, present, voice, listening, request).await;
        if let Some(person) = voice.person() {
            self.rooms.seats().for_each(|seat| seat.is(person));
        }
        answer
    }

    /// Without `ack`, only what went wrong and what a newcomer is told are worth an event.
    async fn answer(&mut self, ack: Option<u64>, reply: Reply) -> Result<(), End> {
        let packet = match (ack, reply) {
            (Some(ack), Reply::Plain(answer)) => {
                packet::answer(ack, &serde_json::to_string(&answer).unwrap_or_default())
            }
            (Some(ack), Reply::Joined(mut data)) => {
                if let Some(data) = data.as_object_mut() {
                    data.insert("ok".into(), true.into());
                }
                packet::answer(ack, &data.to_string())
            }
            (None, Reply::Joined(data)) => packet::event("joined", &data.to_string()),
            (None, Reply::Plain(Answer::Refused(refused))) => {
                let mut data = json!({ "code": refused.code, "detail": refused.detail });
                if let (Some(data), Some(wait)) = (data.as_object_mut(), refused.retry_after_ms) {
                    data.insert("retryAfterMs".into(), wait.into());
                }
                packet::event("error", &data.to_string())
            }
            (None, Reply::Plain(Answer::Done(_))) => return Ok(()),
        };
        self.send(packet).await
    }

    /// Engine.IO says when it has no room, and not when it has some again.
    async fn send(&self, packet: String) -> Result<(), End> {
        let (mut packet, began) = (Str::from(packet), Instant::now());
        loop {
            packet = match self.connection.emit(packet) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(unsent)) => unsent,
                Err(TrySendError::Closed(_)) => return Err(End::Gone),
            };
            if began.elapsed() >= PATIENCE {
                return Err(End::TooSlow);
            }
            tokio::select! {
                () = self.closing.cancelled() => return Err(End::Gone),
                () = sleep(PAUSE) => {}
            }
        }
    }

    async fn part(self, end: End) {
        let says = |code: &str, detail: &str| {
            let data = json!({ "code": code, "detail": detail });
            self.connection.emit(packet::event("error", &data.to_string())).is_ok()
        };
        match end {
            End::Gone => {}
            End::TooSlow => {
                says("too_slow", "too slow; come back from where you were");
            }
            End::Parted { code, detail } => {
                if says(code, detail) && self.connection.emit(packet::disconnected()).is_ok() {
                    // Official clients close then. One that polls asks for these words first.
                    let _ =
                        timeout(FAREWELL, self.closing.run_until_cancelled(self.connection.closed())).await;
                }
            }
        }
    }
}

const NOT_UNDERSTOOD: End =
    End::Parted { code: "malformed", detail: "packets are text of 8 KiB at most, in Socket.IO's form" };
const TOO_MANY: End = End::Parted { code: "too_many", detail: "too many frames" };
/// For a client to connect to the namespace, which official ones do at once.
const TO_CONNECT: Duration = Duration::from_secs(10);
/// For a client to take what it is sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// A packet goes out in less, unless the client is slow.
const PAUSE: Duration = Duration::from_millis(10);
/// For the last words to be read.
const FAREWELL: Duration = Duration::from_secs(2);
