//! One WebSocket in one room, in raw JSON.

use std::collections::VecDeque;

use axum::extract::ws::{Message, Utf8Bytes};
use caudal_livestream::StreamId;
use tokio::time::{Instant, sleep};

use super::frame::{self, Frame, Id, Request};
use super::hub::Member;
use super::position::Position;
use super::speak::{self, Saying};
use super::speaker::Speaker;
use crate::app::{Accounts, Chat};
use crate::auth::AuthError;
use crate::limits::gcra::{FullAt, Quota};
use crate::sockets::{Gone, Socket};

/// Until one side has enough.
pub(crate) async fn converse(
    chat: &Chat,
    accounts: &Accounts,
    stream: StreamId,
    since: Option<Position>,
    socket: &mut Socket,
) {
    let (member, mut inbox) = Member::new();
    match chat.hub.join(stream, since, member).await {
        Ok(joined) => {
            if socket.send(Message::Text(frame::joined(stream, &joined))).await.is_err() {
                return;
            }
        }
        Err(error) => {
            let _ = socket.send(Message::Text(frame::error(error.code(), &error.to_string()))).await;
            socket.part(NO_ROOM, "this room cannot be entered");
            return;
        }
    }
    let mut talk = Talk { chat, accounts, stream, speaker: None, own: VecDeque::new() };
    let (mut pace, began) = (FullAt::default(), Instant::now());
    loop {
        let expires = talk.speaker.as_ref().map(|speaker| speaker.lasts().unwrap_or_default());
        tokio::select! {
            told = inbox.recv() => match told {
                // What this client said itself it has in its answer.
                Some(told) if talk.is_own(&told) => {}
                Some(told) => if socket.send(Message::Text(told)).await.is_err() { return },
                None => return socket.part(TOO_SLOW, "too slow; come back from where you were"),
            },
            message = socket.next() => {
                let text = match &message {
                    Some(Message::Text(text)) if text.len() <= MAX_FRAME => text,
                    Some(_) => return socket.part(NOT_UNDERSTOOD, "frames are JSON texts of 8 KiB at most"),
                    None => return,
                };
                if pace.count(Quota::new(FRAMES, WINDOW), began.elapsed() + WINDOW).retry_after.is_some() {
                    return socket.part(TOO_MANY, "too many frames");
                }
                if talk.answer(text, socket).await.is_err() {
                    return;
                }
            },
            () = sleep(expires.unwrap_or_default()), if expires.is_some() => {
                return socket.part(EXPIRED, "the access token has expired");
            },
        }
    }
}

struct Talk<'a> {
    chat: &'a Chat,
    accounts: &'a Accounts,
    stream: StreamId,
    speaker: Option<Speaker>,
    /// Frames of this client's own messages, which the room tells everybody.
    own: VecDeque<Utf8Bytes>,
}

impl Talk<'_> {
    async fn answer(&mut self, text: &str, socket: &mut Socket) -> Result<(), Gone> {
        let answer = match frame::read(text) {
            Ok(Frame { request, id }) => self.act(request, id.as_ref()).await,
            Err((id, words)) => frame::refused(id.as_ref(), "malformed", &words, None),
        };
        socket.send(Message::Text(answer)).await
    }

    async fn act(&mut self, request: Request, id: Option<&Id>) -> Utf8Bytes {
        match request {
            Request::Authenticate { token } => match Speaker::of(self.accounts, &token).await {
                Ok(speaker) => {
                    self.speaker = Some(speaker);
                    frame::done(id, None)
                }
                Err(error) => frame::unauthorized(id, &error),
            },
            Request::SendMessage { stream_id, message, client_msg_id, reply_to } => {
                let Some(speaker) = &mut self.speaker else {
                    return frame::unauthorized(id, &AuthError::Unauthenticated.into());
                };
                if let Err(error) = speaker.still_may(self.accounts).await {
                    self.speaker = None;
                    return frame::unauthorized(id, &error);
                }
                if stream_id.is_some_and(|stream| stream != self.stream) {
                    return frame::refused(id, "malformed", "this socket is another stream's", None);
                }
                let saying = Saying {
                    stream: self.stream,
                    text: &message,
                    reply_to,
                    client_id: client_msg_id.as_deref(),
                };
                let said =
                    speak::say(&self.chat.hub, &self.chat.database, speaker.author(), saying).await;
                self.chat.metrics.said(said.as_ref().map_or_else(|error| error.code(), |_| "accepted"));
                match said {
                    Ok(event) => {
                        self.own.push_back(event.frame.clone());
                        if self.own.len() > OWN {
                            self.own.pop_front();
                        }
                        frame::done(id, Some(&event))
                    }
                    Err(error) => frame::refused_by(id, error),
                }
            }
            Request::DeleteMessage { id: message } => {
                let Some(speaker) = &mut self.speaker else {
                    return frame::unauthorized(id, &AuthError::Unauthenticated.into());
                };
                if let Err(error) = speaker.still_may(self.accounts).await {
                    self.speaker = None;
                    return frame::unauthorized(id, &error);
                }
                let by = speaker.author().id;
                match speak::remove(&self.chat.hub, &self.chat.database, by, self.stream, message).await {
                    Ok(()) => frame::done(id, None),
                    Err(error) => frame::refused_by(id, error),
                }
            }
        }
    }

    fn is_own(&mut self, told: &Utf8Bytes) -> bool {
        let place = self.own.iter().position(|own| own == told);
        place.is_some_and(|place| self.own.remove(place).is_some())
    }
}

/// As large as a message with everything around it can be.
const MAX_FRAME: usize = 8 * 1024;
/// Frames of one client, in [`WINDOW`]: more than anybody types, and few enough to answer.
const FRAMES: u32 = 60;
const WINDOW: std::time::Duration = std::time::Duration::from_secs(30);
/// Own messages that the room has not told yet; each is there within a moment.
const OWN: usize = 16;
/// Close codes, in docs/realtime.md.
const NOT_UNDERSTOOD: u16 = 4400;
const EXPIRED: u16 = 4401;
const NO_ROOM: u16 = 4404;
const TOO_SLOW: u16 = 4408;
const TOO_MANY: u16 = 4429;
