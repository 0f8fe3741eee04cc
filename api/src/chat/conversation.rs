//! One WebSocket in one room, in raw JSON.

use std::time::Duration;

use axum::extract::ws::{Message, Utf8Bytes};
use caudal_livestream::StreamId;
use chrono::Utc;
use tokio::sync::mpsc;

use super::answer::Answer;
use super::frame::{self, Request};
use super::hub::{Member, Seat};
use super::moderation::Banning;
use super::position::Position;
use super::speak::Saying;
use super::voice::{Lost, Voice};
use crate::app::{Accounts, Chat, Notifications};
use crate::notifications::Listening;
use crate::presence::{Latency, Present, Viewer};
use crate::sockets::{Socket, Talk, error, talk};

/// Until one side has enough.
pub(crate) async fn converse(
    chat: &Chat,
    accounts: &Accounts,
    notifications: &Notifications,
    stream: StreamId,
    since: Option<Position>,
    viewer: Viewer,
    socket: &mut Socket,
) {
    let (member, inbox) = Member::new();
    let seat = match chat.hub.join(stream, since, member, viewer).await {
        Ok((joined, seat)) => {
            if socket.send(Message::Text(frame::joined(stream, &joined))).await.is_err() {
                return;
            }
            seat
        }
        Err(refused) => {
            let _ = socket.send(Message::Text(error(refused.code(), &refused.to_string()))).await;
            socket.part(NO_ROOM, "this room cannot be entered");
            return;
        }
    };
    let listening = Listening::new(notifications.hub.clone());
    let voice = Voice::new(socket.badge());
    talk(Guest { chat, accounts, stream, inbox, voice, listening, seat }, socket).await;
}

/// One who is in.
struct Guest<'a> {
    chat: &'a Chat,
    accounts: &'a Accounts,
    stream: StreamId,
    inbox: mpsc::Receiver<Utf8Bytes>,
    voice: Voice,
    listening: Listening,
    seat: Seat,
}

impl Talk for Guest<'_> {
    type Request = Request;

    async fn told(&mut self) -> Option<Utf8Bytes> {
        loop {
            tokio::select! {
                told = self.inbox.recv() => {
                    let told = told?;
                    if !self.voice.is_own(&told) {
                        return Some(told);
                    }
                }
                told = self.listening.next() => return told,
            }
        }
    }

    async fn act(&mut self, request: Request) -> Answer {
        let Self { chat, accounts, stream, voice, listening, seat, .. } = self;
        let answer = act(chat, accounts, Some(*stream), seat.present(), voice, listening, request).await;
        if let Some(person) = voice.person() {
            seat.is(person);
        }
        answer
    }

    fn lasts(&self) -> Option<Duration> {
        self.voice.lasts()
    }

    fn lost(&self) -> Option<Lost> {
        self.voice.lost()
    }
}

/// What comes of a request, in the room of `stream` where it needs one; `present` if the client is in that room.
pub(super) async fn act(
    chat: &Chat,
    accounts: &Accounts,
    stream: Option<StreamId>,
    present: Option<&Present>,
    voice: &mut Voice,
    listening: &mut Listening,
    request: Request,
) -> Answer {
    let here = || stream.ok_or_else(|| Answer::malformed("missing field `streamId`"));
    let done = async {
        Ok::<_, Answer>(match request {
            Request::Authenticate { token } => {
                let answer = voice.authenticate(accounts, &token).await;
                if !answer.is_done() {
                    return Err(answer);
                }
                if let Some(person) = voice.person() {
                    listening.is_of(person);
                }
                match stream {
                    Some(stream) => Answer::introduced(voice.standing(chat, stream).await),
                    None => answer,
                }
            }
            Request::SubscribeNotifications(wanted) => listening.subscribe(voice.person(), wanted).into(),
            Request::Ping {} => Answer::done(),
            Request::Watching { playhead } => {
                here()?;
                let present = present.ok_or_else(|| Answer::malformed("this socket is not in that room"))?;
                // What is no live picture's says nothing, and is no reason to part.
                if let Some(latency) = Latency::between(playhead, Utc::now())
                    && present.watches(latency)
                {
                    chat.metrics.watched_late(latency.seconds());
                }
                Answer::done()
            }
            Request::SendMessage { stream_id, message, client_msg_id, reply_to } => {
                let stream = here()?;
                if stream_id.is_some_and(|other| other != stream) {
                    return Err(Answer::malformed("this socket is another stream's"));
                }
                let saying = Saying { stream, text: &message, reply_to, client_id: client_msg_id.as_deref() };
                voice.say(chat, accounts, saying).await
            }
            Request::DeleteMessage { id } => voice.remove(chat, accounts, here()?, id).await,
            Request::TimeoutUser { user_id, duration_seconds, reason } => {
                let banning = Banning::new(duration_seconds, reason.as_deref()).map_err(Answer::malformed)?;
                voice.ban(chat, accounts, here()?, user_id, &banning).await
            }
        })
    };
    done.await.unwrap_or_else(|refused| refused)
}

/// A close code, in docs/realtime.md.
const NO_ROOM: u16 = 4404;
