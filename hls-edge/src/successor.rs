//! The feed of the worker that a stream is being moved to, until it has something to show.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use caudal_directory::Feed;
use caudal_livestream::RenditionName;
use caudal_livestream::feed::{Event, Frame};
use caudal_livestream::record::NextWorker;
use tokio::time::{Instant, sleep_until};

use crate::sources::{Opening, Sources};
use crate::watched::Watched;

/// It is opened as soon as the record names the next worker, so that a move costs viewers no connection and waits for no
/// word of the controller.
#[derive(Default)]
pub(crate) struct Successor {
    named: Option<NextWorker>,
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Closed,
    /// After a try that failed, until the next one.
    Failed(Instant),
    Opening(Opening),
    /// Heartbeats come.
    Open(Box<Feed>, Vec<RenditionName>),
}

impl State {
    fn failed() -> Self {
        Self::Failed(Instant::now() + PAUSE)
    }
}

/// The next worker has announced the stream.
pub(crate) struct Begun {
    pub(crate) next: NextWorker,
    pub(crate) feed: Feed,
    pub(crate) names: Vec<RenditionName>,
    /// The frame that says so.
    pub(crate) snapshot: Frame,
}

impl Successor {
    /// What the record names now.
    pub(crate) fn name(&mut self, next: Option<NextWorker>) {
        if self.named != next {
            self.named = next;
            self.state = State::Closed;
        }
    }

    pub(crate) fn is_named(&self) -> bool {
        self.named.is_some()
    }

    /// The feed of `worker`, if that is the next one, and its feed is open or about to be.
    pub(crate) fn take(&mut self, worker: NextWorker) -> Option<Opening> {
        if self.named != Some(worker) {
            return None;
        }
        self.named = None;
        match std::mem::take(&mut self.state) {
            State::Open(feed, names) => Some(Box::pin(ready(Ok((*feed, names))))),
            State::Opening(opening) => Some(opening),
            State::Closed | State::Failed(_) => None,
        }
    }

    /// Resolves with the first snapshot; never while no next worker is named. May be dropped at any time.
    pub(crate) async fn begins(&mut self, sources: &Sources, watched: &Arc<Watched>) -> Begun {
        let Some(next) = self.named else { return std::future::pending().await };
        loop {
            match &mut self.state {
                State::Failed(until) => {
                    sleep_until(*until).await;
                    self.state = State::Closed;
                }
                State::Closed => {
                    let names = watched.wanted(std::time::Instant::now());
                    self.state = State::Opening(sources.opening(watched, next.address, next.epoch, names));
                }
                State::Opening(opening) => match opening.await {
                    Ok((feed, names)) => self.state = State::Open(Box::new(feed), names),
                    Err(error) => {
                        tracing::debug!(stream = %watched.stream, %error, "no feed of the next worker");
                        self.state = State::failed();
                    }
                },
                State::Open(feed, _) => match feed.next().await {
                    Ok(Some(snapshot @ Frame::Event(Event::Snapshot(_)))) => {
                        if let State::Open(feed, names) = std::mem::take(&mut self.state) {
                            self.named = None;
                            return Begun { next, feed: *feed, names, snapshot };
                        }
                    }
                    // Nothing is announced before the first snapshot.
                    Ok(Some(_)) => {}
                    Ok(None) => self.state = State::failed(),
                    Err(error) => {
                        tracing::debug!(stream = %watched.stream, %error, "feed of the next worker lost");
                        self.state = State::failed();
                    }
                },
            }
        }
    }
}

const PAUSE: Duration = Duration::from_millis(200);
