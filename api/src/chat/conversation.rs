//! One WebSocket in one room, in raw JSON.

use std::time::Duration;

use axum::extract::ws::Message;
use caudal_livestream::StreamId;
use tokio::time::{Instant, sleep};

use super::answer::Answer;
use super::frame::{self, Frame, Request};
use super::hub::Member;
use super::position::Position;
use super::speak::Saying;
use super::voice::Voice;
use crate::app::{Accounts, Chat};
use crate::limits::gcra::{FullAt, Quota};
use crate::sockets::Socket;

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
    let mut voice = Voice::new(socket.badge());
    let (mut pace, began) = (FullAt::default(), Instant::now());
    loop {
        let expires = voice.lasts();
        tokio::select! {
            told = inbox.recv() => match told {
                Some(told) if voice.is_own(&told) => {}
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
                let answer = match frame::read(text) {
                    Ok(Frame { request, id }) => {
                        frame::ack(id.as_ref(), &act(chat, accounts, stream, &mut voice, request).await)
                    }
                    Err((id, words)) => frame::ack(id.as_ref(), &Answer::malformed(words)),
                };
                if socket.send(Message::Text(answer)).await.is_err() {
                    return;
                }
            },
            () = sleep(expires.unwrap_or_default()), if expires.is_some() => {
                return socket.part(EXPIRED, "the access token has expired");
            },
        }
    }
}

async fn act(
    chat: &Chat,
    accounts: &Accounts,
    stream: StreamId,
    voice: &mut Voice,
    request: Request,
) -> Answer {
    match request {
        Request::Authenticate { token } => voice.authenticate(accounts, &token).await,
        Request::SendMessage { stream_id, message, client_msg_id, reply_to } => {
            if stream_id.is_some_and(|other| other != stream) {
                return Answer::malformed("this socket is another stream's");
            }
            let saying = Saying { stream, text: &message, reply_to, client_id: client_msg_id.as_deref() };
            voice.say(chat, accounts, saying).await
        }
        Request::Ping {} => Answer::done(),
        Request::DeleteMessage { id } => voice.remove(chat, accounts, stream, id).await,
    }
}

/// As large as a message with everything around it can be.
const MAX_FRAME: usize = 8 * 1024;
/// Frames of one client, in [`WINDOW`]: more than anybody types, and few enough to answer.
const FRAMES: u32 = 60;
const WINDOW: Duration = Duration::from_secs(30);
/// Close codes, in docs/realtime.md.
const NOT_UNDERSTOOD: u16 = 4400;
const EXPIRED: u16 = 4401;
const NO_ROOM: u16 = 4404;
const TOO_SLOW: u16 = 4408;
const TOO_MANY: u16 = 4429;
