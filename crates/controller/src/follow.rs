//! Following a worker on behalf of its stream's lifecycle.

use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::Epoch;
use caudal_livestream::assignment::Floor;
use caudal_livestream::lifecycle::{Evidence, Input};
use caudal_livestream::proof::Proof;
use caudal_livestream::record::WorkerAddress;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::worker_link::{Announcement, FEED_SILENCE, WorkerLink};
use crate::workers::{Presence, Workers};

/// One worker's announcements, read until the worker is lost or finished.
pub(crate) struct Follower {
    pub(crate) link: Arc<dyn WorkerLink>,
    pub(crate) workers: Arc<dyn Workers>,
    pub(crate) worker: WorkerAddress,
    pub(crate) epoch: Epoch,
    pub(crate) proof: Proof,
    /// Bounded: when the stream's task is behind, the worker's announcements wait for it.
    pub(crate) inputs: mpsc::Sender<Input>,
}

/// Why it was read no further.
enum Ended {
    /// The worker has said all.
    Finished,
    /// Open it again: what comes then begins with how things stand.
    Interrupted,
    /// Nobody listens.
    Unwanted,
}

impl Follower {
    /// Reads until there is nothing more to read, and says why as the last input.
    pub(crate) async fn run(self) {
        let mut reached = None;
        // A worker of an earlier controller has as long to be heard as one that has just been assigned.
        let mut heard = Heard { last: Instant::now(), excused: 0 };
        let evidence = loop {
            match self.read(&mut reached, &mut heard).await {
                Ended::Finished => {
                    let _ = self.say(Input::Finished(self.epoch)).await;
                    return;
                }
                Ended::Unwanted => return,
                // Only asked once the connection is gone: a worker's last words come before its exit.
                Ended::Interrupted if attended(RETRY, self.is_gone_within(RETRY), &mut heard).await => {
                    break Evidence::ProcessEnded;
                }
                Ended::Interrupted => {
                    if heard.last.elapsed() >= FEED_SILENCE {
                        break Evidence::FeedSilent;
                    }
                }
            }
        };
        // What was announced since the last whole segment is in no file yet.
        if let Some(floor) = reached {
            let _ = self.say(Input::Announced(self.epoch, floor)).await;
        }
        let _ = self.say(Input::WorkerLost(self.epoch, evidence)).await;
    }

    async fn read(&self, reached: &mut Option<Floor>, heard: &mut Heard) -> Ended {
        let opening = self.link.follow(&self.worker, &self.proof);
        let mut announcements = match attended(FEED_SILENCE, opening, heard).await {
            Ok(announcements) => announcements,
            Err(error) => {
                tracing::debug!(%error, epoch = %self.epoch, "cannot open a worker's feed");
                return Ended::Interrupted;
            }
        };
        loop {
            let announcement = match attended(FEED_SILENCE, announcements.next(), heard).await {
                Ok(Some(announcement)) => announcement,
                Ok(None) => return Ended::Finished,
                Err(error) => {
                    tracing::debug!(%error, epoch = %self.epoch, "a worker's feed was lost");
                    return Ended::Interrupted;
                }
            };
            let news = match announcement {
                Announcement::End => return Ended::Finished,
                Announcement::Alive => None,
                Announcement::Input(state) => {
                    // What follows may be its end, and its successor begins behind what is known by then.
                    let closing = state.moved || (state.leaving && !state.up);
                    if closing
                        && let Some(floor) = *reached
                        && self.say(Input::Announced(self.epoch, floor)).await.is_err()
                    {
                        return Ended::Unwanted;
                    }
                    Some(Input::Publisher(self.epoch, state))
                }
                Announcement::Floor(floor) => {
                    *reached = Some(floor);
                    Some(Input::Announced(self.epoch, floor))
                }
                Announcement::Reached(floor) => {
                    *reached = Some(floor);
                    None
                }
            };
            if let Some(news) = news
                && self.say(news).await.is_err()
            {
                return Ended::Unwanted;
            }
            // After it was said: a store that makes us wait says nothing about the worker.
            *heard = Heard { last: Instant::now(), excused: 0 };
        }
    }

    async fn is_gone_within(&self, pause: Duration) -> bool {
        let exited = async {
            match self.workers.exited(self.worker.worker).await {
                Presence::Gone => {}
                Presence::Unknown => std::future::pending().await,
            }
        };
        tokio::select! {
            () = exited => true,
            () = sleep(pause) => false,
        }
    }

    async fn say(&self, input: Input) -> Result<(), Unheard> {
        self.inputs.send(input).await.map_err(|_| Unheard)
    }
}

/// The stream's task is gone.
struct Unheard;

/// When a worker was heard last.
struct Heard {
    last: Instant,
    /// How often in a row that was put off, because this process was not there to hear.
    excused: u32,
}

/// Waits for `answer`, which takes `at_most` so long. Where it took longer, this process did not run, or the machine was too
/// busy to let it: that nothing was heard of the worker meanwhile says nothing about the worker.
async fn attended<T>(at_most: Duration, answer: impl Future<Output = T>, heard: &mut Heard) -> T {
    let asked = Instant::now();
    let answer = answer.await;
    let took = asked.elapsed();
    // One that is late each time must find out which workers are gone, too.
    if took >= at_most + LATE && heard.excused < MOST_EXCUSES {
        *heard = Heard { last: Instant::now(), excused: heard.excused.saturating_add(1) };
        tracing::warn!(?took, "the controller stood still; its workers are given three seconds anew");
    }
    answer
}

/// Between two tries at a feed.
const RETRY: Duration = Duration::from_millis(200);
/// A timer that is later than this was not late by chance.
const LATE: Duration = Duration::from_secs(1);
const MOST_EXCUSES: u32 = 2;
