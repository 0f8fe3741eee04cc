//! What Engine.IO tells of its connections.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use engineioxide::handler::EngineIoHandler;
use engineioxide::{DisconnectReason, Socket, Str};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::session::{self, Around};
use crate::app::{Accounts, Chat, Notifications};
use crate::presence::Viewer;
use crate::sockets::Place;

#[derive(Debug)]
pub(super) struct Engine;

/// A connection of Engine.IO, whatever carries it just now.
pub(super) type Connection = Socket<Mailbox>;

/// Somebody for whom there is room.
pub(crate) struct Newcomer {
    pub(crate) place: Place,
    pub(crate) chat: Arc<Chat>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) notifications: Arc<Notifications>,
    pub(crate) viewer: Viewer,
}

/// Lets one connection in. It travels with the request that begins it, and is void when that begins none.
#[derive(Clone)]
pub(super) struct Ticket(Arc<Mutex<Option<Newcomer>>>);

/// Where a client's packets wait for its session. When there are too many the session reads no more than those.
#[derive(Debug, Default)]
pub(super) struct Mailbox(Mutex<Option<mpsc::Sender<Str>>>);

impl Ticket {
    pub(super) fn of(newcomer: Newcomer) -> Self {
        Self(Arc::new(Mutex::new(Some(newcomer))))
    }

    fn take(&self) -> Option<Newcomer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Mailbox {
    fn open(&self) -> mpsc::Receiver<Str> {
        let (letters, inbox) = mpsc::channel(WAITING);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(letters);
        inbox
    }

    fn put(&self, text: Str) {
        let mut letters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if letters.as_ref().is_some_and(|open| matches!(open.try_send(text), Err(TrySendError::Full(_)))) {
            *letters = None;
        }
    }
}

impl EngineIoHandler for Engine {
    type Data = Mailbox;

    fn on_connect(self: Arc<Self>, connection: Arc<Connection>) {
        let newcomer = connection.req_parts.extensions.get::<Ticket>().and_then(Ticket::take);
        let begun = newcomer.is_some_and(|Newcomer { place, chat, accounts, notifications, viewer }| {
            let (inbox, connection) = (connection.data.open(), Arc::clone(&connection));
            let sockets = chat.sockets.clone();
            sockets.run(|closing| async move {
                let around = Around { chat: &chat, accounts: &accounts, notifications: &notifications };
                session::run(around, viewer, &connection, inbox, &closing).await;
                connection.close(DisconnectReason::ClosingServer);
                drop(place);
            })
        });
        if !begun {
            connection.close(DisconnectReason::ClosingServer);
        }
    }

    /// In the order in which they came.
    fn on_message(self: &Arc<Self>, text: Str, connection: Arc<Connection>) {
        connection.data.put(text);
    }

    /// There are no attachments in anything that clients send here.
    fn on_binary(self: &Arc<Self>, _: Bytes, connection: Arc<Connection>) {
        connection.close(DisconnectReason::PacketParsingError);
    }

    /// Sessions see it by themselves.
    fn on_disconnect(&self, _: Arc<Connection>, _: DisconnectReason) {}
}

/// More than the frames that may come at once (`sockets::FRAMES`).
const WAITING: usize = 64;
