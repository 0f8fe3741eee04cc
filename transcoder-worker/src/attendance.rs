//! What a worker goes on doing while it waits for its storage: it is heard, and it hears.
//!
//! Readers take three seconds of silence for a lost worker. A storage that hangs says nothing about the worker, and
//! another worker would wait for it too.

use std::pin::pin;
use std::time::Duration;

use caudal_livestream::assignment::Floor;
use caudal_livestream::feed::Event;
use caudal_livestream::timeline::Timeline;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::feed::FeedBroadcaster;
use crate::input::{InputBoard, InputEvent};
use crate::session::Order;

/// A worker between its assignment and its session.
pub(crate) struct Attendance<'a> {
    board: &'a InputBoard,
    orders: &'a mut mpsc::Receiver<Order>,
    feed: &'a mut FeedBroadcaster,
    /// What whoever joins is shown, if anything was announced.
    timeline: Option<&'a Timeline>,
    heartbeat: Interval,
    heard: Heard,
}

/// What a worker was told while it waited.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// What came of the relay connection, in order.
    pub(crate) relayed: Vec<InputEvent>,
    /// What the bodies in `relayed` come to.
    bytes: usize,
    /// The controller's last word of where the predecessor ended.
    pub(crate) floor: Option<Floor>,
    /// The broadcast is over.
    pub(crate) finish: bool,
}

impl<'a> Attendance<'a> {
    pub(crate) fn new(
        board: &'a InputBoard,
        orders: &'a mut mpsc::Receiver<Order>,
        feed: &'a mut FeedBroadcaster,
        timeline: Option<&'a Timeline>,
    ) -> Self {
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { board, orders, feed, timeline, heartbeat, heard: Heard::default() }
    }

    /// Does `work`, and answers meanwhile. What comes of `input` is kept, up to a limit: the router's relay would count
    /// as stalled, and what it has to replay would grow too old.
    pub(crate) async fn during<T>(
        mut self,
        input: &mut mpsc::Receiver<InputEvent>,
        work: impl Future<Output = T>,
    ) -> (T, Heard) {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return (done, self.heard),
                Some(order) = self.orders.recv() => match order {
                    Order::Join(reader) => self.feed.join(reader, self.timeline, self.board.state()),
                    Order::Live(floor) => self.heard.floor = floor.or(self.heard.floor),
                    Order::Finish => self.heard.finish = true,
                },
                _ = self.heartbeat.tick() => self.feed.announce(&Event::Heartbeat, None),
                Some(event) = input.recv(), if self.heard.bytes < MAX_KEPT => self.keep(event),
            }
        }
    }

    fn keep(&mut self, event: InputEvent) {
        if matches!(event, InputEvent::Up { .. } | InputEvent::Down | InputEvent::HandedOver) {
            self.feed.announce(&Event::Input(self.board.state()), None);
        }
        self.heard.bytes =
            self.heard.bytes.saturating_add(event.media_len()).saturating_add(size_of::<InputEvent>());
        self.heard.relayed.push(event);
    }
}

const HEARTBEAT: Duration = Duration::from_secs(1);
/// Of media that waits: half a minute of 16 Mb/s. Beyond that the connection is not read, and the router's replay has
/// what follows.
const MAX_KEPT: usize = 64 * 1024 * 1024;
