//! The end of a session: everything that has come is packaged, announced and stored, within a time.

use std::time::Duration;

use caudal_livestream::feed::Event;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{Closing, Drained, HEARTBEAT, Order, Session};

impl Session {
    /// Takes leave: the publisher first, then the rungs' last frames, then the open segment, then storage.
    pub(super) async fn wind_down(&mut self, closing: Closing) {
        self.closing = Some(closing);
        tracing::info!(stream = %self.stream, reason = %closing, "the session ends");
        let begun = Instant::now();
        let deadline = begun + WIND_DOWN;
        if !self.moved && closing != Closing::Finish {
            // The controller is not to take the end of this connection for the publisher's.
            self.parts.board.leave();
        }
        self.parts.input_closed.cancel();
        // What the connection had read; one that was handed over has said its last word.
        let read_by = begun + INPUT_DRAIN;
        // Readers take three seconds of silence for a lost worker.
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.moved {
            tokio::select! {
                biased;
                () = sleep_until(read_by) => break,
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
        self.take_all(kept);
        self.carry_out();
        self.parts.posters = None;
        if let Some(encoder) = self.parts.encoder.as_mut().filter(|_| self.encoder_started) {
            encoder.drain();
            // One that leaves may have a successor that is ready, and does not know it. Without one, all that is lost by
            // the haste are the last frames of a rung whose ffmpeg lags by more.
            let successor = self.moved || (self.leaving && closing != Closing::Finish);
            // The next worker begins when this one has closed, and viewers wait for it.
            let drained_by = if successor { begun + HAND_OVER_DRAIN } else { Instant::now() + ENCODER_DRAIN };
            loop {
                tokio::select! {
                    biased;
                    () = sleep_until(drained_by) => break,
                    event = self.parts.encoded.recv() => {
                        let drained = event.map_or(Drained::Yes, |event| self.encoded(event));
                        self.carry_out();
                        if drained == Drained::Yes {
                            break;
                        }
                    }
                    _ = heartbeat.tick() => self.keep_readers(),
                }
            }
        }
        self.packager.finish(self.parts.clock.now());
        self.carry_out();
        self.parts.storage.close();
        loop {
            tokio::select! {
                settled = self.parts.settled.recv() => match settled {
                    Some(settled) => self.settled(&settled),
                    None => break,
                },
                _ = heartbeat.tick() => self.keep_readers(),
                () = sleep_until(deadline) => break,
            }
            self.carry_out();
        }
        self.publish_standing(true);
        // Feeds that were asked for meanwhile get the end too.
        self.let_readers_in();
        if closing == Closing::Finish {
            self.parts.feed.announce(&Event::End, None);
        }
        self.parts.feed.close();
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

/// A Ctrl-C ends streams within five seconds. Storage gets what the waits below leave of this.
const WIND_DOWN: Duration = Duration::from_millis(3500);
/// What the connection has read is in the channel; a peer that is just being refused is not waited for.
const INPUT_DRAIN: Duration = Duration::from_millis(500);
const ENCODER_DRAIN: Duration = Duration::from_millis(2500);
/// From the session's end on, whatever else it waits for: the next worker begins after a second in any case.
const HAND_OVER_DRAIN: Duration = Duration::from_millis(700);
