//! One room in one replica: what happens in it goes to everybody who listens, in its order.

use std::sync::Weak;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use caudal_livestream::StreamId;
use serde_json::json;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::ChatError;
use super::draft::Event;
use super::history;
use super::hub::{Inner, Joined, Member};
use super::log;
use super::position::Position;
use super::recent::{LINES, Recent, Taken};
use super::removal::take_back_marked;
use crate::bus::{Heard, Subscription};

/// Somebody wants in.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) since: Option<Position>,
    pub(super) member: Member,
    pub(super) answer: oneshot::Sender<Result<Joined, ChatError>>,
}

/// Runs a room until the hub lets go of it, or nobody has been in it for a minute.
pub(super) async fn run(hub: Weak<Inner>, stream: StreamId, mut queue: mpsc::Receiver<Command>) {
    let opened = match hub.upgrade() {
        Some(hub) => open(&hub, stream).await,
        None => return,
    };
    let (mut subscription, recent) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            // Closed first: whoever comes after these begins another room.
            queue.close();
            while let Some(Command { answer, .. }) = queue.recv().await {
                let _ = answer.send(Err(error));
            }
            return;
        }
    };
    let mut room =
        Room { hub, stream, recent, members: Vec::new(), viewers: None, behind: false, refilled: None };
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alone_since = Instant::now();
    loop {
        tokio::select! {
            biased;
            heard = subscription.next() => match heard {
                Some(heard) => room.hear(heard).await,
                None => return,
            },
            command = queue.recv() => match command {
                Some(command) => room.admit(command).await,
                None => return,
            },
            _ = ticks.tick() => {
                room.recent.forget_old(Instant::now());
                room.members.retain(|member| !member.outbox.is_closed());
                if !room.members.is_empty() {
                    alone_since = Instant::now();
                } else if alone_since.elapsed() >= ALONE {
                    return;
                }
                if room.behind {
                    room.catch_up(room.recent.last()).await;
                }
                room.count();
            }
        }
    }
}

/// Listens before it looks, so that nothing falls between.
async fn open(hub: &Inner, stream: StreamId) -> Result<(Subscription, Recent), ChatError> {
    let subscription = hub.bus.subscribe(&log::topic(stream)).await.map_err(|error| {
        tracing::warn!(%error, %stream, "a room cannot be listened to");
        ChatError::Unavailable
    })?;
    // One look for both: what comes after it is heard, and is new then.
    let mut recent = hub.log.open(stream, None).await?;
    let (latest, removed) = history::beside(&recent.events, &hub.database, stream, None, LINES).await?;
    take_back_marked(&mut recent.events, &removed);
    Ok((subscription, Recent::new(recent, latest, Instant::now())))
}

struct Room {
    hub: Weak<Inner>,
    stream: StreamId,
    recent: Recent,
    members: Vec<Member>,
    /// As last told.
    viewers: Option<u32>,
    /// The log could not be asked after a gap.
    behind: bool,
    /// When history was read last for newcomers.
    refilled: Option<Instant>,
}

impl Room {
    async fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Event(payload) => {
                let Ok(frame) = Utf8Bytes::try_from(payload) else { return };
                let Ok(event) = log::event(&frame) else {
                    // Without a position: it is told once, and not kept.
                    self.tell(&frame);
                    return;
                };
                match self.recent.hear(event, Instant::now()) {
                    Taken::New(events) => self.tell_all(&events),
                    Taken::Known => {}
                    Taken::Gap => self.catch_up(self.recent.last()).await,
                    Taken::Reused => self.catch_up(Position::end(self.recent.last().epoch)).await,
                }
            }
            Heard::Lagged(_) | Heard::Back => self.catch_up(self.recent.last()).await,
            Heard::Lost => {}
        }
    }

    /// Asks the log, which is `known` to have come so far, for what was missed.
    async fn catch_up(&mut self, known: Position) {
        let Some(hub) = self.hub.upgrade() else { return };
        let mut known = known;
        // Twice where the log says things again that it has forgotten: then it begins another epoch.
        for _ in 0..2 {
            let Ok(seen) = hub.log.open(self.stream, Some(known)).await else { break };
            self.behind = false;
            match self.recent.catch_up(seen, Instant::now()) {
                Taken::New(events) => return self.tell_all(&events),
                Taken::Known => return,
                Taken::Gap => return self.tell(&self.resync()),
                Taken::Reused => known = Position::end(known.epoch),
            }
        }
        self.behind = true;
    }

    /// That something was missed which cannot be told any more: clients read the history anew.
    fn resync(&self) -> Utf8Bytes {
        let last = self.recent.last();
        let data = json!({ "streamId": self.stream, "epoch": last.epoch, "offset": last.offset });
        json!({ "event": "resync", "data": data }).to_string().into()
    }

    async fn admit(&mut self, Command { since, member, answer }: Command) {
        let viewers = self.hub.upgrade().map_or(0, |hub| hub.audience.viewers(self.stream));
        if self.viewers != Some(viewers) {
            // The next look tells everybody, also when it finds what they were told last: this one was told something else.
            self.viewers = None;
        }
        let missed = since.and_then(|since| self.recent.after(since));
        let recovered = missed.is_some();
        if !recovered && self.recent.is_thin() {
            self.refill().await;
        }
        let joined = Joined {
            last: self.recent.last(),
            recovered,
            lines: if recovered { Vec::new() } else { self.recent.lines() },
            viewers,
            settings: None,
        };
        // The room waits for nobody: an outbox has room for all that is kept.
        let missed = missed.unwrap_or_default();
        if missed.iter().all(|event| member.outbox.try_send(event.frame.clone()).is_ok())
            && answer.send(Ok(joined)).is_ok()
        {
            self.members.push(member);
        }
    }

    /// Reads what newcomers are shown anew, after removals have taken some of it. Where history does not answer they get what is left.
    async fn refill(&mut self) {
        let Some(hub) = self.hub.upgrade() else { return };
        if self.refilled.is_some_and(|last| last.elapsed() < REFILL) {
            return;
        }
        self.refilled = Some(Instant::now());
        let read = async {
            let recent = hub.log.recent(self.stream).await?;
            history::beside(&recent, &hub.database, self.stream, None, LINES).await
        };
        if let Ok(Ok((latest, _))) = timeout(PATIENCE, read).await {
            self.recent.refill(latest);
        }
    }

    /// Tells how many watch, when that has changed.
    fn count(&mut self) {
        let Some(hub) = self.hub.upgrade() else { return };
        let viewers = hub.audience.viewers(self.stream);
        if self.viewers.replace(viewers) != Some(viewers) {
            let data = json!({ "streamId": self.stream, "count": viewers });
            let frame: Utf8Bytes = json!({ "event": "viewer_count", "data": data }).to_string().into();
            // The first thing that somebody slow goes without.
            self.members.retain(|member| {
                member.outbox.capacity() < member.outbox.max_capacity() / 2
                    || !matches!(member.outbox.try_send(frame.clone()), Err(TrySendError::Closed(_)))
            });
        }
    }

    fn tell_all(&mut self, events: &[Event]) {
        // Before anybody who enters is told of an event: they are given the settings of after it.
        if events.iter().any(|event| event.message().is_none())
            && let Some(hub) = self.hub.upgrade()
        {
            hub.rules.doubt_room(self.stream);
        }
        for event in events {
            self.tell(&event.frame.clone());
        }
    }

    /// Whoever is too slow, or gone, is let go: their outbox closes, and they come again from where they were.
    fn tell(&mut self, frame: &Utf8Bytes) {
        self.members.retain(|member| member.outbox.try_send(frame.clone()).is_ok());
    }
}

/// Between two looks at the count of viewers, at what was missed, and at who is left.
const LOOK: Duration = Duration::from_secs(5);
/// A room without anybody is kept so long: people come back from a reload.
const ALONE: Duration = Duration::from_secs(60);
/// Between two looks at history for newcomers: while a raid is cleaned up each removal would make another one.
const REFILL: Duration = Duration::from_millis(500);
/// For history to answer: everybody in the room waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);
