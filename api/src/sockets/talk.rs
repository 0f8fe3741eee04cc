//! A conversation in JSON frames: what is asked is answered, what happens is told, and whoever floods or falls behind is let
//! go. What is asked for and what happens is another's business.

use std::time::Duration;

use axum::extract::ws::{Message, Utf8Bytes};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::frame::{self, Frame};
use super::socket::{NOT_UNDERSTOOD, Socket};
use crate::chat::{Answer, Lost};
use crate::departures;
use crate::limits::gcra::{FullAt, Quota};

/// The server's side of a conversation.
pub(crate) trait Talk: Send {
    type Request: DeserializeOwned + Send;

    /// What happens next; `None` when the peer was too slow for it. Nothing may be lost when it is dropped before it is done.
    fn told(&mut self) -> impl Future<Output = Option<Utf8Bytes>> + Send;

    /// Does what the peer asks for.
    fn act(&mut self, request: Self::Request) -> impl Future<Output = Answer> + Send;

    /// How long the peer's access token lasts; none while there is none.
    fn lasts(&self) -> Option<Duration>;

    /// Why the conversation is to end, now that what was asked last is answered.
    fn lost(&self) -> Option<Lost>;
}

/// Until one side has enough.
pub(crate) async fn talk(mut side: impl Talk, socket: &mut Socket) {
    let (mut pace, began) = (FullAt::default(), Instant::now());
    loop {
        let expires = side.lasts();
        tokio::select! {
            told = side.told() => match told {
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
                    Ok(Frame { request, id }) => frame::ack(id.as_ref(), &side.act(request).await),
                    Err((id, words)) => frame::ack(id.as_ref(), &Answer::malformed(words)),
                };
                if socket.send(Message::Text(answer)).await.is_err() {
                    return;
                }
                if let Some(lost) = side.lost() {
                    return socket.part(departures::ENDED, lost.words());
                }
            },
            () = sleep(expires.unwrap_or_default()), if expires.is_some() => {
                return socket.part(departures::ENDED, Lost::Expired.words());
            },
        }
    }
}

/// As large as a message with everything around it can be.
pub(crate) const MAX_FRAME: usize = 8 * 1024;
/// Frames of one client, in [`WINDOW`]: more than anybody types, and few enough to answer.
pub(crate) const FRAMES: u32 = 60;
pub(crate) const WINDOW: Duration = Duration::from_secs(30);
/// Close codes, in docs/realtime.md.
const TOO_SLOW: u16 = 4408;
const TOO_MANY: u16 = 4429;
