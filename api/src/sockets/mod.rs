//! Upgraded connections: WebSockets, which outlive the request that they began as, and so its deadline, its limits and
//! the listener's drain. They are counted, bounded and closed here.

mod badges;
mod frame;
mod places;
mod socket;
mod talk;
mod turns;

use std::future::pending;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures::future::BoxFuture;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::address::Origin;
use badges::Badges;
use places::Places;
use turns::Turns;

#[cfg(test)]
pub(crate) use frame::Id;
pub(crate) use frame::{Frame, error, read};
pub(crate) use talk::{FRAMES, MAX_FRAME, Talk, WINDOW, talk};

pub use badges::{Badge, Wearer};
pub use places::{Full, SocketLimits};
pub use socket::{Gone, Socket};

/// All sockets of this replica. All clones are one; whoever owns it awaits [`Sockets::close`] before the process ends.
#[derive(Clone, Debug)]
pub struct Sockets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // Held for single operations only, never across an await.
    places: Mutex<Places>,
    badges: Mutex<Badges>,
    per_account: usize,
    conversations: TaskTracker,
    turns: Turns,
    /// Conversations are to end, each when its turn comes.
    closing: CancellationToken,
    /// Their time is over.
    over: CancellationToken,
}

/// Room for one socket, from before its handshake until it is gone. Dropping it frees the room.
#[derive(Debug)]
pub struct Place {
    sockets: Sockets,
    origin: Origin,
}

impl Sockets {
    /// None yet, and never more than `limits` allow.
    pub fn new(limits: SocketLimits) -> Self {
        Self(Arc::new(Inner {
            places: Mutex::new(Places::new(limits)),
            badges: Mutex::default(),
            per_account: limits.per_account,
            conversations: TaskTracker::new(),
            turns: Turns::default(),
            closing: CancellationToken::new(),
            over: CancellationToken::new(),
        }))
    }

    /// Room for one more from `address`, as far as that is known to be real.
    ///
    /// # Errors
    /// [`Full`] when there is none.
    pub fn enter(&self, address: IpAddr) -> Result<Place, Full> {
        if self.0.closing.is_cancelled() {
            return Err(Full::Closing);
        }
        let origin = Origin::from(address);
        self.with_places(|places| places.enter(origin))?;
        Ok(Place { sockets: self.clone(), origin })
    }

    /// How many have a place.
    pub fn count(&self) -> usize {
        self.with_places(|places| places.count())
    }

    /// How many of them have finished their handshake.
    pub fn conversations(&self) -> usize {
        self.0.conversations.len()
    }

    /// Lets nobody in any more, tells one conversation after the other to end and its peer that the server goes away (1001), all within
    /// `spread`, because each of them comes back at once to another replica. Waits for them until `deadline` after that; those that
    /// are left then are cut off. How many that were.
    pub async fn close(&self, spread: Duration, deadline: Duration) -> usize {
        let Inner { conversations, turns, closing, over, .. } = self.0.as_ref();
        turns.begin(spread);
        closing.cancel();
        conversations.close();
        if timeout(spread.saturating_add(deadline), conversations.wait()).await.is_ok() {
            return 0;
        }
        let left = conversations.len();
        over.cancel();
        conversations.wait().await;
        left
    }

    /// Runs what belongs to a socket of another kind: [`Sockets::close`] waits for it, and cuts it off at its deadline. `work`
    /// gets what tells it to end. Whether it began; after the sockets were closed nothing does.
    pub fn run<F>(&self, work: impl FnOnce(CancellationToken) -> F) -> bool
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Inner { conversations, closing, over, .. } = self.0.as_ref();
        // Before the look: whoever closes waits for this one too.
        let _counted = conversations.token();
        if closing.is_cancelled() {
            return false;
        }
        let leave = CancellationToken::new();
        let (sockets, over, work) = (self.clone(), over.clone(), work(leave.clone()));
        conversations.spawn(async move {
            over.run_until_cancelled(sockets.until_its_turn(leave, work)).await;
        });
        true
    }

    /// Runs a conversation, and tells it by `leave` when it is to end.
    async fn until_its_turn(&self, leave: CancellationToken, conversation: impl Future<Output = ()>) {
        let Inner { turns, closing, .. } = self.0.as_ref();
        let turn = async {
            let place = turns.place();
            closing.cancelled().await;
            turns.come(place).await;
            leave.cancel();
            pending::<()>().await;
        };
        tokio::select! {
            () = conversation => {}
            () = turn => {}
        }
    }

    /// For a socket of another kind, through which somebody says who they are.
    pub fn badge(&self) -> Badge {
        Badge::new(self)
    }

    /// Ends the sockets of those who are meant, saying why by a code of 4000 to 4999. How many those are.
    pub fn send_away(&self, whom: impl Fn(&Wearer) -> bool, code: u16, reason: &'static str) -> usize {
        self.with_badges(|badges| badges.send_away(whom, code, reason))
    }

    /// The log-ins of all who have said who they are, each once.
    pub fn sessions(&self) -> Vec<Uuid> {
        self.with_badges(|badges| badges.sessions())
    }

    fn with_badges<T>(&self, act: impl FnOnce(&mut Badges) -> T) -> T {
        act(&mut self.0.badges.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_places<T>(&self, act: impl FnOnce(&mut Places) -> T) -> T {
        act(&mut self.0.places.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Place {
    /// The answer to the handshake. Afterwards `talk` has the socket, and this place is held until it is done.
    pub fn upgrade<T>(self, upgrade: WebSocketUpgrade, talk: T) -> Response
    where
        T: for<'a> FnOnce(&'a mut Socket) -> BoxFuture<'a, ()> + Send + 'static,
    {
        upgrade
            .read_buffer_size(READ_AT_ONCE)
            .max_message_size(MAX_MESSAGE)
            .max_frame_size(MAX_MESSAGE)
            .max_write_buffer_size(MAX_UNSENT)
            .on_upgrade(move |socket| self.hold(socket, talk))
    }

    async fn hold<T>(self, socket: WebSocket, talk: T)
    where
        T: for<'a> FnOnce(&'a mut Socket) -> BoxFuture<'a, ()>,
    {
        let sockets = self.sockets.clone();
        let Inner { conversations, closing, over, .. } = sockets.0.as_ref();
        let counted = conversations.token();
        if closing.is_cancelled() {
            // Its handshake ended too late: whoever awaits the sockets may have seen the last one go.
            return;
        }
        let leave = CancellationToken::new();
        let mut socket = Socket::new(socket, leave.clone(), Badge::new(&sockets));
        let conversation = async {
            talk(&mut socket).await;
            socket.finish().await;
        };
        over.run_until_cancelled(sockets.until_its_turn(leave, conversation)).await;
        // In this order: whoever waits for the last one finds its place free.
        drop(socket);
        drop(self);
        drop(counted);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sockets.with_places(|places| places.leave(self.origin));
    }
}

/// Each socket keeps a buffer of so many bytes, which by default has 128 KiB: what people say fits into this one, and longer messages grow it.
const READ_AT_ONCE: usize = 4 * 1024;
/// Of what a peer sends at once, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;
/// Of what a slow peer has not taken yet, in bytes; sending more fails.
const MAX_UNSENT: usize = 256 * 1024;
