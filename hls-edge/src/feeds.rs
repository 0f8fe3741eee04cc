//! The feeds of one stream: its worker's, the one that is to take that one's place, and the one of the worker that the stream is
//! being moved to.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use caudal_directory::{Feed, FeedLost, WorkerUnreachable};
use caudal_livestream::feed::Frame;
use caudal_livestream::record::{NextWorker, WorkerAddress};
use caudal_livestream::{Epoch, RenditionName};

use crate::sources::{Opening, Sources};
use crate::successor::Successor;
use crate::watched::Watched;

/// What a follower reads.
pub(crate) struct Feeds {
    worker: WorkerAddress,
    epoch: Epoch,
    /// The renditions that the current feed has the parts of.
    names: Vec<RenditionName>,
    /// None once it was lost during a move: the worker may have closed it behind the hand-over.
    current: Option<Feed>,
    /// The next connection to the same worker, for more or fewer renditions or because the current one was lost: only once it
    /// stands that one is closed.
    second: Option<Opening>,
    /// When the last one that was lost was opened again at once.
    reopened: Option<Instant>,
    successor: Successor,
}

/// What the feeds say.
pub(crate) enum Heard {
    /// The current one goes on.
    Frame(Frame),
    /// What comes next is a snapshot: the current one was lost, or another one has taken its place.
    Anew,
    /// The next worker has something to show, and with that all that its predecessor had. Its feed is the current one now.
    Begun(Frame),
    /// The current one was lost, and no other is in sight.
    Lost(FeedLost),
    /// Nothing more will come.
    Over,
}

impl Feeds {
    /// The first feed of a worker has been opened.
    pub(crate) fn new(worker: WorkerAddress, epoch: Epoch, opened: (Feed, Vec<RenditionName>)) -> Self {
        let (feed, names) = opened;
        let (current, second, reopened) = (Some(feed), None, None);
        Self { worker, epoch, names, current, second, reopened, successor: Successor::default() }
    }

    /// Whom the current feed is of.
    pub(crate) fn worker(&self) -> (WorkerAddress, Epoch) {
        (self.worker, self.epoch)
    }

    /// The renditions that the current feed has the parts of.
    pub(crate) fn names(&self) -> &[RenditionName] {
        &self.names
    }

    /// Whether there is a current feed.
    pub(crate) fn is_open(&self) -> bool {
        self.current.is_some()
    }

    /// The next worker that the record names, if any.
    pub(crate) fn name_next(&mut self, next: Option<NextWorker>) {
        self.successor.name(next.filter(|next| next.epoch > self.epoch));
    }

    /// What any of them says next. May be dropped at any time.
    pub(crate) async fn next(&mut self, sources: &Sources, watched: &Arc<Watched>) -> Heard {
        loop {
            let may_go_on = self.second.is_some() || self.successor.is_named();
            if self.current.is_none() && !may_go_on {
                return Heard::Over;
            }
            tokio::select! {
                frame = next_frame(self.current.as_mut()) => return match frame {
                    Ok(Some(frame)) => Heard::Frame(frame),
                    Ok(None) => Heard::Over,
                    Err(error) if self.successor.is_named() => {
                        // It has closed, and says so by ending; or only the connection broke, and the router has yet
                        // to switch.
                        tracing::debug!(stream = %watched.stream, epoch = %self.epoch, %error, "feed ended");
                        self.current = None;
                        let now = Instant::now();
                        // One that is lost again and again has to wait until `renew`.
                        let lately = |at: Instant| now.saturating_duration_since(at) < REOPENING;
                        if !self.reopened.is_some_and(lately) {
                            self.reopened = Some(now);
                            self.open_second(sources, watched, watched.wanted(now));
                        }
                        Heard::Anew
                    }
                    Err(error) => Heard::Lost(error),
                },
                begun = self.successor.begins(sources, watched) => {
                    tracing::debug!(stream = %watched.stream, epoch = %begun.next.epoch, "feed of the next worker");
                    (self.worker, self.epoch) = (begun.next.address, begun.next.epoch);
                    (self.current, self.names, self.second) = (Some(begun.feed), begun.names, None);
                    return Heard::Begun(begun.snapshot);
                }
                opened = opened(self.second.as_mut()) => {
                    self.second = None;
                    match opened {
                        Ok((feed, names)) => {
                            (self.current, self.names) = (Some(feed), names);
                            return Heard::Anew;
                        }
                        Err(error) => tracing::debug!(stream = %watched.stream, %error, "no second feed"),
                    }
                }
            }
        }
    }

    /// More renditions may be wanted than there are.
    pub(crate) fn widen(&mut self, sources: &Sources, watched: &Arc<Watched>) {
        let wanted = watched.wanted(Instant::now());
        if self.second.is_none() && !wanted.iter().all(|name| self.names.contains(name)) {
            self.open_second(sources, watched, wanted);
        }
    }

    /// Sees to it that there is a current feed, and that it has what is wanted and nothing else.
    pub(crate) fn renew(&mut self, sources: &Sources, watched: &Arc<Watched>) {
        let wanted = watched.wanted(Instant::now());
        if self.second.is_none() && (self.current.is_none() || wanted != self.names) {
            self.open_second(sources, watched, wanted);
        }
    }

    /// The record names `worker` as the stream's by now. If that was the next one, the feed that was opened ahead is gone on
    /// with, and this is true.
    pub(crate) fn go_over(&mut self, worker: WorkerAddress, epoch: Epoch) -> bool {
        let Some(opening) = self.successor.take(NextWorker { address: worker, epoch }) else { return false };
        (self.worker, self.epoch) = (worker, epoch);
        (self.current, self.second) = (None, Some(opening));
        true
    }

    fn open_second(&mut self, sources: &Sources, watched: &Arc<Watched>, names: Vec<RenditionName>) {
        self.second = Some(sources.opening(watched, self.worker, self.epoch, names));
    }
}

async fn next_frame(feed: Option<&mut Feed>) -> Result<Option<Frame>, FeedLost> {
    match feed {
        Some(feed) => feed.next().await,
        None => pending().await,
    }
}

async fn opened(opening: Option<&mut Opening>) -> Result<(Feed, Vec<RenditionName>), WorkerUnreachable> {
    match opening {
        Some(opening) => opening.await,
        None => pending().await,
    }
}

/// Shorter than two breaks of a network, and longer than a worker needs to answer with what is wrong again.
const REOPENING: Duration = Duration::from_secs(1);
