//! One WebSocket of somebody who wants to hear who is live, in raw JSON.

use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use serde::Deserialize;

use super::listening::Listening;
use super::wanted::Wanted;
use crate::app::{Accounts, Notifications};
use crate::chat::{Answer, Lost, Voice};
use crate::sockets::{Socket, Talk, talk};

/// Until one side has enough.
pub(crate) async fn converse(notifications: &Notifications, accounts: &Accounts, socket: &mut Socket) {
    let listening = Listening::new(notifications.hub.clone());
    talk(Listener { accounts, voice: Voice::new(socket.badge()), listening }, socket).await;
}

struct Listener<'a> {
    accounts: &'a Accounts,
    voice: Voice,
    listening: Listening,
}

/// What a client sends.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
enum Request {
    /// Says who this is, and again when there is a new token.
    #[serde(alias = "refresh_auth")]
    Authenticate {
        token: String,
    },
    SubscribeNotifications(Wanted),
    /// For browsers, whose pages do not see the server's pings.
    Ping {},
}

impl Talk for Listener<'_> {
    type Request = Request;

    async fn told(&mut self) -> Option<Utf8Bytes> {
        self.listening.next().await
    }

    async fn act(&mut self, request: Request) -> Answer {
        match request {
            Request::Authenticate { token } => {
                let answer = self.voice.authenticate(self.accounts, &token).await;
                if let Some(person) = self.voice.person() {
                    self.listening.is_of(person);
                }
                answer
            }
            Request::SubscribeNotifications(wanted) => {
                self.listening.subscribe(self.voice.person(), wanted).into()
            }
            Request::Ping {} => Answer::done(),
        }
    }

    fn lasts(&self) -> Option<Duration> {
        self.voice.lasts()
    }

    fn lost(&self) -> Option<Lost> {
        self.voice.lost()
    }
}
