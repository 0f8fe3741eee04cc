//! Following a worker's feed on behalf of its stream's lifecycle.

use std::time::Duration;

use caudal_livestream::assignment::Floor;
use caudal_livestream::feed::{Event, Frame};
use caudal_livestream::lifecycle::{Evidence, Input};
use caudal_livestream::proof::Proof;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::timeline::{SegmentPhase, Timeline};
use caudal_livestream::{Epoch, Msn};
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::worker_feed::FEED_SILENCE;
use crate::{FeedRenditions, WorkerClient};

/// One worker's feed, read until the worker is lost or finished.
pub(super) struct Follower {
    pub(super) client: WorkerClient,
    pub(super) worker: WorkerAddress,
    pub(super) epoch: Epoch,
    pub(super) proof: Proof,
    /// Bounded: when the stream's task is behind, the feed waits for it.
    pub(super) inputs: mpsc::Sender<Input>,
}

/// Why it was read no further.
enum Ended {
    /// The worker has said all.
    Finished,
    /// Open it again: what comes then begins with a snapshot.
    Interrupted,
    /// Nobody listens.
    Unwanted,
}

impl Follower {
    /// Reads until there is nothing more to read, and says why as the last input. `exited` resolves when the worker's
    /// process has ended.
    pub(super) async fn run(self, mut exited: BoxFuture<'static, ()>) {
        let mut seen = Seen::default();
        let mut last_frame = Instant::now();
        let evidence = loop {
            match self.read(&mut seen, &mut last_frame).await {
                Ended::Finished => {
                    let _ = self.say(Input::Finished(self.epoch)).await;
                    return;
                }
                Ended::Unwanted => return,
                // Only asked once the connection is gone: a worker's last words come before its exit.
                Ended::Interrupted => tokio::select! {
                    () = &mut exited => break Evidence::ProcessEnded,
                    () = sleep(RETRY) => {
                        if last_frame.elapsed() >= FEED_SILENCE {
                            break Evidence::FeedSilent;
                        }
                    }
                },
            }
        };
        // What was announced since the last whole segment is in no file yet.
        if let Some(floor) = seen.floor() {
            let _ = self.say(Input::Announced(self.epoch, floor)).await;
        }
        let _ = self.say(Input::WorkerLost(self.epoch, evidence)).await;
    }

    async fn read(&self, seen: &mut Seen, last_frame: &mut Instant) -> Ended {
        let mut feed = match self.client.feed(&self.worker, &self.proof, FeedRenditions::None).await {
            Ok(feed) => feed,
            Err(error) => {
                tracing::debug!(%error, epoch = %self.epoch, "cannot open a worker's feed");
                return Ended::Interrupted;
            }
        };
        loop {
            let event = match feed.next().await {
                Ok(Some(Frame::Event(event))) => event,
                Ok(Some(Frame::Bytes(_))) => continue,
                Ok(None) => return Ended::Finished,
                Err(error) => {
                    tracing::debug!(%error, epoch = %self.epoch, "a worker's feed was lost");
                    return Ended::Interrupted;
                }
            };
            *last_frame = Instant::now();
            if matches!(event, Event::End) {
                return Ended::Finished;
            }
            if let Event::Input(state) = event {
                if self.say(Input::Publisher(self.epoch, state)).await.is_err() {
                    return Ended::Unwanted;
                }
                continue;
            }
            match seen.take(&event) {
                Ok(None) => {}
                Ok(Some(floor)) => {
                    if self.say(Input::Announced(self.epoch, floor)).await.is_err() {
                        return Ended::Unwanted;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, epoch = %self.epoch, "a worker's feed does not follow");
                    return Ended::Interrupted;
                }
            }
        }
    }

    async fn say(&self, input: Input) -> Result<(), Unheard> {
        self.inputs.send(input).await.map_err(|_| Unheard)
    }
}

/// The stream's task is gone.
struct Unheard;

/// What the feed has announced so far.
#[derive(Default)]
struct Seen {
    timeline: Option<Timeline>,
    /// The last whole segment that was told of; the first part is told of as one below its segment.
    told: Option<Msn>,
}

impl Seen {
    /// Takes in an event; returns a position when it is a step: the first part, or a whole segment.
    fn take(&mut self, event: &Event) -> Result<Option<Floor>, caudal_livestream::timeline::TimelineGap> {
        match (event, &mut self.timeline) {
            (Event::Snapshot(whole), _) => self.timeline = Some(whole.as_ref().clone()),
            (event, Some(timeline)) => timeline.apply(event)?,
            // Nothing but heartbeats comes before the first snapshot.
            (_, None) => {}
        }
        let Some(floor) = self.floor() else { return Ok(None) };
        let whole = self.last_whole().unwrap_or(Msn(floor.msn.0.saturating_sub(1)));
        if self.told.is_some_and(|told| whole <= told) {
            return Ok(None);
        }
        self.told = Some(whole);
        Ok(Some(floor))
    }

    /// The end of everything announced.
    fn floor(&self) -> Option<Floor> {
        let lasts =
            self.timeline.iter().flat_map(|timeline| &timeline.tracks).filter_map(|t| t.segments.back());
        lasts
            .map(|last| Floor {
                msn: last.msn,
                discontinuity: last.discontinuity,
                media_end: last.start.plus(last.duration),
            })
            .max_by_key(|floor| (floor.msn, floor.media_end))
    }

    /// The highest segment that can be watched to its end.
    fn last_whole(&self) -> Option<Msn> {
        let segments = self.timeline.iter().flat_map(|timeline| &timeline.tracks).flat_map(|t| &t.segments);
        segments.filter(|s| s.phase != SegmentPhase::Open && !s.gap).map(|s| s.msn).max()
    }
}

/// Between two tries at a feed.
const RETRY: Duration = Duration::from_millis(200);
