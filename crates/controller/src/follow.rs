//! Following a worker on behalf of its stream's lifecycle.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::assignment::Floor;
use caudal_livestream::feed::InputState;
use caudal_livestream::lifecycle::{Evidence, Input};
use caudal_livestream::proof::Proof;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::{Epoch, StreamId};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::earshot::Earshot;
use crate::input_pace::InputPace;
use crate::queue::Sender;
use crate::standstill::{Excuses, LoggedStandstill};
use crate::worker_link::{Announcement, FEED_SILENCE, WorkerLink};
use crate::workers::{Presence, Workers};

/// One worker's announcements, read until the worker is lost or finished.
pub(crate) struct Follower {
    pub(crate) link: Arc<dyn WorkerLink>,
    pub(crate) workers: Arc<dyn Workers>,
    pub(crate) stream: StreamId,
    pub(crate) worker: WorkerAddress,
    pub(crate) epoch: Epoch,
    pub(crate) proof: Proof,
    /// Bounded: when the stream's task is behind, the worker's announcements wait for it.
    pub(crate) inputs: Sender<Input>,
    /// Where everything ends that the worker has announced. Parts are no inputs, because each would be stored: the stream's task
    /// looks here when the worker loses the stream.
    pub(crate) reached: watch::Sender<Option<Floor>>,
    pub(crate) standstill: Arc<LoggedStandstill>,
    pub(crate) earshot: Arc<Earshot>,
}

/// Why it was read no further.
enum Ended {
    /// The worker has said all.
    Finished,
    /// Open it again: what comes then begins with how things stand.
    Interrupted,
    /// The same; the worker itself has closed it.
    Closed,
    /// Nobody listens.
    Unwanted,
}

impl Follower {
    /// Reads until there is nothing more to read, and says why as the last input.
    pub(crate) async fn run(self) {
        // A worker of an earlier controller has as long to be heard as one that has just been assigned.
        let mut heard = Heard::now();
        let mut pace = InputPace::new(Instant::now());
        let evidence = loop {
            let ended = self.read(&mut heard, &mut pace).await;
            match ended {
                Ended::Finished => {
                    let _ = self.pass_on(pace.last_word()).await;
                    let _ = self.say(Input::Finished(self.epoch)).await;
                    return;
                }
                Ended::Unwanted => return,
                Ended::Closed => heard.closed = true,
                Ended::Interrupted => {}
            }
            // Only asked once the connection is gone: a worker's last words come before its exit.
            if self.attended(RETRY, self.is_gone_within(RETRY), &mut heard).await {
                break if heard.closed { Evidence::Closed } else { Evidence::ProcessEnded };
            }
            if heard.last.elapsed() >= FEED_SILENCE {
                self.earshot.unreached(self.stream);
                break Evidence::FeedSilent;
            }
        };
        let _ = self.pass_on(pace.last_word()).await;
        let _ = self.say(Input::WorkerLost(self.epoch, evidence)).await;
    }

    async fn read(&self, heard: &mut Heard, pace: &mut InputPace) -> Ended {
        let opening = self.link.follow(&self.worker, &self.proof);
        let Ok(opened) = self.pacing(opening, heard, pace).await else { return Ended::Unwanted };
        let mut announcements = match opened {
            Ok(announcements) => announcements,
            Err(error) => {
                tracing::debug!(%error, epoch = %self.epoch, "cannot open a worker's feed");
                return Ended::Interrupted;
            }
        };
        loop {
            let Ok(announcement) = self.pacing(announcements.next(), heard, pace).await else {
                return Ended::Unwanted;
            };
            let announcement = match announcement {
                Ok(Some(announcement)) => announcement,
                Ok(None) => return Ended::Finished,
                Err(error) => {
                    tracing::debug!(%error, epoch = %self.epoch, "a worker's feed was lost");
                    return Ended::Interrupted;
                }
            };
            let news = match announcement {
                Announcement::End => return Ended::Finished,
                Announcement::Closed => return Ended::Closed,
                Announcement::Alive => None,
                Announcement::Input(state) => {
                    pace.take(state, Instant::now()).map(|state| Input::Publisher(self.epoch, state))
                }
                Announcement::Floor(floor) => {
                    self.reached.send_replace(Some(floor));
                    Some(Input::Announced(self.epoch, floor))
                }
                Announcement::Reached(floor) => {
                    self.reached.send_replace(Some(floor));
                    None
                }
            };
            if let Some(news) = news
                && self.say(news).await.is_err()
            {
                return Ended::Unwanted;
            }
            self.earshot.heard(self.stream);
            // After it was said: a store that makes us wait says nothing about the worker.
            *heard = Heard::now();
        }
    }

    /// Waits for `answer`, which takes no longer than [`FEED_SILENCE`], and passes on meanwhile what has waited for its time.
    async fn pacing<T>(
        &self,
        answer: impl Future<Output = T>,
        heard: &mut Heard,
        pace: &mut InputPace,
    ) -> Result<T, Unheard> {
        let mut answer = pin!(self.attended(FEED_SILENCE, answer, heard));
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer),
                () = until(pace.due_at()) => self.pass_on(pace.due(Instant::now())).await?,
            }
        }
    }

    /// Waits for `answer`, which takes `at_most` so long. Where this process did not run meanwhile, the worker counts as heard.
    async fn attended<T>(&self, at_most: Duration, answer: impl Future<Output = T>, heard: &mut Heard) -> T {
        let asked = Instant::now();
        let answer = answer.await;
        if let Some(took) = heard.excuses.excuse(asked, at_most) {
            heard.last = Instant::now();
            if self.standstill.is_new(asked) {
                tracing::warn!(?took, "the controller stood still; its workers are given three seconds anew");
            }
        }
        answer
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

    async fn pass_on(&self, state: Option<InputState>) -> Result<(), Unheard> {
        match state {
            Some(state) => self.say(Input::Publisher(self.epoch, state)).await,
            None => Ok(()),
        }
    }

    async fn say(&self, input: Input) -> Result<(), Unheard> {
        self.inputs.send(input).await.map_err(|_| Unheard)
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The stream's task is gone.
struct Unheard;

/// When a worker was heard last.
struct Heard {
    last: Instant,
    /// It has closed its feed since.
    closed: bool,
    excuses: Excuses,
}

impl Heard {
    fn now() -> Self {
        Self { last: Instant::now(), closed: false, excuses: Excuses::default() }
    }
}

/// Between two tries at a feed.
const RETRY: Duration = Duration::from_millis(200);
