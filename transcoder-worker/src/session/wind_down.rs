//! The end of a session: everything that has come is packaged, announced and stored, within a time.

use std::time::Duration;

use caudal_livestream::feed::Event;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::{Closing, Drained, HEARTBEAT, Order, Session};

impl Session {
    /// Takes leave: the publisher first, then the rungs' last frames, then the open segment, then storage.
    pub(super) async fn wind_down(&mut self, closing: Closing) {
        self.closing = Some(closing);
        self.parts.milestones.ends(&closing.to_string());
        tracing::info!(stream = %self.stream, reason = %closing, "the session ends");
        let begun = Instant::now();
        // Readers take three seconds of silence for a lost worker.
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if !self.moved && closing != Closing::Finish {
            // The controller is not to take the end of this connection for the publisher's.
            self.parts.board.leave();
        }
        self.parts.input_closed.cancel();
        self.read_rest(begun + INPUT_DRAIN, &mut heartbeat).await;
        self.parts.posters = None;
        // One that leaves may have a successor that is ready, and does not know it. Without one, all that is lost by
        // the haste are the last frames of a rung whose ffmpeg lags by more.
        let successor = self.moved || (self.leaving && closing != Closing::Finish);
        // The next worker begins when this one has closed, and viewers wait for it.
        let deadline = if successor { begun + HAND_OVER_DRAIN } else { Instant::now() + ENCODER_DRAIN };
        self.drain_encoder(deadline, &mut heartbeat).await;
        self.packager.finish(self.parts.clock.now());
        self.carry_out();
        self.store_rest(begun + WIND_DOWN, &mut heartbeat).await;
        self.publish_standing(true);
        // Feeds that were asked for meanwhile get the end too.
        self.let_readers_in();
        if closing == Closing::Finish {
            self.parts.feed.announce(&Event::End, None);
        }
        self.parts.feed.close();
    }

    /// What the connection had read, up to the deadline; one that was handed over has said its last word.
    async fn read_rest(&mut self, deadline: Instant, heartbeat: &mut Interval) {
        while !self.moved {
            tokio::select! {
                biased;
                () = sleep_until(deadline) => break,
                event = self.parts.input.recv() => match event {
                    Some(event) => self.input(event),
                    None => break,
                },
                _ = heartbeat.tick() => self.keep_readers(),
            }
            self.carry_out();
        }
        // The router may have been about to come with its replay.
        let kept = self.rewind.give_up();
        self.package_all(kept);
        self.carry_out();
    }

    /// The rungs' last frames, as far as they come before the deadline.
    async fn drain_encoder(&mut self, deadline: Instant, heartbeat: &mut Interval) {
        let Some(encoder) = self.parts.encoder.as_mut().filter(|_| self.encoder_started) else { return };
        encoder.drain();
        loop {
            tokio::select! {
                biased;
                () = sleep_until(deadline) => return,
                event = self.parts.encoded.recv() => {
                    let drained = event.map_or(Drained::Yes, |event| self.encoded(event));
                    self.carry_out();
                    if drained == Drained::Yes {
                        return;
                    }
                }
                _ = heartbeat.tick() => self.keep_readers(),
            }
        }
    }

    /// Waits until storage has taken all segments, but no longer than the deadline.
    async fn store_rest(&mut self, deadline: Instant, heartbeat: &mut Interval) {
        self.parts.storage.close();
        loop {
            tokio::select! {
                settled = self.parts.settled.recv() => match settled {
                    Some(settled) => self.settled(&settled),
                    None => return,
                },
                _ = heartbeat.tick() => self.keep_readers(),
                () = sleep_until(deadline) => return,
            }
            self.carry_out();
        }
    }

    fn keep_readers(&mut self) {
        self.heartbeat();
        self.let_readers_in();
    }

    /// Feeds that were asked for get what there is.
    fn let_readers_in(&mut self) {
        while let Ok(order) = self.parts.orders.try_recv() {
            if let Order::Join(reader) = order {
                self.join(reader);
            }
        }
    }
}

/// A worker that is told to end has five seconds in all, of which the last state and playlists take one behind this. Segments
/// have to be stored in what the waits below leave.
const WIND_DOWN: Duration = Duration::from_millis(3500);
/// What the connection has read is in the channel; a peer that is just being refused is not waited for.
const INPUT_DRAIN: Duration = Duration::from_millis(500);
const ENCODER_DRAIN: Duration = Duration::from_millis(2500);
/// From the session's end on, whatever else it waits for: the next worker begins after a second in any case.
const HAND_OVER_DRAIN: Duration = Duration::from_millis(700);
